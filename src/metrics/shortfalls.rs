//! What is short of nodes or devices: computed when it is asked for. Followers know of no gang that waits, so that the sum
//! over all replicas is right.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use testudo_core::engine::{GangView, Lack, Shortfall};

use super::gauges::{Labels, bounded_by_first, gauges};
use crate::host::Host;

/// Gauges of what is lacking.
pub(super) struct ShortfallMetrics {
    host: Arc<Host>,
}

/// Values by their labels.
type Values = BTreeMap<Labels<2>, i64>;

#[derive(Debug, Default)]
struct Figures {
    gangs: Values,
    devices: Values,
    missing: Values,
}

impl ShortfallMetrics {
    /// Looks at the gangs of this host when metrics are scraped.
    pub fn new(host: Arc<Host>) -> Self {
        Self { host }
    }

    fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        // Of each group both are there from the start: what appears with its first gang shows no increase.
        let snapshot = self.host.snapshot();
        let nodes = snapshot.slots().iter().flatten().filter_map(|state| state.node());
        for group in nodes.filter_map(|node| node.place.node_group.as_deref()) {
            for lack in [Lack::Counted, Lack::Unseen] {
                figures.missing.entry(missing_labels(group, lack)).or_default();
            }
        }
        self.host.gangs_in_want().iter().for_each(|gang| figures.add(gang));
        figures
    }
}

impl Figures {
    fn add(&mut self, gang: &GangView) {
        let namespace = || ("namespace", gang.key.namespace.clone());
        for member in gang.members.iter().filter(|member| member.node.is_none() && !member.is_extra) {
            for (resource, _, count) in member.demand.accelerators() {
                *self.devices.entry([namespace(), ("resource", resource.to_string())]).or_default() += count;
            }
        }
        if let Some(Shortfall { lack, missing }) = &gang.shortfall {
            *self.gangs.entry([namespace(), autoscalable(*lack)]).or_default() += 1;
            let (group, nodes) = missing.as_ref().map_or(("", 0), |missing| (&*missing.group, missing.nodes));
            *self.missing.entry(missing_labels(group, *lack)).or_default() += nodes as i64;
        }
    }
}

fn missing_labels(group: &str, lack: Lack) -> Labels<2> {
    [("node_group", group.to_owned()), autoscalable(lack)]
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
        let [gangs, devices, missing] = [gangs, devices, missing].map(bounded_by_first);
        let help =
            "Gangs that have been short of something for a while, by namespace and whether an autoscaler sees that";
        gauges(&mut encoder, "testudo_short_gangs", help, gangs)?;
        let help = "Accelerators that gangs without places ask for, by namespace and resource";
        gauges(&mut encoder, "testudo_wanted_devices", help, devices)?;
        let help =
            "Nodes that would be enough for gangs without places, by node group and whether an autoscaler sees that";
        gauges(&mut encoder, "testudo_missing_nodes", help, missing)
    }
}
