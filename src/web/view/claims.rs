//! ResourceClaims: those that have no devices, one by one, and each in detail.

use serde::Serialize;
use testudo_core::claims::DeviceId;
use testudo_core::engine::{ClaimStage, ClaimView};
use testudo_core::model::pod::PodKey;

/// Claims that are shown one by one.
const MAX_SHOWN: usize = 200;

/// A claim that has no devices, or not for sure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimLine {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `waiting`, `promised` or `leaving`.
    pub stage: &'static str,
    /// What it asks for.
    pub asks: String,
    /// Why it has none, in the engine's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When its pods were made, in seconds since 1970; 0 where that is not known.
    pub created_s: i64,
}

/// All claims.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// How many have their devices.
    pub allocated: usize,
    /// Those that have none, as far as they are shown; the oldest first.
    pub open: Vec<ClaimLine>,
    /// How many more have none.
    pub not_shown: usize,
}

/// All claims: those that have no devices, and how many have theirs.
pub fn claims((mut open, allocated): (Vec<ClaimView>, usize)) -> Claims {
    open.sort_by(|a, b| (a.stage, a.created_s, &a.key).cmp(&(b.stage, b.created_s, &b.key)));
    let not_shown = open.len().saturating_sub(MAX_SHOWN);
    open.truncate(MAX_SHOWN);
    Claims { allocated, open: open.iter().map(ClaimLine::of).collect(), not_shown }
}

impl ClaimLine {
    fn of(view: &ClaimView) -> Self {
        Self {
            namespace: view.key.namespace.to_string(),
            name: view.key.name.to_string(),
            stage: match view.stage {
                ClaimStage::Waiting => "waiting",
                ClaimStage::Promised => "promised",
                ClaimStage::Allocated => "allocated",
                ClaimStage::Leaving => "leaving",
            },
            asks: view.asks.clone(),
            why: view.why.as_ref().map(ToString::to_string),
            created_s: view.created_s,
        }
    }
}

/// A claim in detail.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimDetail {
    stage: &'static str,
    /// It has no devices yet.
    is_open: bool,
    asks: String,
    is_ours: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gang: Option<String>,
    pods: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Driver, pool and name of each.
    devices: Vec<(String, String, String)>,
}

impl ClaimDetail {
    /// A claim and the pods that use it.
    pub fn of(view: &ClaimView, pods: &[PodKey]) -> Self {
        let device = |id: &DeviceId| (id.pool.driver.to_string(), id.pool.name.to_string(), id.name.to_string());
        Self {
            stage: match view.stage {
                ClaimStage::Waiting => "waits for devices",
                ClaimStage::Promised => "is being given its devices",
                ClaimStage::Allocated => "has its devices",
                ClaimStage::Leaving => "is being deleted",
            },
            is_open: view.stage == ClaimStage::Waiting,
            asks: view.asks.clone(),
            is_ours: view.is_ours,
            node: view.node.as_ref().map(ToString::to_string),
            gang: view.gang.as_ref().filter(|gang| gang.is_of_several()).map(|gang| gang.name.clone()),
            pods: pods.iter().map(|pod| pod.name.clone()).collect(),
            why: view.why.as_ref().map(ToString::to_string),
            devices: view.devices.iter().map(device).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fleet, gpu_claim, gpu_node, using};
    use super::*;

    #[test]
    fn who_waits_is_told_why_and_who_has_devices_is_counted() {
        let fleet = Fleet::with_devices(
            vec![gpu_node("n", 2)],
            vec![gpu_claim("has", Some(("n", "gpu-0"))), gpu_claim("wants", None)],
        );
        fleet.add(using("p", "wants"));
        let claims = claims(fleet.host.claims());
        assert_eq!((claims.allocated, claims.open.len()), (1, 1));
        let line = &claims.open[0];
        assert_eq!((line.name.as_str(), line.stage, line.asks.as_str()), ("wants", "waiting", "1 gpu.nvidia.com"));
        assert_eq!(line.why.as_deref(), Some("it is kube-scheduler's to allocate, with its pod"));
    }
}
