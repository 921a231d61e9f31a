//! `leaderworkerset.x-k8s.io`: replicas of a leader and its workers.

use serde::Deserialize;
use serde_json::Value;

use super::{Made, count, describe, pod, said};
use crate::k8s::object::{self, Metadata, null_as_default};
use crate::plan::workload::{WorkloadError, read};

const SET: &str = "leaderworkerset.sigs.k8s.io";

#[derive(Default, Deserialize)]
#[serde(default)]
struct LeaderWorkerSet {
    #[serde(deserialize_with = "null_as_default")]
    metadata: Metadata,
    #[serde(deserialize_with = "null_as_default")]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    replicas: Option<i64>,
    #[serde(deserialize_with = "null_as_default")]
    leader_worker_template: Template,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Template {
    size: Option<i64>,
    leader_template: Option<object::Pod>,
    #[serde(deserialize_with = "null_as_default")]
    worker_template: object::Pod,
}

pub(super) fn made(object: &Value) -> Result<Vec<Made>, WorkloadError> {
    let LeaderWorkerSet { mut metadata, spec } = read("LeaderWorkerSet", object)?;
    let name = describe("LeaderWorkerSet", &mut metadata);
    let Template { size, leader_template, worker_template } = spec.leader_worker_template;
    let size = count(&name, "spec.leaderWorkerTemplate.size", size.unwrap_or(1))?.max(1);
    let copies = count(&name, "spec.replicas", spec.replicas.unwrap_or(1))?;
    let member = |at: usize| {
        let template = leader_template.as_ref().filter(|_| at == 0).unwrap_or(&worker_template);
        let number = at.to_string();
        let labels = [("apps.kubernetes.io/pod-index", number.as_str())];
        let mut pod = pod(&metadata, template, &number, &labels);
        let labels = [("name", metadata.name.clone()), ("group-index", "0".into()), ("worker-index", number.clone())];
        pod.metadata.labels.extend(labels.map(|(key, value)| (format!("{SET}/{key}"), value)));
        pod.metadata.annotations.extend(said(&metadata.annotations, SET));
        pod.metadata.annotations.insert(format!("{SET}/size"), size.to_string());
        pod
    };
    Ok(vec![Made { name, copies, pods: (0..size).map(member).collect(), beside: vec![] }])
}
