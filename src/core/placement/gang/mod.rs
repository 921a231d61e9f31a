//! All members of a gang placed at once, or a reason why that cannot be.

mod asks;
mod domain;
mod greedy;
mod no;
mod proof;
mod relations;
mod room;
mod search;
mod symmetry;
mod terrain;
mod trial;

pub use no::{Amount, No, SetName};

use std::sync::Arc;

use crate::cluster::{Domains, NodeState};
use crate::model::gang::{Relation, Role, TopologyLevel, TopologyRule};
use crate::model::node::NodeName;
use crate::model::pod::Demand;
use crate::placement::Rank;
use asks::Asks;
use domain::Map;
use relations::{Reading, Relations};
use room::Rooms;
use terrain::Terrain;
use trial::Trial;

/// Members of one role that ask for the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// Their role.
    pub role: Role,
    /// What each asks for.
    pub demand: Arc<Demand>,
    /// How they must stand to each other.
    pub relations: Vec<Relation>,
    /// Where members of the block are already: they stay there.
    pub placed: Vec<NodeName>,
}

/// Members that must share a domain, as the ranks of one tensor-parallel group share an NVLink fabric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set {
    /// The members that have no place yet, by the index of their block.
    pub members: Vec<usize>,
    /// What they must share; nothing for a member that stands for itself.
    pub within: Option<TopologyLevel>,
    /// Where other members of the set are already.
    pub placed: Vec<NodeName>,
}

/// Sets that belong together: a pipeline, or all of one role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Part {
    /// Where all of them may or should stand.
    pub topology: Vec<TopologyRule>,
    /// The sets.
    pub sets: Vec<Set>,
}

/// What is to be placed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Formation {
    /// The kinds of members.
    pub blocks: Vec<Block>,
    /// Where all of them may or should stand.
    pub topology: Vec<TopologyRule>,
    /// The parts.
    pub parts: Vec<Part>,
}

/// Where it is to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// The nodes, by slot; a slot can be free.
    pub slots: &'a [Option<Arc<NodeState>>],
    /// Where the nodes stand.
    pub domains: &'a Domains,
    /// For each block and slot how good a place for one member the node is as it is now, if it is one at all.
    pub ranks: &'a [Vec<Option<Rank>>],
}

/// How long may be searched where counts do not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Budget {
    /// So many steps: places looked at for one member.
    pub steps: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: 1 << 20 }
    }
}

/// Where the members go: all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    parts: Vec<Vec<Vec<NodeName>>>,
    /// How many places were looked at to find it.
    pub steps: u64,
}

impl Places {
    /// The nodes of the members of a set, in the order of [`Set::members`]; the set by the index of its part, and its own in
    /// that.
    pub fn of(&self, part: usize, set: usize) -> &[NodeName] {
        &self.parts[part][set]
    }

    /// By part, by set, by member.
    pub fn parts(&self) -> &[Vec<Vec<NodeName>>] {
        &self.parts
    }
}

/// Finds a place for every member of a formation, all at once, on what is free now.
///
/// The members of a set are indexes into the formation's blocks, and a block has a row of ranks in the field.
///
/// # Errors
/// Why there is none, or that the budget did not suffice to find out.
pub fn plan(formation: &Formation, field: Field<'_>, budget: Budget) -> Result<Places, No> {
    let map = Map::new(Terrain::of(formation, field));
    let terrain = &map.terrain;
    let asks = Asks::of(formation, &map)?;
    let demands: Vec<_> = formation.blocks.iter().map(|block| block.demand.as_ref()).collect();
    let rooms = Rooms::of(&demands, terrain);
    let relations = Relations::of(&formation.blocks, &asks.joining, terrain, field);
    let in_order = rooms.depends_on_order();
    let on = |reading: &Reading, nodes: Option<&[usize]>| {
        let within = |at: usize| nodes.is_none_or(|nodes| nodes.binary_search(&at).is_ok());
        Trial::new(rooms.clone(), terrain, reading, &asks.joining, within)
    };
    if let Some(no) = proof::failed_bound(formation, &asks, &map, &on(relations.fixed(), None)) {
        return Err(no);
    }
    let mut promising = vec![];
    for reading in relations.readings() {
        let mut trial = on(&reading, None);
        if proof::failed_bound(formation, &asks, &map, &trial).is_some() {
            continue;
        }
        if !in_order && greedy::place(&asks, terrain, &mut trial) {
            return Ok(places(formation, &asks, terrain, &trial));
        }
        promising.push(reading);
    }
    if let Some(block) = relations.open_block().filter(|_| promising.is_empty()) {
        return Err(No::Relations { role: formation.blocks[block].role.clone() });
    }
    if !in_order && greedy::is_exact(&asks, relations.are_of_single_nodes()) {
        return Err(No::NoCombination);
    }
    let mut steps = 0;
    let domains = (0..asks.gang.grouping.len()).filter(|domain| asks.gang.possible[*domain]);
    let all: Vec<usize> = (0..asks.sets.len()).collect();
    for (reading, domain) in promising.iter().flat_map(|reading| domains.clone().map(move |domain| (reading, domain))) {
        let nodes = asks.gang.grouping.members(domain);
        let mut trial = on(reading, Some(nodes));
        trial.step(steps);
        if greedy::size_if_sufficient(&asks, &trial, &all, nodes).is_none() {
            continue;
        }
        let members = |set: usize| members_of(formation, &asks, set, in_order);
        match search::search(&asks, terrain, &mut trial, members, in_order, budget.steps) {
            search::Outcome::Found => return Ok(places(formation, &asks, terrain, &trial)),
            search::Outcome::Exhausted => steps = trial.steps(),
            search::Outcome::Spent => return Err(No::GaveUp { steps: budget.steps }),
        }
    }
    Err(No::NoCombination)
}

/// The blocks of the members of a set: in the order of the formation, or those that ask for most first.
fn members_of(formation: &Formation, asks: &Asks, set: usize, in_order: bool) -> Vec<usize> {
    let (part, at) = asks.place_of(set);
    if in_order {
        return formation.parts[part].sets[at].members.clone();
    }
    asks.kind(set).runs.iter().flat_map(|(block, count)| std::iter::repeat_n(*block, *count as usize)).collect()
}

fn places(formation: &Formation, asks: &Asks, terrain: &Terrain<'_>, trial: &Trial<'_>) -> Places {
    let nowhere = |set: &Set| vec![None; set.members.len()];
    let mut parts: Vec<Vec<Vec<Option<NodeName>>>> =
        formation.parts.iter().map(|part| part.sets.iter().map(nowhere).collect()).collect();
    for taken in trial.taken() {
        let (part, set) = asks.place_of(taken.set);
        let blocks = &formation.parts[part].sets[set].members;
        let members = blocks.iter().zip(&mut parts[part][set]);
        if let Some((_, free)) = { members }.find(|(block, node)| **block == taken.block && node.is_none()) {
            *free = Some(terrain.state(taken.node).name().clone());
        }
    }
    let all = |set: Vec<Option<NodeName>>| set.into_iter().flatten().collect();
    let parts = parts.into_iter().map(|part| part.into_iter().map(all).collect()).collect();
    Places { parts, steps: trial.steps() }
}

#[cfg(test)]
mod brute_force_tests;
#[cfg(test)]
mod tests;
