//! A node, explained: what it is taken for.

use serde::Serialize;
use testudo_core::cluster::NodeState;

/// What a node is taken for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeExplanation {
    pub node: String,
    pub product: Option<String>,
    pub machine: Option<String>,
    pub instance_type: Option<String>,
    pub zone: Option<String>,
    pub clique: Option<String>,
    pub link_complete: bool,
    pub cordoned: bool,
    pub taints: Vec<String>,
    pub pools: Vec<PoolLine>,
    pub pods: Vec<String>,
    pub not_understood: Vec<String>,
}

/// The units of one resource.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolLine {
    pub resource: String,
    pub unit: String,
    pub capacity: i64,
    pub allocatable: i64,
    pub free: i64,
}

impl NodeExplanation {
    /// Explains a node that has been seen.
    pub fn new(state: &NodeState, not_understood: Vec<String>) -> Self {
        let node = state.node().expect("the caller found the node");
        let inventory = &node.inventory;
        Self {
            node: state.name().to_string(),
            product: inventory.product.as_ref().map(|product| product.name.clone()),
            machine: inventory.machine.as_ref().map(|machine| machine.name.clone()),
            instance_type: node.place.instance_type.clone(),
            zone: node.place.zone.clone(),
            clique: node.place.clique.clone(),
            link_complete: inventory.is_link_complete(),
            cordoned: node.parts.cordoned,
            taints: node.parts.taints.iter().map(ToString::to_string).collect(),
            pools: inventory
                .pools
                .iter()
                .map(|pool| PoolLine {
                    resource: pool.resource.to_string(),
                    unit: pool.unit.to_string(),
                    capacity: pool.capacity,
                    allocatable: pool.allocatable,
                    free: state.free_units(pool),
                })
                .collect(),
            pods: state.holders().values().map(|holding| holding.pod.to_string()).collect(),
            not_understood,
        }
    }
}
