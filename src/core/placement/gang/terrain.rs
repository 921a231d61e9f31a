//! The nodes that matter to one question, in the order of their names.
//!
//! All else in the planner speaks of a node by its number here, so that the smaller of two numbers is the smaller name and
//! every tie is settled by comparing integers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Field, Formation, Shares};
use crate::cluster::{DomainId, Domains, Level, NodeState};
use crate::model::node::{Node, NodeName};

/// The nodes where a member may go or is already.
pub(super) struct Terrain<'a> {
    nodes: Vec<(&'a NodeState, &'a Node)>,
    /// For each block the number of members for which each node has devices that claims give, where these matter.
    devices: Vec<Option<Vec<u32>>>,
    /// For each block in turn the rank of each node, packed; none where no member may go.
    ranks: Vec<Option<u64>>,
    /// The slot of each.
    slots: Vec<u32>,
    field: Field<'a>,
}

impl<'a> Terrain<'a> {
    pub fn of(formation: &Formation, field: Field<'a>) -> Self {
        let blocks = 0..formation.blocks.len();
        let rank = |block: usize, slot: usize| field.ranks.get(block)?.get(slot).copied().flatten();
        let in_sets = formation.parts.iter().flat_map(|part| part.sets.iter().flat_map(|set| &set.placed));
        let placed: BTreeSet<&NodeName> = formation.blocks.iter().flat_map(|b| &b.placed).chain(in_sets).collect();
        let matters = |slot: usize, state: &NodeState| {
            blocks.clone().any(|block| rank(block, slot).is_some()) || placed.contains(state.name())
        };
        let in_order = field.geography.by_name(field.slots).iter();
        let found = in_order.filter_map(|slot| {
            let state = field.slots[*slot as usize].as_deref()?;
            matters(*slot as usize, state).then_some((*slot, (state, state.node()?.as_ref())))
        });
        let (slots, nodes): (Vec<u32>, Vec<(&NodeState, &Node)>) = found.unzip();
        let packed = |block: usize| slots.iter().map(move |slot| rank(block, *slot as usize).map(|rank| rank.packed()));
        let devices = |block: usize| {
            let row = field.devices.get(block)?.as_ref()?;
            Some(slots.iter().map(|slot| row.get(*slot as usize).copied().unwrap_or(0)).collect())
        };
        let devices = blocks.clone().map(devices).collect();
        Self { devices, ranks: blocks.clone().flat_map(packed).collect(), nodes, slots, field }
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn state(&self, at: usize) -> &'a NodeState {
        self.nodes[at].0
    }

    pub fn node(&self, at: usize) -> &'a Node {
        self.nodes[at].1
    }

    /// The number of the node of this name.
    pub fn find(&self, name: &NodeName) -> Option<usize> {
        self.nodes.binary_search_by_key(&name, |(state, _)| state.name()).ok()
    }

    /// For how many members of a block each node has devices that claims give; none where these do not matter.
    pub fn devices(&self, block: usize) -> Option<&[u32]> {
        self.devices[block].as_deref()
    }

    /// How shares of GPUs are counted.
    pub fn shares(&self) -> Shares {
        self.field.shares
    }

    /// Where the nodes stand.
    pub fn domains(&self) -> &'a Domains {
        self.field.domains
    }

    /// By level the domain of each slot.
    pub fn by_level(&self) -> &'a BTreeMap<Level, Vec<Option<DomainId>>> {
        self.field.geography.by_level(self.field.slots, self.field.domains)
    }

    /// A number for each domain that a label names, by slot.
    pub fn by_label(&self, label: &Arc<str>) -> Arc<[u32]> {
        self.field.geography.by_label(self.field.slots, label)
    }

    /// The slot of a node.
    pub fn slot(&self, at: usize) -> usize {
        self.slots[at] as usize
    }

    /// How good a place for a member of a block a node is, if it is one.
    pub fn rank(&self, block: usize, at: usize) -> Option<u64> {
        self.ranks[block * self.nodes.len() + at]
    }
}
