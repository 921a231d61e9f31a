//! How many devices stand behind extended resources.
//!
//! A DeviceClass can say that its devices serve requests for a resource by name. kube-scheduler then makes the claims itself,
//! and nodes do not say how many they could serve: it is counted here. What such pods hold is known from their requests, so
//! the claims made for them count as free: from the binding on the ledger has them, whether their claim was seen or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ClaimKeeper;
use super::desk::Desk;
use crate::claims::{Claim, Holding, Room, SeenClaim};
use crate::cluster::Cluster;
use crate::model::node::NodeName;
use crate::model::resources::Resources;

/// Nodes counted at once, at most: others wait for the desk.
const BATCH: usize = 256;

/// More devices of one class on a node are not counted.
const MOST: u32 = 4096;

/// Devices to count: made under the engine's lock, done without it.
#[derive(Debug)]
pub struct Census {
    desk: Desk,
    nodes: Vec<NodeName>,
    /// A claim for one device behind each resource.
    asks: BTreeMap<Box<str>, Claim>,
    /// What claims of pods hold whose requests are in the ledger.
    of_pods: Vec<Holding>,
}

/// What came of it: for each node how many devices stand behind each resource.
#[derive(Debug)]
pub struct Counted {
    desk: Desk,
    /// By node.
    pub counts: Vec<(NodeName, Resources)>,
}

impl Census {
    /// Counts. Expressions are evaluated on the way, which needs a large stack.
    pub fn count(mut self) -> Counted {
        let mut counts = vec![];
        self.desk.give_back(self.of_pods.clone());
        for node in self.nodes {
            let mut resources = Resources::default();
            for (resource, ask) in &self.asks {
                let rooms = self.desk.rooms([node.as_str()].into_iter(), std::slice::from_ref(ask), MOST);
                let pods = |room: &Arc<Room>| i64::from(room.pods.min(MOST));
                resources.set((&**resource).into(), rooms.iter().flatten().map(pods).sum());
            }
            counts.push((node, resources));
        }
        self.desk.take_all(self.of_pods);
        Counted { desk: self.desk, counts }
    }
}

impl ClaimKeeper {
    /// How many devices the pod asks for by extended resources for which kube-scheduler has made this claim. The pod's status
    /// names its claim only a moment after that has its devices: until then its owner is believed.
    fn asked_by_owner(&self, seen: &SeenClaim, asks: &BTreeMap<Box<str>, Claim>, cluster: &Cluster) -> usize {
        let Some(pod) = seen.made_for.as_ref().and_then(|owner| cluster.pod(owner)) else { return 0 };
        if pod.claim_made.as_ref().is_some_and(|name| *name != seen.claim.key.name) {
            return 0;
        }
        let asked = asks.keys().map(|resource| pod.demand.requests.get(resource)).fold(0, i64::saturating_add);
        usize::try_from(asked).unwrap_or(0)
    }

    /// The next nodes whose devices behind extended resources should be counted, if there are any.
    pub fn next_census(&mut self, cluster: &Cluster) -> Option<Census> {
        let asks = self.fleet.extended_asks();
        if asks.is_empty() && !self.has_counted {
            self.uncounted.clear();
            return None;
        }
        let mut nodes = vec![];
        while nodes.len() < BATCH
            && let Some(pool) = self.uncounted.pop_first()
        {
            nodes.extend(self.fleet.home(&pool).filter(|node| !nodes.contains(node)));
        }
        if nodes.is_empty() {
            // What was counted before the last class went is taken back by now.
            self.has_counted &= !asks.is_empty();
            return None;
        }
        self.has_counted = true;
        let on_these = |holding: &Holding| self.fleet.home(&holding.device.pool).is_some_and(|n| nodes.contains(&n));
        let asked = |seen: &SeenClaim| self.asked_by_owner(seen, &asks, cluster);
        let of_pods = self.claims.values().flat_map(|seen| seen.holdings().iter().take(asked(seen)));
        let of_pods = of_pods.filter(|holding| on_these(holding)).cloned().collect();
        let desk = self.take_desk(cluster);
        Some(Census { desk, nodes, asks, of_pods })
    }

    /// The desk comes back from counting.
    pub fn take_in(&mut self, counted: Counted) -> Vec<(NodeName, Resources)> {
        self.return_desk(counted.desk);
        counted.counts
    }
}
