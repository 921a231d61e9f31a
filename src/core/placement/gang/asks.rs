//! The formation as the planner counts it: kinds of sets, and the domains that they are bound to.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::domain::{Grouping, Map, SetDevices};
use super::territories::Territories;
use super::{Formation, No, Set};
use crate::model::gang::{Strictness, TopologyLevel, TopologyRule};
use crate::model::node::NodeName;
use crate::model::pod::Demand;
use crate::model::resources::ResourceName;

/// Sets that ask for the same.
pub(super) struct Kind {
    /// Which blocks its members are of, and how many of each; those that ask for most first.
    pub runs: Vec<(usize, u32)>,
    /// What they must share.
    pub within: Option<Within>,
}

/// Domains of which members must share one.
pub(super) struct Within {
    pub level: TopologyLevel,
    pub grouping: Rc<Grouping>,
    /// By domain: can the devices in it be one set, where that is asked?
    pub joins: Vec<bool>,
}

/// A set with members to be placed.
pub(super) struct SetAsk {
    pub kind: usize,
    /// The domain in which others of it are.
    pub pinned: Option<usize>,
    /// Part and set in the formation.
    at: (usize, usize),
}

/// Where members may and should stand.
pub(super) struct Bounds {
    /// The levels that must be shared; empty where none must.
    pub required: Vec<TopologyLevel>,
    pub grouping: Rc<Grouping>,
    /// The domains of `grouping` that are possible.
    pub possible: Vec<bool>,
    /// Others of them are somewhere already.
    pub is_pinned: bool,
    /// What to try first, from the closest to the widest.
    pub ladder: Vec<Rung>,
}

/// Domains that are better than others.
pub(super) struct Rung {
    pub grouping: Rc<Grouping>,
    /// By domain.
    pub possible: Vec<bool>,
}

pub(super) struct PartAsk {
    /// Its sets, by number.
    pub sets: std::ops::Range<usize>,
    pub bounds: Bounds,
    /// The number of the label of which it has a domain to itself.
    pub exclusive: Option<usize>,
}

pub(super) struct Asks {
    pub kinds: Vec<Kind>,
    pub sets: Vec<SetAsk>,
    pub parts: Vec<PartAsk>,
    pub gang: Bounds,
    /// Whose domains are.
    pub territories: Territories,
    /// How many members of each block are to be placed.
    pub joining: Rc<[u32]>,
}

impl Asks {
    pub fn of(formation: &Formation, map: &Map<'_>) -> Result<Self, No> {
        let reader = Reader { formation, map };
        let mut joining = vec![0; formation.blocks.len()];
        for member in formation.parts.iter().flat_map(|part| part.sets.iter().flat_map(|set| &set.members)) {
            joining[*member] += 1;
        }
        let (mut kinds, mut known) = (vec![], BTreeMap::new());
        let (mut sets, mut parts) = (vec![], vec![]);
        let territories = Territories::of(formation, map);
        for (part_at, part) in formation.parts.iter().enumerate() {
            let first = sets.len();
            for (set_at, set) in part.sets.iter().enumerate().filter(|(_, set)| !set.members.is_empty()) {
                let runs = reader.runs(set.members.iter().copied());
                let kind = *known.entry((runs.clone(), set.within.clone())).or_insert_with(|| {
                    kinds.push(Kind { within: set.within.as_ref().map(|level| reader.within(level, &runs)), runs });
                    kinds.len() - 1
                });
                let pinned = reader.pinned(set, &kinds[kind])?;
                sets.push(SetAsk { kind, pinned, at: (part_at, set_at) });
            }
            let members = part.sets.iter().flat_map(|set| set.members.iter().copied());
            let placed: Vec<&NodeName> = part.sets.iter().flat_map(|set| &set.placed).collect();
            // Where all are running already nothing is asked any more.
            let mut rules: Vec<TopologyRule> = if first < sets.len() { part.topology.clone() } else { vec![] };
            let exclusive = territories.label_of(part_at).filter(|_| first < sets.len());
            let own = exclusive.map(|label| territories.level(label));
            rules.extend(own.map(|level| TopologyRule { strictness: Strictness::Required, level }));
            let mut bounds = reader.bounds(&rules, &reader.runs(members), &placed)?;
            if exclusive.is_some() {
                bounds.keep_off(&territories.closed(part_at, std::iter::empty()));
            }
            parts.push(PartAsk { sets: first..sets.len(), bounds, exclusive });
        }
        let all = formation.parts.iter().flat_map(|part| part.sets.iter().flat_map(|set| set.members.iter().copied()));
        let placed: Vec<&NodeName> = formation.blocks.iter().flat_map(|block| &block.placed).collect();
        let rules: &[TopologyRule] = if sets.is_empty() { &[] } else { &formation.topology };
        let gang = reader.bounds(rules, &reader.runs(all), &placed)?;
        Ok(Self { kinds, sets, parts, gang, territories, joining: joining.into() })
    }

    /// Part and set of a numbered set in the formation.
    pub fn place_of(&self, set: usize) -> (usize, usize) {
        self.sets[set].at
    }

    pub fn kind(&self, set: usize) -> &Kind {
        &self.kinds[self.sets[set].kind]
    }

    /// Where the members of each part may stand, and those of the gang, and how many sets these are.
    pub fn bounds(&self) -> impl Iterator<Item = (&Bounds, usize)> {
        let parts = self.parts.iter().map(|part| (&part.bounds, part.sets.len()));
        parts.chain(std::iter::once((&self.gang, self.sets.len())))
    }

    /// How many members of each block sets have together.
    pub fn members(&self, sets: &[usize]) -> Vec<u32> {
        let mut members = vec![0; self.joining.len()];
        for (block, count) in sets.iter().flat_map(|set| &self.kind(*set).runs) {
            members[*block] += count;
        }
        members
    }
}

impl Bounds {
    /// Domains of which all nodes are closed are not possible.
    fn keep_off(&mut self, closed: &[bool]) {
        for (group, possible) in self.possible.iter_mut().enumerate() {
            *possible &= !self.grouping.members(group).iter().all(|at| closed[*at]);
        }
    }
}

struct Reader<'r, 'a> {
    formation: &'r Formation,
    map: &'r Map<'a>,
}

impl Reader<'_, '_> {
    fn demand(&self, block: usize) -> &Demand {
        &self.formation.blocks[block].demand
    }

    fn runs(&self, members: impl Iterator<Item = usize>) -> Vec<(usize, u32)> {
        let mut counts = BTreeMap::new();
        members.for_each(|block| *counts.entry(block).or_insert(0) += 1);
        let mut runs: Vec<(usize, u32)> = counts.into_iter().collect();
        runs.sort_by_key(|(block, _)| (std::cmp::Reverse(size(self.demand(*block))), *block));
        runs
    }

    fn joins(&self, level: &TopologyLevel, grouping: &Grouping, runs: &[(usize, u32)]) -> Vec<bool> {
        if *level != TopologyLevel::DeviceFabric {
            return vec![true; grouping.len()];
        }
        let devices = SetDevices::of(runs.iter().map(|(block, count)| (self.demand(*block), *count)));
        (0..grouping.len()).map(|group| self.map.joins(grouping.members(group)[0], &devices)).collect()
    }

    fn within(&self, level: &TopologyLevel, runs: &[(usize, u32)]) -> Within {
        let grouping = self.map.grouping(std::slice::from_ref(level));
        Within { level: level.clone(), joins: self.joins(level, &grouping, runs), grouping }
    }

    fn find(&self, placed: &[&NodeName]) -> Vec<Option<usize>> {
        placed.iter().map(|name| self.map.terrain.find(name)).collect()
    }

    fn pinned(&self, set: &Set, kind: &Kind) -> Result<Option<usize>, No> {
        let Some(within) = kind.within.as_ref().filter(|_| !set.placed.is_empty()) else { return Ok(None) };
        let placed: Vec<&NodeName> = set.placed.iter().collect();
        let common = within.grouping.common(&self.find(&placed));
        common.map(Some).ok_or_else(|| No::Split { level: within.level.clone() })
    }

    fn bounds(&self, rules: &[TopologyRule], runs: &[(usize, u32)], placed: &[&NodeName]) -> Result<Bounds, No> {
        let placed = self.find(placed);
        let levels = |strictness: Strictness| -> Vec<TopologyLevel> {
            rules.iter().filter(|rule| rule.strictness == strictness).map(|rule| rule.level.clone()).collect()
        };
        let mut required = levels(Strictness::Required);
        required.sort();
        required.dedup();
        let grouping = self.map.grouping(&required);
        let possible = self.possible(&required, &grouping, runs, &placed);
        if let Some(level) = required.first().filter(|_| !placed.is_empty() && !possible.contains(&true)) {
            return Err(No::Split { level: level.clone() });
        }
        let mut preferred: Vec<(TopologyLevel, Rc<Grouping>)> = levels(Strictness::Preferred)
            .into_iter()
            .map(|level| (level.clone(), self.map.grouping(&[level])))
            .collect();
        preferred.sort_by(|(a, of_a), (b, of_b)| (of_b.len(), a).cmp(&(of_a.len(), b)));
        preferred.dedup_by(|(a, _), (b, _)| a == b);
        let widest = preferred.last().map(|(_, grouping)| grouping.len());
        let mut ladder: Vec<Rung> = preferred
            .into_iter()
            .map(|(level, grouping)| Rung { possible: self.possible(&[level], &grouping, runs, &placed), grouping })
            .collect();
        // Where something is preferred, what is closer than that was not asked for.
        let wider = self
            .map
            .ladder()
            .iter()
            .filter(|rung| widest.is_none_or(|len| rung.len() <= len))
            .cloned()
            .collect::<Vec<_>>();
        ladder.extend(wider.into_iter().map(|grouping| Rung { possible: holding(&grouping, &placed), grouping }));
        Ok(Bounds { required, grouping, possible, is_pinned: !placed.is_empty(), ladder })
    }

    fn possible(
        &self,
        levels: &[TopologyLevel],
        grouping: &Grouping,
        runs: &[(usize, u32)],
        placed: &[Option<usize>],
    ) -> Vec<bool> {
        let fabric = levels.iter().find(|level| **level == TopologyLevel::DeviceFabric);
        let joins = fabric.map(|level| self.joins(level, grouping, runs));
        let holds = if levels.is_empty() { vec![true; grouping.len()] } else { holding(grouping, placed) };
        holds.into_iter().enumerate().map(|(group, holds)| holds && joins.as_ref().is_none_or(|j| j[group])).collect()
    }
}

/// The domains that hold all of these nodes.
fn holding(grouping: &Grouping, placed: &[Option<usize>]) -> Vec<bool> {
    let common = grouping.common(placed);
    (0..grouping.len()).map(|group| placed.is_empty() || common == Some(group)).collect()
}

/// How much is asked for: accelerators count most.
fn size(demand: &Demand) -> (i64, i64, i64) {
    (demand.devices(), demand.requests.get(ResourceName::CPU), demand.requests.get(ResourceName::MEMORY))
}
