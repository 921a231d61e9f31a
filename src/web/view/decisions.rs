//! Recent decisions, as lines.

use serde::Serialize;

use crate::host::decisions::{Decision, Verdict};

/// A decision, as a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionLine {
    /// Counts the decisions of the process.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// Its gang, if it is a member of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gang: Option<String>,
    /// `bound`, `noPlace` or `refused`.
    pub verdict: &'static str,
    /// The node, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Why the binding was refused, or what the place has before the next best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How many nodes kube-scheduler offered.
    pub offered: usize,
    /// On how many of them it fits.
    pub fitting: u64,
    /// Why not on the others, with the number of nodes.
    pub refusals: Vec<(String, u64)>,
    /// The best places with their scores.
    pub places: Vec<(String, u8)>,
}

impl DecisionLine {
    /// The line of a decision.
    pub fn of(decision: &Decision) -> Self {
        let considered = &decision.considered;
        let merit = || considered.merit.as_ref().map(ToString::to_string);
        let (verdict, node, why) = match &decision.verdict {
            Verdict::Bound(node) => ("bound", Some(node.to_string()), merit()),
            Verdict::NoPlace => ("noPlace", None, None),
            Verdict::Refused(node, why) => ("refused", Some(node.to_string()), Some(why.to_string())),
        };
        Self {
            number: decision.number,
            at_ms: decision.at_ms,
            namespace: decision.pod.namespace.clone(),
            pod: decision.pod.name.clone(),
            gang: decision.gang.as_ref().map(|gang| gang.name.clone()),
            verdict,
            node,
            why,
            offered: considered.offered,
            fitting: considered.fitting,
            refusals: considered.refusals.iter().map(|(text, count)| (text.to_string(), *count)).collect(),
            places: considered.places.iter().map(|(node, score)| (node.to_string(), *score)).collect(),
        }
    }
}
