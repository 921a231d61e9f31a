//! The nodes as the page shows them, kept up with snapshots.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use testudo_core::cluster::{NodeState, Slot};
use testudo_core::engine::Snapshot;
use testudo_core::model::node::Node;

use super::cells::{Flags, NodeCells, cells};
use super::face::{Kind, Stand};
use super::workloads::Workloads;
use crate::host::Unconfirmed;

/// A node as the page shows it.
#[derive(Debug)]
pub struct Seen {
    /// What it is and where it stands.
    pub face: Face,
    /// What is held on it; empty for a node without accelerators.
    pub cells: NodeCells,
    node: Arc<Node>,
    stamp: Option<u64>,
    has_planned: bool,
}

/// What a node is and where it stands: the layout of the page changes only with this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    /// Its name.
    pub name: String,
    /// Its kind, by number.
    pub kind: usize,
    /// Where it stands.
    pub stand: Stand,
}

/// The nodes that have accelerators, as the page shows them.
#[derive(Debug, Default)]
pub struct FleetView {
    /// By slot.
    nodes: Vec<Option<Seen>>,
    kinds: Vec<Kind>,
    numbers: BTreeMap<Kind, usize>,
    workloads: Workloads,
    unconfirmed: Unconfirmed,
    /// The mix that the last sweep began with.
    mix: u64,
    /// The slots that this sweep has yet to look at.
    sweep: Range<usize>,
    /// Nodes without accelerators.
    others: usize,
}

/// What has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The slots of nodes on which something else is held, or usable.
    pub slots: Vec<usize>,
    /// Nodes came, went, or are others than before.
    pub layout: bool,
    /// Workloads from this number on are new.
    pub workloads_from: usize,
}

/// How many nodes are looked at again at a time though nothing has changed on them: what is usable of them depends on what
/// pods are typical. When that changes, which is seldom, all nodes are swept over, a part at a time.
const SWEEP: usize = 128;

impl FleetView {
    /// Looks at what has changed since the last time.
    pub fn keep_up(&mut self, snapshot: &Snapshot, unconfirmed: &Unconfirmed) -> Changes {
        let mut changes = Changes { workloads_from: self.workloads.count(), ..Changes::default() };
        let slots = snapshot.slots();
        if self.nodes.len() < slots.len() {
            self.nodes.resize_with(slots.len(), || None);
        }
        let confirmed = !Arc::ptr_eq(&self.unconfirmed, unconfirmed);
        self.unconfirmed = Arc::clone(unconfirmed);
        self.others = 0;
        if self.sweep.is_empty() && self.mix != snapshot.mix_version() {
            (self.mix, self.sweep) = (snapshot.mix_version(), 0..slots.len());
        }
        let sweep = self.sweep.start..self.sweep.end.min(self.sweep.start + SWEEP);
        self.sweep.start = sweep.end;
        for (slot, state) in slots.iter().enumerate() {
            let state = state.as_ref().filter(|state| state.node().is_some());
            let Some((state, node)) = state.and_then(|state| Some((state, state.node()?))) else {
                changes.layout |= self.nodes[slot].take().is_some();
                continue;
            };
            if !node.inventory.has_accelerators() {
                self.others += 1;
                changes.layout |= self.nodes[slot].take().is_some();
                continue;
            }
            let seen = self.nodes[slot].as_ref();
            let is_same = seen.is_some_and(|seen| seen.is_of(state, node) && !(confirmed && seen.has_planned));
            if !is_same || sweep.contains(&slot) {
                self.look_at(slot, state, node, snapshot, &mut changes);
            }
        }
        changes
    }

    fn look_at(
        &mut self,
        slot: usize,
        state: &Arc<NodeState>,
        node: &Arc<Node>,
        snapshot: &Snapshot,
        changes: &mut Changes,
    ) {
        let before = self.nodes[slot].take();
        let face = match before.as_ref().filter(|seen| Arc::ptr_eq(&seen.node, node)) {
            Some(seen) => seen.face.clone(),
            None => self.face(node, snapshot),
        };
        let usable = snapshot.usable(Slot::at(slot)).unwrap_or_default();
        let pools = cells(state, &self.kinds[face.kind], &self.unconfirmed, &mut self.workloads);
        let has_planned = pools.iter().flat_map(|pool| &pool.runs).any(|run| run.planned);
        let (free_milli, usable_milli) = (usable.free_milli, usable.usable_milli);
        let cells = NodeCells { slot, flags: Flags::of(state), free_milli, usable_milli, pools };
        changes.layout |= before.as_ref().is_none_or(|seen| seen.face != face);
        if before.as_ref().is_none_or(|seen| seen.cells != cells) {
            changes.slots.push(slot);
        }
        let seen = Seen { face, cells, node: Arc::clone(node), stamp: state.stamp(), has_planned };
        self.nodes[slot] = Some(seen);
    }

    fn face(&mut self, node: &Node, snapshot: &Snapshot) -> Face {
        let kind = Kind::of(node).expect("the caller has seen accelerators");
        let next = self.kinds.len();
        let number = *self.numbers.entry(kind.clone()).or_insert(next);
        if number == next {
            self.kinds.push(kind);
        }
        Face { name: node.name().to_string(), kind: number, stand: Stand::of(node, snapshot.domains()) }
    }

    /// The nodes that have accelerators, by slot.
    pub fn nodes(&self) -> impl Iterator<Item = &Seen> {
        self.nodes.iter().flatten()
    }

    /// The node in a slot.
    pub fn node(&self, slot: usize) -> Option<&Seen> {
        self.nodes.get(slot)?.as_ref()
    }

    /// How many nodes have no accelerators.
    pub fn others(&self) -> usize {
        self.others
    }

    /// The kinds of nodes, by number.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The workloads, by number.
    pub fn workloads(&self) -> &Workloads {
        &self.workloads
    }
}

impl Seen {
    fn is_of(&self, state: &NodeState, node: &Arc<Node>) -> bool {
        self.stamp == state.stamp() && self.stamp.is_some() && Arc::ptr_eq(&self.node, node)
    }

    /// The node, as the state has it.
    pub fn node(&self) -> &Node {
        &self.node
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fleet, gpus};
    use super::*;

    fn look(view: &mut FleetView, fleet: &Fleet) -> Changes {
        view.keep_up(&fleet.host.snapshot(), &fleet.host.unconfirmed())
    }

    #[test]
    fn only_what_has_changed_is_told() {
        let fleet = Fleet::of(3);
        let mut view = FleetView::default();
        let first = look(&mut view, &fleet);
        assert!(first.layout);
        assert_eq!(first.slots.len(), 3);
        assert_eq!(look(&mut view, &fleet), Changes::default(), "nothing has happened");
        fleet.run(gpus("p", 4), "node-1");
        let next = look(&mut view, &fleet);
        assert!(!next.layout);
        assert_eq!(next.slots.len(), 1);
        let seen = view.node(next.slots[0]).expect("a node");
        assert_eq!(seen.face.name, "node-1");
        assert_eq!(seen.cells.pools[0].runs.iter().map(|run| run.parts).sum::<i64>(), 4000);
    }

    #[test]
    fn nodes_that_go_and_come_change_the_layout() {
        let fleet = Fleet::of(2);
        let mut view = FleetView::default();
        look(&mut view, &fleet);
        fleet.remove("node-0");
        assert!(look(&mut view, &fleet).layout);
        assert_eq!(view.nodes().count(), 1);
        fleet.add_plain("cpu-only");
        look(&mut view, &fleet);
        assert_eq!((view.nodes().count(), view.others()), (1, 1));
    }

    #[test]
    fn the_wire_is_arrays() {
        let fleet = Fleet::of(1);
        fleet.run(gpus("p", 2), "node-0");
        let mut view = FleetView::default();
        look(&mut view, &fleet);
        let cells = &view.node(0).expect("a node").cells;
        let wire = serde_json::to_value(cells).expect("JSON");
        assert_eq!(wire[4], serde_json::json!([[0, [[0, 2000, 0]]]]));
        assert_eq!((&wire[0], &wire[1]), (&0.into(), &0.into()));
    }
}
