//! Nothing is left lying around: devices that nobody uses, promises that nobody keeps, objects that never go.

use super::{Rule, Violation, wrong};
use crate::api::store::{Kind, Store};

/// What was left behind.
pub fn left_behind(store: &Store) -> Option<Violation> {
    for claim in store.all(Kind::Claim).map(|(_, claim)| claim.claim()) {
        if claim.devices.is_some() && claim.reserved.is_empty() {
            return wrong(Rule::Clean, format!("claim {} has devices that nobody uses", claim.key));
        }
        if claim.leaving && claim.reserved.is_empty() {
            return wrong(Rule::Clean, format!("claim {} was deleted and does not go", claim.key));
        }
    }
    let mut nodes = store.all(Kind::Node);
    if let Some((key, _)) = nodes.find(|(_, node)| node["metadata"]["annotations"]["testudo.dev/protected"].is_string())
    {
        return wrong(Rule::Clean, format!("node {key} is kept from autoscalers, and nobody has a place there"));
    }
    let ours = store.all(Kind::Pod).map(|(_, pod)| pod.pod()).filter(|pod| pod.is_ours);
    let misled = { ours }.find(|pod| pod.is_pending() && pod.promised);
    misled.and_then(|pod| {
        let node = pod.nominated.as_deref().unwrap_or("nowhere");
        wrong(Rule::Clean, format!("pod {} has no node, and still shows a plan (nominated to {node})", pod.key))
    })
}
