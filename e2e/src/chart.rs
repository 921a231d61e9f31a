//! The chart of `deploy/`, rendered by helm: what it ships is what the tests run.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::manifests::workspace;
use crate::tools::{self, Version};

/// Where the chart is, in the workspace.
pub const CHART: &str = "deploy/chart/testudo";

/// The version of the API server for which is rendered, unless another is named.
pub const KUBE_VERSION: &str = "v1.36.3";

/// What the API server of [`KUBE_VERSION`] serves beyond those of every supported version.
pub const API_VERSIONS: &str = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";

/// Runs helm in the workspace.
pub fn helm<'a>(args: impl IntoIterator<Item = &'a str>) -> Result<Output> {
    let helm = tools::helm()?;
    Command::new(&helm).args(args).current_dir(workspace()).output().with_context(|| helm.display().to_string())
}

/// What `helm template` makes of the chart as release `testudo` with these values (`--set`), for an API server of this
/// version that serves this kind, too, unless it is empty.
pub fn template(kube_version: &str, api_versions: &str, values: &[&str]) -> Result<String> {
    template_of(CHART, kube_version, api_versions, values)
}

/// The same of the chart in this folder.
fn template_of(chart: &str, kube_version: &str, api_versions: &str, values: &[&str]) -> Result<String> {
    let mut args = vec!["template", "testudo", chart, "--namespace", "testudo-system", "--kube-version", kube_version];
    if !api_versions.is_empty() {
        args.extend(["--api-versions", api_versions]);
    }
    args.extend(values.iter().flat_map(|value| ["--set", *value]));
    let output = helm(args)?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).context("helm writes no UTF-8")
}

/// The objects of the chart with these values, for the API server of the tests.
pub fn render(values: &[&str]) -> Result<Vec<Value>> {
    objects(&match Version::from_env()? {
        Version::V1_36 => template(KUBE_VERSION, API_VERSIONS, values)?,
        older => template(&format!("v{older}.0"), "", values)?,
    })
}

/// The objects of the chart of another checkout of the repository.
pub fn render_of(checkout: &Path, values: &[&str]) -> Result<Vec<Value>> {
    let chart = checkout.join(CHART).display().to_string();
    objects(&template_of(&chart, KUBE_VERSION, API_VERSIONS, values)?)
}

/// The objects of a rendered text.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("not YAML")?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The one object of this kind and name.
pub fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    let mut found = objects.iter().filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    let object = found.next().with_context(|| format!("there is no {kind} {name}"))?;
    ensure!(found.next().is_none(), "there are several {kind} {name}");
    Ok(object)
}

/// A file of a ConfigMap.
pub fn file<'a>(objects: &'a [Value], config_map: &str, name: &str) -> Result<&'a str> {
    let data = &object(objects, "ConfigMap", config_map)?["data"][name];
    data.as_str().with_context(|| format!("ConfigMap {config_map} has no {name}"))
}
