//! Devices that are alike: where one leads nowhere, so do the others.
//!
//! Devices that share counters hang together, so whole groups of them are compared: two GPUs with the same free slices,
//! the same MIG devices and the same answers to every selector are alike, and what can be done with one can be done with
//! the other. That holds as long as nothing of either has been chosen; a group of which something has is like no other.

use std::collections::BTreeMap;

use super::attribute::ValueSet;
use super::question::Question;
use super::view::{Seat, View};

/// Seats in groups, and which groups are alike.
#[derive(Debug)]
pub(super) struct Symmetry {
    /// The group of each seat.
    group: Vec<u32>,
    /// What each seat is, where nothing of its group is chosen.
    class: Vec<u32>,
    /// How many devices of each group are chosen.
    chosen: Vec<u32>,
}

/// What a seat is at a moment: seats of one kind are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// One of a class.
    Like(u32),
    /// Like no other.
    Itself(Seat),
}

/// What tells seats apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Traits {
    pool: usize,
    exclusive: bool,
    shareable: bool,
    overdrawn: bool,
    /// What is given of it, and what it has, where that matters.
    capacity: String,
    /// By ask: what it is there.
    asks: Vec<Part>,
    /// What constraints compare; values that only the group has are numbered.
    values: Vec<Option<Result<u32, ValueSet>>>,
    /// What it takes of the counters of the group, by number within the group.
    draws: Vec<(usize, i128)>,
}

/// What a seat is for an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    None,
    Candidate,
    Poisoned,
    /// The one at this place of all that are wanted. Where a constraint forbids the first that is free, that is an error
    /// upstream, and none where the first is in use: so it counts which of them an earlier request has.
    OfAll(usize),
}

impl Symmetry {
    pub fn new(question: &Question, view: &View) -> Symmetry {
        let seats = view.seats.len();
        let group = groups(view);
        let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (seat, group) in group.iter().enumerate() {
            members.entry(*group).or_default().push(seat);
        }
        let asks = asks(question, view);
        let owners = owners(view, &group);
        let mut known: BTreeMap<(Vec<Traits>, Vec<i128>), u32> = BTreeMap::new();
        let mut class = vec![0; seats];
        let mut classes = 0;
        for members in members.values() {
            let (traits, left) = describe(view, members, &asks, &owners);
            let first = *known.entry((traits, left)).or_insert(classes);
            if first == classes {
                classes += members.len() as u32;
            }
            for (at, seat) in (0..).zip(members) {
                class[*seat] = first + at;
            }
        }
        let groups = group.iter().max().map_or(0, |most| *most as usize + 1);
        Symmetry { group, class, chosen: vec![0; groups] }
    }

    /// What a seat is now.
    pub fn kind(&self, seat: Seat) -> Kind {
        let group = self.group[seat.index()] as usize;
        if self.chosen[group] == 0 { Kind::Like(self.class[seat.index()]) } else { Kind::Itself(seat) }
    }

    /// The seat is chosen.
    pub fn choose(&mut self, seat: Seat) {
        self.chosen[self.group[seat.index()] as usize] += 1;
    }

    /// It is no longer.
    pub fn drop(&mut self, seat: Seat) {
        self.chosen[self.group[seat.index()] as usize] -= 1;
    }
}

/// Seats that draw on a common counter are in one group.
fn groups(view: &View) -> Vec<u32> {
    let mut group: Vec<usize> = (0..view.seats.len()).collect();
    fn root(group: &mut [usize], mut at: usize) -> usize {
        while group[at] != at {
            group[at] = group[group[at]];
            at = group[at];
        }
        at
    }
    let mut first: Vec<Option<usize>> = vec![None; view.left.len()];
    for (seat, entry) in view.seats.iter().enumerate() {
        for (counter, _) in entry.draws {
            let other = *first[*counter].get_or_insert(seat);
            let (a, b) = (root(&mut group, seat), root(&mut group, other));
            group[a.max(b)] = a.min(b);
        }
    }
    let mut number: BTreeMap<usize, u32> = BTreeMap::new();
    (0..group.len())
        .map(|seat| {
            let root = root(&mut group, seat);
            let next = number.len() as u32;
            *number.entry(root).or_insert(next)
        })
        .collect()
}

/// By ask and seat.
fn asks(question: &Question, view: &View) -> Vec<Vec<Part>> {
    let mut asks = vec![vec![Part::None; view.seats.len()]; question.asks.len()];
    for (ask, candidates) in view.candidates.iter().enumerate() {
        let is_constrained_all = question.asks[ask].is_constrained_all();
        for (place, candidate) in candidates.iter().enumerate() {
            asks[ask][candidate.seat.index()] = match candidate.poison {
                _ if is_constrained_all => Part::OfAll(place),
                Some(_) => Part::Poisoned,
                None => Part::Candidate,
            };
        }
    }
    asks
}

/// For each value that constraints compare: the group that alone has it, if one alone does.
type Owners<'a> = BTreeMap<(usize, usize, &'a ValueSet), Option<u32>>;

fn owners<'a>(view: &'a View, group: &[u32]) -> Owners<'a> {
    let mut owners = Owners::new();
    for (claim, constraints) in view.values.iter().enumerate() {
        for (constraint, values) in constraints.iter().enumerate() {
            for (seat, values) in values.iter().enumerate() {
                let Some(values) = values else { continue };
                let owner = owners.entry((claim, constraint, values)).or_insert(Some(group[seat]));
                // Lists may have something in common with others without being equal.
                if *owner != Some(group[seat]) || !is_single(values) {
                    *owner = None;
                }
            }
        }
    }
    owners
}

fn is_single(values: &ValueSet) -> bool {
    1 == match values {
        ValueSet::Ints(values) => values.len(),
        ValueSet::Bools(values) => values.len(),
        ValueSet::Strings(values) | ValueSet::Versions(values) => values.len(),
    }
}

/// The members of a group, and what is left of its counters.
fn describe(view: &View, members: &[usize], asks: &[Vec<Part>], owners: &Owners) -> (Vec<Traits>, Vec<i128>) {
    let mut counters: Vec<usize> = vec![];
    let mut own: BTreeMap<(usize, usize, &ValueSet), u32> = BTreeMap::new();
    let traits = members.iter().map(|&seat| {
        let entry = &view.seats[seat];
        let draws = entry.draws.iter().map(|(counter, nanos)| {
            let at = counters.iter().position(|known| known == counter).unwrap_or_else(|| {
                counters.push(*counter);
                counters.len() - 1
            });
            (at, *nanos)
        });
        let draws = draws.collect();
        let mut values = vec![];
        for (claim, constraints) in view.values.iter().enumerate() {
            for (constraint, of_seats) in constraints.iter().enumerate() {
                values.push(of_seats.get(seat).copied().flatten().map(|set| {
                    let key = (claim, constraint, set);
                    match owners.get(&key) {
                        Some(Some(_)) => {
                            let next = own.len() as u32;
                            Ok(*own.entry(key).or_insert(next))
                        }
                        _ => Err(set.clone()),
                    }
                }));
            }
        }
        Traits {
            pool: entry.pool,
            exclusive: entry.exclusive,
            shareable: entry.device.shareable,
            overdrawn: entry.overdrawn,
            capacity: capacity(entry.device.shareable, view, seat),
            asks: asks.iter().map(|seats| seats[seat]).collect(),
            values,
            draws,
        }
    });
    let traits = traits.collect();
    (traits, counters.iter().map(|counter| view.left[*counter]).collect())
}

/// What decides how much of it can still be given. What cannot be shared is given as a whole.
fn capacity(shareable: bool, view: &View, seat: usize) -> String {
    let entry = &view.seats[seat];
    if shareable { format!("{:?} {:?}", entry.device.capacity, entry.given) } else { String::new() }
}
