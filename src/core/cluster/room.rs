//! What is free on a node, flat: decisions read it for thousands of nodes.

use crate::model::accelerator::AcceleratorResource;
use crate::model::inventory::Pool;
use crate::model::node::Node;
use crate::model::resources::{ResourceName, Resources};

/// What is free on a node. Below zero where more is held than the node has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Room {
    /// Thousandths of CPUs.
    pub cpu_milli: i64,
    /// Bytes.
    pub memory: i64,
    /// Pods that may still come.
    pub pods: i64,
    /// Units of each accelerator pool, in the order of the inventory's pools.
    pub units: Vec<i64>,
    /// Is any accelerator in use?
    pub accelerators_in_use: bool,
}

impl Room {
    pub(super) fn of(node: &Node, used: &Resources) -> Self {
        let free = |name: &str| node.parts.allocatable.get(name).saturating_sub(used.get(name));
        let pools = &node.inventory.pools;
        Self {
            cpu_milli: free(ResourceName::CPU),
            memory: free(ResourceName::MEMORY),
            pods: free(ResourceName::PODS),
            units: pools.iter().map(|pool| free_units(pool, pools, used)).collect(),
            accelerators_in_use: pools.iter().any(|pool| used.get(pool.resource.as_str()) > 0),
        }
    }
}

/// How many units of a pool can still be given to pods.
///
/// Neuron hardware stands on a node under several names: who takes a core takes part of a device, and who takes a
/// device takes its cores. A device in part use is not free.
fn free_units(pool: &Pool, pools: &[Pool], used: &Resources) -> i64 {
    let own = pool.allocatable.saturating_sub(used.get(pool.resource.as_str()));
    if !is_neuron(pool) {
        return own;
    }
    let twins = pools.iter().filter(|other| other.resource != pool.resource && is_neuron(other));
    twins.fold(own, |free, twin| {
        let used = used.get(twin.resource.as_str());
        free.saturating_sub(div_ceil(used.saturating_mul(pool.capacity), twin.capacity.max(1)))
    })
}

fn is_neuron(pool: &Pool) -> bool {
    AcceleratorResource::parse(pool.resource.as_str()).is_some_and(|resource| resource.is_neuron())
}

fn div_ceil(amount: i64, by: i64) -> i64 {
    amount / by + i64::from(amount % by != 0)
}
