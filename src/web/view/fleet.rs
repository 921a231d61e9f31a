//! The nodes as the page shows them, kept up with snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use testudo_core::claims::Gpu;
use testudo_core::cluster::Slot;
use testudo_core::engine::{Devices, GpusByNode, Snapshot};
use testudo_core::model::node::{Node, NodeName};

use super::cells::{Flags, NodeCells, PartCell, cells, part_cells};
use super::face::{Kind, Stand};
use super::sets::Shelf;
use super::workloads::Workloads;
use crate::overview::PoolKey;

/// A node as the page shows it.
#[derive(Debug)]
pub struct Seen {
    /// What it is and where it stands.
    pub face: Face,
    /// What is held on it.
    pub cells: NodeCells,
    node: Arc<Node>,
    gpus: Option<Arc<Vec<Gpu>>>,
}

/// What a node is and where it stands: the layout of the page changes only with this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    /// Its name.
    pub name: String,
    /// Its kind, by number.
    pub kind: usize,
    /// Its node pool, by number.
    pub pool: usize,
    /// Where it stands.
    pub stand: Stand,
}

/// The nodes of one node pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Which.
    pub key: PoolKey,
    /// How many nodes it has.
    pub nodes: usize,
    /// What becomes of their devices.
    pub devices: Devices,
}

/// The nodes that have accelerators, as the page shows them.
#[derive(Debug, Default)]
pub struct FleetView {
    /// By slot.
    nodes: Vec<Option<Seen>>,
    kinds: Vec<Kind>,
    kind_numbers: BTreeMap<Kind, usize>,
    pools: Vec<Pool>,
    pool_numbers: BTreeMap<PoolKey, usize>,
    workloads: Workloads,
    shelf: Shelf,
    /// The slots of nodes on which places are kept: that these are taken is no change of the node.
    planned: BTreeSet<usize>,
    /// The slots of nodes without accelerators.
    others: BTreeSet<usize>,
    /// The GPUs that claims can have, as they were looked at last.
    gpus: GpusByNode,
    /// The generation that was looked at last.
    generation: u64,
    /// The mix that the last sweep began with.
    mix: u64,
    /// The slots that this sweep has yet to look at.
    sweep: Range<usize>,
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
    pub fn keep_up(&mut self, snapshot: &Snapshot) -> Changes {
        let mut changes = Changes { workloads_from: self.workloads.count(), ..Changes::default() };
        let slots = snapshot.slots();
        if self.nodes.len() < slots.len() {
            self.nodes.resize_with(slots.len(), || None);
        }
        let touched = slots.touched_after(self.generation).map(|(slot, ..)| slot.index());
        let mut stale: BTreeSet<usize> = touched.chain(self.planned.iter().copied()).collect();
        self.generation = snapshot.generation();
        stale.extend(self.moved_gpus(snapshot));
        stale.extend(self.next_of_sweep(snapshot.mix_version()));
        for slot in stale {
            self.look_at(slot, snapshot, &mut changes);
        }
        changes
    }

    /// The slots of nodes of which claims have something else than before.
    fn moved_gpus(&mut self, snapshot: &Snapshot) -> Vec<usize> {
        if Arc::ptr_eq(&self.gpus, snapshot.gpus()) {
            return vec![];
        }
        let before = std::mem::replace(&mut self.gpus, Arc::clone(snapshot.gpus()));
        let is_same =
            |node: &NodeName, gpus: &Arc<Vec<Gpu>>| before.get(node).is_some_and(|old| Arc::ptr_eq(old, gpus));
        let moved = self.gpus.iter().filter(|(node, gpus)| !is_same(node, gpus)).map(|(node, _)| node);
        let gone = before.keys().filter(|node| !self.gpus.contains_key(*node));
        moved.chain(gone).filter_map(|node| snapshot.slot(node.as_str())).map(Slot::index).collect()
    }

    fn next_of_sweep(&mut self, mix: u64) -> Range<usize> {
        if self.sweep.is_empty() && self.mix != mix {
            (self.mix, self.sweep) = (mix, 0..self.nodes.len());
        }
        let next = self.sweep.start..self.sweep.end.min(self.sweep.start + SWEEP);
        self.sweep.start = next.end;
        next
    }

    fn look_at(&mut self, slot: usize, snapshot: &Snapshot, changes: &mut Changes) {
        let state = snapshot.slots()[slot].as_ref();
        let node = state.and_then(|state| Some((state, state.node()?)));
        self.others.remove(&slot);
        let (Some((state, node)), Some(devices)) = (node, snapshot.devices(Slot::at(slot))) else {
            if node.is_some() {
                self.others.insert(slot);
            }
            return self.lose(slot, changes);
        };
        let before = self.nodes[slot].take();
        let gpus = snapshot.gpus().get(node.name()).cloned();
        let is_same = |seen: &&Seen| Arc::ptr_eq(&seen.node, node) && seen.has_gpus(gpus.as_deref());
        let face = match before.as_ref().filter(is_same) {
            Some(seen) => seen.face.clone(),
            None => self.face(node, gpus.as_deref().map(Vec::as_slice), snapshot),
        };
        let pools = cells(state, &self.kinds[face.kind], snapshot.unconfirmed(), &mut self.workloads);
        let parts = match &gpus {
            Some(gpus) => part_cells(state, gpus, snapshot, &mut self.workloads),
            None => vec![],
        };
        let runs = pools.iter().flat_map(|pool| &pool.runs);
        if runs.map(|run| run.planned).chain(parts.iter().map(PartCell::is_planned)).any(|planned| planned) {
            self.planned.insert(slot);
        } else {
            self.planned.remove(&slot);
        }
        let cells = NodeCells { slot, flags: Flags::of(node), devices, pools, parts };
        changes.layout |= before.as_ref().is_none_or(|seen| seen.face != face);
        if before.as_ref().is_none_or(|seen| seen.cells != cells) {
            changes.slots.push(slot);
        }
        before.iter().for_each(|seen| self.count_out(seen));
        let seen = Seen { face, cells, node: Arc::clone(node), gpus };
        self.count_in(&seen);
        self.nodes[slot] = Some(seen);
    }

    fn lose(&mut self, slot: usize, changes: &mut Changes) {
        self.planned.remove(&slot);
        if let Some(seen) = self.nodes[slot].take() {
            self.count_out(&seen);
            changes.layout = true;
        }
    }

    fn count_in(&mut self, seen: &Seen) {
        let pool = &mut self.pools[seen.face.pool];
        pool.nodes += 1;
        pool.devices += seen.cells.devices;
        self.shelf.add(seen, &self.kinds[seen.face.kind]);
    }

    fn count_out(&mut self, seen: &Seen) {
        let pool = &mut self.pools[seen.face.pool];
        pool.nodes -= 1;
        pool.devices -= seen.cells.devices;
        self.shelf.remove(seen, &self.kinds[seen.face.kind]);
    }

    fn face(&mut self, node: &Node, gpus: Option<&[Gpu]>, snapshot: &Snapshot) -> Face {
        let kind = Kind::of(node, gpus).expect("the caller has seen accelerators");
        let next = self.kinds.len();
        let kind_number = *self.kind_numbers.entry(kind.clone()).or_insert(next);
        if kind_number == next {
            self.kinds.push(kind);
        }
        let key = PoolKey::of(node, gpus);
        let next = self.pools.len();
        let pool = *self.pool_numbers.entry(key.clone()).or_insert(next);
        if pool == next {
            self.pools.push(Pool { key, nodes: 0, devices: Devices::default() });
        }
        let stand = Stand::of(node, snapshot.domains());
        Face { name: node.name().to_string(), kind: kind_number, pool, stand }
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
        self.others.len()
    }

    /// The node pools that have nodes.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(|pool| pool.nodes > 0)
    }

    /// The kinds of nodes, by number.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// What is free on the nodes.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// The workloads, by number.
    pub fn workloads(&self) -> &Workloads {
        &self.workloads
    }
}

impl Seen {
    /// How many GPUs claims can have, and of how many nothing is given; where there are any.
    pub fn gpus_and_free(&self) -> Option<(i64, i64)> {
        let gpus = self.gpus.as_ref()?;
        let free = gpus.iter().filter(|gpu| gpu.is_free()).count();
        Some((i64::try_from(gpus.len()).ok()?, i64::try_from(free).ok()?))
    }

    /// Has it the same GPUs, whatever is given of them?
    fn has_gpus(&self, gpus: Option<&Vec<Gpu>>) -> bool {
        fn faces(gpus: &[Gpu]) -> impl Iterator<Item = (&str, u8)> {
            gpus.iter().map(|gpu| (&*gpu.name, gpu.width))
        }
        match (self.gpus.as_deref(), gpus) {
            (None, None) => true,
            (Some(before), Some(now)) => faces(before).eq(faces(now)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fleet, gpu_claim, gpu_node, gpus};
    use super::*;

    fn look(view: &mut FleetView, fleet: &Fleet) -> Changes {
        view.keep_up(&fleet.host.snapshot_to_show())
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

    #[test]
    fn what_claims_have_is_shown_where_it_lies() {
        let claims =
            vec![gpu_claim("whole", Some(("n", "gpu-1"))), gpu_claim("part", Some(("n", "gpu-0-mig-1g6gb-14-2")))];
        let fleet = Fleet::with_devices(vec![gpu_node("n", 2)], claims);
        let mut view = FleetView::default();
        look(&mut view, &fleet);
        let seen = view.nodes().next().expect("a node with GPUs, though nothing is counted");
        let kind = &view.kinds()[seen.face.kind];
        assert_eq!((kind.devices, kind.pools.len(), kind.product.as_deref()), (2, 0, Some("A30")));
        let wire = serde_json::to_value(&seen.cells).expect("JSON");
        assert_eq!(wire[5], serde_json::json!([[0, 2, 1, 0, 0, 0], [1, 0, 4, 1, 0, 0]]));
        let Devices { capacity_milli, used_milli, idle_milli, .. } = seen.cells.devices;
        assert_eq!((capacity_milli, used_milli, idle_milli), (2000, 1250, 750));
        assert_eq!(
            look(&mut view, &fleet),
            Changes { workloads_from: 2, ..Changes::default() },
            "nothing has happened"
        );
        fleet.take_claim(gpu_claim("part", None));
        assert_eq!(look(&mut view, &fleet).slots.len(), 1);
        assert_eq!(view.nodes().next().expect("a node").cells.devices.used_milli, 1000);
    }
}
