//! The pods that controllers make of their objects, each kind as its controller does.

mod apps;
mod jobset;
mod kserve;
mod leader_worker_set;
mod ray;

use serde_json::Value;

use super::workload::WorkloadError;
use crate::k8s::object::{self, Metadata, StringMap};

/// The kinds of which it is known what pods they make.
pub const KNOWN: &str = "Pod, Deployment, ReplicaSet, StatefulSet, Job, LeaderWorkerSet, JobSet, RayCluster, RayJob, \
                         RayService, InferenceService";

/// Pods that one object makes, of one or several sets.
const MAX_PODS: i64 = 10_000;

/// What a controller makes of its object.
#[derive(Debug)]
pub(super) struct Made {
    /// Kind, namespace and name.
    pub name: String,
    /// How often these pods are made.
    pub copies: usize,
    /// The pods.
    pub pods: Vec<object::Pod>,
    /// Objects of other controllers that it makes beside them, and that describe gangs.
    pub beside: Vec<Value>,
}

/// What the controller of this kind makes; nothing for kinds that make no pods.
///
/// # Errors
/// When the object is not what its kind says, or makes too many pods.
pub(super) fn made(api_group: &str, kind: &str, object: &Value) -> Result<Vec<Made>, WorkloadError> {
    match (api_group, kind) {
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet") | ("batch", "Job") => apps::made(kind, object),
        ("leaderworkerset.x-k8s.io", "LeaderWorkerSet") => leader_worker_set::made(object),
        ("jobset.x-k8s.io", "JobSet") => jobset::made(object),
        ("ray.io", "RayCluster" | "RayJob" | "RayService") => ray::made(kind, object),
        ("serving.kserve.io", "InferenceService") => kserve::made(object),
        _ => Ok(vec![]),
    }
}

/// Fills in the namespace, and says who it is.
pub(super) fn describe(kind: &str, metadata: &mut Metadata) -> String {
    if metadata.namespace.is_empty() {
        metadata.namespace = "default".into();
    }
    format!("{kind} {}/{}", metadata.namespace, metadata.name)
}

/// A number of pods, or of sets of pods.
fn count(object: &str, field: &str, count: i64) -> Result<usize, WorkloadError> {
    let known = usize::try_from(count).ok().filter(|_| count <= MAX_PODS);
    known.ok_or_else(|| WorkloadError::Malformed {
        object: object.to_owned(),
        what: format!("{field}: {count} is not from 0 to {MAX_PODS}"),
    })
}

/// A pod from a template: `suffix` tells it from the others of its object.
fn pod(of: &Metadata, template: &object::Pod, suffix: &str, labels: &[(&str, &str)]) -> object::Pod {
    let mut pod = template.clone();
    pod.metadata.name = of.name.clone();
    pod.metadata.namespace.clone_from(&of.namespace);
    pod.metadata.uid = format!("plan:{}/{}-{suffix}", of.namespace, of.name);
    pod.metadata.labels.extend(labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    pod
}

/// What is said of one API on an object and goes for its pods.
fn said<'m>(annotations: &'m StringMap, domain: &'m str) -> impl Iterator<Item = (String, String)> + 'm {
    let own = annotations.iter().filter(move |(key, _)| key.split('/').next().is_some_and(|of| of.ends_with(domain)));
    own.map(|(key, value)| (key.clone(), value.clone()))
}
