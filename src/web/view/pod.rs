//! One pod in detail: the facts of `testudo explain pod`, with many nodes in few lines.

use std::collections::BTreeMap;

use serde::Serialize;
use testudo_core::engine::Snapshot;
use testudo_core::model::pod::Pod;

use crate::explain::pod::PodExplanation;

/// Places that are shown one by one, the best first.
const MAX_PLACES: usize = 12;

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
    treated_as: &'static str,
    requests: BTreeMap<String, i64>,
    priority: i32,
    created_s: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    gang: Option<String>,
    /// What kube-scheduler wrote on the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    unscheduled: Option<String>,
    nodes: usize,
    fitting: usize,
    places: Vec<Place>,
    verdicts: Vec<VerdictLine>,
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

impl PodDetail {
    /// Explains a pod.
    pub fn of(snapshot: &Snapshot, pod: &Pod) -> Self {
        let explanation = PodExplanation::new(snapshot, pod);
        let refused = explanation.by_verdict().into_iter().filter(|(text, _)| *text != "fits");
        let verdicts = refused.map(|(text, nodes)| VerdictLine {
            text: text.to_owned(),
            nodes: nodes.len(),
            examples: nodes.iter().take(MAX_EXAMPLES).map(|node| (*node).to_owned()).collect(),
        });
        let verdicts = verdicts.collect();
        let fitting = explanation.nodes.iter().filter(|line| line.fits).count();
        let places = explanation.nodes.iter().filter(|line| line.fits).take(MAX_PLACES);
        Self {
            namespace: pod.key.namespace.clone(),
            name: pod.key.name.clone(),
            places: places.map(|line| Place { node: line.node.clone(), behind: line.behind.clone() }).collect(),
            verdicts,
            fitting,
            nodes: explanation.nodes.len(),
            bound_to: explanation.bound_to,
            treated_as: explanation.treated_as,
            requests: explanation.requests,
            priority: pod.priority,
            created_s: pod.created_s,
            gang: pod.membership.as_ref().map(|membership| membership.gang.name.clone()),
            unscheduled: pod.steering.unscheduled.as_ref().map(ToString::to_string),
        }
    }
}
