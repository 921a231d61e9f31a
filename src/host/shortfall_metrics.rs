//! What is short of nodes or devices: computed when it is asked for. Followers know of no gang that waits, so that the sum
//! over all replicas is right.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use testudo_core::engine::{Engine, GangStage, GangView, Lack, Shortfall};

/// Gauges of what is lacking.
pub struct ShortfallMetrics {
    engine: Arc<Mutex<Engine>>,
}

/// Values by their labels.
type Values = BTreeMap<Vec<(&'static str, String)>, i64>;

#[derive(Debug, Default)]
struct Figures {
    gangs: Values,
    devices: Values,
    missing: Values,
}

impl ShortfallMetrics {
    pub fn new(engine: Arc<Mutex<Engine>>) -> Self {
        Self { engine }
    }

    fn figures(&self) -> Figures {
        let engine = self.engine.lock();
        let mut figures = Figures::default();
        // Of each group both are there from the start: what appears with its first gang shows no increase.
        let nodes = engine.cluster().slots().iter().flatten().filter_map(|state| state.node());
        for group in nodes.filter_map(|node| node.place.node_group.as_deref()) {
            for lack in [Lack::Counted, Lack::Unseen] {
                figures.missing.entry(missing_labels(group, lack)).or_default();
            }
        }
        let waiting = engine.gang_stages().filter(|(_, stage)| *stage < GangStage::Planned);
        for gang in waiting.filter_map(|(key, _)| engine.gang(key)) {
            figures.add(&gang);
        }
        figures
    }
}

impl Figures {
    fn add(&mut self, gang: &GangView) {
        let namespace = || ("namespace", gang.key.namespace.clone());
        for member in gang.members.iter().filter(|member| member.node.is_none() && !member.is_extra) {
            for (resource, _, count) in member.demand.accelerators() {
                *self.devices.entry(vec![namespace(), ("resource", resource.to_string())]).or_default() += count;
            }
        }
        if let Some(Shortfall { lack, missing }) = &gang.shortfall {
            *self.gangs.entry(vec![namespace(), autoscalable(*lack)]).or_default() += 1;
            let (group, nodes) = missing.as_ref().map_or(("", 0), |missing| (&*missing.group, missing.nodes));
            *self.missing.entry(missing_labels(group, *lack)).or_default() += nodes as i64;
        }
    }
}

fn missing_labels(group: &str, lack: Lack) -> Vec<(&'static str, String)> {
    vec![("node_group", group.to_owned()), autoscalable(lack)]
}

/// Does an autoscaler see it?
fn autoscalable(lack: Lack) -> (&'static str, String) {
    ("autoscalable", (lack == Lack::Counted).to_string())
}

impl fmt::Debug for ShortfallMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShortfallMetrics").finish_non_exhaustive()
    }
}

impl Collector for ShortfallMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Figures { gangs, devices, missing } = self.figures();
        let mut gauges = |name: &str, help: &str, values: Values| {
            let family: Family<Vec<(&'static str, String)>, Gauge> = Family::default();
            for (labels, value) in values {
                family.get_or_create(&labels).set(value);
            }
            let metric = encoder.encode_descriptor(name, help, None, family.metric_type())?;
            family.encode(metric)
        };
        let help =
            "Gangs that have been short of something for a while, by namespace and whether an autoscaler sees that";
        gauges("testudo_short_gangs", help, gangs)?;
        let help = "Accelerators that gangs without places ask for, by namespace and resource";
        gauges("testudo_wanted_devices", help, devices)?;
        let help =
            "Nodes that would be enough for gangs without places, by node group and whether an autoscaler sees that";
        gauges("testudo_missing_nodes", help, missing)
    }
}
