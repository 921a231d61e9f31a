//! What the newest snapshot holds.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::gauges::{OTHER, bounded, gauge, gauges};
use crate::host::Host;

/// Gauges of the fleet.
pub(super) struct FleetMetrics {
    host: Arc<Host>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Units {
    capacity: i64,
    allocatable: i64,
    used: i64,
}

impl FleetMetrics {
    /// Reads whatever snapshot is the newest when metrics are scraped.
    pub fn new(host: Arc<Host>) -> Self {
        Self { host }
    }
}

impl fmt::Debug for FleetMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetMetrics").finish_non_exhaustive()
    }
}

impl Collector for FleetMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.host.snapshot();
        let mut units: Vec<(&str, Units)> = vec![];
        let (mut nodes, mut holders) = (0, 0);
        for state in snapshot.slots().iter().flatten() {
            holders += state.holders().len();
            let Some(node) = state.node() else { continue };
            nodes += 1;
            units.extend(node.inventory.pools.iter().map(|pool| {
                let resource = pool.resource.as_str();
                let (capacity, allocatable) = (pool.capacity, pool.allocatable);
                (resource, Units { capacity, allocatable, used: state.used().get(resource) })
            }));
        }
        gauge(&mut encoder, "testudo_nodes", "Nodes known", nodes)?;
        gauge(&mut encoder, "testudo_placed_pods", "Pods that hold something on a node", holders as i64)?;
        let by_resource = bounded(units, OTHER, |sum, more| {
            sum.capacity += more.capacity;
            sum.allocatable += more.allocatable;
            sum.used += more.used;
        });
        let samples = by_resource.iter().flat_map(|(resource, units)| {
            let states = [("capacity", units.capacity), ("allocatable", units.allocatable), ("used", units.used)];
            states.map(|(state, amount)| ([("resource", (*resource).to_owned()), ("state", state.to_owned())], amount))
        });
        let help = "Units of accelerator resources over all nodes, by resource and state";
        gauges(&mut encoder, "testudo_accelerator_units", help, samples)
    }
}
