//! The section `tracing`: named as in the configurations of Kubernetes' own components.

use serde::Deserialize;

/// Whether a span is sent for each call and each plan, and where.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TracingSection {
    /// The collector that takes traces by OTLP over HTTP, such as `http://127.0.0.1:4318`. Without one none are made.
    pub endpoint: Option<String>,
    /// Of how many in a million calls and plans traces are sent; of all by default.
    pub sampling_rate_per_million: u32,
}

impl Default for TracingSection {
    fn default() -> Self {
        Self { endpoint: None, sampling_rate_per_million: MILLION }
    }
}

const MILLION: u32 = 1_000_000;

impl TracingSection {
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.sampling_rate_per_million > MILLION {
            return Err("tracing.samplingRatePerMillion must not be above 1000000".into());
        }
        Ok(())
    }
}
