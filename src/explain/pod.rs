//! A pod, explained: where it fits, in which order, and what stands against it elsewhere.

use std::collections::BTreeMap;

use serde::Serialize;
use testudo_core::engine::{Offered, Snapshot, Stance, Verdict};
use testudo_core::model::pod::{Pod, Stage};
use testudo_core::placement::{self, Rank, Reason, deciding};

/// Where a pod fits, and what stands against it elsewhere.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodExplanation {
    pub pod: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_to: Option<String>,
    pub treated_as: &'static str,
    pub requests: BTreeMap<String, i64>,
    pub nodes: Vec<NodeLine>,
}

/// What is said of one node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeLine {
    pub node: String,
    pub fits: bool,
    /// 1 is the best place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    /// What the best place has before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<i64>,
}

impl PodExplanation {
    /// Explains a pod.
    pub fn new(snapshot: &Snapshot, pod: &Pod) -> Self {
        let judgement = snapshot.judge(pod);
        let mut fitting: Vec<(Rank, String)> = vec![];
        let mut nodes: Vec<NodeLine> = vec![];
        for state in snapshot.nodes() {
            // Where the pod is bound it holds what it asks for: judge the place without it.
            let state = state.without([&pod.uid]);
            let node = state.name().to_string();
            // For the sake of a gang, its own or another, a node may be closed to it that has room.
            let closed = match judgement.of(Offered::Named(&node)) {
                Verdict::No(refusal) if pod.stage == Stage::Pending => Some(refusal.text.to_string()),
                Verdict::No(_) | Verdict::Fits(_) => None,
            };
            let (reason, free) = match (placement::check(&pod.demand, &state), closed) {
                (Ok(()), None) => {
                    fitting.push((judgement.rank_in(&state), node));
                    continue;
                }
                (Ok(()), Some(closed)) => (closed, None),
                (Err(reason), _) => {
                    let free = if let Reason::Insufficient { free, .. } = reason { Some(free) } else { None };
                    (reason.to_string(), free)
                }
            };
            nodes.push(NodeLine { node, fits: false, place: None, behind: None, reason: Some(reason), free });
        }
        fitting.sort_unstable_by(|(a, a_name), (b, b_name)| (a.packed(), a_name).cmp(&(b.packed(), b_name)));
        let best = fitting.first().map(|(rank, _)| *rank).unwrap_or_default();
        nodes.extend(fitting.into_iter().zip(1..).map(|((rank, node), place)| NodeLine {
            node,
            fits: true,
            place: Some(place),
            behind: (place > 1).then(|| deciding(&best, &rank).to_string()),
            reason: None,
            free: None,
        }));
        nodes.sort_by(|a, b| (a.place.unwrap_or(usize::MAX), &a.node).cmp(&(b.place.unwrap_or(usize::MAX), &b.node)));
        Self {
            pod: pod.key.to_string(),
            bound_to: if let Stage::Bound(node) = &pod.stage { Some(node.to_string()) } else { None },
            treated_as: match snapshot.stance(pod) {
                Stance::Placed => "placed by testudo",
                Stance::Unconcerned => "asks for no accelerators: kube-scheduler decides",
                Stance::Excluded => "excluded by the policy",
            },
            requests: pod.demand.requests.iter().map(|(name, amount)| (name.to_string(), amount)).collect(),
            nodes,
        }
    }

    /// On how many nodes it fits, or would fit if it were not on its own.
    pub fn fitting(&self) -> usize {
        self.nodes.iter().filter(|line| line.fits).count()
    }

    /// Nodes by what is said of them, the fitting ones first, then the reason that most of them share.
    pub fn by_verdict(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in &self.nodes {
            groups.entry(line.reason.as_deref().unwrap_or("fits")).or_default().push(&line.node);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(verdict, nodes)| (*verdict != "fits", std::cmp::Reverse(nodes.len())));
        groups
    }
}
