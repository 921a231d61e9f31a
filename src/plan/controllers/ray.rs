//! `ray.io`: a head and groups of workers, of one or several hosts each. RayJobs and RayServices have a RayCluster inside.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Made, count, describe, pod};
use crate::k8s::object::{self, Metadata, null_as_default};
use crate::plan::workload::{WorkloadError, read};

#[derive(Default, Deserialize)]
#[serde(default)]
struct RayCluster {
    #[serde(deserialize_with = "null_as_default")]
    metadata: Metadata,
    #[serde(deserialize_with = "null_as_default")]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(deserialize_with = "null_as_default")]
    head_group_spec: HeadGroup,
    #[serde(deserialize_with = "null_as_default")]
    worker_group_specs: Vec<WorkerGroup>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HeadGroup {
    #[serde(deserialize_with = "null_as_default")]
    template: object::Pod,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WorkerGroup {
    #[serde(deserialize_with = "null_as_default")]
    suspend: bool,
    #[serde(deserialize_with = "null_as_default")]
    group_name: String,
    replicas: Option<i64>,
    min_replicas: Option<i64>,
    max_replicas: Option<i64>,
    num_of_hosts: Option<i64>,
    #[serde(deserialize_with = "null_as_default")]
    template: object::Pod,
}

impl WorkerGroup {
    /// As KubeRay counts them.
    fn replicas(&self) -> i64 {
        let least = self.min_replicas.unwrap_or(0);
        let wanted = self.replicas.unwrap_or(least).max(least).min(self.max_replicas.unwrap_or(i64::MAX));
        if self.suspend { 0 } else { wanted }
    }
}

/// Where the cluster stands in the objects that have one inside.
fn inside(kind: &str) -> Option<&'static str> {
    match kind {
        "RayJob" => Some("rayClusterSpec"),
        "RayService" => Some("rayClusterConfig"),
        _ => None,
    }
}

pub(super) fn made(kind: &str, object: &Value) -> Result<Vec<Made>, WorkloadError> {
    let of_controller: RayCluster = read(kind, object)?;
    let mut beside = vec![];
    let RayCluster { mut metadata, spec } = match inside(kind) {
        None => of_controller,
        Some(field) => {
            let cluster = json!({
                "apiVersion": object["apiVersion"], "kind": "RayCluster", "metadata": object["metadata"],
                "spec": object["spec"][field],
            });
            let read = read(kind, &cluster)?;
            beside.push(cluster);
            read
        }
    };
    let name = describe(kind, &mut metadata);
    let member = |suffix: &str, node_type: &str, group: &str, template: &object::Pod| {
        let labels = [
            ("ray.io/is-ray-node", "yes"),
            ("ray.io/cluster", metadata.name.as_str()),
            ("ray.io/node-type", node_type),
            ("ray.io/group", group),
        ];
        pod(&metadata, template, suffix, &labels)
    };
    let mut pods = vec![member("head", "head", "headgroup", &spec.head_group_spec.template)];
    for (at, group) in spec.worker_group_specs.iter().enumerate() {
        let path = format!("spec.workerGroupSpecs[{at}]");
        let hosts = count(&name, &format!("{path}.numOfHosts"), group.num_of_hosts.unwrap_or(1))?.max(1);
        let replicas = count(&name, &format!("{path}.replicas"), group.replicas())?;
        count(&name, &path, (pods.len() + replicas * hosts) as i64)?;
        for (replica, host) in (0..replicas).flat_map(|replica| (0..hosts).map(move |host| (replica, host))) {
            let suffix = format!("{}-{replica}-{host}", group.group_name);
            let mut pod = member(&suffix, "worker", &group.group_name, &group.template);
            let mut number = |key: &str, number: usize| pod.metadata.labels.insert(key.into(), number.to_string());
            number("ray.io/worker-group-replica-index", replica);
            // Of one host alone KubeRay writes no number.
            if hosts > 1 {
                number("ray.io/replica-host-index", host);
            }
            pods.push(pod);
        }
    }
    Ok(vec![Made { name, copies: 1, pods, beside }])
}
