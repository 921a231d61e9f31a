//! The ResourceClaims of a pod: which of them keep it from starting.

use serde::Serialize;
use testudo_core::claims::{BestFit, ClaimKey};
use testudo_core::engine::ClaimStage;
use testudo_core::model::pod::Pod;

use crate::claims::with_large_stack;
use crate::host::Host;

/// A claim that a pod uses.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodClaim {
    /// Its name, or what the pod calls it as long as it is not made.
    pub claim: String,
    /// How far it has come, in words.
    pub state: String,
    /// The pod cannot start before something has changed.
    pub holds_up: bool,
}

/// The claims that a pod uses, each asked for by itself: whether there is a node for all of them together with the pod is
/// for the scheduler to find out.
pub fn claims_of(host: &Host, pod: &Pod) -> Vec<PodClaim> {
    pod.claims
        .iter()
        .map(|claim| {
            let Some(name) = &claim.name else {
                let state = "is yet to be made from its template".to_owned();
                return PodClaim { claim: claim.alias.to_string(), state, holds_up: true };
            };
            let key = ClaimKey { namespace: pod.key.namespace.as_str().into(), name: name.clone() };
            let (state, holds_up) = state(host, &key);
            PodClaim { claim: key.to_string(), state, holds_up }
        })
        .collect()
}

fn state(host: &Host, key: &ClaimKey) -> (String, bool) {
    match host.claim(key).map(|(claim, _)| (claim.stage, claim.devices.len())) {
        None => ("does not exist".to_owned(), true),
        Some((ClaimStage::Leaving, _)) => ("is being deleted".to_owned(), true),
        Some((ClaimStage::Allocated | ClaimStage::Promised, devices)) => (format!("has its devices, {devices}"), false),
        Some((ClaimStage::Waiting, _)) => {
            let mut branch = host.branch();
            match with_large_stack(|| Ok(branch.try_claim(key).transpose()?)) {
                Ok(Some(BestFit::Fits(fit))) => (format!("could get its devices, best on {}", fit.node), false),
                Ok(Some(BestFit::Refused(nodes))) => {
                    (format!("could get its devices on none of {} nodes", nodes.len()), true)
                }
                Ok(None) => ("does not exist".to_owned(), true),
                Err(error) => (error.to_string(), true),
            }
        }
    }
}
