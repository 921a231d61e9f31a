//! One node in detail: what is held on it, by pods.

use serde::Serialize;
use testudo_core::cluster::NodeState;

use crate::explain::node::NodeExplanation;
use crate::host::Unconfirmed;

/// One node in detail.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeDetail {
    /// What it is taken for.
    #[serde(flatten)]
    pub explanation: NodeExplanation,
    /// Who holds what, the oldest first.
    pub holders: Vec<Holder>,
}

/// A pod that holds something.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its gang, if it is a member of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gang: Option<String>,
    /// What it has of accelerators.
    pub accelerators: Vec<(String, i64)>,
    /// Which devices, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<usize>>,
    /// When it was made, in seconds since 1970; 0 where that is not known.
    pub created_s: i64,
    /// The place is kept for it; it is not bound yet.
    pub planned: bool,
}

impl NodeDetail {
    /// A node that has been seen.
    pub fn of(state: &NodeState, not_understood: Vec<String>, unconfirmed: &Unconfirmed) -> Self {
        let holders = state.holders().iter().map(|(uid, holding)| Holder {
            namespace: holding.pod.namespace.clone(),
            name: holding.pod.name.clone(),
            gang: holding.gang.as_ref().map(|gang| gang.name.clone()),
            accelerators: holding.demand.accelerators().map(|(name, _, count)| (name.to_string(), count)).collect(),
            devices: holding.gpus.map(|gpus| gpus.iter().collect()),
            created_s: holding.created_s,
            planned: unconfirmed.contains_key(uid),
        });
        let mut holders: Vec<Holder> = holders.collect();
        holders.sort_by(|a, b| (a.created_s, &a.namespace, &a.name).cmp(&(b.created_s, &b.namespace, &b.name)));
        Self { explanation: NodeExplanation::new(state, not_understood), holders }
    }
}
