//! What a search decides, one thing after the other.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::asks::Asks;

/// What is decided, and the earlier decision that its choice must not come before, because it is about something alike.
pub(super) struct Decision {
    pub what: What,
    pub after: Option<usize>,
}

#[derive(Clone, Copy)]
pub(super) enum What {
    /// The domain of a part that must stay in one.
    Part(usize),
    /// The domain of a set whose members must share one.
    Set { part: usize, set: usize },
    /// The node of a member.
    Member { part: usize, set: usize, block: usize },
}

/// All decisions; `members` gives the blocks of the members of each set. Where it matters who comes first (`in_order`) they
/// are taken as the formation names what they are about; else those without a choice come first, then the largest.
pub(super) fn decisions(asks: &Asks, members: &[Vec<usize>], in_order: bool) -> Vec<Decision> {
    let mut parts: Vec<usize> = (0..asks.parts.len()).collect();
    if !in_order {
        let bounds = |part: usize| &asks.parts[part].bounds;
        parts.sort_by_key(|part| (bounds(*part).required.is_empty(), !bounds(*part).is_pinned, *part));
    }
    parts.retain(|part| !asks.parts[*part].sets.is_empty());
    let mut list = List { asks, members, in_order, decisions: vec![], parts: BTreeMap::new(), sets: BTreeMap::new() };
    // Where nobody else may be is known before anybody is placed.
    let exclusive = parts.iter().filter(|part| asks.parts[**part].exclusive.is_some());
    exclusive.for_each(|part| list.bound_part(*part));
    parts.into_iter().fold(list, List::with_part).decisions
}

struct List<'a> {
    asks: &'a Asks,
    members: &'a [Vec<usize>],
    in_order: bool,
    decisions: Vec<Decision>,
    /// By what parts ask for: the decision on the last such.
    parts: BTreeMap<Vec<usize>, Vec<(usize, usize)>>,
    /// The decisions on the last set that asks for the same.
    sets: BTreeMap<Likeness, OnSet>,
}

/// What sets have in common that are alike.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Likeness {
    kind: usize,
    /// The part in whose domain it must stay.
    part: Option<usize>,
    /// The blocks of its members in their order, where that matters.
    order: Vec<usize>,
}

#[derive(Clone, Copy)]
struct OnSet {
    domain: Option<usize>,
    first_member: usize,
}

impl List<'_> {
    fn push(&mut self, what: What, after: Option<usize>) -> usize {
        self.decisions.push(Decision { what, after });
        self.decisions.len() - 1
    }

    fn with_part(mut self, part: usize) -> Self {
        let ask = &self.asks.parts[part];
        let is_bound = !ask.bounds.required.is_empty();
        if is_bound && ask.exclusive.is_none() {
            self.bound_part(part);
        }
        let mut sets: Vec<usize> = ask.sets.clone().collect();
        if !self.in_order {
            let ask = |set: usize| &self.asks.sets[set];
            sets.sort_by_key(|set| (ask(*set).pinned.is_none(), Reverse(self.members[*set].len()), ask(*set).kind));
        }
        sets.into_iter().for_each(|set| self.set(part, set, is_bound.then_some(part)));
        self
    }

    fn bound_part(&mut self, part: usize) {
        let ask = &self.asks.parts[part];
        let mut kinds: Vec<usize> = ask.sets.clone().map(|set| self.asks.sets[set].kind).collect();
        kinds.sort_unstable();
        let alike = |other: &usize| {
            let other = &self.asks.parts[*other];
            let (own, others) = (&ask.bounds, &other.bounds);
            (&others.required, &others.possible, other.exclusive) == (&own.required, &own.possible, ask.exclusive)
        };
        let known = self.parts.get(&kinds).into_iter().flatten().rev().find(|(other, _)| alike(other));
        let after = known.map(|(_, decision)| *decision);
        let decision = self.push(What::Part(part), after);
        // One that is bound by members that it has already is like no other, and where the order matters none is.
        if !ask.bounds.is_pinned && !self.in_order {
            self.parts.entry(kinds).or_default().push((part, decision));
        }
    }

    fn set(&mut self, part: usize, set: usize, scope: Option<usize>) {
        let ask = &self.asks.sets[set];
        let order = if self.in_order { self.members[set].clone() } else { vec![] };
        let likeness = Likeness { kind: ask.kind, part: scope, order };
        let alike = self.sets.get(&likeness).copied().filter(|_| ask.pinned.is_none());
        let is_bound = self.asks.kind(set).within.is_some();
        let domain = is_bound.then(|| self.push(What::Set { part, set }, alike.and_then(|on| on.domain)));
        let first_member = self.decisions.len();
        let mut last_of: BTreeMap<usize, usize> = BTreeMap::new();
        for &block in &self.members[set] {
            let of_other = alike.map(|on| on.first_member).filter(|_| last_of.is_empty());
            let after = last_of.get(&block).copied().or(of_other);
            let decision = self.push(What::Member { part, set, block }, after);
            last_of.insert(block, decision);
        }
        if ask.pinned.is_none() {
            self.sets.insert(likeness, OnSet { domain, first_member });
        }
    }
}
