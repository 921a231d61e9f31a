//! The complete search, for gangs whose members differ too much for counts to decide.
//!
//! Decisions are taken one after the other: the domain of a part, the domain of a set, the node of a member. Each has its
//! choices in an order that does not change, and of all placements that are the same but for names only the first in
//! that order is looked for: members, sets and parts that are alike take their choices in order, and of nodes (or domains)
//! that are alike the first alone is tried. A branch is left as soon as some block has more members to place than places.

use std::rc::Rc;

use super::Budget;
use super::asks::Asks;
use super::counts::{places_for_sets, size_if_sufficient};
use super::decisions::{Decision, What, decisions};
use super::domain::Grouping;
use super::symmetry::Symmetry;
use super::terrain::Terrain;
use super::territories::Owners;
use super::trial::{Seat, Trial};

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The trial holds a placement.
    Found,
    /// There is none.
    Exhausted,
    /// The budget is spent.
    Spent,
}

/// Looks for any placement of the gang in a trial whose nodes are those of one possible domain; `members` gives the blocks
/// of a set's members in the order in which they come.
pub(super) fn search<'a>(
    asks: &Asks,
    terrain: &Terrain<'a>,
    trial: &mut Trial<'a>,
    members: &[Vec<usize>],
    in_order: bool,
    budget: Budget,
) -> Outcome {
    let decisions = decisions(asks, members, in_order);
    let left = asks.joining.to_vec();
    let symmetry = Symmetry::of(asks, terrain, trial);
    let regions = vec![None; asks.parts.len()];
    let groups = vec![None; asks.sets.len()];
    let nodes = (0..terrain.len()).collect();
    let chosen = vec![0; decisions.len()];
    let ranked = (0..left.len()).map(|block| ranked(block, terrain)).collect();
    let owners = asks.territories.owners();
    let spent = false;
    let mut search = Search {
        asks,
        trial,
        decisions,
        symmetry,
        ranked,
        chosen,
        regions,
        owners,
        groups,
        left,
        nodes,
        budget,
        spent,
    };
    match search.go(0) {
        true => Outcome::Found,
        false if search.spent => Outcome::Spent,
        false => Outcome::Exhausted,
    }
}

fn ranked(block: usize, terrain: &Terrain<'_>) -> Vec<usize> {
    let mut nodes: Vec<(u64, usize)> =
        (0..terrain.len()).filter_map(|at| Some((terrain.rank(block, at)?, at))).collect();
    nodes.sort_unstable();
    let mut position = vec![usize::MAX; terrain.len()];
    nodes.into_iter().enumerate().for_each(|(nth, (_, at))| position[at] = nth);
    position
}

struct Search<'s, 'a> {
    asks: &'s Asks,
    trial: &'s mut Trial<'a>,
    decisions: Vec<Decision>,
    symmetry: Symmetry,
    /// By block and node the place of the node in the order of the block's ranks.
    ranked: Vec<Vec<usize>>,
    /// By decision what was chosen last, by its place in the order of choices.
    chosen: Vec<usize>,
    /// By part the domain that it must stay in.
    regions: Vec<Option<usize>>,
    /// Whose domains are: those that parts have to themselves are chosen before any member has its place.
    owners: Owners,
    /// By set the domain that it must stay in.
    groups: Vec<Option<usize>>,
    /// By block how many members have no place yet.
    left: Vec<u32>,
    nodes: Vec<usize>,
    budget: Budget,
    spent: bool,
}

impl<'s> Search<'s, '_> {
    /// Takes all decisions from this one on; says whether it could. On `false` all are undone.
    fn go(&mut self, next: usize) -> bool {
        if !self.is_possible() {
            return false;
        }
        let Some(decision) = self.decisions.get(next) else { return true };
        let floor = decision.after.map(|after| self.chosen[after]);
        match decision.what {
            What::Part(part) => self.part(next, part, floor.unwrap_or(0)),
            What::Set { part, set } => self.set(next, part, set, floor.unwrap_or(0)),
            What::Member { part, set, block } => {
                let floor = floor.filter(|_| self.is_after(next, set)).unwrap_or(0);
                self.member(next, part, set, block, floor)
            }
        }
    }

    /// Does the order among members hold? Among those of one set always, of two sets only where these share a domain.
    fn is_after(&self, next: usize, set: usize) -> bool {
        let after = self.decisions[next].after.map(|after| self.decisions[after].what);
        matches!(after, Some(What::Member { set: other, .. }) if other == set || self.groups[other] == self.groups[set])
    }

    fn spend(&mut self, places: usize) -> bool {
        self.trial.step(places as u64);
        self.spent |= self.trial.steps() > self.budget.steps;
        !self.spent
    }

    /// Could all members that are left still find a place, each block and each kin taken alone?
    fn is_possible(&mut self) -> bool {
        if (0..self.left.len()).any(|block| self.trial.places(block) < u64::from(self.left[block])) {
            return false;
        }
        (0..self.trial.kinship().len()).all(|kin| {
            let looked_at = self.trial.breadth(kin, &self.left) * self.nodes.len();
            self.spend(looked_at) && self.trial.is_within_bounds(kin, &self.left, &self.nodes)
        })
    }

    /// The nodes of a part's domain.
    fn region(&self, part: usize) -> Option<&'s [usize]> {
        self.regions[part].map(|group| self.asks.parts[part].bounds.grouping.members(group))
    }

    fn part(&mut self, next: usize, part: usize, floor: usize) -> bool {
        let asks = self.asks;
        let bounds = &asks.parts[part].bounds;
        let sets: Vec<usize> = asks.parts[part].sets.clone().collect();
        let mut tried: Vec<usize> = vec![];
        for group in (floor..bounds.grouping.len()).filter(|group| bounds.possible[*group]) {
            let nodes = bounds.grouping.members(group);
            if !self.spend(nodes.len()) {
                return false;
            }
            if size_if_sufficient(asks, self.trial, &sets, nodes).is_none()
                || self.is_known(&bounds.grouping, group, &tried)
            {
                continue;
            }
            let Some(before) = asks.territories.settle(&mut self.owners, part, nodes[0]) else { continue };
            tried.push(group);
            self.regions[part] = Some(group);
            self.chosen[next] = group;
            if self.go(next + 1) {
                return true;
            }
            self.regions[part] = None;
            asks.territories.leave(&mut self.owners, part, nodes[0], before);
        }
        false
    }

    fn is_known(&mut self, grouping: &Rc<Grouping>, group: usize, tried: &[usize]) -> bool {
        let are_owned_alike = |a: usize, b: usize| {
            let nodes = grouping.members(a).iter().zip(grouping.members(b));
            nodes.into_iter().all(|(a, b)| self.asks.territories.are_owned_alike(&self.owners, *a, *b))
        };
        tried.iter().any(|known| {
            self.symmetry.domains_alike(self.trial, grouping, *known, group) && are_owned_alike(*known, group)
        })
    }

    fn set(&mut self, next: usize, part: usize, set: usize, floor: usize) -> bool {
        let asks = self.asks;
        let kind = asks.kind(set);
        let Some(within) = &kind.within else { return self.go(next + 1) };
        if !self.are_sets_possible(next, part, set) {
            return false;
        }
        let mut tried: Vec<usize> = vec![];
        let pinned = asks.sets[set].pinned;
        let possible = |group: &usize| within.joins[*group] && pinned.is_none_or(|pinned| pinned == *group);
        for group in (floor..within.grouping.len()).filter(possible) {
            let nodes = within.grouping.members(group);
            if !self.spend(nodes.len()) {
                return false;
            }
            let here = |at: &&usize| self.is_in_region(part, **at);
            let places = |block: usize| {
                nodes.iter().filter(here).map(|at| u64::from(self.trial.copies(block, *at))).sum::<u64>()
            };
            if kind.runs.iter().any(|(block, count)| places(*block) < u64::from(*count))
                || self.is_known(&within.grouping, group, &tried)
            {
                continue;
            }
            tried.push(group);
            self.groups[set] = Some(group);
            self.chosen[next] = group;
            if self.go(next + 1) {
                return true;
            }
            self.groups[set] = None;
        }
        false
    }

    fn is_in_region(&self, part: usize, at: usize) -> bool {
        self.regions[part].is_none_or(|region| self.asks.parts[part].bounds.grouping.group(at) == Some(region))
    }

    /// Are there domains enough for the sets of this kind that are left in this part?
    fn are_sets_possible(&mut self, next: usize, part: usize, set: usize) -> bool {
        let asks = self.asks;
        let is_alike = |decision: &&Decision| match decision.what {
            What::Set { part: of, set: other } => {
                of == part && asks.sets[other].kind == asks.sets[set].kind && asks.sets[other].pinned.is_none()
            }
            _ => false,
        };
        let left = self.decisions[next..].iter().filter(is_alike).count() as u64;
        let nodes: &[usize] = self.region(part).unwrap_or(&self.nodes);
        let enough = places_for_sets(asks.kind(set), self.trial, nodes) >= left;
        let looked_at = nodes.len();
        self.spend(looked_at) && enough
    }

    fn member(&mut self, next: usize, part: usize, set: usize, block: usize, floor: usize) -> bool {
        let asks = self.asks;
        let domain = self.groups[set].zip(asks.kind(set).within.as_ref());
        let nodes: &[usize] = match (domain, self.region(part)) {
            (Some((group, within)), _) => within.grouping.members(group),
            (None, Some(region)) => region,
            (None, None) => &self.nodes,
        };
        let ranked = &self.ranked[block];
        let looked_at = nodes.len();
        let mut choices: Vec<usize> = (nodes.iter().copied())
            .filter(|at| self.trial.fits(block, *at) && ranked[*at] >= floor && self.is_in_region(part, *at))
            .filter(|at| asks.territories.is_open(&self.owners, part, *at))
            .collect();
        choices.sort_unstable_by_key(|at| ranked[*at]);
        if !self.spend(looked_at) {
            return false;
        }
        let mut tried: Vec<usize> = vec![];
        for at in choices {
            if !self.spend(1) {
                return false;
            }
            let is_alike = |known: &usize| {
                self.symmetry.nodes_alike(self.trial, *known, at)
                    && asks.territories.are_owned_alike(&self.owners, *known, at)
            };
            if tried.iter().any(is_alike) {
                continue;
            }
            tried.push(at);
            let mark = self.trial.mark();
            self.chosen[next] = self.ranked[block][at];
            self.trial.take(Seat { set, block, node: at });
            self.left[block] -= 1;
            if self.go(next + 1) {
                return true;
            }
            self.left[block] += 1;
            self.trial.undo_to(mark);
        }
        false
    }
}
