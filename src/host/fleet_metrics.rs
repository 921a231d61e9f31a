//! What the newest snapshot holds, computed when it is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::gauge::Gauge;
use testudo_core::cluster::Slot;
use testudo_core::engine::{Devices, Snapshot};
use testudo_core::model::resources::ResourceName;

/// Gauges of the fleet.
pub struct FleetMetrics {
    snapshot: Arc<ArcSwap<Snapshot>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Units {
    capacity: i64,
    allocatable: i64,
    used: i64,
}

impl FleetMetrics {
    /// Reads whatever snapshot is the newest when metrics are scraped.
    pub fn new(snapshot: Arc<ArcSwap<Snapshot>>) -> Self {
        Self { snapshot }
    }
}

impl fmt::Debug for FleetMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetMetrics").finish_non_exhaustive()
    }
}

impl Collector for FleetMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.snapshot.load();
        let mut units: BTreeMap<&ResourceName, Units> = BTreeMap::new();
        let (mut nodes, mut holders, mut devices) = (0, 0, Devices::default());
        for (slot, state) in snapshot.slots().iter().enumerate() {
            let Some(state) = state else { continue };
            holders += state.holders().len();
            let Some(node) = state.node() else { continue };
            nodes += 1;
            devices += snapshot.devices(Slot::at(slot)).unwrap_or_default();
            for pool in &node.inventory.pools {
                let sum = units.entry(&pool.resource).or_default();
                sum.capacity += pool.capacity;
                sum.allocatable += pool.allocatable;
                sum.used += state.used().get(pool.resource.as_str());
            }
        }
        gauge(&mut encoder, "testudo_nodes", "Nodes known", nodes)?;
        gauge(&mut encoder, "testudo_placed_pods", "Pods that hold something on a node", holders as i64)?;
        let family: Family<Vec<(String, String)>, Gauge> = Family::default();
        for (resource, units) in units {
            let states = [("capacity", units.capacity), ("allocatable", units.allocatable), ("used", units.used)];
            for (state, amount) in states {
                let labels =
                    vec![("resource".to_owned(), resource.to_string()), ("state".to_owned(), state.to_owned())];
                family.get_or_create(&labels).set(amount);
            }
        }
        let help = "Units of accelerator resources over all nodes, by resource and state";
        let metric = encoder.encode_descriptor("testudo_accelerator_units", help, None, family.metric_type())?;
        family.encode(metric)?;
        encode_devices(&mut encoder, &devices)
    }
}

/// Every device is counted in one state, parts of devices as parts. Fragmentation is stranded / (idle + stranded).
fn encode_devices(encoder: &mut DescriptorEncoder<'_>, devices: &Devices) -> fmt::Result {
    let family: Family<Vec<(String, String)>, Gauge<f64, AtomicU64>> = Family::default();
    let states = [
        ("used", devices.used_milli),
        ("held", devices.held_milli),
        ("idle", devices.idle_milli),
        ("stranded", devices.stranded_milli),
        ("closed", devices.closed_milli),
        ("failed", devices.failed_milli),
    ];
    for (state, milli) in states {
        family.get_or_create(&vec![("state".to_owned(), state.to_owned())]).set(milli as f64 / 1000.0);
    }
    let help = "Devices by what becomes of them; stranded ones are free and of no use to typical pods";
    let metric = encoder.encode_descriptor("testudo_devices", help, None, family.metric_type())?;
    family.encode(metric)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}
