//! Placing by counts: how many members a node has places for, how many sets a domain, how many parts a wider one.
//!
//! What to take of what would do: the closest domain, of equally close ones the smallest that suffices, of several such the
//! one with the best ranks. Inside, sets go where they fill a domain, so that the largest stay whole for others, and
//! members go to the best-ranked nodes, which are filled one after the other.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::asks::{Asks, Bounds, Kind};
use super::counts::{Choice, in_order, next_choice, size_if_sufficient};
use super::domain::Grouping;
use super::terrain::Terrain;
use super::trial::{Seat, Trial};

/// So many sufficient domains of one level are compared by their ranks.
const COMPARED: usize = 4;

/// So many domains of one level are tried at most, where a wider one would do as well.
const TRIED: usize = 8;

/// Places the gang by counts; says whether it could. On `false` nothing is placed.
pub(super) fn place<'a>(asks: &Asks, terrain: &Terrain<'a>, trial: &mut Trial<'a>) -> bool {
    Greedy { asks, terrain, trial }.gang()
}

#[derive(Clone, Copy)]
enum Scope {
    Gang,
    Part(usize),
}

struct Greedy<'t, 'a> {
    asks: &'t Asks,
    terrain: &'t Terrain<'a>,
    trial: &'t mut Trial<'a>,
}

impl<'t> Greedy<'t, '_> {
    fn gang(&mut self) -> bool {
        let all: Vec<usize> = (0..self.terrain.len()).collect();
        let asks = self.asks;
        self.closest(Scope::Gang, &asks.gang, &all)
    }

    fn attempt(&mut self, scope: Scope, nodes: &[usize]) -> bool {
        match scope {
            Scope::Gang => {
                let asks = self.asks;
                if !self.pinned_sets(nodes) {
                    return false;
                }
                let mut order: Vec<usize> = (0..asks.parts.len()).collect();
                // Those without a choice first, then those with the least.
                order.sort_by_key(|part| {
                    let bounds = &asks.parts[*part].bounds;
                    let size = asks.parts[*part].sets.len();
                    (bounds.required.is_empty(), !bounds.is_pinned, Reverse(size), *part)
                });
                order.into_iter().all(|part| self.closest(Scope::Part(part), &asks.parts[part].bounds, nodes))
                    && self.is_even()
            }
            Scope::Part(_) => self.sets(&self.wanted(scope), nodes),
        }
    }

    /// Has every domain of a spread as many as it must?
    fn is_even(&self) -> bool {
        self.trial.all_caps().all(|cap| cap.missing() == 0)
    }

    /// Places the sets whose domain is given before all others: those have a choice.
    fn pinned_sets(&mut self, nodes: &[usize]) -> bool {
        let asks = self.asks;
        asks.parts.iter().enumerate().all(|(at, part)| {
            let pinned: Vec<usize> = part.sets.clone().filter(|set| asks.sets[*set].pinned.is_some()).collect();
            if pinned.is_empty() {
                return true;
            }
            let possible = |at: &usize| part.bounds.grouping.group(*at).is_some_and(|g| part.bounds.possible[g]);
            let nodes: Vec<usize> = self.open_to(at, nodes).iter().copied().filter(possible).collect();
            self.sets(&pinned, &nodes)
        })
    }

    /// What is still to be placed when the scope's turn comes.
    fn wanted(&self, scope: Scope) -> Vec<usize> {
        match scope {
            Scope::Gang => (0..self.asks.sets.len()).collect(),
            Scope::Part(part) => {
                self.asks.parts[part].sets.clone().filter(|set| self.asks.sets[*set].pinned.is_none()).collect()
            }
        }
    }

    /// Places what the scope asks for in the closest domain that holds it.
    fn closest(&mut self, scope: Scope, bounds: &Bounds, nodes: &[usize]) -> bool {
        if self.wanted(scope).is_empty() {
            return true;
        }
        let open = match scope {
            Scope::Gang => Cow::Borrowed(nodes),
            Scope::Part(part) => self.open_to(part, nodes),
        };
        let mut required = split(&open, &bounds.grouping, |group| bounds.possible[group]);
        let wanted = self.wanted(scope);
        // What is too small as a whole is so in parts.
        required.retain(|nodes| size_if_sufficient(self.asks, self.trial, &wanted, nodes).is_some());
        for rung in &bounds.ladder {
            let closer = |nodes: &Vec<usize>| split(nodes, &rung.grouping, |group| rung.possible[group]);
            if self.best_of(scope, TRIED, required.iter().flat_map(closer).collect()) {
                return true;
            }
        }
        self.best_of(scope, usize::MAX, required)
    }

    /// The nodes that are in no domain which another part has to itself; for a part that is to have one to itself those in
    /// whose domain nobody else is.
    fn open_to<'n>(&self, part: usize, nodes: &'n [usize]) -> Cow<'n, [usize]> {
        let territories = &self.asks.territories;
        if territories.are_none() {
            return Cow::Borrowed(nodes);
        }
        let closed =
            territories.closed(part, self.trial.seats().map(|seat| (self.asks.place_of(seat.set).0, seat.node)));
        nodes.iter().copied().filter(|at| !closed[*at]).collect()
    }

    /// Tries domains, the smallest sufficient first, and keeps the best of the first few that hold it all.
    fn best_of(&mut self, scope: Scope, tries: usize, domains: Vec<Vec<usize>>) -> bool {
        let wanted = self.wanted(scope);
        let mut sufficient: Vec<(u64, Vec<usize>)> = domains
            .into_iter()
            .filter_map(|nodes| Some((size_if_sufficient(self.asks, self.trial, &wanted, &nodes)?, nodes)))
            .collect();
        sufficient.sort_by_key(|(size, nodes)| (*size, nodes[0]));
        let mark = self.trial.mark();
        let mut attempts: Vec<(u128, Vec<Seat>)> = vec![];
        for (_, nodes) in sufficient.iter().take(tries) {
            self.trial.step(nodes.len() as u64);
            if self.attempt(scope, nodes) {
                let seats: Vec<Seat> = self.trial.seats().skip(mark).collect();
                attempts.push((self.score(&seats), seats));
            }
            self.trial.undo_to(mark);
            if attempts.len() == COMPARED {
                break;
            }
        }
        // Of equals the first: the smallest.
        let Some((_, best)) = attempts.into_iter().min_by_key(|(score, _)| *score) else { return false };
        best.into_iter().for_each(|seat| self.trial.take(seat));
        true
    }

    fn score(&self, seats: &[Seat]) -> u128 {
        seats.iter().filter_map(|seat| self.terrain.rank(seat.block, seat.node)).map(u128::from).sum()
    }

    /// Places sets on these nodes kind by kind, the largest first.
    fn sets(&mut self, sets: &[usize], nodes: &[usize]) -> bool {
        let asks = self.asks;
        let mut by_kind: BTreeMap<(Reverse<u32>, usize, Option<usize>), Vec<usize>> = BTreeMap::new();
        for set in sets {
            let ask = &asks.sets[*set];
            let kind = &asks.kinds[ask.kind];
            // Members that stand for themselves take what the sets have left.
            let size = if kind.within.is_none() { 0 } else { kind.runs.iter().map(|(_, count)| count).sum() };
            by_kind.entry((Reverse(size), ask.kind, ask.pinned)).or_default().push(*set);
        }
        by_kind.into_iter().all(|((_, kind, pinned), sets)| self.alike(&asks.kinds[kind], &sets, pinned, nodes))
    }

    fn alike(&mut self, kind: &'t Kind, sets: &[usize], pinned: Option<usize>, nodes: &[usize]) -> bool {
        let Some(within) = &kind.within else {
            return kind.runs.iter().all(|&(block, count)| {
                let members: Vec<usize> = sets.iter().flat_map(|set| (0..count).map(|_| *set)).collect();
                let sorted = self.sorted(block, nodes);
                self.fill(block, &members, &sorted)
            });
        };
        let possible = |group: usize| within.joins[group] && pinned.is_none_or(|pinned| pinned == group);
        let domains = split(nodes, &within.grouping, possible);
        match kind.runs[..] {
            [(block, members)] if !self.trial.is_bound(block) => self.by_counts(block, members, sets, domains),
            _ => self.one_by_one(kind, sets, &domains),
        }
    }

    /// Places sets of one block's members in domains by how many each has places for.
    fn by_counts(&mut self, block: usize, members: u32, sets: &[usize], domains: Vec<Vec<usize>>) -> bool {
        let choices: Vec<Choice> = domains
            .into_iter()
            .filter_map(|nodes| Choice::of(block, members, nodes, self.terrain, self.trial))
            .collect();
        let mut choices = in_order(choices);
        let mut sets = sets.iter().copied();
        while let Some(first) = sets.next() {
            let Some(choice) = next_choice(&mut choices, sets.len() + 1) else { return false };
            let sorted = self.sorted(block, &choice.nodes);
            let here = std::iter::once(first).chain(sets.by_ref().take(choice.sets - 1)).collect::<Vec<_>>();
            if !here.into_iter().all(|set| self.set_on(block, members, set, &sorted)) {
                return false;
            }
        }
        true
    }

    /// Puts a set on one node where one has places for all of it, else on the best.
    fn set_on(&mut self, block: usize, members: u32, set: usize, sorted: &[usize]) -> bool {
        let members = vec![set; members as usize];
        let whole = sorted.iter().position(|at| self.trial.copies(block, *at) as usize >= members.len());
        match whole {
            Some(at) => self.fill(block, &members, &sorted[at..=at]),
            None => self.fill(block, &members, sorted),
        }
    }

    /// Places mixed sets one after the other, each in the smallest domain that takes it.
    fn one_by_one(&mut self, kind: &Kind, sets: &[usize], domains: &[Vec<usize>]) -> bool {
        sets.iter().all(|set| {
            let enough = |nodes: &Vec<usize>, trial: &Trial<'_>| {
                let places = |block: usize| nodes.iter().map(|at| u64::from(trial.copies(block, *at))).sum::<u64>();
                let mut size = 0;
                for (block, count) in &kind.runs {
                    let places = places(*block);
                    size += places;
                    if places < u64::from(*count) {
                        return None;
                    }
                }
                Some(size)
            };
            let mut fitting: Vec<(u64, usize)> =
                (0..domains.len()).filter_map(|at| Some((enough(&domains[at], self.trial)?, at))).collect();
            fitting.sort_unstable();
            let mark = self.trial.mark();
            fitting.into_iter().any(|(_, at)| {
                self.trial.step(domains[at].len() as u64);
                let placed = kind.runs.iter().all(|&(block, count)| {
                    let sorted = self.sorted(block, &domains[at]);
                    self.fill(block, &vec![*set; count as usize], &sorted)
                });
                if !placed {
                    self.trial.undo_to(mark);
                }
                placed
            })
        })
    }

    /// The nodes with places for a block, the best first.
    fn sorted(&mut self, block: usize, nodes: &[usize]) -> Vec<usize> {
        self.trial.step(nodes.len() as u64);
        let ranked = |at: &usize| Some((self.terrain.rank(block, *at).filter(|_| self.trial.fits(block, *at))?, *at));
        let mut sorted: Vec<(u64, usize)> = nodes.iter().filter_map(ranked).collect();
        sorted.sort_unstable();
        sorted.into_iter().map(|(_, at)| at).collect()
    }

    /// Puts members, given by their sets, on nodes in this order, where they must be first of all. On `false` some may have
    /// been placed.
    fn fill(&mut self, block: usize, members: &[usize], sorted: &[usize]) -> bool {
        let mut members = members.iter().copied().peekable();
        let lacking = self.trial.caps(block).iter().any(|cap| cap.missing() > 0);
        for must in [true, false].into_iter().filter(|must| lacking || !must) {
            for &at in sorted {
                let wanted = |trial: &Trial<'_>| !must || trial.caps(block).iter().any(|cap| cap.lacks(at));
                while members.peek().is_some() && self.trial.fits(block, at) && wanted(self.trial) {
                    members.by_ref().take(1).for_each(|set| self.trial.take(Seat { set, block, node: at }));
                }
            }
        }
        members.peek().is_none()
    }
}

/// Nodes by domain, each in their order; of the possible domains.
fn split(nodes: &[usize], grouping: &Grouping, possible: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
    let mut by_group: Vec<Vec<usize>> = vec![vec![]; grouping.len()];
    for at in nodes {
        if let Some(group) = grouping.group(*at).filter(|group| possible(*group)) {
            by_group[group].push(*at);
        }
    }
    by_group.retain(|nodes| !nodes.is_empty());
    by_group
}
