//! The fleet that a mix is for: which accelerators it has, and of which kinds its nodes are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::room::{FlatRoom, MAX_POOLS, What};
use crate::cluster::{NodeState, Slots};
use crate::model::accelerator::Unit;
use crate::model::gpu_share::ShareRequest;
use crate::model::inventory::Inventory;
use crate::model::node::Node;
use crate::model::pod::Demand;
use crate::model::resources::ResourceName;
use crate::placement::feasibility::check_admission;

/// The nodes of a cluster, apart from what is in use on them.
#[derive(Debug, Default)]
pub struct Fleet {
    nodes: Vec<Option<Arc<Node>>>,
    /// The kinds, in the order of their keys.
    pub(super) kinds: Vec<Kind>,
    /// The kind of the node in each slot; none where there is none, or it has no accelerators.
    pub(super) kind_of_slot: Vec<Option<u16>>,
    pub(super) units: BTreeMap<ResourceName, AcceleratorUnit>,
    admissions: Mutex<BTreeMap<Demand, Admission>>,
}

/// Which slots have nodes that accept pods with certain conditions.
pub(super) type Admission = Arc<[bool]>;

/// What one unit of an accelerator resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AcceleratorUnit {
    /// On the first node, by name, that has it.
    pub unit: Unit,
    /// How many thousandths of a device it is.
    pub milli: i64,
}

/// A kind of node.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    /// What is free on an empty node of it: the first by name.
    pub empty: FlatRoom,
    /// Its accelerator resources, with the thousandths of a device in a unit.
    pub pools: Vec<(ResourceName, i64)>,
    /// By which pool each of them is counted, see [`Inventory::counted_by`].
    counted_by: Vec<(usize, i64)>,
    /// Is the pool of this index one of thousandths?
    shared_pool: Option<usize>,
    /// What one of its devices is worth, see [`device_worth`].
    pub device_worth: i64,
}

impl Kind {
    /// The thousandths of devices of one empty node.
    pub fn capacity(&self) -> i64 {
        self.empty.free_milli(&self.pools)
    }

    /// What so many units of an accelerator take of a node, with the thousandths of devices that they are; none if it
    /// does not have the accelerator or cannot have so many units.
    pub fn what(&self, resource: &ResourceName, units: i64) -> Option<(What, i64)> {
        let pool = self.pools.iter().position(|(own, _)| own == resource)?;
        if self.shared_pool == Some(pool) {
            let what = match ShareRequest::of(units)? {
                ShareRequest::Part(thousandths) => What::Part(thousandths),
                ShareRequest::Whole(gpus) => What::Whole(gpus),
            };
            return Some((what, units));
        }
        let (pool, times) = self.counted_by[pool];
        let count = u16::try_from(units.checked_mul(times)?).ok()?;
        Some((What::Units { pool: u8::try_from(pool).ok()?, count }, i64::from(count) * self.pools.get(pool)?.1))
    }
}

/// What makes a node one of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct KindKey {
    /// CPU and memory of the empty node, rounded: nodes of a kind differ by little.
    cpu: i64,
    memory: i64,
    /// Resource, units and thousandths of a device in a unit.
    pools: Vec<(ResourceName, i64, i64)>,
    device_worth: i64,
}

/// Most kinds of nodes that are told apart. Places on the others are all equal.
const MAX_KINDS: usize = 512;

/// How many conditions are remembered with the nodes that accept them; past that they are forgotten all at once.
const MAX_ADMISSIONS: usize = 1024;

impl Fleet {
    /// The fleet of the nodes in these slots.
    pub fn of(slots: &Slots) -> Self {
        let nodes: Vec<Option<Arc<Node>>> =
            slots.iter().map(|state| state.as_ref().and_then(|state| state.node()).cloned()).collect();
        let with_accelerators = |(slot, node): (usize, &'_ Option<Arc<Node>>)| {
            Some((slot, node.clone().filter(|n| n.inventory.has_accelerators())?))
        };
        let mut by_name: Vec<(usize, Arc<Node>)> = nodes.iter().enumerate().filter_map(with_accelerators).collect();
        by_name.sort_by(|(_, a), (_, b)| a.name().cmp(b.name()));
        let mut units = BTreeMap::new();
        let mut kinds: BTreeMap<KindKey, (&Node, Vec<usize>)> = BTreeMap::new();
        for (slot, node) in &by_name {
            for pool in &node.inventory.pools {
                units.entry(pool.resource.clone()).or_insert_with(|| AcceleratorUnit {
                    unit: pool.unit.clone(),
                    milli: node.inventory.unit_milli(pool),
                });
            }
            kinds.entry(KindKey::of(node)).or_insert_with(|| (node, vec![])).1.push(*slot);
        }
        let mut kind_of_slot = vec![None; slots.len()];
        for (kind, (_, slots)) in kinds.values().take(MAX_KINDS).enumerate() {
            for slot in slots {
                kind_of_slot[*slot] = Some(kind as u16);
            }
        }
        let kinds = kinds.values().take(MAX_KINDS).map(|(node, _)| Kind::of(node)).collect();
        Self { nodes, kinds, kind_of_slot, units, admissions: Mutex::default() }
    }

    /// Which slots have nodes that accept pods with these conditions.
    pub(super) fn admission(&self, conditions: &Demand) -> Admission {
        let mut known = self.admissions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(admission) = known.get(conditions) {
            return Arc::clone(admission);
        }
        if known.len() >= MAX_ADMISSIONS {
            known.clear();
        }
        let admits =
            |node: &Option<Arc<Node>>| node.as_ref().is_some_and(|node| check_admission(conditions, node).is_ok());
        let admission: Admission = self.nodes.iter().map(admits).collect();
        known.insert(conditions.clone(), Arc::clone(&admission));
        admission
    }
}

impl KindKey {
    fn of(node: &Node) -> Self {
        let inventory = &node.inventory;
        let pools = inventory.pools.iter().take(MAX_POOLS);
        Self {
            cpu: rounded(node.parts.allocatable.get(ResourceName::CPU)),
            memory: rounded(node.parts.allocatable.get(ResourceName::MEMORY)),
            pools: pools.map(|pool| (pool.resource.clone(), pool.allocatable, inventory.unit_milli(pool))).collect(),
            device_worth: device_worth(inventory),
        }
    }
}

impl Kind {
    fn of(node: &Node) -> Self {
        let inventory = &node.inventory;
        let pools = || inventory.pools.iter().take(MAX_POOLS);
        Self {
            empty: FlatRoom::of(&NodeState::idle(node.clone())),
            pools: pools().map(|pool| (pool.resource.clone(), inventory.unit_milli(pool))).collect(),
            counted_by: (0..pools().len()).map(|at| inventory.counted_by(at)).collect(),
            shared_pool: pools().position(|pool| pool.unit == Unit::Thousandth),
            device_worth: device_worth(inventory),
        }
    }
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
