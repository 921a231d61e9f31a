//! `apps` and `batch`: so many pods of one template.

use serde::Deserialize;
use serde_json::Value;

use super::{Made, count, describe, pod};
use crate::k8s::object::{self, Metadata, null_as_default};
use crate::plan::workload::{WorkloadError, read};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Controller {
    #[serde(deserialize_with = "null_as_default")]
    metadata: Metadata,
    #[serde(deserialize_with = "null_as_default")]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    replicas: Option<i64>,
    parallelism: Option<i64>,
    completions: Option<i64>,
    #[serde(deserialize_with = "null_as_default")]
    pub template: object::Pod,
}

impl Spec {
    /// How many pods of a Job run at a time.
    pub fn at_a_time(&self) -> i64 {
        let parallelism = self.parallelism.unwrap_or(1);
        self.completions.map_or(parallelism, |all| parallelism.min(all))
    }
}

pub(super) fn made(kind: &str, object: &Value) -> Result<Vec<Made>, WorkloadError> {
    let Controller { mut metadata, spec } = read(kind, object)?;
    let name = describe(kind, &mut metadata);
    let pods = if kind == "Job" { spec.at_a_time() } else { spec.replicas.unwrap_or(1) };
    let pods = count(&name, "number of pods", pods)?;
    let make = |at: usize| {
        let number = at.to_string();
        let index: &[(&str, &str)] = match kind {
            "StatefulSet" => &[("apps.kubernetes.io/pod-index", &number)],
            _ => &[],
        };
        let mut pod = pod(&metadata, &spec.template, &number, index);
        if kind == "Job" {
            pod.metadata.annotations.insert("batch.kubernetes.io/job-completion-index".into(), number.clone());
        }
        pod
    };
    // Of one that is scaled to nothing it can still be asked how many would fit.
    let copies = usize::from(pods > 0);
    Ok(vec![Made { name, copies, pods: (0..pods.max(1)).map(make).collect(), beside: vec![] }])
}
