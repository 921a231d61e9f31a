//! What was found out about nodes, kept by what was asked: the next pod that asks for the same is told at once, and only nodes
//! of which something has moved are looked at again.

use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::desk::Refused;
use crate::claims::{Claim, Constraint, Moves, Request, Room};

/// Most kinds of questions of which answers are kept; then those of the kind that was not asked for longest are forgotten.
const MOST_KINDS: usize = 32;

/// What is asked, whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind(Vec<(Vec<Request>, Vec<Constraint>)>);

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub room: Result<Arc<Room>, Arc<Refused>>,
    /// It also depends on what else is in use.
    pub goes_by_mix: bool,
}

/// Answers of one kind, by node.
type Book = IndexMap<Box<str>, Kept, FxBuildHasher>;

/// Answers that still hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Rooms {
    /// The kind that was asked for last is the last one.
    books: Vec<(Kind, Book)>,
}

impl Rooms {
    /// Throws away what may be different by now.
    pub fn forget(&mut self, moves: &Moves) {
        if moves.everywhere {
            self.books.clear();
        }
        for (_, book) in &mut self.books {
            moves.nodes.iter().for_each(|node| _ = book.swap_remove(node));
        }
    }

    /// Throws away what depends on what else is in use.
    pub fn forget_mix(&mut self) {
        for (_, book) in &mut self.books {
            book.retain(|_, kept| !kept.goes_by_mix);
        }
    }

    /// The answers for what these claims ask for.
    pub fn of(&mut self, claims: &[Claim]) -> &mut Book {
        let is_it = |(Kind(asked), _): &(Kind, Book)| {
            let same = |(asked, claim): (&(Vec<Request>, Vec<Constraint>), &Claim)| {
                asked.0 == claim.requests && asked.1 == claim.constraints
            };
            asked.len() == claims.len() && asked.iter().zip(claims).all(same)
        };
        let last = self.books.len().checked_sub(1);
        match self.books.iter().position(is_it) {
            Some(at) if Some(at) == last => {}
            Some(at) => self.books[at..].rotate_left(1),
            None => {
                if self.books.len() >= MOST_KINDS {
                    self.books.remove(0);
                }
                let asked = claims.iter().map(|claim| (claim.requests.clone(), claim.constraints.clone()));
                self.books.push((Kind(asked.collect()), Book::default()));
            }
        }
        &mut self.books.last_mut().expect("it was just put there").1
    }
}

impl Kept {
    /// What it says where `most` pods are asked for; nothing where it does not reach so far.
    pub fn answer(&self, most: u32) -> Option<Result<Arc<Room>, Arc<Refused>>> {
        let is_enough = self.room.as_ref().map_or(true, |room| room.pods >= most || !room.may_have_more);
        is_enough.then(|| self.room.clone())
    }
}
