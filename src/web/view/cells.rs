//! What is held on a node, by whom: what its cells are filled with.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use testudo_core::claims::Gpu;
use testudo_core::cluster::{Holding, NodeState};
use testudo_core::engine::{Devices, Snapshot};
use testudo_core::model::accelerator::Unit;
use testudo_core::model::inventory::Inventory;
use testudo_core::model::node::{Node, NodeName};
use testudo_core::model::pod::PodUid;

use super::face::{Kind, is_neuron};
use super::workloads::Workloads;

/// What is held of one pool of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolCells {
    /// Cells that the device plugin holds back: they failed their health check.
    pub failed: i64,
    /// Who holds what, in the order in which it is shown. Which cells these are is known only where a run says so.
    pub runs: Vec<Run>,
}

/// What one pod holds of one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The pod's workload, by number.
    pub workload: u32,
    /// How many parts of cells.
    pub parts: i64,
    /// When the pod was made, in seconds since 1970; 0 where that is not known.
    pub created_s: i64,
    /// The place is kept for the pod, which is not bound yet.
    pub planned: bool,
    /// Which devices, as bits; 0 where that is not known.
    pub devices: u32,
}

/// A part of a GPU, or all of it, that a claim has; or one that is cut and free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartCell {
    /// Which GPU of the node, by position.
    gpu: usize,
    /// Its first memory slice, and how many it has.
    start: u8,
    size: u8,
    /// The workload that has it, by number.
    workload: Option<u32>,
    /// When its pod was made, in seconds since 1970; 0 where that is not known.
    created_s: i64,
    /// Its pod is not bound yet.
    planned: bool,
}

/// What of the GPUs of a node claims have.
pub fn part_cells(state: &NodeState, gpus: &[Gpu], snapshot: &Snapshot, workloads: &mut Workloads) -> Vec<PartCell> {
    let mut cells = vec![];
    for (gpu, part) in gpus.iter().enumerate().flat_map(|(at, gpu)| gpu.parts.iter().map(move |part| (at, part))) {
        let taker = part.takers.first();
        let pod = taker.and_then(|taker| taker.pod.as_ref());
        let holding = pod.and_then(|pod| state.holders().get(pod));
        let workload = match (taker, holding) {
            (None, _) => None,
            (Some(_), Some(holding)) => Some(workloads.of(holding)),
            (Some(taker), None) => Some(workloads.of_claim(&taker.claim)),
        };
        cells.push(PartCell {
            gpu,
            start: part.start,
            size: part.size,
            workload,
            created_s: holding.map_or(0, |holding| holding.created_s),
            planned: pod.is_some_and(|pod| snapshot.unconfirmed().contains_key(pod)),
        });
    }
    cells
}

impl PartCell {
    /// Is its pod not bound yet?
    pub fn is_planned(&self) -> bool {
        self.planned
    }
}

/// What keeps pods away from a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// `spec.unschedulable`.
    pub cordoned: bool,
    /// An autoscaler or an interruption is about to remove it.
    pub leaving: bool,
}

impl Flags {
    /// What keeps pods away from a node.
    pub fn of(node: &Node) -> Self {
        Self { cordoned: node.parts.cordoned, leaving: node.is_leaving() }
    }

    /// Does the node take pods?
    pub fn is_open(self) -> bool {
        !self.cordoned && !self.leaving
    }

    fn bits(self) -> u8 {
        u8::from(self.cordoned) | u8::from(self.leaving) << 1
    }
}

/// What is held on a node, pool by pool in the order of its kind.
pub fn cells(
    state: &NodeState,
    kind: &Kind,
    unconfirmed: &BTreeMap<PodUid, NodeName>,
    workloads: &mut Workloads,
) -> Vec<PoolCells> {
    let Some(node) = state.node() else { return vec![] };
    let inventory = &node.inventory;
    // Most pods of a cluster have no accelerators.
    let mut holders: Vec<_> =
        state.holders().iter().filter(|(_, holding)| parts(holding, inventory, kind).next().is_some()).collect();
    // The oldest first, so that the others keep their cells when one comes.
    holders.sort_by(|(_, a), (_, b)| (a.created_s, &a.pod).cmp(&(b.created_s, &b.pod)));
    let mut pools: Vec<PoolCells> = kind.pools.iter().map(|face| PoolCells::idle(inventory, face.at)).collect();
    for (uid, holding) in holders {
        let workload = workloads.of(holding);
        let devices = holding.gpus.map_or(0, |gpus| gpus.0);
        let (created_s, planned) = (holding.created_s, unconfirmed.contains_key(uid));
        for (pool, parts) in parts(holding, inventory, kind) {
            pools[pool].runs.push(Run { workload, parts, created_s, planned, devices });
        }
    }
    pools
}

/// What a holder has of each shown pool, in parts of its cells.
fn parts(holding: &Holding, inventory: &Inventory, kind: &Kind) -> impl Iterator<Item = (usize, i64)> {
    holding.demand.requests.iter().filter(|(_, count)| *count > 0).filter_map(|(name, count)| {
        // What is no accelerator has no pool.
        let at = inventory.pools.iter().position(|pool| pool.resource == *name)?;
        let pool = &inventory.pools[at];
        if let Some(shown) = kind.pools.iter().position(|face| face.at == at) {
            return Some((shown, if pool.unit == Unit::Device { count.saturating_mul(1000) } else { count }));
        }
        // Another name of what is shown as Neuron devices.
        let shown = kind.pools.iter().position(|face| is_neuron(&inventory.pools[face.at]))?;
        Some((shown, count.saturating_mul(inventory.unit_milli(pool))))
    })
}

impl PoolCells {
    fn idle(inventory: &Inventory, at: usize) -> Self {
        let pool = &inventory.pools[at];
        let failed = (pool.capacity - pool.allocatable).max(0);
        Self { failed: if pool.unit == Unit::Thousandth { failed / 1000 } else { failed }, runs: vec![] }
    }
}

/// A node as the wire has it: `[slot, flags, free, usable, [[failed, [run, ...]], ...], [part, ...]]`, free and usable in
/// thousandths of devices. A part is `[gpu, start, size, workload, created, planned]`; nobody is -1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCells {
    /// The node's slot.
    pub slot: usize,
    /// What keeps pods away.
    pub flags: Flags,
    /// What becomes of its devices.
    pub devices: Devices,
    /// What is held of each pool.
    pub pools: Vec<PoolCells>,
    /// What claims have.
    pub parts: Vec<PartCell>,
}

impl Serialize for NodeCells {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Devices { idle_milli, stranded_milli, closed_milli, .. } = self.devices;
        let (free, usable) = (idle_milli + stranded_milli + closed_milli, idle_milli + closed_milli);
        let part = |part: &PartCell| {
            let PartCell { gpu, start, size, workload, created_s, planned } = *part;
            (gpu, start, size, workload.map_or(-1, i64::from), created_s, u8::from(planned))
        };
        let head = (self.slot, self.flags.bits(), free, usable, &self.pools);
        if self.parts.is_empty() {
            return head.serialize(serializer);
        }
        let parts: Vec<_> = self.parts.iter().map(part).collect();
        (head.0, head.1, head.2, head.3, head.4, parts).serialize(serializer)
    }
}

impl Serialize for PoolCells {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.failed, &self.runs).serialize(serializer)
    }
}

/// `[workload, parts, created]`, with `planned` (0 or 1) and the bits of the devices where there is anything to say.
impl Serialize for Run {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut run = serializer.serialize_seq(None)?;
        run.serialize_element(&self.workload)?;
        run.serialize_element(&self.parts)?;
        run.serialize_element(&self.created_s)?;
        if self.planned || self.devices != 0 {
            run.serialize_element(&u8::from(self.planned))?;
        }
        if self.devices != 0 {
            run.serialize_element(&self.devices)?;
        }
        run.end()
    }
}
