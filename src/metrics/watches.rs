//! How fresh what we know is.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::gauges::gauges;
use crate::k8s::pulse::Pulse;

/// Gauges of the watches.
#[derive(Debug)]
pub(super) struct WatchMetrics {
    pulse: Pulse,
}

impl WatchMetrics {
    /// Tells for how long nothing was heard.
    pub fn new(pulse: Pulse) -> Self {
        Self { pulse }
    }
}

impl Collector for WatchMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let silences = self.pulse.silences();
        let samples = silences.into_iter().map(|(resource, silence)| ([("resource", resource)], silence.as_secs_f64()));
        let help =
            "Time since the API server was last heard of on a watch; a watch that stands is heard of every minute";
        gauges(&mut encoder, "testudo_watch_silence_seconds", help, samples)
    }
}
