//! What is free on a node, in the form that the fill simulation works on: small, flat, and equal for nodes on which the
//! same is free.

use crate::cluster::NodeState;
use crate::model::accelerator::Unit;
use crate::model::gpu_share;
use crate::model::resources::ResourceName;

/// Most shareable GPUs of a node that are looked at: those of which most is free.
pub(super) const MAX_GPUS: usize = 16;

/// Most accelerator resources of a node that are looked at.
pub(super) const MAX_POOLS: usize = 8;

/// Thousandths in a whole GPU.
const WHOLE: u16 = gpu_share::WHOLE;

/// What is free on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FlatRoom {
    /// Thousandths of CPUs.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Thousandths of each shareable GPU, the fullest GPU first.
    shared: [u16; MAX_GPUS],
    /// Units of the other accelerator pools.
    units: [u16; MAX_POOLS],
}

/// What a pod takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bite {
    pub cpu: i64,
    pub memory: i64,
    pub what: What,
    /// Thousandths of devices.
    pub milli: i64,
}

/// Which accelerators a pod takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// None.
    Nothing,
    /// Thousandths of one shareable GPU.
    Part(u16),
    /// So many whole shareable GPUs.
    Whole(u8),
    /// So many units of a pool.
    Units { pool: u8, count: u16 },
}

impl FlatRoom {
    pub fn of(state: &NodeState) -> Self {
        let room = state.room();
        let free = state.shared_gpus().free().iter();
        let mut by_free: Vec<u16> = free.map(|free| u16::try_from(*free).unwrap_or(0)).collect();
        by_free.sort_unstable();
        let mut shared = [0; MAX_GPUS];
        for (flat, free) in shared.iter_mut().rev().zip(by_free.into_iter().rev()) {
            *flat = free;
        }
        let mut units = [0; MAX_POOLS];
        for (flat, free) in units.iter_mut().zip(&room.units) {
            *flat = u16::try_from((*free).max(0)).unwrap_or(u16::MAX);
        }
        let inventory = state.node().map(|node| &node.inventory);
        for (at, pool) in inventory.iter().flat_map(|inventory| &inventory.pools).take(MAX_POOLS).enumerate() {
            // Thousandths are counted GPU by GPU, where there are any.
            let by_gpu = pool.unit == Unit::Thousandth && !state.shared_gpus().free().is_empty();
            if by_gpu || inventory.is_some_and(|inventory| inventory.counted_by(at).0 != at) {
                units[at] = 0;
            }
        }
        Self { cpu: room.cpu_milli.max(0), memory: room.memory.max(0), shared, units }
    }

    /// Whole shareable GPUs that are free.
    fn whole(&self) -> u8 {
        self.shared.iter().rev().take_while(|free| **free == WHOLE).count() as u8
    }

    pub fn fits(&self, bite: &Bite) -> bool {
        bite.cpu <= self.cpu
            && bite.memory <= self.memory
            && match bite.what {
                What::Nothing => true,
                What::Part(thousandths) => self.shared[MAX_GPUS - 1] >= thousandths,
                What::Whole(gpus) => self.whole() >= gpus,
                What::Units { pool, count } => self.units[usize::from(pool)] >= count,
            }
    }

    /// Takes what fits; a part from the GPU that it leaves least of.
    pub fn take(&mut self, bite: &Bite) {
        self.cpu -= bite.cpu;
        self.memory -= bite.memory;
        match bite.what {
            What::Nothing => {}
            What::Part(thousandths) => {
                // Sorted: the first that has enough has least. What is left moves down to its place.
                let mut at = self.shared.partition_point(|free| *free < thousandths);
                let left = self.shared[at] - thousandths;
                while at > 0 && self.shared[at - 1] > left {
                    self.shared[at] = self.shared[at - 1];
                    at -= 1;
                }
                self.shared[at] = left;
            }
            What::Whole(gpus) => {
                let gpus = usize::from(gpus);
                self.shared.copy_within(..MAX_GPUS - gpus, gpus);
                self.shared[..gpus].fill(0);
            }
            What::Units { pool, count } => self.units[usize::from(pool)] -= count,
        }
    }

    /// The thousandths of devices that are free, given those in a unit of each pool.
    pub fn free_milli(&self, pools: &[(ResourceName, i64)]) -> i64 {
        let shared: i64 = self.shared.iter().map(|free| i64::from(*free)).sum();
        let units = self.units.iter().zip(pools).map(|(units, (_, milli))| i64::from(*units) * milli);
        shared + units.sum::<i64>()
    }

    /// The shareable GPUs of which something is free, and the free units of the other pools.
    pub fn free_units(&self) -> usize {
        let units: usize = self.units.iter().map(|units| usize::from(*units)).sum();
        units + self.shared.iter().filter(|free| **free > 0).count()
    }

    /// Is any accelerator free, or any part of one?
    pub fn has_accelerators(&self) -> bool {
        self.shared[MAX_GPUS - 1] > 0 || self.units.iter().any(|units| *units > 0)
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
