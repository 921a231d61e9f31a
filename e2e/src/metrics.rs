//! Reading what a server counts.

use anyhow::{Context, Result, ensure};
use http::StatusCode;

use crate::endpoint::Endpoint;

/// One reading of `/metrics`.
#[derive(Debug, Clone)]
pub struct Metrics(String);

impl Metrics {
    /// Reads `/metrics` of `server`.
    pub async fn read(server: &Endpoint) -> Result<Self> {
        let reply = server.get("/metrics").await?;
        ensure!(reply.status == StatusCode::OK, "/metrics of {} answered {}", server.url(), reply.status);
        Ok(Self(reply.body))
    }

    /// The sum of all samples of `name` that have all of `labels`; 0 if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let mut sum = 0.0;
        for line in self.0.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.split_once("} ").or_else(|| line.split_once(' ')) else { continue };
            let (found, has) = series.split_once('{').unwrap_or((series, ""));
            if found == name && labels.iter().all(|(key, value)| has.contains(&format!("{key}=\"{value}\""))) {
                let number = value.split_whitespace().next().unwrap_or_default();
                sum += number.parse::<f64>().with_context(|| format!("not a sample: {line}"))?;
            }
        }
        Ok(sum)
    }

    /// The same as a count of events.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> Result<u64> {
        Ok(self.sum(name, labels)? as u64)
    }
}
