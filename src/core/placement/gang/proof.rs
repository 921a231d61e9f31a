//! The bound that a gang fails.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::asks::{Asks, Bounds, Kind, PartAsk};
use super::counts::{places_for_sets, size_if_sufficient};
use super::domain::Map;
use super::no::{Amount, No, Obstacle, SetName};
use super::trial::Trial;
use super::{Block, Field, Formation};
use crate::model::gang::{Role, TopologyLevel};
use crate::model::pod::Demand;
use crate::model::resources::ResourceName;
use crate::placement;

/// Why not, if a count says it: from what concerns single members to what concerns the whole gang.
pub(super) fn failed_bound(
    formation: &Formation,
    field: Field<'_>,
    asks: &Asks,
    map: &Map<'_>,
    trial: &Trial<'_>,
) -> Option<No> {
    let proof = Proof { formation, asks, map, trial, all: (0..map.terrain.len()).collect() };
    let blocks = || (0..formation.blocks.len()).filter(|block| asks.joining[*block] > 0);
    blocks()
        .find_map(|block| proof.nowhere(block, field))
        .or_else(|| proof.alike().iter().find_map(|blocks| proof.too_few_places(blocks)))
        .or_else(|| blocks().find_map(|block| proof.too_few_places(&[block])))
        .or_else(|| (0..trial.kinship().len()).find_map(|kin| proof.unrelated(kin)))
        .or_else(|| (0..asks.kinds.len()).find_map(|kind| proof.too_few_sets(kind)))
        .or_else(|| asks.parts.iter().find_map(|part| proof.too_narrow(&part.bounds, part.sets.clone().collect())))
        .or_else(|| proof.too_few_domains())
        .or_else(|| proof.too_narrow(&asks.gang, (0..asks.sets.len()).collect()))
}

struct Proof<'p, 'a> {
    formation: &'p Formation,
    asks: &'p Asks,
    map: &'p Map<'a>,
    trial: &'p Trial<'a>,
    all: Vec<usize>,
}

impl Proof<'_, '_> {
    fn nowhere(&self, block: usize, field: Field<'_>) -> Option<No> {
        let anywhere = self.all.iter().any(|at| self.map.terrain.rank(block, *at).is_some());
        let Block { role, demand, .. } = &self.formation.blocks[block];
        (!anywhere).then(|| No::NoNode { role: role.clone(), obstacle: obstacle(demand, field) })
    }

    /// The blocks, with those together whose members ask for the same: these differ in role, or in which nodes have refused
    /// them.
    fn alike(&self) -> Vec<Vec<usize>> {
        let mut alike: IndexMap<&Demand, Vec<usize>, FxBuildHasher> = IndexMap::default();
        let blocks = self.formation.blocks.iter().enumerate().filter(|(at, _)| self.asks.joining[*at] > 0);
        blocks.for_each(|(at, block)| alike.entry(&*block.demand).or_default().push(at));
        alike.into_values().collect()
    }

    /// Have the members of these blocks, which ask for the same, too few places on all their nodes? Blocks that are not of one
    /// kin have each its own rules of who may stand beside whom, so of these only room counts.
    fn too_few_places(&self, blocks: &[usize]) -> Option<No> {
        let needed: u32 = blocks.iter().map(|block| self.asks.joining[*block]).sum();
        let places: u64 = match blocks {
            [block] => self.trial.places(*block),
            _ => {
                // For how many members of its own each block has devices says nothing of how many these are together.
                let has_devices = blocks.iter().any(|block| self.map.terrain.devices(*block).is_some());
                let kin_of = |block: &usize| self.trial.kinship().kin_of(*block);
                let are_kin = blocks.iter().all(|block| kin_of(block) == kin_of(&blocks[0]));
                let on = |at: &usize| -> u64 {
                    let most = if are_kin { self.trial.most_on(blocks[0], *at, needed) } else { needed };
                    let rooms = blocks.iter().map(|block| u64::from(self.trial.room_for(*block, *at, most)));
                    if has_devices { rooms.sum() } else { rooms.max().unwrap_or(0) }
                };
                self.all.iter().map(on).sum()
            }
        };
        (places < u64::from(needed)).then(|| {
            let of = |block: &usize| &self.formation.blocks[*block];
            let first = of(&blocks[0]);
            let is_one_role = blocks.iter().all(|block| of(block).role == first.role);
            let role = if is_one_role { first.role.clone() } else { Role::default() };
            No::TooFewPlaces { role, needed, asks: asked(first), places }
        })
    }

    /// Are there too few domains for how members must stand to each other?
    fn unrelated(&self, kin: usize) -> Option<No> {
        let holds = self.trial.is_within_bounds(kin, &self.asks.joining, &self.all);
        let first = self.trial.kinship().blocks(kin)[0];
        (!holds).then(|| No::Relations { role: self.formation.blocks[first].role.clone() })
    }

    /// Are there too few domains for all sets of a kind, or none that takes even one?
    fn too_few_sets(&self, kind: usize) -> Option<No> {
        let needed = self.asks.sets.iter().filter(|set| set.kind == kind && set.pinned.is_none()).count();
        let kind = &self.asks.kinds[kind];
        let within = kind.within.as_ref()?;
        let places = places_for_sets(kind, self.trial, &self.all);
        if places >= needed as u64 {
            return None;
        }
        if places > 0 {
            let largest = Some((places, String::new()));
            return Some(No::TooFewSets { needed, set: self.set_name(kind)?, level: None, largest });
        }
        let possible = (0..within.grouping.len()).filter(|group| within.joins[*group]);
        let largest = self.largest(&kind.runs, possible.map(|group| within.grouping.members(group)), &within.level);
        Some(No::TooSmall { needed: self.amount(&kind.runs), level: within.level.clone(), largest })
    }

    /// Is no domain large enough for what must share one?
    fn too_narrow(&self, bounds: &Bounds, sets: Vec<usize>) -> Option<No> {
        let narrowest = bounds.required.iter().max_by_key(|level| self.map.grouping(&[(*level).clone()]).len())?;
        let possible = || (0..bounds.grouping.len()).filter(|group| bounds.possible[*group]);
        let domains = || possible().map(|group| bounds.grouping.members(group));
        if sets.is_empty() || domains().any(|nodes| size_if_sufficient(self.asks, self.trial, &sets, nodes).is_some()) {
            return None;
        }
        let level = narrowest.clone();
        let kind = self.asks.kind(sets[0]);
        let alike = sets.iter().all(|set| self.asks.sets[*set].kind == self.asks.sets[sets[0]].kind);
        if alike && let Some(set) = self.set_name(kind) {
            let in_each = domains().map(|nodes| (places_for_sets(kind, self.trial, nodes), nodes));
            let largest = in_each.filter(|(sets, _)| *sets > 0).max_by_key(|(sets, nodes)| (*sets, Reverse(nodes[0])));
            let largest = largest.map(|(sets, nodes)| (sets, self.map.name(&level, nodes[0])));
            return Some(No::TooFewSets { needed: sets.len(), set, level: Some(level), largest });
        }
        let members = self.asks.members(&sets).into_iter().enumerate().filter(|(_, count)| *count > 0);
        let runs: Vec<(usize, u32)> = members.collect();
        let largest = self.largest(&runs, domains(), &level);
        Some(No::TooSmall { needed: self.amount(&runs), level, largest })
    }

    /// Are there too few domains for parts that ask for the same and are to have one each to themselves? One of which others
    /// are somewhere already has its domain.
    fn too_few_domains(&self) -> Option<No> {
        let kinds = |part: &PartAsk| {
            let mut kinds: Vec<usize> = part.sets.clone().map(|set| self.asks.sets[set].kind).collect();
            kinds.sort_unstable();
            kinds
        };
        let mut alike: BTreeMap<_, (&PartAsk, usize)> = BTreeMap::new();
        let open = |part: &&PartAsk| !part.bounds.is_pinned && part.exclusive.is_some();
        for part in self.asks.parts.iter().filter(open) {
            alike.entry((part.exclusive, &part.bounds.required, kinds(part))).or_insert((part, 0)).1 += 1;
        }
        alike.into_values().find_map(|(part, needed)| {
            let (label, bounds) = (part.exclusive?, &part.bounds);
            let sets: Vec<usize> = part.sets.clone().collect();
            let possible = (0..bounds.grouping.len()).filter(|group| bounds.possible[*group]);
            let nodes = possible.map(|group| bounds.grouping.members(group));
            let suffice = nodes.filter(|nodes| size_if_sufficient(self.asks, self.trial, &sets, nodes).is_some());
            let grouping = self.asks.territories.grouping(label);
            let domains = suffice.filter_map(|nodes| grouping.group(nodes[0])).collect::<BTreeSet<usize>>().len();
            let members = self.asks.members(&sets).into_iter().enumerate().filter(|(_, count)| *count > 0);
            let each = || self.amount(&members.collect::<Vec<_>>());
            let level = self.asks.territories.level(label);
            (domains < needed).then(|| No::TooFewDomains { needed, each: each(), level, domains })
        })
    }

    /// What is free for these members in the domain where that is most.
    fn largest<'n>(
        &self,
        runs: &[(usize, u32)],
        domains: impl Iterator<Item = &'n [usize]>,
        level: &TopologyLevel,
    ) -> Option<(u64, String)> {
        let free = |nodes: &[usize]| -> u64 {
            let places = |block: usize| nodes.iter().map(|at| u64::from(self.trial.copies(block, *at))).sum::<u64>();
            match runs {
                [(block, _)] => places(*block).saturating_mul(self.unit(runs).0),
                _ => runs.iter().map(|(block, count)| places(*block).min(u64::from(*count))).sum(),
            }
        };
        let largest = domains.map(|nodes| (free(nodes), nodes)).filter(|(free, _)| *free > 0);
        let (free, nodes) = largest.max_by_key(|(free, nodes)| (*free, Reverse(nodes[0])))?;
        Some((free, self.map.name(level, nodes[0])))
    }

    /// In what members are counted, and how much of it each is.
    fn unit(&self, runs: &[(usize, u32)]) -> (u64, String) {
        let [(block, _)] = runs else { return (1, "places".into()) };
        let mut accelerators = self.formation.blocks[*block].demand.accelerators();
        match (accelerators.next(), accelerators.next()) {
            (Some((name, _, count)), None) => {
                let unit = if name.as_str() == "nvidia.com/gpu" { "GPUs" } else { name.as_str() };
                (count.unsigned_abs(), unit.into())
            }
            _ => (1, "places".into()),
        }
    }

    fn amount(&self, runs: &[(usize, u32)]) -> Amount {
        let members: u64 = runs.iter().map(|(_, count)| u64::from(*count)).sum();
        let (each, unit) = self.unit(runs);
        Amount { count: members.saturating_mul(each), unit }
    }

    fn set_name(&self, kind: &Kind) -> Option<SetName> {
        let within = kind.within.as_ref()?;
        Some(SetName { within: within.level.clone(), size: self.amount(&kind.runs) })
    }
}

/// What keeps a member off the nodes that come nearest to taking it; of several such things the most frequent.
fn obstacle(demand: &Demand, field: Field<'_>) -> Option<(Obstacle, usize)> {
    let states = field.slots.iter().flatten().filter(|state| state.node().is_some());
    // Equal are those of which the same is said, whatever is free there.
    let mut found: BTreeMap<(u8, String), (Obstacle, usize)> = BTreeMap::new();
    for state in states {
        let obstacle = placement::check(demand, state).err().map_or(Obstacle::Barred, Obstacle::Misfit);
        found.entry((obstacle.distance(), obstacle.to_string())).or_insert((obstacle, 0)).1 += 1;
    }
    let nearest = found.keys().next()?.0;
    let nearest = found.into_iter().take_while(|((distance, _), _)| *distance == nearest);
    nearest.min_by_key(|((_, text), (_, nodes))| (Reverse(*nodes), text.clone())).map(|(_, found)| found)
}

/// What a member asks for: its accelerators, or else its CPUs, or else nothing, as one whose devices stand in claims.
fn asked(block: &Block) -> Option<String> {
    let accelerators: Vec<String> =
        block.demand.accelerators().map(|(name, _, count)| format!("{count} {name}")).collect();
    if !accelerators.is_empty() {
        return Some(accelerators.join(" and "));
    }
    match block.demand.requests.get(ResourceName::CPU) {
        0 => None,
        whole if whole % 1000 == 0 => Some(format!("{} cpu", whole / 1000)),
        milli => Some(format!("{milli}m cpu")),
    }
}
