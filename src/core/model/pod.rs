//! Pods, as far as placement cares.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::accelerator::AcceleratorResource;
use super::fabric::DeviceSet;
use super::gang::Membership;
use super::gpu_share::{self, ShareRequest};
use super::node::NodeName;
use super::resources::{ResourceName, Resources};
use super::selector::{Labels, NodeAffinity};
use super::taint::{Taint, Toleration};

/// Namespace and name of a pod: how people call it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodKey {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The unique id of a pod: names come back, ids do not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodUid(Arc<str>);

impl PodUid {
    /// The id as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PodUid {
    fn from(uid: &str) -> Self {
        Self(uid.into())
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a pod has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It has no node yet.
    Pending,
    /// It has this node, and holds what it asks for there.
    Bound(NodeName),
    /// It has ended, and holds nothing any more.
    Finished(End),
}

/// How a pod has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It has done what it had to.
    Succeeded,
    /// It has not.
    Failed,
}

/// Everything that decides whether and how well a pod fits on a node. Pods with equal demands get equal answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Demand {
    /// What the pod takes from its node: see [`effective_requests`].
    pub requests: Resources,
    /// Devices that it asks for by the name of their DeviceClass (`deviceclass.resource.kubernetes.io/CLASS`), by class. Nodes
    /// list no such resource: kube-scheduler makes a claim for them.
    pub class_devices: Resources,
    /// Which nodes it accepts and prefers.
    pub affinity: NodeAffinity,
    /// Which taints it tolerates.
    pub tolerations: Vec<Toleration>,
}

impl Demand {
    /// The accelerators asked for, with their counts (above 0), in the order of the resource names.
    pub fn accelerators(&self) -> impl Iterator<Item = (&ResourceName, AcceleratorResource, i64)> {
        self.requests
            .iter()
            .filter(|(_, count)| *count > 0)
            .filter_map(|(name, count)| Some((name, AcceleratorResource::parse(name.as_str())?, count)))
    }

    /// How many devices it asks for by count, of all kinds together.
    pub fn devices(&self) -> i64 {
        self.accelerators().map(|(_, _, count)| count).fold(0, i64::saturating_add)
    }

    /// What it wants of shareable GPUs.
    pub fn gpu_share(&self) -> Option<ShareRequest> {
        ShareRequest::of(self.requests.get(gpu_share::RESOURCE))
    }

    /// Does the pod tolerate this taint?
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerations.iter().any(|toleration| toleration.tolerates(taint))
    }

    /// Does it ask for devices by the name of their class?
    pub fn asks_by_class(&self) -> bool {
        self.class_devices.iter().any(|(_, count)| count > 0)
    }

    /// Does it ask for devices for which kube-scheduler makes a claim: by the name of their class, or by one of the resources
    /// that classes serve?
    pub fn is_served_by(&self, resources: &BTreeSet<Box<str>>) -> bool {
        self.asks_by_class() || resources.iter().any(|resource| self.requests.get(resource) > 0)
    }

    /// Does it ask for any accelerator?
    pub fn wants_accelerators(&self) -> bool {
        self.accelerators().next().is_some()
    }
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub key: PodKey,
    /// Its unique id.
    pub uid: PodUid,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.priority`, 0 where none is given.
    pub priority: i32,
    /// Others may be evicted for it: `spec.preemptionPolicy` is not `Never`.
    pub preempts: bool,
    /// How far it has come.
    pub stage: Stage,
    /// What it asks for.
    pub demand: Arc<Demand>,
    /// Which shareable GPUs it was given, once that is known.
    pub gpus: Option<DeviceSet>,
    /// When it was made, in seconds since 1970; 0 where that is not said.
    pub created_s: i64,
    /// `spec.schedulerName`; empty where that is not said.
    pub scheduler: Arc<str>,
    /// It is being deleted.
    pub leaving: bool,
    /// By when it is to have ended then, in seconds since 1970: its grace period is over.
    pub ends_s: Option<i64>,
    /// The gang that it is a member of.
    pub membership: Option<Arc<Membership>>,
    /// What keeps it from being scheduled, and where it is to go.
    pub steering: Steering,
    /// The ResourceClaims that it uses.
    pub claims: Vec<PodClaim>,
    /// The ResourceClaim that kube-scheduler has made for what it asks for by resource, as its status names it.
    pub claim_made: Option<Box<str>>,
}

impl Pod {
    /// A pending pod of which nothing else is known.
    pub fn new(key: PodKey, uid: PodUid, demand: Demand) -> Self {
        Self {
            key,
            uid,
            labels: Labels::default(),
            priority: 0,
            preempts: true,
            stage: Stage::Pending,
            demand: Arc::new(demand),
            gpus: None,
            created_s: 0,
            scheduler: "".into(),
            leaving: false,
            ends_s: None,
            membership: None,
            steering: Steering::default(),
            claims: vec![],
            claim_made: None,
        }
    }

    /// Has it ended, for better or worse?
    pub fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Finished(_))
    }

    /// Does it wait or run, and is it to go on doing so?
    pub fn is_alive(&self) -> bool {
        !self.leaving && !self.has_ended()
    }

    /// Has it ended with success, and is it to stay?
    pub fn has_succeeded(&self) -> bool {
        !self.leaving && self.stage == Stage::Finished(End::Succeeded)
    }
}

/// A ResourceClaim that a pod uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodClaim {
    /// What the pod calls it.
    pub alias: Box<str>,
    /// The name of the claim, in the pod's namespace; none while it is yet to be made from its template.
    pub name: Option<Box<str>>,
    /// It is made from a template: for the pod, or for the group that it is of.
    pub from_template: bool,
}

/// What keeps a pod from being scheduled, and where it is to go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steering {
    /// `spec.schedulingGates`.
    pub gate: Gate,
    /// `status.nominatedNodeName`.
    pub nominated: Option<NodeName>,
    /// Why it was not scheduled, as its condition `PodScheduled` says.
    pub unscheduled: Option<Arc<str>>,
    /// The plan that it was last made a part of.
    pub promise: Option<Promise>,
    /// What it shows of a device that was given to others, too.
    pub conflict: Option<Arc<str>>,
}

/// Whose scheduling gates a pod has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Gate {
    /// None.
    #[default]
    Open,
    /// Ours only: it goes when the pod has a place.
    Ours,
    /// Also others: the pod is not ready to be placed.
    Foreign,
}

/// What a plan has written on a pod, to be found again after a crash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Promise {
    /// Which plan.
    pub plan: Arc<str>,
    /// Where the pod is to go.
    pub node: NodeName,
    /// When the promise ends, in seconds since 1970.
    pub until_s: i64,
}

/// The requests of one container, and when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRequests {
    /// What it asks for.
    pub requests: Resources,
    /// When it runs.
    pub phase: ContainerPhase,
}

/// When a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerPhase {
    /// An init container: runs alone, before the others.
    Init,
    /// An init container with `restartPolicy: Always`: starts in its turn and stays.
    Sidecar,
    /// A container of the pod proper.
    Main,
}

/// What a pod takes from its node, as `k8s.io/component-helpers/resource.PodRequests` counts it: what its containers
/// and sidecars ask for together, or what an init container asks for beside the sidecars started before it, whichever
/// is more; pod-level requests replace that for the resources they name; then the overhead of the runtime class; and one
/// pod.
pub fn effective_requests(containers: &[ContainerRequests], pod_level: &Resources, overhead: &Resources) -> Resources {
    let mut running = Resources::default();
    let mut peak_of_init = Resources::default();
    for container in containers {
        match container.phase {
            ContainerPhase::Init => {
                let mut beside_sidecars = running.clone();
                beside_sidecars.add(&container.requests);
                peak_of_init.raise_to(&beside_sidecars);
            }
            ContainerPhase::Sidecar | ContainerPhase::Main => running.add(&container.requests),
        }
    }
    let mut total = running;
    total.raise_to(&peak_of_init);
    for (name, amount) in pod_level.iter() {
        total.set(name.clone(), amount);
    }
    total.add(overhead);
    total.set(ResourceName::PODS.into(), 1);
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(phase: ContainerPhase, requests: impl Into<Resources>) -> ContainerRequests {
        ContainerRequests { requests: requests.into(), phase }
    }

    #[test]
    fn init_containers_count_by_their_peak() {
        let total = effective_requests(
            &[
                container(ContainerPhase::Init, [("cpu", 500)]),
                container(ContainerPhase::Sidecar, [("cpu", 100)]),
                container(ContainerPhase::Init, [("cpu", 4000), ("nvidia.com/gpu", 1)]),
                container(ContainerPhase::Main, [("cpu", 1000), ("nvidia.com/gpu", 2)]),
                container(ContainerPhase::Main, [("cpu", 200)]),
            ],
            &Resources::default(),
            &Resources::from([("cpu", 50)]),
        );
        assert_eq!(total, Resources::from([("cpu", 4150), ("nvidia.com/gpu", 2), ("pods", 1)]));
    }

    #[test]
    fn pod_level_requests_replace_the_sum() {
        let total = effective_requests(
            &[container(ContainerPhase::Main, [("cpu", 1000), ("nvidia.com/gpu", 2)])],
            &Resources::from([("cpu", 3000)]),
            &Resources::default(),
        );
        assert_eq!(total, Resources::from([("cpu", 3000), ("nvidia.com/gpu", 2), ("pods", 1)]));
    }

    #[test]
    fn zero_of_an_accelerator_is_no_wish() {
        let demand = |count| Demand { requests: [("nvidia.com/gpu", count), ("cpu", 1)].into(), ..Default::default() };
        assert!(!demand(0).wants_accelerators());
        assert!(demand(1).wants_accelerators());
    }
}
