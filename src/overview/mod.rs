//! The fleet at a glance: how many devices are in use, kept for gangs, idle or stranded, by node pool; and which gangs wait.
//!
//! Pure: everything is computed from one [`Snapshot`] and the gangs beside it. `testudo top` and the web page show it.

mod prices;

use std::collections::BTreeMap;
use std::ops::AddAssign;

use testudo_core::cluster::{NodeState, Slot};
use testudo_core::engine::{GangStage, GangView, Snapshot};
use testudo_core::model::inventory::Inventory;
use testudo_core::model::place::{CapacityType, Place};
use testudo_core::model::resources::{ResourceName, Resources};

pub use prices::{Cost, PriceError, Prices};

/// The fleet at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overview {
    /// Nodes with accelerators by pool, in the order of the pools' names.
    pub pools: BTreeMap<PoolKey, PoolSummary>,
    /// Nodes without accelerators.
    pub other_nodes: usize,
    /// Gangs that have no places, or not all: the most important first.
    pub waiting: Vec<GangView>,
    /// Gangs of which all that must start together run, or are about to.
    pub placed_gangs: usize,
}

/// Nodes that are bought and grown alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PoolKey {
    /// The managed group, or else the instance type; empty where labels name neither.
    pub name: String,
    /// `node.kubernetes.io/instance-type`.
    pub instance_type: Option<String>,
    /// Spot, on-demand or reserved.
    pub capacity_type: Option<CapacityType>,
    /// What its accelerators are, where that is known.
    pub product: Option<String>,
}

/// What a pool has, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolSummary {
    /// How many nodes.
    pub nodes: usize,
    /// Of these, those of which no accelerator is in use or kept.
    pub idle_nodes: usize,
    /// Its devices.
    pub devices: Devices,
    /// Units by the name under which pods ask for them.
    pub units: BTreeMap<ResourceName, Units>,
}

/// Devices, in thousandths of one: slices and replicas are parts. What is not failed is used, held, idle or stranded.
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
}

/// Units of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Units {
    /// All.
    pub capacity: i64,
    /// Those that work.
    pub allocatable: i64,
    /// Those that can still be given to pods.
    pub free: i64,
}

impl Overview {
    /// Sums up a snapshot and the gangs of the same moment.
    pub fn of(snapshot: &Snapshot, gangs: impl IntoIterator<Item = GangView>) -> Self {
        let mut overview = Self::default();
        for (slot, state) in snapshot.slots().iter().enumerate() {
            let Some((state, node)) = state.as_ref().and_then(|state| Some((state, state.node()?))) else { continue };
            if !node.inventory.has_accelerators() {
                overview.other_nodes += 1;
                continue;
            }
            let pool = overview.pools.entry(PoolKey::of(&node.place, &node.inventory)).or_default();
            pool.add(snapshot, Slot::at(slot), state, &node.inventory);
        }
        let (waiting, placed): (Vec<_>, Vec<_>) = gangs.into_iter().partition(|gang| gang.stage < GangStage::Planned);
        overview.placed_gangs = placed.len();
        overview.waiting = waiting;
        overview.waiting.sort_by(|a, b| (b.priority, &a.key).cmp(&(a.priority, &b.key)));
        overview
    }

    /// The devices of all pools.
    pub fn devices(&self) -> Devices {
        let mut sum = Devices::default();
        self.pools.values().for_each(|pool| sum += pool.devices);
        sum
    }

    /// How many nodes have accelerators.
    pub fn accelerator_nodes(&self) -> usize {
        self.pools.values().map(|pool| pool.nodes).sum()
    }
}

impl PoolKey {
    /// The pool of a node.
    pub fn of(place: &Place, inventory: &Inventory) -> Self {
        let name = place.node_group.clone().or_else(|| place.instance_type.clone());
        Self {
            name: name.unwrap_or_default(),
            instance_type: place.instance_type.clone(),
            capacity_type: place.capacity_type,
            product: inventory.product.as_ref().map(|product| product.name.clone()),
        }
    }
}

impl PoolSummary {
    fn add(&mut self, snapshot: &Snapshot, slot: Slot, state: &NodeState, inventory: &Inventory) {
        let devices = Devices::of(snapshot, slot, state, inventory);
        self.nodes += 1;
        self.idle_nodes += usize::from(devices.used_milli + devices.held_milli == 0);
        self.devices += devices;
        for pool in &inventory.pools {
            let units = self.units.entry(pool.resource.clone()).or_default();
            units.capacity += pool.capacity;
            units.allocatable += pool.allocatable;
            units.free += state.free_units(pool).max(0);
        }
    }
}

impl Devices {
    fn of(snapshot: &Snapshot, slot: Slot, state: &NodeState, inventory: &Inventory) -> Self {
        let held: Resources = {
            let mut held = Resources::default();
            let unconfirmed = |uid| snapshot.unconfirmed().contains_key(uid);
            let holdings = state.holders().iter().filter(|(uid, _)| unconfirmed(uid));
            holdings.for_each(|(_, holding)| held.add(&holding.demand.requests));
            held
        };
        let mut devices = Self::default();
        let mut free_milli = 0;
        for (at, pool) in inventory.pools.iter().enumerate() {
            // Neuron hardware stands on a node under several names.
            if inventory.counted_by(at).0 != at {
                continue;
            }
            let milli = inventory.unit_milli(pool);
            let free = state.free_units(pool).clamp(0, pool.allocatable);
            let kept = held.get(pool.resource.as_str()).clamp(0, pool.allocatable - free);
            devices.capacity_milli += pool.capacity * milli;
            devices.failed_milli += (pool.capacity - pool.allocatable).max(0) * milli;
            devices.held_milli += kept * milli;
            devices.used_milli += (pool.allocatable - free - kept) * milli;
            free_milli += free * milli;
        }
        let usable_milli = snapshot.usable(slot).map_or(0, |usable| usable.usable_milli);
        devices.idle_milli = usable_milli.clamp(0, free_milli);
        devices.stranded_milli = free_milli - devices.idle_milli;
        devices
    }

    /// All that is free.
    pub fn free_milli(&self) -> i64 {
        self.idle_milli + self.stranded_milli
    }

    /// What share of all devices is in use, in percent.
    pub fn used_percent(&self) -> f64 {
        100.0 * self.used_milli as f64 / self.capacity_milli.max(1) as f64
    }

    /// What share of the free devices is of no use to the pods that come, in percent.
    pub fn fragmentation_percent(&self) -> f64 {
        100.0 * self.stranded_milli as f64 / self.free_milli().max(1) as f64
    }
}

impl AddAssign for Devices {
    fn add_assign(&mut self, other: Self) {
        self.capacity_milli += other.capacity_milli;
        self.failed_milli += other.failed_milli;
        self.used_milli += other.used_milli;
        self.held_milli += other.held_milli;
        self.idle_milli += other.idle_milli;
        self.stranded_milli += other.stranded_milli;
    }
}

#[cfg(test)]
mod tests;
