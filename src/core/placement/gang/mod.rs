//! All members of a gang placed at once, or a reason why that cannot be.
//!
//! [`plan`] asks in this order: does a bound fail that every placement would have to meet ([`No`] then says which); do
//! counts find a placement, in the closest domain that suffices and on its best nodes; and only where counts do not
//! decide, does a search find any.

mod asks;
mod counts;
mod decisions;
mod domain;
mod greedy;
mod kin;
mod no;
mod proof;
mod question;
mod relations;
mod room;
mod search;
mod steps;
mod symmetry;
mod terrain;
mod territories;
mod trial;

pub(crate) use domain::raw_label;
pub use no::{Amount, No, Obstacle, SetName};

use std::sync::Arc;

use crate::cluster::{Domains, Geography, Slots};
use crate::model::gang::{Relation, Role, TopologyLevel, TopologyRule};
use crate::model::node::NodeName;
use crate::model::pod::Demand;
use crate::placement::Rank;
use question::Question;
use steps::Steps;

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
    /// The label of nodes of which they have one domain to themselves: all of them stand there, and no member of another part.
    pub exclusive: Option<Arc<str>>,
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
    pub slots: &'a Slots,
    /// What follows from which nodes they are.
    pub geography: &'a Geography,
    /// Where the nodes stand.
    pub domains: &'a Domains,
    /// For each block and slot how good a place for one member the node is as it is now, if it is one at all.
    pub ranks: &'a [Vec<Option<Rank>>],
    /// For each block and slot for how many members the node has devices that claims give. No row for a block, or no rows
    /// at all: these do not matter.
    pub devices: &'a [Option<Vec<u32>>],
    /// How shares of GPUs are counted.
    pub shares: Shares,
}

/// How shares of GPUs are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shares {
    /// Each must fit on one GPU.
    OnGpus,
    /// By their sum on a node, like any other resource: who counts resources sees no more.
    Summed,
}

/// How long may be searched where counts do not decide, and where the relations of members can be read in many ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Budget {
    /// So many steps: places looked at for one member. What has to be looked at once, with the relations read in one way, is not
    /// counted.
    pub steps: u64,
}

impl Default for Budget {
    /// A million steps. Measured on 500 nodes one takes 20 ns, so a search that finds nothing ends after some 20 ms: it is
    /// meant for a worker beside those that answer.
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
    let question = Question::of(formation, field)?;
    let mut steps = Steps::within(budget);
    if let Some(places) = question.by_counts(&mut steps)? {
        return Ok(places);
    }
    if question.is_decided_by_counts() {
        return Err(No::NoCombination);
    }
    question.by_search(&mut steps)
}

#[cfg(test)]
mod brute_force_tests;
#[cfg(test)]
mod exclusive_tests;
#[cfg(test)]
mod relations_tests;
#[cfg(test)]
mod tests;
