//! A pod, explained: where it fits, in which order, and what stands against it elsewhere.

use std::collections::BTreeMap;

use serde::Serialize;
use testudo_core::engine::{Snapshot, Stance};
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
            match placement::check(&pod.demand, &state) {
                Ok(()) => fitting.push((judgement.rank_in(&state), node)),
                Err(reason) => {
                    let free = if let Reason::Insufficient { free, .. } = reason { Some(free) } else { None };
                    let reason = Some(reason.to_string());
                    nodes.push(NodeLine { node, fits: false, place: None, behind: None, reason, free });
                }
            }
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

    /// Is there a place for it, or has it one?
    pub fn fits(&self) -> bool {
        self.bound_to.is_some() || self.nodes.iter().any(|line| line.fits)
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
