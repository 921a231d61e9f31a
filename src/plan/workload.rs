//! What is to be placed: manifests become the pods that their controllers would make of them ([`controllers`]).
//!
//! A workload comes in copies that are placed one after the other: a pod of a Deployment, a replica of a LeaderWorkerSet, all
//! pods of a gang.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use testudo_core::model::gang::{GangKey, Group};
use thiserror::Error;

use super::claims::{Claims, PodClaim};
use super::controllers::{self, Made};
use crate::claims::Template;
use crate::k8s::gang::copies;
use crate::k8s::gang::objects::{self, GroupObject, KINDS};
use crate::k8s::object;
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
    /// The claims and templates that it comes with.
    claims: Claims,
}

/// One copy of a workload.
#[derive(Debug)]
pub(super) struct Copy {
    /// The pods, each with a name and a gang that nobody else has.
    pub pods: Vec<object::Pod>,
    /// What is said of that gang.
    pub groups: Vec<Group>,
    /// What claims its pods use that come with the workload.
    pub claims: Vec<PodClaim>,
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
    /// What claims its pods would have cannot be known.
    #[error(
        "{workload}: its pods use ResourceClaimTemplate {template}, which is not known: give its manifest with that of the \
         workload"
    )]
    UnknownTemplate {
        /// Whose pods.
        workload: String,
        /// Namespace and name.
        template: String,
    },
    /// Its pods use claims, and no devices are known.
    #[error(
        "{0}: its pods use ResourceClaims, and no ResourceSlices are known: either no driver publishes any, or they are not \
         looked at (claims.deviceClasses). testudo plan reads them from the cluster"
    )]
    UnknownDevices(String),
    /// Two ways to the same devices.
    #[error(
        "{0}: some of these pods use ResourceClaims, and some ask for an extended resource that the same devices may serve, so \
         that it cannot be told who would get which: try them one by one"
    )]
    TwoWays(String),
    /// There is nothing to plan.
    #[error("there is no workload in {files}; give one of: {}", controllers::KNOWN)]
    Nothing {
        /// Where it was looked for.
        files: String,
    },
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
    claims: Claims,
}

impl Reader {
    fn add(&mut self, object: &Value) -> Result<(), WorkloadError> {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let (group, kind) = (text("apiVersion").split_once('/').map_or("", |(group, _)| group), text("kind"));
        if (group, kind) == ("", "Pod") {
            return self.pod(read(kind, object)?);
        }
        self.claims.add(object)?;
        // What describes a gang may be a controller as well.
        self.group_object(object)?;
        for Made { name, copies, pods, beside } in controllers::made(group, kind, object)? {
            beside.iter().try_for_each(|object| self.group_object(object))?;
            if pods.is_empty() {
                continue;
            }
            let is_gang = pods.first().and_then(gang_of).is_some();
            match pods.as_slice() {
                // Of pods that start each for itself one is as good as the other.
                [pod, ..] if copies == 1 && !is_gang && pods.iter().all(|other| other.spec == pod.spec) => {
                    self.push(name, pods.len(), vec![pod.clone()])?;
                }
                _ => self.push(name, copies, pods)?,
            }
        }
        Ok(())
    }

    fn pod(&mut self, mut pod: object::Pod) -> Result<(), WorkloadError> {
        let name = controllers::describe("Pod", &mut pod.metadata);
        if pod.metadata.uid.is_empty() {
            pod.metadata.uid = format!("plan:{}/{}", pod.metadata.namespace, pod.metadata.name);
        }
        if pod.spec.node_name.as_ref().is_some_and(|node| !node.is_empty()) {
            return Err(WorkloadError::Bound(name));
        }
        self.push(name, 1, vec![pod])
    }

    /// An object that says something of a gang; others, such as Services, are passed over.
    fn group_object(&mut self, object: &Value) -> Result<(), WorkloadError> {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let (api_group, version) = text("apiVersion").split_once('/').unwrap_or_default();
        let Some(kind) = KINDS.iter().find(|kind| kind.name == text("kind") && kind.api_group == api_group) else {
            return Ok(());
        };
        let mut group: GroupObject = read(kind.name, object)?;
        let name = controllers::describe(kind.name, &mut group.metadata);
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
        self.workloads.push(Workload { name, copies, pods, groups: vec![], gang, claims: Claims::default() });
        Ok(())
    }

    fn finish(self) -> Vec<Workload> {
        let mut workloads = self.workloads;
        for workload in &mut workloads {
            let describes = |group: &&Group| {
                workload.gang.as_ref().is_some_and(|gang| gang.described_by().any(|key| key == group.key))
            };
            workload.groups = self.groups.iter().filter(describes).cloned().collect();
            workload.claims.clone_from(&self.claims);
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

    /// The same where these templates are known beside those that it comes with.
    ///
    /// # Errors
    /// When its pods use another one.
    pub fn with_templates(mut self, known: &[Template]) -> Result<Self, WorkloadError> {
        known.iter().for_each(|template| self.claims.know(template.clone()));
        match self.claims.missing(&self.pods) {
            None => Ok(self),
            Some(template) => {
                let (workload, template) = (self.name, template.to_string());
                Err(WorkloadError::UnknownTemplate { workload, template })
            }
        }
    }

    /// Does any pod use ResourceClaims?
    pub fn uses_claims(&self) -> bool {
        self.pods.iter().any(|pod| !pod.spec.resource_claims.is_empty())
    }

    /// Does any pod ask for one of these resources?
    pub(super) fn asks_for(&self, resources: &BTreeSet<Box<str>>) -> bool {
        let asked = |pod: &object::Pod| {
            pod::decode(pod)
                .0
                .demand
                .requests
                .iter()
                .any(|(name, count)| count > 0 && resources.contains(name.as_str()))
        };
        !resources.is_empty() && self.pods.iter().any(asked)
    }

    /// Do the pods of a copy start together?
    pub fn is_gang(&self) -> bool {
        self.gang.is_some()
    }

    /// The copy of this number.
    pub(super) fn copy(&self, number: usize) -> Copy {
        let mut claims = vec![];
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
            claims.extend(self.claims.give(&mut pod));
            pod
        });
        let pods = pods.collect();
        let groups = self.groups.iter().map(|group| copies::group(group, number)).collect();
        Copy { pods, groups, claims }
    }
}

fn gang_of(pod: &object::Pod) -> Option<GangKey> {
    pod::decode(pod).0.membership.as_ref().map(|membership| membership.gang.clone())
}

pub(super) fn read<'v, T: Deserialize<'v>>(kind: &str, object: &'v Value) -> Result<T, WorkloadError> {
    serde_path_to_error::deserialize(object).map_err(|error| {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("(no name)");
        let what = format!("{}: {}", error.path(), error.inner());
        WorkloadError::Malformed { object: format!("{kind} {name}"), what }
    })
}
