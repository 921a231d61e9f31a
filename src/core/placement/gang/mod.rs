//! All members of a gang placed at once, or a reason why that cannot be.

mod asks;
mod domain;
mod greedy;
mod no;
mod proof;
mod relations;
mod room;
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
use relations::Relations;
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
    let mut failed = None;
    for reading in relations.readings() {
        let mut trial = Trial::new(rooms.clone(), terrain, &reading, &asks.joining, |_| true);
        match proof::failed_bound(formation, &asks, &map, &trial) {
            Some(no) => failed = failed.or(Some(no)),
            None if greedy::place(&asks, terrain, &mut trial) => return Ok(places(formation, &asks, terrain, &trial)),
            None => {}
        }
    }
    let _ = budget;
    if let Some(no) = failed {
        return Err(no);
    }
    Err(match greedy::is_exact(&asks, relations.are_of_single_nodes()) {
        true => No::NoCombination,
        false => No::GaveUp { steps: 0 },
    })
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
mod tests;
