//! The places of a pod in their order, and what is said of the other nodes.

use std::collections::BTreeMap;

use serde::Serialize;
use testudo_core::engine::{Offered, Snapshot, Verdict};
use testudo_core::model::pod::{Pod, Stage};
use testudo_core::placement::{self, Rank, Reason, deciding};

/// What is said of one node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceLine {
    /// The node.
    pub node: String,
    /// Does the pod fit there?
    pub fits: bool,
    /// 1 is the best place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    /// What the best place has before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
    /// Why it does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is free of what is short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<i64>,
}

/// Nodes with the places that they are, the best first; then those on which the pod does not fit.
pub fn places(snapshot: &Snapshot, pod: &Pod) -> Vec<PlaceLine> {
    let judgement = snapshot.judge(pod);
    let mut fitting: Vec<(Rank, String)> = vec![];
    let mut nodes: Vec<PlaceLine> = vec![];
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
        nodes.push(PlaceLine { node, fits: false, place: None, behind: None, reason: Some(reason), free });
    }
    fitting.sort_unstable_by(|(a, a_name), (b, b_name)| (a.packed(), a_name).cmp(&(b.packed(), b_name)));
    let best = fitting.first().map(|(rank, _)| *rank).unwrap_or_default();
    nodes.extend(fitting.into_iter().zip(1..).map(|((rank, node), place)| PlaceLine {
        node,
        fits: true,
        place: Some(place),
        behind: (place > 1).then(|| deciding(&best, &rank).to_string()),
        reason: None,
        free: None,
    }));
    nodes.sort_by(|a, b| (a.place.unwrap_or(usize::MAX), &a.node).cmp(&(b.place.unwrap_or(usize::MAX), &b.node)));
    nodes
}

/// Nodes by what is said of them, the fitting ones first, then the reason that most of them share.
pub fn by_verdict(nodes: &[PlaceLine]) -> Vec<(&str, Vec<&str>)> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in nodes {
        groups.entry(line.reason.as_deref().unwrap_or("fits")).or_default().push(&line.node);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(verdict, nodes)| (*verdict != "fits", std::cmp::Reverse(nodes.len())));
    groups
}
