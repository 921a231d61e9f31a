//! One node in detail: what it is taken for, and what is held on it, by pods.

use serde::Serialize;
use testudo_core::cluster::NodeState;
use testudo_core::engine::Snapshot;

/// One node in detail.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeDetail {
    instance_type: Option<String>,
    zone: Option<String>,
    cordoned: bool,
    taints: Vec<String>,
    pools: Vec<PoolLine>,
    /// Who holds what, the oldest first.
    holders: Vec<Holder>,
    not_understood: Vec<String>,
    /// Devices that claims have.
    devices: Vec<Given>,
}

/// A device that a claim has.
#[derive(Debug, Serialize)]
struct Given {
    device: String,
    /// Namespace and name of each.
    claims: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
struct PoolLine {
    resource: String,
    unit: String,
    capacity: i64,
    allocatable: i64,
    free: i64,
}

/// A pod that holds something.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Holder {
    namespace: String,
    name: String,
    /// Its gang, if it is a member of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    gang: Option<String>,
    /// What it has of accelerators.
    accelerators: Vec<(String, i64)>,
    /// Which devices, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<Vec<usize>>,
    /// When it was made, in seconds since 1970; 0 where that is not known.
    created_s: i64,
    /// The place is kept for it; it is not bound yet.
    planned: bool,
}

impl NodeDetail {
    /// A node, once it has been seen.
    pub fn of(state: &NodeState, not_understood: Vec<String>, snapshot: &Snapshot) -> Option<Self> {
        let node = state.node()?;
        let pools = node.inventory.pools.iter().map(|pool| PoolLine {
            resource: pool.resource.to_string(),
            unit: pool.unit.to_string(),
            capacity: pool.capacity,
            allocatable: pool.allocatable,
            free: state.free_units(pool),
        });
        let holders = state.holders().iter().map(|(uid, holding)| Holder {
            namespace: holding.pod.namespace.clone(),
            name: holding.pod.name.clone(),
            gang: holding.gang.as_ref().filter(|gang| gang.is_of_several()).map(|gang| gang.name.clone()),
            accelerators: holding.demand.accelerators().map(|(name, _, count)| (name.to_string(), count)).collect(),
            devices: holding.gpus.map(|gpus| gpus.iter().collect()),
            created_s: holding.created_s,
            planned: snapshot.unconfirmed().contains_key(uid),
        });
        let gpus = snapshot.gpus().get(node.name());
        let parts = gpus.into_iter().flat_map(|gpus| gpus.iter()).flat_map(|gpu| &gpu.parts);
        let devices = parts.filter(|part| !part.takers.is_empty()).map(|part| Given {
            device: part.device.to_string(),
            claims: part
                .takers
                .iter()
                .map(|taker| (taker.claim.namespace.to_string(), taker.claim.name.to_string()))
                .collect(),
        });
        let mut holders: Vec<Holder> = holders.collect();
        holders.sort_by(|a, b| (a.created_s, &a.namespace, &a.name).cmp(&(b.created_s, &b.namespace, &b.name)));
        Some(Self {
            instance_type: node.place.instance_type.clone(),
            zone: node.place.zone.clone(),
            cordoned: node.parts.cordoned,
            taints: node.parts.taints.iter().map(ToString::to_string).collect(),
            pools: pools.collect(),
            holders,
            not_understood,
            devices: devices.collect(),
        })
    }
}
