//! An immutable view of the state, to decide on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::claims::GpusByNode;
use super::gangs::{Board, Fate, not_ours};
use super::judgement::Judgement;
use super::policy::{Policy, Stance};
use super::profile::Profile;
use super::quotas::Used;
use super::scoring::Scoring;
use super::verdicts::{Verdict, VerdictCache, VerdictTable};
use crate::cluster::{Cluster, Domains, Geography, NameIndex, NodeState, Services, Slot, Slots, Usage};
use crate::model::gang::GangKey;
use crate::model::node::{Node, NodeName};
use crate::model::pod::{Demand, Pod, PodUid};
use crate::model::quota::{Item, OverQuota};
use crate::model::service::Replica;
use crate::placement::fragmentation::{Mix, Scorer, Usable};
use crate::placement::{self, Aim, Asked, Peers, Rank};

/// An immutable view of the state.
#[derive(Debug)]
pub struct Snapshot {
    names: Arc<NameIndex>,
    slots: Slots,
    generation: u64,
    unconfirmed: Arc<BTreeMap<PodUid, NodeName>>,
    geography: Arc<Geography>,
    domains: Arc<Domains>,
    services: Arc<Services>,
    usage: Arc<Usage>,
    /// What namespaces have beside what their pods hold.
    beside: Usage,
    scoring: Arc<Scoring>,
    board: Arc<Board>,
    gpus: GpusByNode,
    policy: Arc<Policy>,
    verdicts: Arc<VerdictCache>,
    /// The nodes of those who are unconfirmed, once somebody asks.
    promised: OnceLock<BTreeSet<NodeName>>,
    /// Which NVLink domains somebody has devices in, by number, once somebody asks.
    domains_in_use: OnceLock<Vec<bool>>,
}

impl Snapshot {
    pub(super) fn new(
        cluster: &Cluster,
        scoring: Arc<Scoring>,
        board: Arc<Board>,
        beside: Usage,
        gpus: GpusByNode,
        policy: Arc<Policy>,
        verdicts: Arc<VerdictCache>,
    ) -> Self {
        Self {
            names: Arc::clone(cluster.names()),
            slots: cluster.slots().clone(),
            generation: cluster.generation(),
            unconfirmed: Arc::clone(cluster.unconfirmed()),
            geography: Arc::clone(cluster.geography()),
            domains: Arc::clone(cluster.domains()),
            services: Arc::clone(cluster.services()),
            usage: Arc::clone(cluster.usage()),
            beside,
            scoring,
            board,
            gpus,
            policy,
            verdicts,
            promised: OnceLock::new(),
            domains_in_use: OnceLock::new(),
        }
    }

    /// The generation of the state that this is a view of.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What is typical of the pods in the state.
    pub fn mix(&self) -> &Mix {
        &self.scoring.mix
    }

    /// Grows with every change of the mix, and of what the nodes are.
    pub fn mix_version(&self) -> u64 {
        self.scoring.version
    }

    /// Says what places cost the pods to come.
    pub(super) fn scorer(&self) -> &Scorer {
        self.scoring.scorer()
    }

    /// How good a place is for a pod that fits there; `state` is the node as it is, or as it would be.
    pub(super) fn rank(&self, demand: &Demand, state: &NodeState) -> Rank {
        let slot = self.names.get(state.name().as_str());
        let asked = Asked::of(demand);
        let cost = slot.map_or(0, |slot| self.scorer().costs().of(&asked, slot, state));
        asked.rank(state, cost)
    }

    /// Does a pod fit on a node, and how well?
    pub(super) fn verdict(&self, demand: &Demand, state: &NodeState) -> Verdict {
        match placement::check(demand, state) {
            Ok(()) => Verdict::Fits(self.rank(demand, state)),
            Err(reason) => Verdict::no(reason),
        }
    }

    /// The nodes, by slot; a slot can be free.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The slots of all nodes, in the order of their names.
    pub(super) fn slots_by_name(&self) -> impl Iterator<Item = Slot> {
        self.geography.by_name(&self.slots).iter().map(|slot| Slot::at(*slot as usize))
    }

    /// All nodes, in the order of their names.
    pub fn nodes(&self) -> Vec<&Arc<NodeState>> {
        self.slots_by_name().filter_map(|slot| self.slots[slot].as_ref()).collect()
    }

    /// The state of a node.
    pub fn node(&self, name: &str) -> Option<&Arc<NodeState>> {
        self.slots[self.names.get(name)?].as_ref()
    }

    /// Is there a node of this name that has accelerators: by what it can give, or by what a driver publishes for claims?
    pub fn has_accelerators(&self, name: &str) -> bool {
        let by_count = |node: &Arc<Node>| node.inventory.has_accelerators();
        self.node(name).and_then(|state| state.node()).is_some_and(by_count) || self.gpus.contains_key(name)
    }

    /// The pod as it is planned: one of no gang that uses claims, where claims are ours, is planned like a gang of its own.
    pub fn as_planned(&self, pod: Pod) -> Pod {
        self.policy.as_planned(pod)
    }

    /// How a pod is treated.
    pub fn stance(&self, pod: &Pod) -> Stance {
        self.policy.stance(pod)
    }

    /// Is the pod's scheduler one that asks us?
    pub fn is_asked_about(&self, pod: &Pod) -> bool {
        self.policy.is_asked_about(pod)
    }

    /// What follows from which nodes there are and what they are.
    pub(super) fn geography(&self) -> &Geography {
        &self.geography
    }

    /// Where the nodes stand.
    pub fn domains(&self) -> &Domains {
        &self.domains
    }

    /// The profile of a pod.
    pub fn profile(&self, pod: &Pod) -> &Arc<Profile> {
        self.policy.placement.profiles.of(pod)
    }

    /// The rank of a node by what a profile places for, for a pod of this priority; but for who else is around there.
    pub(super) fn suited(&self, rank: Rank, profile: &Profile, priority: i32, node: &Node) -> Rank {
        let misfit = profile.capacity.misfit(priority, node.place.capacity_type);
        let opens_domain = u8::from(profile.order.has(Aim::Domains) && self.opens_domain(node.name()));
        Rank { order: profile.order, misfit, opens_domain, ..rank }
    }

    /// Is the node in an NVLink domain of several nodes in which nobody has devices?
    fn opens_domain(&self, node: &NodeName) -> bool {
        let in_use = self.domains_in_use.get_or_init(|| self.find_domains_in_use());
        self.domains.clique(node).is_some_and(|clique| !in_use[clique.index()])
    }

    fn find_domains_in_use(&self) -> Vec<bool> {
        let mut in_use = vec![false; self.domains.bound()];
        for state in self.slots.iter().flatten().filter(|state| state.room().accelerators_in_use) {
            if let Some(clique) = self.domains.clique(state.name()) {
                in_use[clique.index()] = true;
            }
        }
        in_use
    }

    /// The slot that a name stands for, whether its node has been seen or not.
    pub(super) fn slot_of(&self, name: &str) -> Option<Slot> {
        self.names.get(name)
    }

    /// What members of gangs are told.
    pub(super) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Is a node not kept free from a gang with this priority and age?
    pub(super) fn is_open_to(&self, node: &NodeName, (priority, created_s): (i32, i64), gang: &GangKey) -> bool {
        self.board.keeps_free(node.as_str(), priority, created_s, Some(gang)).is_none()
    }

    /// How good a place each node is for a member of a gang with this profile, priority and age, by slot; nothing where it
    /// does not fit now, for nodes that are to be avoided, and for those that are kept free for others.
    pub(super) fn ranks(
        &self,
        demand: &Arc<Demand>,
        profile: &Profile,
        order: (i32, i64),
        gang: &GangKey,
        avoid: &BTreeSet<NodeName>,
    ) -> Vec<Option<Rank>> {
        let table = self.verdicts_on(demand);
        let is_open = |node: &NodeName| !avoid.contains(node) && self.is_open_to(node, order, gang);
        let rank = |(at, state): (usize, &Option<Arc<NodeState>>)| {
            let node = state.as_ref()?.node().filter(|node| is_open(node.name()))?;
            Some(self.suited(table.rank(Slot::at(at))?, profile, order.0, node))
        };
        self.slots.iter().enumerate().map(rank).collect()
    }

    /// The same as far as a count of resources shows it: for members of any gang, wherever there is enough of everything.
    pub(super) fn ranks_by_counts(&self, demand: &Arc<Demand>) -> Vec<Option<Rank>> {
        let asked = Asked::of(demand);
        let rank = |state: &Option<Arc<NodeState>>| {
            let state = state.as_ref()?;
            let fits = asked.check(state).or_else(|reason| if reason.is_counted() { Err(reason) } else { Ok(()) });
            fits.is_ok().then(|| asked.rank(state, 0))
        };
        self.slots.iter().map(rank).collect()
    }

    /// The slot of the node of this name, once the node has been seen.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        let slot = self.names.get(name)?;
        self.slots[slot].as_ref()?.node()?;
        Some(slot)
    }

    /// Does the pod fit, and how well? Ask per node with [`Judgement::of`].
    ///
    /// A pod whose binding is under way, or was left in doubt, does not stand in its own way.
    pub fn judge(&self, pod: &Pod) -> Judgement<'_> {
        let own = self.unconfirmed.get(&pod.uid).and_then(|node| {
            let state = self.node(node.as_str())?.without([&pod.uid]);
            Some((node.clone(), self.verdict(&pod.demand, &state)))
        });
        let is_new = own.is_none() && self.stance(pod) == Stance::Placed;
        let over_quota = if is_new { self.over_quota(pod) } else { None };
        Judgement::new(self, pod, own, over_quota, self.fate(pod))
    }

    /// Why a pod that has no place may have none, as far as the quota of its namespace is concerned.
    pub fn over_quota(&self, pod: &Pod) -> Option<OverQuota> {
        let quotas = &self.policy.placement.quotas;
        quotas.check(pod, &self.used()).err().map(|over| *over)
    }

    /// The limits of each namespace that has a quota of its own, or something of what another is for: the item, how much of it
    /// is in use and how much may be, in thousandths.
    pub fn quotas(&self) -> Vec<(&str, Item, i64, i64)> {
        let quotas = &self.policy.placement.quotas;
        let having = self.usage.namespaces().chain(self.beside.namespaces());
        let namespaces: BTreeSet<&str> = quotas.named().chain(having).collect();
        let limits = |namespace: &'_ str| {
            let used = self.used().of(namespace);
            let limits = quotas.of(namespace).into_iter().flat_map(|quota| quota.limits());
            limits.map(move |(item, limit)| (item, used.milli(item), limit)).collect::<Vec<_>>()
        };
        let rows = namespaces.into_iter().flat_map(|namespace| {
            limits(namespace).into_iter().map(move |(item, used, limit)| (namespace, item, used, limit))
        });
        rows.collect()
    }

    fn used(&self) -> Used<'_> {
        Used { by_pods: &self.usage, beside: &self.beside }
    }

    /// What namespaces have beside what their pods hold.
    pub(super) fn beside(&self) -> &Usage {
        &self.beside
    }

    /// What the operator has decided.
    pub(super) fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Is there a node on which what is asked for fits, for whomever?
    pub(super) fn fits_somewhere(&self, demand: &Arc<Demand>) -> bool {
        self.verdicts_on(demand).fits_somewhere()
    }

    /// The verdicts on all nodes for one demand.
    pub(super) fn verdicts_on(&self, demand: &Arc<Demand>) -> Arc<VerdictTable> {
        self.verdicts.table(self, demand)
    }

    /// Where may this pod go, as far as its gang is concerned?
    fn fate(&self, pod: &Pod) -> Fate {
        match &pod.membership {
            Some(membership) if !self.policy.is_ours(pod) => Fate::Held(Arc::new(not_ours(membership, pod))),
            _ => self.board.fate(pod),
        }
    }

    /// Why a pod is to be asked for again in a moment, if it is, instead of being refused on the nodes of an offer. Where other
    /// nodes are offered than those on which its devices are, kube-scheduler has not seen these yet, and can take none from it.
    /// A refusal is better then: after an error it lets the pod wait longer.
    pub fn unsettled<'n>(&self, pod: &Pod, mut offer: impl Iterator<Item = &'n str>) -> Option<Arc<str>> {
        match self.fate(pod) {
            Fate::Unsettled(Some(node), _) if offer.any(|name| name != node.as_str()) => None,
            Fate::Unsettled(_, why) => Some(Arc::clone(&why.text)),
            _ => None,
        }
    }

    /// The GPUs of nodes that drivers publish, and which claims have what of them.
    pub fn gpus(&self) -> &GpusByNode {
        &self.gpus
    }

    /// Pods for which a place is kept on a node, and that are not bound to it for all that is known.
    pub fn unconfirmed(&self) -> &BTreeMap<PodUid, NodeName> {
        &self.unconfirmed
    }

    /// Is a place on this node kept for somebody who is not there yet?
    pub fn is_promised(&self, node: &str) -> bool {
        self.promised.get_or_init(|| self.unconfirmed.values().cloned().collect()).contains(node)
    }

    /// How much of what is free on the node in a slot typical pods would still fill; nothing where there are no
    /// accelerators.
    pub(super) fn usable(&self, slot: Slot) -> Option<Usable> {
        self.scorer().usable(slot, self.slots[slot].as_ref()?)
    }

    /// Where the other pods of a pod's service are; `itself` names the node on which the pod is counted already.
    pub(super) fn peers(&self, pod: &Pod, profile: &Profile, itself: Option<Slot>) -> Option<Peers<'_>> {
        let replica = Replica::of(pod)?;
        let paths = self.geography.paths(&self.slots, &self.domains);
        Peers::of(&replica, itself, &self.services, &self.domains, paths, profile.zones)
    }

    /// Must a pod on this node, which is to be evicted, start and run together with others?
    pub fn breaks_a_gang(&self, node: &str, victim: &PodUid) -> bool {
        let holding = self.node(node).and_then(|state| state.holders().get(victim));
        holding.and_then(|holding| holding.gang.as_ref()).is_some_and(|gang| self.board.is_together(gang))
    }

    /// Must a pod wait for others?
    pub fn is_held_together(&self, pod: &Pod) -> bool {
        !matches!(self.fate(pod), Fate::Free)
    }

    /// Would the pod fit on a node if these pods went, and does it need that they go? What only kube-scheduler can see
    /// (ports, volumes, pods that must not meet) is left to it: where the pod fits as it is, victims are taken to be
    /// needed for that.
    pub fn victims_help<'v>(&self, demand: &Demand, node: &str, victims: impl IntoIterator<Item = &'v PodUid>) -> bool {
        let Some(state) = self.node(node) else { return true };
        match placement::check(demand, state) {
            Ok(()) => true,
            Err(reason) if !reason.preemption_can_help() => false,
            Err(_) => placement::check(demand, &state.without(victims)).is_ok(),
        }
    }
}
