//! Members beyond those that must start together: they join a gang that runs, by whole parts and sets.

use std::collections::BTreeMap;

use super::roster::{Roster, Seat, are_numbered, arrange};
use crate::model::gang::{Role, Terms};

/// Is a member of its kind of use only with others: on other hosts of its part, or in one tensor-parallel set?
pub(super) fn forms_set(terms: &Terms, seat: &Seat) -> bool {
    let precedes = terms.roles.get(&seat.role).is_some_and(|role| role.precedes);
    !precedes && (part_size(terms, seat) > 1 || set_size(terms, seat) > 1)
}

/// How many members its part consists of.
fn part_size(terms: &Terms, seat: &Seat) -> usize {
    let said = terms.roles.get(&seat.role).and_then(|role| role.part_size);
    said.filter(|_| seat.part.is_some()).unwrap_or(1) as usize
}

/// How many members like it form one tensor-parallel set.
fn set_size(terms: &Terms, seat: &Seat) -> usize {
    let gpus = terms.tensor_parallel_of(&seat.role).map_or(1, i64::from);
    gpus.checked_div(seat.devices()).unwrap_or(1).max(1) as usize
}

impl Roster {
    /// The next member, part or set of members beyond those that must start at once, if there is one: of a role that is not
    /// passed over, or else the first. A part of which hosts are yet to be made is not the next, nor is half a set.
    pub fn next_extras(&self, is_passed_over: impl Fn(&Role) -> bool) -> Option<&[Seat]> {
        let mut placed: BTreeMap<(&Role, u32), usize> = BTreeMap::new();
        for (seat, part) in self.seats.iter().filter_map(|seat| Some((seat, seat.part?))) {
            *placed.entry((&seat.role, part)).or_default() += 1;
        }
        let is_numbered = are_numbered(&self.extras);
        let (mut at, mut first) = (0, None);
        while let Some(next) = self.extras.get(at) {
            let is_kin = |seat: &&Seat| is_numbered || (&seat.role, seat.part) == (&next.role, next.part);
            let beside = next.part.and_then(|part| placed.get(&(&next.role, part))).copied().unwrap_or(0);
            let size = match part_size(&self.terms, next) {
                1 => set_size(&self.terms, next),
                hosts => hosts.saturating_sub(beside).max(1),
            };
            let exist = self.extras[at..].iter().take(size).take_while(is_kin).count();
            let set = &self.extras[at..at + exist];
            at += exist;
            if exist == size && !is_passed_over(&next.role) {
                return Some(set);
            }
            first = first.or(Some(set).filter(|_| exist == size));
        }
        first
    }

    /// May they be a set of several roles?
    pub fn has_sets_of_roles(&self) -> bool {
        self.extras.iter().any(|seat| forms_set(&self.terms, seat)) && are_numbered(&self.extras)
    }

    /// Of what role they are, or the first of them.
    pub fn next_role(&self, is_passed_over: impl Fn(&Role) -> bool) -> Option<&Role> {
        self.next_extras(is_passed_over)?.first().map(|seat| &seat.role)
    }

    /// The same roster with them.
    pub fn with_next_extras(&self, is_passed_over: impl Fn(&Role) -> bool) -> Option<Self> {
        let next = self.next_extras(is_passed_over)?;
        let joins = |seat: &&Seat| next.iter().any(|next| next.uid() == seat.uid());
        let (next, extras): (Vec<&Seat>, Vec<&Seat>) = self.extras.iter().partition(joins);
        let seats = self.seats.iter().chain(next).cloned().collect();
        let mut roster = Self { seats, extras: extras.into_iter().cloned().collect(), ..self.clone() };
        arrange(&mut roster.seats);
        Some(roster)
    }
}
