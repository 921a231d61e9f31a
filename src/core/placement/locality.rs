//! Where a pod belongs in the fleet: near its own service, away from its other replicas, on the right kind of capacity.
//!
//! Each figure here is a penalty, 0 the best, with a bound of its own; they are made to be criteria of a lexicographic
//! order. How they are meant to stand among the others ([`Rank`](super::Rank)):
//!
//! 1. `capacity`, then `zone`, behind what makes the pod slow or unwelcome (taints, its own preferences, NVLink) and
//!    before what saves capacity: a node packed well in the wrong zone is paid for with every request, and a spot node
//!    under an urgent pod with its life.
//! 2. `node`, then `rack`, behind `breaks_set` and `opens`, and before what is left on the node: replicas are spread
//!    over the nodes that are in use anyway, and an idle node is not opened for the sake of spreading. Who needs more
//!    than that says so with topology spread constraints or anti-affinity, which kube-scheduler itself enforces.
//!
//! Being near and being spread contradict each other. The default settles it by level: a service stays in the zones
//! where it is (traffic inside a zone is free and fast), and inside these its replicas are spread over nodes, then over
//! racks. Nobody is held in a zone that is full: these are preferences. Where a service should rather survive the loss
//! of its zone, `zone` is [`Peers::in_zone`] instead of [`Peers::zone_distance`].

use std::collections::BTreeMap;

use crate::cluster::{DomainId, Domains, Level, Services};
use crate::model::node::NodeName;
use crate::model::place::CapacityType;
use crate::model::service::Replica;

/// Bound of [`Peers::zone_distance`].
pub const MAX_ZONE_DISTANCE: u8 = 2;
/// Bound of [`Peers::on_node`]: 15 or more.
pub const MAX_ON_NODE: u8 = 15;
/// Bound of [`Peers::in_rack`]: 63 or more.
pub const MAX_IN_RACK: u8 = 63;
/// Bound of [`Peers::in_zone`]: 255 or more.
pub const MAX_IN_ZONE: u8 = 255;
/// Bound of [`CapacityPolicy::misfit`].
pub const MAX_MISFIT: u8 = 2;

/// Where the other pods of a pod's service are: worked out once for a pod, asked for every node.
///
/// Making it takes time in the order of the pods of the service, a question that of the depth of the domain tree. It is
/// valid for the domain tree that it was made with.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    /// Pods of the service by domain, as an index. Those of the pod's own group alone, once there are any: a replica of
    /// several pods stays together, wherever the others are.
    near: Vec<u32>,
    /// Pods of other replicas by domain.
    apart: Vec<u32>,
    /// Pods of other replicas by node.
    on_nodes: BTreeMap<NodeName, u32>,
}

impl Peers {
    /// The peers of a replica. If the pod itself is already counted on a node (assumed there, and asked about again),
    /// `itself` names that node: nobody stands in its own way.
    pub fn of(replica: &Replica, itself: Option<&NodeName>, services: &Services, domains: &Domains) -> Self {
        let Some(sites) = services.sites(&replica.service) else { return Self::default() };
        let mut peers = Self { apart: vec![0; domains.bound()], ..Self::default() };
        let mut all = vec![0; domains.bound()];
        let mut group = vec![0; domains.bound()];
        for (node, of_group, mut pods) in sites.iter() {
            let same_group = of_group == replica.group.as_deref();
            if same_group && itself == Some(node) {
                pods -= 1;
            }
            // Where there are no groups every pod is a replica of its own.
            let together = same_group && of_group.is_some();
            let count = |counts: &mut [u32]| domains.path(node).for_each(|id| counts[id.index()] += pods);
            count(&mut all);
            if together {
                count(&mut group);
            } else {
                count(&mut peers.apart);
                *peers.on_nodes.entry(node.clone()).or_default() += pods;
            }
        }
        peers.near = if group[DomainId::FLEET.index()] > 0 { group } else { all };
        peers
    }

    /// How far a node is from where the service is: 0 in a zone with pods of it, or when there are none anywhere; 1 in
    /// a region with pods of it; 2 elsewhere, or where a node does not say where it is. The same for all nodes of a
    /// fleet without zones.
    pub fn zone_distance(&self, domains: &Domains, node: &NodeName) -> u8 {
        if self.near.get(DomainId::FLEET.index()).is_none_or(|pods| *pods == 0) {
            return 0;
        }
        let has_pods = |level| {
            let closest = domains.closest(node, level).filter(|id| domains[*id].level() == level);
            closest.is_some_and(|id| self.near[id.index()] > 0)
        };
        match (has_pods(Level::Zone), has_pods(Level::Region)) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => MAX_ZONE_DISTANCE,
        }
    }

    /// Pods of other replicas on the node, at most [`MAX_ON_NODE`].
    pub fn on_node(&self, node: &NodeName) -> u8 {
        bounded(self.on_nodes.get(node), MAX_ON_NODE)
    }

    /// Pods of other replicas in the node's rack (see [`Domains::rack`]), at most [`MAX_IN_RACK`].
    pub fn in_rack(&self, domains: &Domains, node: &NodeName) -> u8 {
        bounded(domains.rack(node).and_then(|id| self.apart.get(id.index())), MAX_IN_RACK)
    }

    /// Pods of other replicas in the node's zone, or in what is closest to a zone where it has none, at most
    /// [`MAX_IN_ZONE`].
    pub fn in_zone(&self, domains: &Domains, node: &NodeName) -> u8 {
        bounded(domains.closest(node, Level::Zone).and_then(|id| self.apart.get(id.index())), MAX_IN_ZONE)
    }
}

fn bounded(count: Option<&u32>, bound: u8) -> u8 {
    count.map_or(0, |count| u8::try_from(*count).unwrap_or(u8::MAX).min(bound))
}

/// Which pods prefer which kind of capacity, by priority.
///
/// The default draws the line at what somebody has said: a positive priority means that the pod matters, a negative one
/// that it can go. Most pods have 0 because nobody said anything, a team's main service among them: it is not sent to
/// spot nodes to save money, nor does it take the on-demand nodes from those who ask for them. With `spot_up_to: 0` all
/// that is not important goes to spot nodes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapacityPolicy {
    /// Pods of this priority and below prefer spot.
    pub spot_up_to: i32,
    /// Pods of this priority and above prefer what stays. Where both hold, this one counts.
    pub steady_from: i32,
}

impl Default for CapacityPolicy {
    fn default() -> Self {
        Self { spot_up_to: -1, steady_from: 1 }
    }
}

impl CapacityPolicy {
    /// How little a pod of this priority fits a kind of capacity, at most [`MAX_MISFIT`]: whoever wants what stays is
    /// best on what is reserved and paid for, then on demand; whoever wants spot leaves what is reserved to the others.
    /// Capacity that does not say what it is counts as on demand.
    pub fn misfit(&self, priority: i32, capacity: Option<CapacityType>) -> u8 {
        let steady = match capacity.unwrap_or(CapacityType::OnDemand) {
            CapacityType::Reserved => 0,
            CapacityType::OnDemand => 1,
            CapacityType::Spot => MAX_MISFIT,
        };
        if priority >= self.steady_from {
            steady
        } else if priority <= self.spot_up_to {
            MAX_MISFIT - steady
        } else {
            0
        }
    }
}

#[cfg(test)]
#[path = "locality_tests.rs"]
mod tests;
