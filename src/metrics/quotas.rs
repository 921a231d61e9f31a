//! What namespaces have quotas of, and how much of them is in use.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::gauges::{OTHER, bounded, gauges};
use crate::host::Host;

/// Gauges of quotas.
pub(super) struct QuotaMetrics {
    host: Arc<Host>,
}

impl QuotaMetrics {
    /// Reads whatever snapshot is the newest when metrics are scraped.
    pub fn new(host: Arc<Host>) -> Self {
        Self { host }
    }
}

impl fmt::Debug for QuotaMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaMetrics").finish_non_exhaustive()
    }
}

impl Collector for QuotaMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.host.snapshot();
        let rows = snapshot.quotas().into_iter().map(|(namespace, item, used, limit)| {
            // Names of namespaces stay together, so that those beyond the limit are told together, item by item.
            (namespace, vec![(item.label(), used, limit)])
        });
        let by_namespace = bounded(rows, OTHER, |sum, more| {
            for (item, used, limit) in more {
                match sum.iter_mut().find(|(known, ..)| *known == item) {
                    Some((_, used_so_far, limit_so_far)) => {
                        *used_so_far += used;
                        *limit_so_far += limit;
                    }
                    None => sum.push((item, used, limit)),
                }
            }
        });
        let samples = by_namespace.iter().flat_map(|(namespace, items)| {
            items.iter().flat_map(|(item, used, limit)| {
                [("used", *used), ("limit", *limit)].map(|(state, milli)| {
                    let labels = [("namespace", *namespace), ("item", *item), ("state", state)];
                    (labels.map(|(name, value)| (name, value.to_owned())), milli as f64 / 1000.0)
                })
            })
        });
        let help = "What namespaces with quotas use of them and may use, by namespace, item and state";
        gauges(&mut encoder, "testudo_quota", help, samples)
    }
}
