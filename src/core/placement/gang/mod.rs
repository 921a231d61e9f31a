//! All members of a gang placed at once, or a reason why that cannot be.

use std::sync::Arc;

use crate::cluster::{Domains, NodeState};
use crate::model::gang::{Relation, Role, TopologyLevel, TopologyRule};
use crate::model::node::NodeName;
use crate::model::pod::Demand;
use crate::placement::Rank;

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

/// STUB until the planner is merged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Budget;
/// STUB
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct No;
impl std::fmt::Display for No {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("does not fit")
    }
}
/// STUB
#[derive(Debug)]
pub struct Places(Vec<NodeName>);
impl Places {
    /// STUB
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.0.iter()
    }
}
/// STUB
pub fn plan(formation: &Formation, field: Field<'_>, _: Budget) -> Result<Places, No> {
    let mut free: Vec<Option<std::collections::BTreeMap<String, i64>>> =
        field.slots.iter().map(|s| s.as_ref().map(|_| Default::default())).collect();
    let mut out = vec![];
    for member in formation.parts.iter().flat_map(|p| &p.sets).flat_map(|s| &s.members) {
        let block = &formation.blocks[*member];
        let at = (0..field.slots.len()).find(|at| {
            let Some(state) = &field.slots[*at] else { return false };
            if field.ranks[*member][*at].is_none() {
                return false;
            }
            let used = free[*at].as_ref().unwrap();
            block.demand.requests.iter().all(|(r, n)| state.free(r) - used.get(r.as_str()).copied().unwrap_or(0) >= n)
        });
        let at = at.ok_or(No)?;
        for (r, n) in block.demand.requests.iter() {
            *free[at].as_mut().unwrap().entry(r.as_str().into()).or_default() += n;
        }
        out.push(field.slots[at].as_ref().unwrap().name().clone());
    }
    Ok(Places(out))
}
