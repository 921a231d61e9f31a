//! The chart, rendered by helm.

use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use testudo_e2e::manifests::workspace;
use testudo_e2e::tools;

/// Where the chart is, in the workspace.
pub const CHART: &str = "deploy/chart/testudo";

/// The version of the API server for which is rendered, unless a test says otherwise.
pub const KUBE_VERSION: &str = "v1.36.3";

/// Kinds that the API server is taken to serve beyond those that every supported version has.
const API_VERSIONS: &str = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";

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
];

/// Runs helm in the workspace.
pub fn helm<'a>(args: impl IntoIterator<Item = &'a str>) -> Result<Output> {
    let helm = tools::helm()?;
    Command::new(&helm).args(args).current_dir(workspace()).output().with_context(|| helm.display().to_string())
}

/// What `helm template` makes of the chart as release `testudo` with these values (`--set`).
pub fn text(values: &[&str]) -> Result<String> {
    text_for(KUBE_VERSION, API_VERSIONS, values)
}

/// The same for another API server.
pub fn text_for(kube_version: &str, api_versions: &str, values: &[&str]) -> Result<String> {
    let mut args = vec!["template", "testudo", CHART, "--namespace", "testudo-system", "--kube-version", kube_version];
    if !api_versions.is_empty() {
        args.extend(["--api-versions", api_versions]);
    }
    args.extend(values.iter().flat_map(|value| ["--set", *value]));
    let output = helm(args)?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The objects of a rendered text.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("not YAML")?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The chart's objects with these values.
pub fn render(values: &[&str]) -> Vec<Value> {
    objects(&text(values).unwrap()).unwrap()
}

/// The one object of this kind and name.
pub fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    let object = found.next().unwrap_or_else(|| panic!("there is no {kind} {name}"));
    assert!(found.next().is_none(), "there are several {kind} {name}");
    object
}

/// Whether there is one of this kind and name.
pub fn has(objects: &[Value], kind: &str, name: &str) -> bool {
    objects.iter().any(|object| object["kind"] == kind && object["metadata"]["name"] == name)
}
