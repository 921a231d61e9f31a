//! Who leads, asked for when metrics are scraped: a lease that has run out is seen at once.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Leadership;

/// What there is to tell about leadership.
pub struct LeaderMetrics {
    leadership: Leadership,
}

impl LeaderMetrics {
    /// Tells about this.
    pub fn new(leadership: Leadership) -> Self {
        Self { leadership }
    }
}

impl fmt::Debug for LeaderMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderMetrics").finish_non_exhaustive()
    }
}

impl Collector for LeaderMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let leads = ConstGauge::new(i64::from(self.leadership.leads()));
        let help = "1 if this replica leads: it answers and writes, the others follow";
        leads.encode(encoder.encode_descriptor("testudo_leader", help, None, leads.metric_type())?)?;
        let terms = ConstCounter::new(self.leadership.terms());
        let help = "How often this replica has become the leader";
        terms.encode(encoder.encode_descriptor("testudo_leader_terms", help, None, terms.metric_type())?)
    }
}
