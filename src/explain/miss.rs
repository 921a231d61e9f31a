//! All that stands against one pod on each node, the nearest miss first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use testudo_core::cluster::NodeState;
use testudo_core::engine::Snapshot;
use testudo_core::model::accelerator::AcceleratorResource;
use testudo_core::model::node::NodeName;
use testudo_core::model::pod::{Demand, Pod, PodKey, PodUid, Stage};
use testudo_core::model::selector::NodeAffinity;
use testudo_core::model::taint::{Comparison, Taint, TaintPurpose, Toleration};
use testudo_core::placement::{self, Reason};

/// What stands against a pod on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// The node.
    pub node: NodeName,
    /// All reasons, those first that are checked first; at least one.
    pub obstacles: Vec<Reason>,
    /// Labels that the pod selects nodes by, `key=value`, and that this one does not have.
    pub missing_labels: Vec<String>,
    /// The pods of lower priority that would have to go for it to fit: the fewest that the most important can be spared
    /// with. None where it would not help that all went, or nobody need go.
    pub leave: Option<Vec<Leaver>>,
}

/// A pod that would have to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaver {
    /// Which.
    pub pod: PodKey,
    /// Its priority.
    pub priority: i32,
}

/// More obstacles of one node are not looked for.
const MAX_OBSTACLES: usize = 16;

/// What stands against the pod on each node on which it does not fit, the nearest miss first: by how hard it is to remedy,
/// how many things there are, how many accelerators are missing, and by name. `pods` are those of the cluster.
pub fn misses<'p>(snapshot: &Snapshot, pod: &Pod, pods: impl IntoIterator<Item = &'p Pod>) -> Vec<Miss> {
    let lower: BTreeMap<&PodUid, &Pod> = pods
        .into_iter()
        .filter(|other| matches!(other.stage, Stage::Bound(_)) && !other.leaving && other.priority < pod.priority)
        .map(|other| (&other.uid, other))
        .collect();
    let mut misses: Vec<Miss> = vec![];
    for state in snapshot.nodes() {
        let state = state.without([&pod.uid]);
        let obstacles = obstacles(&pod.demand, &state);
        if obstacles.is_empty() {
            continue;
        }
        let only_room = obstacles.iter().all(Reason::preemption_can_help);
        misses.push(Miss {
            node: state.name().clone(),
            missing_labels: missing_labels(&pod.demand.affinity, &state, &obstacles),
            leave: only_room.then(|| leavers(pod, &state, &lower)).flatten(),
            obstacles,
        });
    }
    misses.sort_by_cached_key(|miss| {
        let hardest = miss.obstacles.iter().map(difficulty).max();
        let missing: i64 = miss.obstacles.iter().map(missing_accelerators).sum();
        (hardest, miss.leave.is_none(), miss.obstacles.len(), missing, miss.node.clone())
    });
    misses
}

/// Takes away what stands against the pod, one after the other, until nothing does.
fn obstacles(demand: &Demand, state: &NodeState) -> Vec<Reason> {
    let mut demand = demand.clone();
    let mut obstacles = vec![];
    while obstacles.len() < MAX_OBSTACLES {
        let Err(reason) = placement::check(&demand, state) else { break };
        match &reason {
            Reason::UnknownNode | Reason::OverQuota(_) => return vec![reason],
            Reason::Cordoned => demand.tolerations.push(tolerating(&Taint::of_cordon())),
            Reason::Taint(taint) => demand.tolerations.push(tolerating(taint)),
            Reason::Affinity => demand.affinity = NodeAffinity::default(),
            Reason::Absent { resource, .. }
            | Reason::TooLarge { resource, .. }
            | Reason::Insufficient { resource, .. }
            | Reason::Scattered { resource, .. }
            | Reason::UnevenShare { resource, .. }
            | Reason::NotASet { resource, .. } => demand.requests.set(resource.clone(), 0),
        }
        obstacles.push(reason);
    }
    obstacles
}

fn tolerating(taint: &Taint) -> Toleration {
    Toleration { key: Some(taint.key.clone()), comparison: Comparison::Exists, effect: None }
}

fn missing_labels(affinity: &NodeAffinity, state: &NodeState, obstacles: &[Reason]) -> Vec<String> {
    let Some(node) = state.node().filter(|_| obstacles.contains(&Reason::Affinity)) else { return vec![] };
    let lacks = |(key, value): &(&str, &str)| node.parts.labels.get(key) != Some(*value);
    affinity.selector.iter().filter(lacks).map(|(key, value)| format!("{key}={value}")).collect()
}

/// Who of lower priority would have to go: all may, then the most important are spared one by one.
fn leavers(pod: &Pod, state: &NodeState, lower: &BTreeMap<&PodUid, &Pod>) -> Option<Vec<Leaver>> {
    let mut going: Vec<&Pod> = state.holders().keys().filter_map(|uid| lower.get(uid).copied()).collect();
    let fits_without =
        |going: &[&Pod]| placement::check(&pod.demand, &state.without(going.iter().map(|pod| &pod.uid))).is_ok();
    if !fits_without(&going) {
        return None;
    }
    going.sort_by_key(|pod| (Reverse(pod.priority), pod.key.clone()));
    let mut at = 0;
    while at < going.len() {
        let spared = going.remove(at);
        if !fits_without(&going) {
            going.insert(at, spared);
            at += 1;
        }
    }
    Some(going.into_iter().map(|pod| Leaver { pod: pod.key.clone(), priority: pod.priority }).collect())
}

/// How hard it is to do something about it: waiting and making room first, other hardware last.
fn difficulty(reason: &Reason) -> u8 {
    match reason {
        Reason::Insufficient { .. } | Reason::Scattered { .. } => 0,
        Reason::Cordoned => 1,
        Reason::Taint(taint) => match taint.purpose() {
            TaintPurpose::Startup => 1,
            TaintPurpose::Other => 2,
            TaintPurpose::Disruption => 3,
        },
        Reason::Affinity => 3,
        Reason::TooLarge { .. } | Reason::NotASet { .. } => 4,
        Reason::Absent { .. } => 5,
        Reason::UnevenShare { .. } | Reason::UnknownNode | Reason::OverQuota(_) => 6,
    }
}

fn missing_accelerators(reason: &Reason) -> i64 {
    let is_accelerator = |resource: &str| AcceleratorResource::parse(resource).is_some();
    match reason {
        Reason::Insufficient { resource, requested, free } if is_accelerator(resource.as_str()) => requested - free,
        Reason::TooLarge { resource, requested, allocatable, .. } if is_accelerator(resource.as_str()) => {
            requested - allocatable
        }
        Reason::Absent { resource, requested } if is_accelerator(resource.as_str()) => *requested,
        _ => 0,
    }
}
