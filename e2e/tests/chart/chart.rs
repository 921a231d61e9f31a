//! The chart, rendered; what goes wrong fails the test.

use anyhow::Result;
use serde_json::Value;
use testudo_e2e::chart::{self, API_VERSIONS};
pub use testudo_e2e::chart::{CHART, KUBE_VERSION, helm, objects, template as text_for};

/// Everything that can be switched on.
pub const EVERYTHING: &[&str] = &[
    "metrics.serviceMonitor.enabled=true",
    "metrics.prometheusRule.enabled=true",
    "metrics.dashboard.enabled=true",
    "policies.oneScheduler.enabled=true",
    "policies.noMixing.enabled=true",
    "policies.claimsNodes.enabled=true",
    "policies.gangAnnotations.enabled=true",
    "policies.promises.enabled=true",
    "policies.gpuServing.enabled=true",
    "policies.gangs.enabled=true",
    "policies.fence.enabled=true",
    "config.claims.deviceClasses={gpu.nvidia.com}",
    "config.autoscaling.enabled=true",
    "config.autoscaling.provisioningClass=check-capacity",
    "page.expose=true",
];

/// What `helm template` makes of the chart with these values (`--set`).
pub fn text(values: &[&str]) -> Result<String> {
    text_for(KUBE_VERSION, API_VERSIONS, values)
}

/// The chart's objects with these values.
pub fn render(values: &[&str]) -> Vec<Value> {
    chart::render(values).unwrap()
}

/// The one object of this kind and name.
pub fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    chart::object(objects, kind, name).unwrap()
}

/// Whether there is one of this kind and name.
pub fn has(objects: &[Value], kind: &str, name: &str) -> bool {
    chart::object(objects, kind, name).is_ok()
}
