//! Classes of nodes: nodes of one class are worth the same when the same is free on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::mix::Mix;
use super::room::{FlatRoom, MAX_POOLS};
use crate::cluster::NodeState;
use crate::model::accelerator::Unit;
use crate::model::inventory::Inventory;
use crate::model::node::Node;
use crate::model::resources::ResourceName;
use crate::placement::feasibility::check_admission;

/// What one unit of an accelerator resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceleratorUnit {
    /// On the first node, by name, that has it.
    pub unit: Unit,
    /// How many thousandths of a device it is.
    pub milli: i64,
}

/// What decides about the worth of free capacity, besides how much is free.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ClassKey {
    /// CPU and memory of the empty node, rounded: nodes of a kind differ by little.
    cpu: i64,
    memory: i64,
    /// Resource, units and thousandths of a device in a unit.
    pools: Vec<(ResourceName, i64, i64)>,
    device_worth: i64,
    /// Which conditions of the mix accept the node.
    accepted_with: u64,
}

/// A class of nodes.
#[derive(Debug, Clone)]
pub(super) struct Class {
    /// What is free on an empty node of it.
    pub empty: FlatRoom,
    /// Its accelerator resources, with the thousandths of a device in a unit.
    pub pools: Vec<(ResourceName, i64)>,
    /// Is the pool of this index one of thousandths?
    pub shared_pool: Option<usize>,
    /// Which conditions of the mix accept its nodes.
    accepted_with: u64,
    /// What one of its devices is worth, see [`device_worth`].
    pub device_worth: i64,
    /// The thousandths of devices of all its nodes together.
    pub milli: i64,
}

impl Class {
    /// Do pods with these conditions, by their position in the mix, accept nodes of this class?
    pub fn accepted_with(&self, conditions: usize) -> bool {
        self.accepted_with >> conditions & 1 == 1
    }

    /// The thousandths of devices of one empty node.
    pub fn capacity(&self) -> i64 {
        self.empty.free_milli(&self.pools)
    }

    /// The position of an accelerator's pool.
    pub fn pool(&self, resource: &ResourceName) -> Option<usize> {
        self.pools.iter().position(|(own, _)| own == resource)
    }
}

/// The classes of a fleet.
#[derive(Debug, Default)]
pub(super) struct Classes {
    pub classes: Vec<Class>,
    /// The class of each slot; none for free slots and nodes without accelerators.
    pub of_slot: Vec<Option<u16>>,
}

impl Classes {
    pub fn of(slots: &[Option<Arc<NodeState>>], mix: &Mix) -> Self {
        let mut known: BTreeMap<ClassKey, u16> = BTreeMap::new();
        let mut classes: Vec<Class> = vec![];
        let mut of_slot = vec![None; slots.len()];
        for (slot, state) in slots.iter().enumerate() {
            let Some(node) = state.as_ref().and_then(|state| state.node()) else { continue };
            if !node.inventory.has_accelerators() {
                continue;
            }
            let class = Self::class(node, mix, &mut known, &mut classes);
            classes[usize::from(class)].milli += milli(&node.inventory);
            of_slot[slot] = Some(class);
        }
        Self { classes, of_slot }
    }

    /// The class of a node, made if it is the first.
    fn class(node: &Node, mix: &Mix, known: &mut BTreeMap<ClassKey, u16>, classes: &mut Vec<Class>) -> u16 {
        let pools = &node.inventory.pools[..node.inventory.pools.len().min(MAX_POOLS)];
        let accepts = |at: usize| check_admission(&mix.conditions[at], node).is_ok();
        let key = ClassKey {
            cpu: rounded(node.parts.allocatable.get(ResourceName::CPU)),
            memory: rounded(node.parts.allocatable.get(ResourceName::MEMORY)),
            pools: pools
                .iter()
                .map(|pool| (pool.resource.clone(), pool.allocatable, node.inventory.unit_milli(pool)))
                .collect(),
            device_worth: device_worth(&node.inventory),
            accepted_with: (0..mix.conditions.len()).filter(|at| accepts(*at)).fold(0, |set, at| set | 1 << at),
        };
        if let Some(class) = known.get(&key) {
            return *class;
        }
        let class = u16::try_from(classes.len()).unwrap_or(u16::MAX);
        classes.push(Class {
            empty: FlatRoom::of(&NodeState::idle(node.clone())),
            pools: key.pools.iter().map(|(resource, _, milli)| (resource.clone(), *milli)).collect(),
            shared_pool: pools.iter().position(|pool| pool.unit == Unit::Thousandth),
            accepted_with: key.accepted_with,
            device_worth: key.device_worth,
            milli: 0,
        });
        known.insert(key, class);
        class
    }
}

/// The accelerator resources of a fleet.
pub fn accelerators(slots: &[Option<Arc<NodeState>>]) -> BTreeMap<ResourceName, AcceleratorUnit> {
    let mut nodes: Vec<&Node> = slots.iter().flatten().filter_map(|state| state.node()).map(AsRef::as_ref).collect();
    nodes.sort_by(|a, b| a.name().cmp(b.name()));
    let mut units = BTreeMap::new();
    for inventory in nodes.into_iter().map(|node| &node.inventory) {
        for pool in &inventory.pools {
            units
                .entry(pool.resource.clone())
                .or_insert_with(|| AcceleratorUnit { unit: pool.unit.clone(), milli: inventory.unit_milli(pool) });
        }
    }
    units
}

fn milli(inventory: &Inventory) -> i64 {
    inventory.pools.iter().map(|pool| pool.allocatable.saturating_mul(inventory.unit_milli(pool))).sum()
}

/// What a device with 32 GiB is worth.
pub(super) const UNIT_WORTH: i64 = 32;

/// What one device is worth: its memory in GiB, since a pod that can do with a smaller device should; a quarter more
/// where all devices are linked, since a pod that needs no links should stay away. Where the memory is not known, one unit.
fn device_worth(inventory: &Inventory) -> i64 {
    let gib = i64::from(inventory.device_memory_mib / 1024).clamp(0, 512);
    let worth = if gib == 0 { UNIT_WORTH } else { gib };
    if inventory.is_link_complete() { worth + worth / 4 } else { worth }
}

/// Rounds down in steps of a sixteenth or less.
fn rounded(amount: i64) -> i64 {
    let low_bits = (i64::BITS - amount.max(0).leading_zeros()).saturating_sub(5);
    amount.max(0) >> low_bits << low_bits
}
