//! What the newest snapshot holds.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use testudo_core::cluster::Slot;
use testudo_core::engine::Devices;

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
        let (mut nodes, mut holders, mut devices) = (0, 0, Devices::default());
        for (slot, state) in snapshot.slots().iter().enumerate() {
            let Some(state) = state else { continue };
            holders += state.holders().len();
            let Some(node) = state.node() else { continue };
            nodes += 1;
            devices += snapshot.devices(Slot::at(slot)).unwrap_or_default();
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
        gauges(&mut encoder, "testudo_accelerator_units", help, samples)?;
        let help = "Devices by what becomes of them, parts of devices as parts; stranded ones are free and of no use to \
                    typical pods";
        let devices = device_states(&devices).map(|(state, count)| ([("state", state.to_owned())], count));
        gauges(&mut encoder, "testudo_devices", help, devices)
    }
}

/// Devices by what becomes of them: each is counted in one state.
pub(super) fn device_states(devices: &Devices) -> [(&'static str, f64); 6] {
    let states = [
        ("used", devices.used_milli),
        ("held", devices.held_milli),
        ("idle", devices.idle_milli),
        ("stranded", devices.stranded_milli),
        ("closed", devices.closed_milli),
        ("failed", devices.failed_milli),
    ];
    states.map(|(state, milli)| (state, milli as f64 / 1000.0))
}
