//! Where a pod belongs in the fleet: near its own service, away from its other replicas, on the right kind of capacity.
//!
//! Each figure here is a penalty, 0 the best, with a bound of its own; they are made to be criteria of a lexicographic
//! order. How they are meant to stand among the others ([`Rank`](super::Rank)):
//!
//! 1. [`CapacityPolicy::misfit`] behind taints and the pod's own preferences, and before all that saves capacity: a spot
//!    node under an urgent pod is paid for with its life.
//! 2. `zone`, then `on_node` and `in_rack`, behind what the place costs and what is left on it: replicas are
//!    brought together and spread over places that are equally good for the fleet, and an idle node is not opened for the
//!    sake of spreading. Who needs more than that says so with topology spread constraints or affinity, which
//!    kube-scheduler itself enforces.
//!
//! Being near and being spread contradict each other. The default settles it by level: a service stays in the zones
//! where it is (traffic inside a zone is free and fast), and inside these its replicas are spread over nodes, then over
//! racks. Nobody is held in a zone that is full: these are preferences. Where services should rather survive the loss of a
//! zone, [`ZonePolicy::Spread`] is for them.

use crate::cluster::{ByDomain, DomainId, Domains, Level, Services, Sites};
use crate::model::node::NodeName;
use crate::model::place::CapacityType;
use crate::model::service::Replica;

/// Bound of [`Surroundings::zone`].
pub const MAX_ZONE: u8 = 3;
/// Bound of [`Surroundings::on_node`]: 7 or more.
pub const MAX_ON_NODE: u8 = 7;
/// Bound of [`Surroundings::in_rack`]: 7 or more.
pub const MAX_IN_RACK: u8 = 7;
/// Bound of [`CapacityPolicy::misfit`].
pub const MAX_MISFIT: u8 = 2;

/// In which zones the replicas of a service belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ZonePolicy {
    /// In those where it is: near.
    #[default]
    Together,
    /// In as many as there are, evenly. The pods of one group (leader and workers) stay together all the same.
    Spread,
}

/// Where the other pods of a pod's service are: made once for a pod, asked for every node.
///
/// Making it takes time in the order of the pods of its own group only, a question that of the depth of the domain tree. It
/// is valid for the domain tree that it was made with.
#[derive(Debug, Clone, Default)]
pub struct Peers<'a> {
    /// The pods of the service; none where there are none.
    sites: Option<&'a Sites>,
    /// What of these are no other replicas: the pod itself, or the pods of its group.
    own: Own,
    /// Those of the pod's own group alone, without itself, once there are any: a replica of several pods stays together,
    /// wherever the others are.
    near: Option<ByDomain>,
    zones: ZonePolicy,
    /// Pods of other replicas in the zone that has fewest, of those that have any; asked for spreading only.
    fewest_in_zone: u32,
}

/// The replica that is asked for, as far as it is counted among the pods of its service.
#[derive(Debug, Clone, Default)]
struct Own {
    by_domain: ByDomain,
    /// Its group, if it has one.
    group: Option<String>,
    /// The node on which the pod itself is counted.
    itself: Option<NodeName>,
}

impl<'a> Peers<'a> {
    /// The peers of a replica. If the pod itself is already counted on a node (assumed there, and asked about again),
    /// `itself` names that node: nobody stands in its own way.
    pub fn of(
        replica: &Replica,
        itself: Option<&NodeName>,
        services: &'a Services,
        domains: &Domains,
        zones: ZonePolicy,
    ) -> Self {
        let Some(sites) = services.sites(&replica.service) else { return Self::default() };
        let own = Own::of(replica, itself, sites, domains);
        let mut peers = Self { sites: Some(sites), own, ..Self::default() };
        peers.near = peers.own.others(sites, domains);
        if peers.near.is_some() {
            return peers;
        }
        peers.zones = zones;
        if zones == ZonePolicy::Spread {
            let zones = domains.at(Level::Zone).into_iter().map(|id| peers.apart(sites, id));
            peers.fewest_in_zone = zones.filter(|pods| *pods > 0).min().unwrap_or(0);
        }
        peers
    }

    /// Pods of other replicas in a domain.
    fn apart(&self, sites: &Sites, id: DomainId) -> u32 {
        sites.within(id).saturating_sub(count(&self.own.by_domain, id))
    }

    /// Pods in a domain that the replica should be near to.
    fn near(&self, sites: &Sites, id: DomainId) -> u32 {
        self.near.as_ref().map_or_else(|| self.apart(sites, id), |near| count(near, id))
    }

    /// How a node stands to the peers.
    pub fn around(&self, domains: &Domains, node: &NodeName) -> Surroundings {
        let mut around = Surroundings::default();
        let Some(sites) = self.sites.filter(|sites| self.near(sites, DomainId::FLEET) > 0) else { return around };
        // A node that does not say where it is may be anywhere: it counts with the whole fleet.
        let (mut distance, mut in_zone) = (ELSEWHERE, 0);
        for id in domains.path(node) {
            let apart = self.apart(sites, id);
            let level = domains[id].level();
            match level {
                Level::Region if self.near(sites, id) > 0 => distance = 1,
                Level::Zone if self.near(sites, id) > 0 => distance = 0,
                _ => {}
            }
            if level <= Level::Zone {
                in_zone = apart;
            }
            // The path ends at the rack.
            around.in_rack = bounded(apart, MAX_IN_RACK);
        }
        around.zone = match self.zones {
            ZonePolicy::Together => distance,
            ZonePolicy::Spread if in_zone == 0 => 0,
            ZonePolicy::Spread => bounded(1 + in_zone.saturating_sub(self.fewest_in_zone), MAX_ZONE),
        };
        // Most racks have none, and a look-up by name costs more than all of the above.
        if around.in_rack > 0 {
            around.on_node = bounded(sites.on(node).saturating_sub(self.own.on(sites, node)), MAX_ON_NODE);
        }
        around
    }
}

impl Own {
    fn of(replica: &Replica, itself: Option<&NodeName>, sites: &Sites, domains: &Domains) -> Self {
        let mut own = Self { by_domain: ByDomain::default(), group: replica.group.clone(), itself: itself.cloned() };
        match &replica.group {
            Some(group) => sites.group(group).for_each(|(node, pods)| add(&mut own.by_domain, domains, node, pods)),
            // Where there are no groups every pod is a replica of its own.
            None => itself.into_iter().for_each(|node| add(&mut own.by_domain, domains, node, 1)),
        }
        own
    }

    /// The other pods of the group by domain, if there are any.
    fn others(&self, sites: &Sites, domains: &Domains) -> Option<ByDomain> {
        let mut others = ByDomain::default();
        for (node, pods) in self.group.iter().flat_map(|group| sites.group(group)) {
            let pods = pods - u32::from(self.itself.as_ref() == Some(node));
            add(&mut others, domains, node, pods);
        }
        (count(&others, DomainId::FLEET) > 0).then_some(others)
    }

    fn on(&self, sites: &Sites, node: &NodeName) -> u32 {
        match &self.group {
            Some(group) => sites.of_group_on(group, node),
            None => u32::from(self.itself.as_ref() == Some(node)),
        }
    }
}

fn add(pods_by_domain: &mut ByDomain, domains: &Domains, node: &NodeName, pods: u32) {
    domains.path(node).for_each(|id| *pods_by_domain.entry(id).or_default() += pods);
}

fn count(pods_by_domain: &ByDomain, id: DomainId) -> u32 {
    pods_by_domain.get(&id).copied().unwrap_or(0)
}

/// How a node stands to the other pods of a service; each figure is a penalty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// [`ZonePolicy::Together`]: 0 in a zone with pods of the service, or when there are none anywhere; 1 in a region with
    /// pods of it; 2 elsewhere, or where a node does not say where it is. The same for all nodes of a fleet without zones.
    ///
    /// [`ZonePolicy::Spread`]: 0 in a zone without other replicas; else 1 more than it has more of their pods than the zone
    /// with fewest, at most [`MAX_ZONE`]. So a zone that cannot take any, and stays empty, does not hide which of the
    /// others has fewer.
    pub zone: u8,
    /// Pods of other replicas on the node, at most [`MAX_ON_NODE`].
    pub on_node: u8,
    /// Pods of other replicas in the node's rack (see [`Domains::rack`]), at most [`MAX_IN_RACK`].
    pub in_rack: u8,
}

/// The distance of a zone outside of the regions where the service is.
const ELSEWHERE: u8 = 2;

fn bounded(count: u32, bound: u8) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX).min(bound)
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
    /// Does a pod of this priority suit every kind of capacity equally well?
    pub fn is_indifferent(&self, priority: i32) -> bool {
        priority < self.steady_from && priority > self.spot_up_to
    }

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
