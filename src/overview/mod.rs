//! The fleet at a glance: how many devices are in use, kept for gangs, idle or stranded, by node pool; and which gangs wait.
//!
//! Pure: everything is computed from one [`Snapshot`] and the gangs beside it. `testudo top` and the web page show it.

mod prices;

use std::collections::BTreeMap;
use std::fmt;

use testudo_core::claims::Gpu;
use testudo_core::cluster::{NodeState, Slot};
use testudo_core::engine::{Devices, GangStage, GangView, Snapshot};
use testudo_core::model::inventory::Inventory;
use testudo_core::model::node::Node;
use testudo_core::model::place::CapacityType;
use testudo_core::model::resources::ResourceName;

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
            let Some(devices) = snapshot.devices(Slot::at(slot)) else {
                overview.other_nodes += 1;
                continue;
            };
            let gpus = snapshot.gpus().get(node.name()).map(|gpus| gpus.as_slice());
            let pool = overview.pools.entry(PoolKey::of(node, gpus)).or_default();
            pool.add(devices, state, &node.inventory);
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

    /// What the devices of all pools cost in an hour that do no work.
    pub fn cost(&self, prices: Option<&Prices>) -> Cost {
        Cost::of(self.pools.iter().map(|(key, pool)| (key, pool.nodes, &pool.devices)), prices)
    }

    /// How many nodes have accelerators.
    pub fn accelerator_nodes(&self) -> usize {
        self.pools.values().map(|pool| pool.nodes).sum()
    }
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.name.is_empty() { "(no group)" } else { &self.name })
    }
}

impl PoolKey {
    /// The pool of a node; `gpus` are those that claims can have.
    pub fn of(node: &Node, gpus: Option<&[Gpu]>) -> Self {
        let Node { place, inventory, .. } = node;
        let product = inventory.product.as_ref().map(|product| product.name.clone());
        let name = place.node_group.clone().or_else(|| place.instance_type.clone());
        Self {
            name: name.unwrap_or_default(),
            instance_type: place.instance_type.clone(),
            capacity_type: place.capacity_type,
            product: product.or_else(|| gpus.into_iter().flatten().find_map(|gpu| gpu.product.clone())),
        }
    }
}

impl PoolSummary {
    fn add(&mut self, devices: Devices, state: &NodeState, inventory: &Inventory) {
        self.nodes += 1;
        self.idle_nodes += usize::from(devices.taken_milli() == 0);
        self.devices += devices;
        for pool in &inventory.pools {
            let units = self.units.entry(pool.resource.clone()).or_default();
            units.capacity += pool.capacity;
            units.allocatable += pool.allocatable;
            units.free += state.free_units(pool).max(0);
        }
    }
}

#[cfg(test)]
mod tests;
