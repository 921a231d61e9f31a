//! `serving.kserve.io`: a Deployment of the predictor, and one of its workers where it spans several nodes.
//!
//! What a ServingRuntime would fill in stands elsewhere in the cluster: what the predictor asks for has to be said with it.

use serde::Deserialize;
use serde_json::Value;

use super::{Made, count, describe, pod};
use crate::k8s::object::{self, Metadata, PodSpec, ResourceRequirements, StringMap, null_as_default};
use crate::plan::workload::{WorkloadError, read};

#[derive(Default, Deserialize)]
#[serde(default)]
struct InferenceService {
    #[serde(deserialize_with = "null_as_default")]
    metadata: Metadata,
    #[serde(deserialize_with = "null_as_default")]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(deserialize_with = "null_as_default")]
    predictor: Predictor,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Predictor {
    #[serde(deserialize_with = "null_as_default")]
    labels: StringMap,
    #[serde(deserialize_with = "null_as_default")]
    annotations: StringMap,
    min_replicas: Option<i64>,
    model: Option<Model>,
    worker_spec: Option<Worker>,
    #[serde(flatten)]
    pod: PodSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Model {
    #[serde(deserialize_with = "null_as_default")]
    resources: ResourceRequirements,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Worker {
    pipeline_parallel_size: Option<i64>,
    tensor_parallel_size: Option<i64>,
    #[serde(flatten)]
    pod: PodSpec,
}

impl Predictor {
    /// The pod of the head: the model's container beside those that are given.
    fn head(&self) -> object::Pod {
        let mut spec = self.pod.clone();
        let model = self.model.iter().map(|model| object::Container {
            name: "kserve-container".into(),
            resources: model.resources.clone(),
            ..object::Container::default()
        });
        spec.containers.extend(model);
        self.with_metadata(spec)
    }

    fn with_metadata(&self, spec: PodSpec) -> object::Pod {
        let metadata =
            Metadata { labels: self.labels.clone(), annotations: self.annotations.clone(), ..Metadata::default() };
        object::Pod { metadata, spec, ..object::Pod::default() }
    }
}

fn asks_for_nothing(pod: &object::Pod) -> bool {
    let is_empty = |of: &ResourceRequirements| of.requests.is_empty() && of.limits.is_empty();
    pod.spec.containers.iter().all(|container| is_empty(&container.resources))
}

fn unseen(object: String, path: &str, field: &str) -> WorkloadError {
    let what =
        format!("{path} says no resources, and what its ServingRuntime says is not seen here: give them in {field}");
    WorkloadError::Malformed { object, what }
}

/// GPUs of one pod, by which KServe counts nodes.
fn gpus(pod: &PodSpec) -> i64 {
    let amount = |of: &object::Container| {
        let resources = &of.resources;
        let text = resources.limits.get("nvidia.com/gpu").or_else(|| resources.requests.get("nvidia.com/gpu"));
        text.and_then(|text| text.0.parse::<i64>().ok()).unwrap_or(0)
    };
    pod.containers.iter().map(amount).sum::<i64>().max(1)
}

pub(super) fn made(object: &Value) -> Result<Vec<Made>, WorkloadError> {
    let InferenceService { mut metadata, spec: Spec { mut predictor } } = read("InferenceService", object)?;
    let name = describe("InferenceService", &mut metadata);
    for (key, value) in &metadata.annotations {
        predictor.annotations.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let head = predictor.head();
    if asks_for_nothing(&head) {
        return Err(unseen(name, "spec.predictor", "spec.predictor.model.resources"));
    }
    let replicas = count(&name, "spec.predictor.minReplicas", predictor.min_replicas.unwrap_or(1))?;
    let labels = [("serving.kserve.io/inferenceservice", metadata.name.as_str()), ("component", "predictor")];
    let Some(worker) = &predictor.worker_spec else {
        let pods = (0..replicas.max(1)).map(|at| pod(&metadata, &head, &at.to_string(), &labels)).collect();
        return Ok(vec![Made { name, copies: usize::from(replicas > 0), pods, beside: vec![] }]);
    };
    let template = predictor.with_metadata(worker.pod.clone());
    if asks_for_nothing(&template) {
        let path = "spec.predictor.workerSpec";
        return Err(unseen(name, path, &format!("{path}.containers[].resources")));
    }
    let parallel = worker.pipeline_parallel_size.unwrap_or(1).saturating_mul(worker.tensor_parallel_size.unwrap_or(1));
    let hosts = parallel.max(1).div_euclid(gpus(&worker.pod)) + i64::from(parallel % gpus(&worker.pod) != 0);
    let workers = count(&name, "spec.predictor.workerSpec", hosts - 1)?;
    let mut pods = vec![pod(&metadata, &head, "head", &labels)];
    pods.extend((0..workers).map(|at| pod(&metadata, &template, &format!("worker-{at}"), &labels)));
    Ok(vec![Made { name, copies: 1, pods, beside: vec![] }])
}
