//! One pod in detail: the facts of `testudo explain pod`, with many nodes in few lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use testudo_core::engine::Snapshot;
use testudo_core::model::pod::{Pod, Stage};

use crate::explain::{self, Miss};

/// Places that are shown one by one, the best first.
const MAX_PLACES: usize = 12;

/// The nearest misses that are shown.
const MAX_MISSES: usize = 3;

/// Nodes that are named for each verdict.
const MAX_EXAMPLES: usize = 3;

/// One pod in detail.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodDetail {
    namespace: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_to: Option<String>,
    treated_as: String,
    requests: BTreeMap<String, i64>,
    priority: i32,
    created_s: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    gang: Option<String>,
    claims: Vec<ClaimName>,
    /// What kube-scheduler wrote on the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    unscheduled: Option<String>,
    nodes: usize,
    fitting: usize,
    places: Vec<Place>,
    verdicts: Vec<VerdictLine>,
    /// For a pod that waits: the nodes that are nearest to taking it.
    misses: Vec<MissLine>,
}

/// A claim that a pod uses.
#[derive(Debug, Serialize)]
struct ClaimName {
    /// What the pod calls it.
    alias: String,
    /// Absent as long as it is not made from its template.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Debug, Serialize)]
struct Place {
    node: String,
    /// What the best place has before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<String>,
}

#[derive(Debug, Serialize)]
struct VerdictLine {
    text: String,
    nodes: usize,
    examples: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MissLine {
    node: String,
    /// All that stands against the pod there.
    obstacles: Vec<String>,
    /// What could be done about it.
    what_to_do: Vec<String>,
}

impl PodDetail {
    /// Explains a pod; `pods` are all those of the cluster.
    pub fn of(snapshot: &Snapshot, pod: &Pod, pods: &[Arc<Pod>]) -> Self {
        let lines = explain::places(snapshot, pod);
        let refused = explain::by_verdict(&lines).into_iter().filter(|(text, _)| *text != "fits");
        let verdicts = refused.map(|(text, nodes)| VerdictLine {
            text: text.to_owned(),
            nodes: nodes.len(),
            examples: nodes.iter().take(MAX_EXAMPLES).map(|node| (*node).to_owned()).collect(),
        });
        let fitting = lines.iter().filter(|line| line.fits);
        let places = fitting.clone().take(MAX_PLACES);
        let places = places.map(|line| Place { node: line.node.clone(), behind: line.behind.clone() });
        let waits_in_vain = pod.stage == Stage::Pending && fitting.clone().next().is_none();
        let misses = match waits_in_vain {
            true => explain::misses(snapshot, pod, pods.iter().map(AsRef::as_ref)),
            false => vec![],
        };
        Self {
            namespace: pod.key.namespace.clone(),
            name: pod.key.name.clone(),
            bound_to: if let Stage::Bound(node) = &pod.stage { Some(node.to_string()) } else { None },
            treated_as: explain::treated_as(snapshot, pod),
            requests: pod.demand.requests.iter().map(|(name, amount)| (name.to_string(), amount)).collect(),
            priority: pod.priority,
            created_s: pod.created_s,
            gang: pod
                .membership
                .as_ref()
                .filter(|membership| membership.gang.is_of_several())
                .map(|membership| membership.gang.name.clone()),
            claims: pod
                .claims
                .iter()
                .map(|claim| ClaimName {
                    alias: claim.alias.to_string(),
                    name: claim.name.as_ref().map(ToString::to_string),
                })
                .collect(),
            unscheduled: pod.steering.unscheduled.as_ref().map(ToString::to_string),
            fitting: fitting.count(),
            places: places.collect(),
            verdicts: verdicts.collect(),
            misses: misses.iter().take(MAX_MISSES).map(MissLine::of).collect(),
            nodes: lines.len(),
        }
    }
}

impl MissLine {
    fn of(miss: &Miss) -> Self {
        Self {
            node: miss.node.to_string(),
            obstacles: miss.obstacles.iter().map(ToString::to_string).collect(),
            what_to_do: explain::remedy(miss),
        }
    }
}
