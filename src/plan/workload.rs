//! What is to be placed: manifests become the pods that their controllers would make of them.
//!
//! A workload comes in copies that are placed one after the other: a pod of a Deployment, a replica of a LeaderWorkerSet, all
//! pods of a gang. Pods, Deployments, ReplicaSets, StatefulSets, Jobs and LeaderWorkerSets are known, and objects that
//! describe gangs beside their pods.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use testudo_core::model::gang::{GangKey, Group};
use thiserror::Error;

use crate::k8s::gang::copies;
use crate::k8s::gang::objects::{self, GroupObject, KINDS};
use crate::k8s::object::{self, Metadata, null_as_default};
use crate::k8s::pod;

/// Copies of one sort.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Kind, namespace and name: `Deployment team/vllm`.
    pub name: String,
    /// How many copies the manifest asks for.
    pub copies: usize,
    /// The pods of a copy, as the manifest has them.
    pods: Vec<object::Pod>,
    /// What group objects say of its gang.
    groups: Vec<Group>,
    /// The gang of a copy, if it is one.
    gang: Option<GangKey>,
}

/// Why manifests cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WorkloadError {
    /// An object is not what its kind says.
    #[error("{object}: {what}")]
    Malformed {
        /// Which.
        object: String,
        /// What is wrong.
        what: String,
    },
    /// A pod runs already.
    #[error(
        "{0} has a node already, so it is no workload to plan: files without nodes are workloads; put the pods of the \
         cluster into one file with its nodes, or take a snapshot"
    )]
    Bound(String),
    /// There is nothing to plan.
    #[error("there is no workload in {files}; give a Pod, Deployment, ReplicaSet, StatefulSet, Job or LeaderWorkerSet")]
    Nothing {
        /// Where it was looked for.
        files: String,
    },
}

/// Members of a gang that are pods of their own, or pods that a controller makes.
const MAX_PODS: i64 = 10_000;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Controller {
    #[serde(deserialize_with = "null_as_default")]
    metadata: Metadata,
    #[serde(deserialize_with = "null_as_default")]
    spec: ControllerSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ControllerSpec {
    replicas: Option<i64>,
    parallelism: Option<i64>,
    completions: Option<i64>,
    #[serde(deserialize_with = "null_as_default")]
    template: object::Pod,
    #[serde(deserialize_with = "null_as_default")]
    leader_worker_template: LeaderWorkerTemplate,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeaderWorkerTemplate {
    size: Option<i64>,
    leader_template: Option<object::Pod>,
    #[serde(deserialize_with = "null_as_default")]
    worker_template: object::Pod,
}

/// The workloads of manifests, in their order; pods of one gang are one workload.
///
/// # Errors
/// When an object cannot be read.
pub fn workloads(objects: &[Value]) -> Result<Vec<Workload>, WorkloadError> {
    let mut reader = Reader::default();
    objects.iter().try_for_each(|object| reader.add(object))?;
    Ok(reader.finish())
}

#[derive(Default)]
struct Reader {
    workloads: Vec<Workload>,
    /// Which workload the pods of a gang went to.
    of_gang: BTreeMap<GangKey, usize>,
    groups: Vec<Group>,
}

impl Reader {
    fn add(&mut self, object: &Value) -> Result<(), WorkloadError> {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let (group, kind) = (text("apiVersion").split_once('/').map_or("", |(group, _)| group), text("kind"));
        match (group, kind) {
            ("", "Pod") => self.pod(read(kind, object)?)?,
            ("apps", "Deployment" | "ReplicaSet" | "StatefulSet") | ("batch", "Job") => {
                self.controller(kind, read(kind, object)?)?;
            }
            ("leaderworkerset.x-k8s.io", "LeaderWorkerSet") => {
                self.group_object(object)?;
                self.leader_worker_set(read(kind, object)?)?;
            }
            _ => self.group_object(object)?,
        }
        Ok(())
    }

    fn pod(&mut self, mut pod: object::Pod) -> Result<(), WorkloadError> {
        let name = describe("Pod", &mut pod.metadata);
        if pod.metadata.uid.is_empty() {
            pod.metadata.uid = format!("plan:{}/{}", pod.metadata.namespace, pod.metadata.name);
        }
        if pod.spec.node_name.as_ref().is_some_and(|node| !node.is_empty()) {
            return Err(WorkloadError::Bound(name));
        }
        self.push(name, 1, vec![pod])
    }

    fn controller(&mut self, kind: &str, mut controller: Controller) -> Result<(), WorkloadError> {
        let name = describe(kind, &mut controller.metadata);
        let ControllerSpec { replicas, parallelism, completions, template, .. } = controller.spec;
        let pods = match kind {
            "Job" => completions.map_or(parallelism.unwrap_or(1), |all| parallelism.unwrap_or(1).min(all)),
            _ => replicas.unwrap_or(1),
        };
        let pods = count(&name, "number of pods", pods)?;
        let pod = |at| made(&controller.metadata, template.clone(), kind, at);
        if pods > 0 && gang_of(&pod(0)).is_some() {
            return self.push(name, 1, (0..pods).map(pod).collect());
        }
        self.push(name, pods, vec![pod(0)])
    }

    fn leader_worker_set(&mut self, mut set: Controller) -> Result<(), WorkloadError> {
        const SET: &str = "leaderworkerset.sigs.k8s.io";
        let name = describe("LeaderWorkerSet", &mut set.metadata);
        let LeaderWorkerTemplate { size, leader_template, worker_template } = set.spec.leader_worker_template;
        let size = count(&name, "spec.leaderWorkerTemplate.size", size.unwrap_or(1))?.max(1);
        let copies = count(&name, "spec.replicas", set.spec.replicas.unwrap_or(1))?;
        let member = |at: usize| {
            let template = leader_template.as_ref().filter(|_| at == 0).unwrap_or(&worker_template);
            let mut pod = made(&set.metadata, template.clone(), "StatefulSet", at);
            let labels =
                [("name", set.metadata.name.clone()), ("group-index", "0".into()), ("worker-index", at.to_string())];
            pod.metadata.labels.extend(labels.map(|(key, value)| (format!("{SET}/{key}"), value)));
            let said = set.metadata.annotations.iter().filter(|(key, _)| key.starts_with(SET));
            pod.metadata.annotations.extend(said.map(|(key, value)| (key.clone(), value.clone())));
            pod.metadata.annotations.insert(format!("{SET}/size"), size.to_string());
            pod
        };
        self.push(name, copies, (0..size).map(member).collect())
    }

    /// An object that says something of a gang; others, such as Services, are passed over.
    fn group_object(&mut self, object: &Value) -> Result<(), WorkloadError> {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let (api_group, version) = text("apiVersion").split_once('/').unwrap_or_default();
        let Some(kind) = KINDS.iter().find(|kind| kind.name == text("kind") && kind.api_group == api_group) else {
            return Ok(());
        };
        let mut group: GroupObject = read(kind.name, object)?;
        let name = describe(kind.name, &mut group.metadata);
        let (groups, problems) = objects::decode(kind, version, &group)
            .map_err(|what| WorkloadError::Malformed { object: name.clone(), what })?;
        if let Some(problem) = problems.into_iter().find(|problem| problem.blocking) {
            return Err(WorkloadError::Malformed { object: name, what: problem.to_string() });
        }
        self.groups.extend(groups);
        Ok(())
    }

    /// Adds copies of these pods. Pods of a gang that is known already join it.
    fn push(&mut self, name: String, copies: usize, pods: Vec<object::Pod>) -> Result<(), WorkloadError> {
        let gang = pods.first().and_then(gang_of);
        for pod in &pods {
            let problem = pod::decode(pod).1.into_iter().find(|problem| problem.blocking);
            if let Some(problem) = problem {
                return Err(WorkloadError::Malformed { object: name, what: problem.to_string() });
            }
        }
        if let Some(at) = gang.as_ref().and_then(|gang| self.of_gang.get(gang)) {
            self.workloads[*at].pods.extend(pods);
            return Ok(());
        }
        if let Some(gang) = &gang {
            self.of_gang.insert(gang.clone(), self.workloads.len());
        }
        self.workloads.push(Workload { name, copies, pods, groups: vec![], gang });
        Ok(())
    }

    fn finish(self) -> Vec<Workload> {
        let mut workloads = self.workloads;
        for workload in &mut workloads {
            let describes = |group: &&Group| {
                workload.gang.as_ref().is_some_and(|gang| gang.described_by().any(|key| key == group.key))
            };
            workload.groups = self.groups.iter().filter(describes).cloned().collect();
        }
        workloads
    }
}

impl Workload {
    /// How many pods a copy has.
    pub fn pods(&self) -> usize {
        self.pods.len()
    }

    /// The same with this scheduler for pods that name none.
    #[must_use]
    pub fn scheduled_by(mut self, scheduler: &str) -> Self {
        for pod in &mut self.pods {
            pod.spec.scheduler_name.get_or_insert_with(|| scheduler.to_owned());
        }
        self
    }

    /// Do the pods of a copy start together?
    pub fn is_gang(&self) -> bool {
        self.gang.is_some()
    }

    /// The pods of a copy, each with a name and a gang that nobody else has, and what is said of that gang.
    pub fn copy(&self, number: usize) -> (Vec<object::Pod>, Vec<Group>) {
        let pods = self.pods.iter().enumerate().map(|(at, pod)| {
            let mut pod = pod.clone();
            pod.metadata.name = format!("{}-plan-{number}-{at}", pod.metadata.name);
            pod.metadata.uid = format!("plan:{}/{}", pod.metadata.namespace, pod.metadata.name);
            // Whether somebody else lets it be scheduled, and when, is not asked here.
            pod.spec.scheduling_gates.clear();
            pod.status = object::PodStatus { phase: Some("Pending".into()), ..object::PodStatus::default() };
            if let Some(gang) = &self.gang {
                copies::join(&mut pod, gang, number);
            }
            pod
        });
        let groups = self.groups.iter().map(|group| copies::group(group, number));
        (pods.collect(), groups.collect())
    }
}

fn gang_of(pod: &object::Pod) -> Option<GangKey> {
    pod::decode(pod).0.membership.as_ref().map(|membership| membership.gang.clone())
}

/// The pod that a controller makes from a template.
fn made(of: &Metadata, mut pod: object::Pod, kind: &str, at: usize) -> object::Pod {
    pod.metadata.name = of.name.clone();
    pod.metadata.namespace.clone_from(&of.namespace);
    pod.metadata.uid = format!("plan:{}/{}-{at}", of.namespace, of.name);
    if kind == "StatefulSet" {
        pod.metadata.labels.insert("apps.kubernetes.io/pod-index".into(), at.to_string());
    }
    if kind == "Job" {
        pod.metadata.annotations.insert("batch.kubernetes.io/job-completion-index".into(), at.to_string());
    }
    pod
}

fn read<'v, T: Deserialize<'v>>(kind: &str, object: &'v Value) -> Result<T, WorkloadError> {
    serde_path_to_error::deserialize(object).map_err(|error| {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("(no name)");
        let what = format!("{}: {}", error.path(), error.inner());
        WorkloadError::Malformed { object: format!("{kind} {name}"), what }
    })
}

/// Fills in the namespace, and says who it is.
fn describe(kind: &str, metadata: &mut Metadata) -> String {
    if metadata.namespace.is_empty() {
        metadata.namespace = "default".into();
    }
    format!("{kind} {}/{}", metadata.namespace, metadata.name)
}

fn count(object: &str, field: &str, count: i64) -> Result<usize, WorkloadError> {
    let known = usize::try_from(count).ok().filter(|_| count <= MAX_PODS);
    known.ok_or_else(|| WorkloadError::Malformed {
        object: object.to_owned(),
        what: format!("{field}: {count} is not from 0 to {MAX_PODS}"),
    })
}
