//! What becomes of devices: used, kept, of use, of no use. The one place that says what fragmentation is.

use std::ops::{AddAssign, SubAssign};

use super::Snapshot;
use crate::claims::Gpu;
use crate::cluster::{NodeState, Slot};
use crate::model::inventory::Inventory;

/// Devices, in thousandths of one: slices and replicas are parts. What has not failed is used, held, idle, stranded or
/// closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Devices {
    /// All that the nodes have.
    pub capacity_milli: i64,
    /// Those that the device plugin holds back.
    pub failed_milli: i64,
    /// In use by pods that are bound.
    pub used_milli: i64,
    /// Kept for pods that are not bound yet.
    pub held_milli: i64,
    /// Free, and of use to pods like those that come.
    pub idle_milli: i64,
    /// Free, but of no use to them: what is left of each node once it has been filled with pods like those that come.
    pub stranded_milli: i64,
    /// Free, on nodes that take no pods: cordoned, or about to be removed.
    pub closed_milli: i64,
}

impl Snapshot {
    /// What becomes of the devices of the node in a slot; nothing where there is no node, or none with accelerators.
    pub fn devices(&self, slot: Slot) -> Option<Devices> {
        let state = self.slots()[slot].as_ref()?;
        let node = state.node()?;
        let mut devices = Devices::default();
        let gpus = self.gpus().get(node.name());
        let free_milli = match gpus {
            Some(gpus) => devices.count_gpus(gpus),
            None if !node.inventory.has_accelerators() => return None,
            None => devices.count(&node.inventory, state, |resource| self.held(state, resource)),
        };
        if node.is_open() && gpus.is_some() {
            // What of a GPU is of use to claims is for its driver's devices to say: no count does.
            devices.idle_milli = free_milli;
        } else if node.is_open() {
            let usable_milli = self.usable(slot).map_or(0, |usable| usable.usable_milli);
            devices.idle_milli = usable_milli.clamp(0, free_milli);
            devices.stranded_milli = free_milli - devices.idle_milli;
        } else {
            devices.closed_milli = free_milli;
        }
        Some(devices)
    }

    /// How much of a resource is kept on a node for pods that are not bound yet.
    fn held(&self, state: &NodeState, resource: &str) -> i64 {
        if !self.is_promised(state.name().as_str()) {
            return 0;
        }
        let unconfirmed = state.holders().iter().filter(|(uid, _)| self.unconfirmed().contains_key(uid));
        unconfirmed.map(|(_, holding)| holding.demand.requests.get(resource)).sum()
    }
}

impl Devices {
    /// Counts what there is, what has failed, what is used and what is held; returns what is free.
    fn count(&mut self, inventory: &Inventory, state: &NodeState, held: impl Fn(&str) -> i64) -> i64 {
        let mut free_milli = 0;
        for (at, pool) in inventory.pools.iter().enumerate() {
            // Neuron hardware stands on a node under several names.
            if inventory.counted_by(at).0 != at {
                continue;
            }
            let milli = inventory.unit_milli(pool);
            let free = state.free_units(pool).clamp(0, pool.allocatable.max(0));
            let kept = held(pool.resource.as_str()).clamp(0, pool.allocatable.max(0) - free);
            self.capacity_milli += pool.capacity * milli;
            self.failed_milli += (pool.capacity - pool.allocatable).max(0) * milli;
            self.held_milli += kept * milli;
            self.used_milli += (pool.allocatable - free - kept).max(0) * milli;
            free_milli += free * milli;
        }
        free_milli
    }

    /// The same of GPUs that claims have, or are being given.
    fn count_gpus(&mut self, gpus: &[Gpu]) -> i64 {
        let mut free_milli = 0;
        for gpu in gpus {
            let taken = (1000 * i64::from(gpu.taken()) / i64::from(gpu.width.max(1))).min(1000);
            self.capacity_milli += 1000;
            self.used_milli += taken;
            if gpu.is_tainted {
                self.failed_milli += 1000 - taken;
            } else {
                free_milli += 1000 - taken;
            }
        }
        free_milli
    }

    /// All that is free on nodes that take pods.
    pub fn free_milli(&self) -> i64 {
        self.idle_milli + self.stranded_milli
    }

    /// All that is given to somebody, or kept for somebody.
    pub fn taken_milli(&self) -> i64 {
        self.used_milli + self.held_milli
    }

    /// Fragmentation: what share of the free devices is of no use to the pods that come, in thousandths.
    pub fn fragmentation_permille(&self) -> i64 {
        permille(self.stranded_milli, self.free_milli())
    }

    /// What share of all devices is given to somebody, or kept for somebody, in thousandths.
    pub fn taken_permille(&self) -> i64 {
        permille(self.taken_milli(), self.capacity_milli)
    }
}

/// Nothing of nothing is nothing.
pub(super) fn permille(part: i64, all: i64) -> i64 {
    if all > 0 { part * 1000 / all } else { 0 }
}

impl AddAssign for Devices {
    fn add_assign(&mut self, other: Self) {
        self.capacity_milli += other.capacity_milli;
        self.failed_milli += other.failed_milli;
        self.used_milli += other.used_milli;
        self.held_milli += other.held_milli;
        self.idle_milli += other.idle_milli;
        self.stranded_milli += other.stranded_milli;
        self.closed_milli += other.closed_milli;
    }
}

impl SubAssign for Devices {
    fn sub_assign(&mut self, other: Self) {
        self.capacity_milli -= other.capacity_milli;
        self.failed_milli -= other.failed_milli;
        self.used_milli -= other.used_milli;
        self.held_milli -= other.held_milli;
        self.idle_milli -= other.idle_milli;
        self.stranded_milli -= other.stranded_milli;
        self.closed_milli -= other.closed_milli;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Change, Engine, Policy};
    use crate::model::node::NodeName;
    use crate::model::pod::Stage;
    use crate::testing::{node, pod};

    #[test]
    fn whatever_becomes_of_devices_they_add_up() {
        let mut engine = Engine::new(Policy::default());
        let h100 = |name: &str| node(name).has_working("nvidia.com/gpu", 8, 7);
        for node in [h100("open").build(), h100("cordoned").cordoned().build()] {
            engine.apply(Change::NodeApplied(Box::new(node)), 0);
        }
        let mut bound = pod("bound").gpus(2).build();
        bound.stage = Stage::Bound(NodeName::from("open"));
        engine.apply(Change::PodApplied(Box::new(bound)), 0);
        let kept = pod("kept").gpus(1).build();
        engine.assume(&kept, &NodeName::from("open"), u64::MAX).expect("it fits");

        let snapshot = engine.snapshot();
        let of = |name: &str| snapshot.devices(snapshot.slot(name).expect("a node")).expect("accelerators");
        let open = of("open");
        assert_eq!((open.capacity_milli, open.failed_milli), (8000, 1000));
        assert_eq!((open.used_milli, open.held_milli, open.closed_milli), (2000, 1000, 0));
        assert_eq!(open.free_milli(), 4000);
        let cordoned = of("cordoned");
        assert_eq!((cordoned.closed_milli, cordoned.free_milli(), cordoned.fragmentation_permille()), (7000, 0, 0));
        for Devices {
            capacity_milli,
            failed_milli,
            used_milli,
            held_milli,
            idle_milli,
            stranded_milli,
            closed_milli,
        } in [open, cordoned]
        {
            let sum = failed_milli + used_milli + held_milli + idle_milli + stranded_milli + closed_milli;
            assert_eq!(sum, capacity_milli);
        }
    }

    #[test]
    fn fragmentation_is_the_share_of_the_free_that_is_of_no_use() {
        let devices = Devices { capacity_milli: 8000, idle_milli: 3000, stranded_milli: 1000, ..Devices::default() };
        assert_eq!(devices.fragmentation_permille(), 250);
        assert_eq!(Devices::default().fragmentation_permille(), 0, "nothing of nothing");
    }
}
