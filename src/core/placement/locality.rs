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

use crate::cluster::{ByDomain, DomainId, Domains, Level, Paths, Services, Sites, Slot};
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
/// Making it takes time in the order of the pods of its own group and of the different paths through the domain tree, a
/// question that of a look-up. It is valid for the nodes that it was made with.
#[derive(Debug, Clone)]
pub struct Peers<'a> {
    sites: &'a Sites,
    paths: &'a Paths,
    own: Own,
    /// How nodes stand to the peers, whoever is on them; by the number of their path.
    around: Vec<Surroundings>,
}

/// The replica that is asked for, as far as it is counted among the pods of its service.
#[derive(Debug, Clone, Default)]
struct Own {
    by_domain: ByDomain,
    /// Its group, if it has one.
    group: Option<String>,
    /// The node on which the pod itself is counted.
    itself: Option<Slot>,
}

impl<'a> Peers<'a> {
    /// The peers of a replica; none if there are no others of its service. If the pod itself is already counted on a node
    /// (assumed there, and asked about again), `itself` names that node: nobody stands in its own way.
    pub fn of(
        replica: &Replica,
        itself: Option<Slot>,
        services: &'a Services,
        domains: &Domains,
        paths: &'a Paths,
        zones: ZonePolicy,
    ) -> Option<Self> {
        let sites = services.sites(&replica.service)?;
        let own = Own::of(replica, itself, sites, paths);
        let around = Counts::of(sites, &own, domains, paths, zones).around(domains, paths)?;
        Some(Self { sites, paths, own, around })
    }

    /// How a node stands to the peers. One that is not there may be anywhere.
    pub fn around(&self, node: Option<Slot>) -> Surroundings {
        let around = self.around[node.map_or(Paths::NONE, |slot| self.paths.number(slot))];
        match node {
            // Most racks have none.
            Some(slot) if around.in_rack > 0 => {
                let pods = self.sites.on(slot).saturating_sub(self.own.on(self.sites, slot));
                Surroundings { on_node: bounded(pods, MAX_ON_NODE), ..around }
            }
            _ => around,
        }
    }
}

/// How many pods of a service each domain has, as the replica sees it.
struct Counts<'a> {
    sites: &'a Sites,
    own: &'a ByDomain,
    /// Those of the pod's own group alone, without itself, once there are any: a replica of several pods stays together,
    /// wherever the others are.
    near: Option<ByDomain>,
    zones: ZonePolicy,
    /// Pods of other replicas in the zone that has fewest, of those that have any; asked for spreading only.
    fewest_in_zone: u32,
}

impl<'a> Counts<'a> {
    fn of(sites: &'a Sites, own: &'a Own, domains: &Domains, paths: &Paths, zones: ZonePolicy) -> Self {
        let near = own.others(sites, paths);
        let zones = if near.is_some() { ZonePolicy::default() } else { zones };
        let mut counts = Self { sites, own: &own.by_domain, near, zones, fewest_in_zone: 0 };
        if zones == ZonePolicy::Spread {
            let zones = domains.at(Level::Zone).into_iter().map(|id| counts.apart(id));
            counts.fewest_in_zone = zones.filter(|pods| *pods > 0).min().unwrap_or(0);
        }
        counts
    }

    /// Pods of other replicas in a domain.
    fn apart(&self, id: DomainId) -> u32 {
        self.sites.within(id).saturating_sub(count(self.own, id))
    }

    /// Pods in a domain that the replica should be near to.
    fn near(&self, id: DomainId) -> u32 {
        self.near.as_ref().map_or_else(|| self.apart(id), |near| count(near, id))
    }

    /// How the nodes of each path stand to the peers, if there are any.
    fn around(&self, domains: &Domains, paths: &Paths) -> Option<Vec<Surroundings>> {
        (self.near(DomainId::FLEET) > 0).then(|| paths.iter().map(|path| self.along(domains, path)).collect())
    }

    /// How nodes in these domains stand to the peers, whoever is on them.
    fn along(&self, domains: &Domains, path: &[DomainId]) -> Surroundings {
        let mut around = Surroundings::default();
        // A node that does not say where it is may be anywhere: it counts with the whole fleet.
        let (mut distance, mut in_zone) = (ELSEWHERE, 0);
        for &id in path {
            let apart = self.apart(id);
            let level = domains[id].level();
            match level {
                Level::Region if self.near(id) > 0 => distance = 1,
                Level::Zone if self.near(id) > 0 => distance = 0,
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
        around
    }
}

impl Own {
    fn of(replica: &Replica, itself: Option<Slot>, sites: &Sites, paths: &Paths) -> Self {
        let mut own = Self { by_domain: ByDomain::default(), group: replica.group.clone(), itself };
        match &replica.group {
            Some(group) => sites.group(group).for_each(|(node, pods)| add(&mut own.by_domain, paths, node, pods)),
            // Where there are no groups every pod is a replica of its own.
            None => itself.into_iter().for_each(|node| add(&mut own.by_domain, paths, node, 1)),
        }
        own
    }

    /// The other pods of the group by domain, if there are any.
    fn others(&self, sites: &Sites, paths: &Paths) -> Option<ByDomain> {
        let mut others = ByDomain::default();
        for (node, pods) in self.group.iter().flat_map(|group| sites.group(group)) {
            add(&mut others, paths, node, pods - u32::from(self.itself == Some(node)));
        }
        (count(&others, DomainId::FLEET) > 0).then_some(others)
    }

    fn on(&self, sites: &Sites, node: Slot) -> u32 {
        match &self.group {
            Some(group) => sites.of_group_on(group, node),
            None => u32::from(self.itself == Some(node)),
        }
    }
}

fn add(pods_by_domain: &mut ByDomain, paths: &Paths, node: Slot, pods: u32) {
    paths.of(node).iter().for_each(|id| *pods_by_domain.entry(*id).or_default() += pods);
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
