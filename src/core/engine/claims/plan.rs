//! Claims that are being given devices by us, from the plan until the cluster shows it, and back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Needs;
use super::{ClaimKeeper, ClaimNewsKind, key_of};
use crate::claims::{Allocation, Claim, ClaimKey, Holding, NodeSelector, SeenClaim, fingerprint};
use crate::cluster::Cluster;
use crate::engine::policy::{ClaimPolicy, Policy};
use crate::model::gang::GangKey;
use crate::model::node::NodeName;
use crate::model::pod::{self, Pod, PodUid};

/// What a claim is to be given.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Grant {
    /// The claim.
    pub key: ClaimKey,
    /// Its unique id.
    pub uid: Box<str>,
    /// The devices.
    pub allocation: Arc<Allocation>,
    /// The claim is yet to be made, with its pod, and will be like this one: which the pod will call so.
    pub expected: Option<(Box<str>, Arc<Claim>)>,
}

/// A claim that is gone though it was being given devices, or had them from its plan.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Lost {
    /// The claim.
    pub claim: ClaimKey,
    /// For whom it was.
    pub gang: GangKey,
    /// Under which key its devices are set aside.
    pub aside: ClaimKey,
}

/// A claim that is being given devices, or from which they are being taken back.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    uid: Box<str>,
    /// For whom.
    gang: Option<GangKey>,
    pub holdings: Vec<Holding>,
    /// Where its pod is to go, or the first of those that share it; none where it is only taken back.
    node: Option<NodeName>,
    /// Where its devices can be used; none means everywhere.
    within: Option<NodeSelector>,
    stage: Stage,
    /// A write is under way.
    in_flight: bool,
    /// When the last write began, in the engine's milliseconds.
    tried_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Set aside for a claim like this one, which is yet to be made: with its pod, or in place of another.
    SetAside(Arc<Claim>, Arc<Allocation>),
    /// To be written.
    Giving(Arc<Allocation>),
    /// The API server has taken it, as this version of the claim.
    Given { allocation: Arc<Allocation>, version: u64 },
    /// To be taken back, if the cluster has it.
    TakingBack,
}

/// Something to write on a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOrder {
    /// Give it these devices.
    Allocate {
        /// The claim.
        claim: ClaimKey,
        /// Its unique id.
        uid: Box<str>,
        /// Its `metadata.resourceVersion` as it was seen without devices.
        version: u64,
        /// The devices.
        allocation: Arc<Allocation>,
        /// Where its pod is to go.
        node: NodeName,
    },
    /// Take these devices from it, if it has them, unless somebody may use them by now; and see to it that no earlier
    /// write gives them to it later.
    Release {
        /// The claim.
        claim: ClaimKey,
        /// Its unique id.
        uid: Box<str>,
        /// The [`fingerprint`] of the devices.
        devices: String,
    },
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The claim has the devices, as this version.
    Allocated {
        /// `metadata.resourceVersion`.
        version: u64,
    },
    /// The claim has not been given them, and will not be.
    Refused {
        /// Why.
        why: String,
        /// The claim as the API server showed it then, if it did: the watch may be behind, and not show what it has.
        seen: Option<Box<SeenClaim>>,
    },
    /// The claim does not have them, or not any more.
    Released {
        /// The claim as the API server showed it then, if it is still there: the watch may be behind.
        seen: Option<Box<SeenClaim>>,
    },
    /// They were not taken back: somebody may use them.
    Reserved {
        /// The claim as the API server showed it then: the watch may not show yet that it has them.
        seen: Box<SeenClaim>,
    },
    /// It is not known; to be tried again.
    Unknown,
}

impl Plan {
    /// Is what it gives being taken back?
    pub fn is_withdrawn(&self) -> bool {
        self.stage == Stage::TakingBack
    }

    /// Has the API server taken what it gives?
    pub fn is_given(&self) -> bool {
        matches!(self.stage, Stage::Given { .. })
    }

    /// Where the devices are, as long as the API server does not know that they are given.
    pub fn unwritten_on(&self) -> Option<&NodeName> {
        self.node.as_ref().filter(|_| matches!(self.stage, Stage::Giving(_) | Stage::SetAside(..)))
    }

    /// For whom it is, if anybody waits for it.
    pub fn gang(&self) -> Option<GangKey> {
        self.gang.clone()
    }

    fn order(&self, claim: &ClaimKey, version: u64) -> Option<ClaimOrder> {
        let (claim, uid) = (claim.clone(), self.uid.clone());
        match &self.stage {
            Stage::Giving(allocation) => {
                let node = self.node.clone()?;
                Some(ClaimOrder::Allocate { claim, uid, version, allocation: Arc::clone(allocation), node })
            }
            Stage::TakingBack => Some(ClaimOrder::Release { claim, uid, devices: fingerprint(&self.holdings) }),
            Stage::SetAside(..) | Stage::Given { .. } => None,
        }
    }
}

impl ClaimKeeper {
    /// Claims of a gang are to be given these devices. They are held from now on.
    pub fn give(&mut self, gang: &GangKey, node: &NodeName, grants: impl IntoIterator<Item = Grant>) {
        for Grant { key, uid, allocation, expected } in grants {
            let holdings = allocation.holdings().collect();
            let within = allocation.nodes.clone().map(|term| NodeSelector::new(vec![term]));
            let stage = match expected {
                Some((_, claim)) => Stage::SetAside(claim, allocation),
                None => Stage::Giving(allocation),
            };
            let (gang, node) = (Some(gang.clone()), Some(node.clone()));
            let plan = Plan { uid, gang, holdings, node, within, stage, in_flight: false, tried_ms: None };
            self.set_plan(&key, Some(plan));
        }
    }

    /// A claim is gone. What its plan gave it is set aside, for the one that may be made in its place.
    pub(super) fn lose(&mut self, claim: &Arc<Claim>) {
        let key = &claim.key;
        let Some(plan) = self.plans.get(key).cloned() else { return };
        if let (Some(gang), Stage::Giving(allocation) | Stage::Given { allocation, .. }) = (plan.gang(), &plan.stage) {
            // No claim has such a name.
            let aside = ClaimKey { name: format!("{}:gone", claim.uid).into(), ..key.clone() };
            let stage = Stage::SetAside(Arc::clone(claim), Arc::clone(allocation));
            self.lost.push(Lost { claim: key.clone(), gang, aside: aside.clone() });
            self.set_plan(&aside, Some(Plan { stage, in_flight: false, tried_ms: None, ..plan }));
        }
        self.set_plan(key, None);
    }

    /// The claim that a pod calls so, if it is there.
    pub fn claim_of(&self, pod: &Pod, alias: &str) -> Option<&SeenClaim> {
        let claim = pod.claims.iter().find(|claim| &*claim.alias == alias)?;
        self.claims.get(&key_of(pod, claim)?)
    }

    /// Is what was set aside under this key for a claim like that one?
    pub fn is_set_aside_for(&self, key: &ClaimKey, claim: &Claim) -> bool {
        let asks = |claim: &Claim| (claim.requests.clone(), claim.constraints.clone(), claim.configs.clone());
        let stage = self.plans.get(key).map(|plan| &plan.stage);
        matches!(stage, Some(Stage::SetAside(expected, _)) if asks(expected) == asks(claim))
    }

    /// A claim that was expected is there: it is given what was set aside for it.
    pub fn hand_over(&mut self, key: &ClaimKey, claim: &Claim) {
        let Some(Plan { stage: Stage::SetAside(_, allocation), .. }) = self.plans.get(key) else { return };
        let (uid, stage) = (claim.uid.clone(), Stage::Giving(Arc::clone(allocation)));
        let Some(plan) = self.plans.get(key).cloned() else { return };
        self.set_plan(&claim.key, Some(Plan { uid, stage, ..plan }));
        self.set_plan(key, None);
    }

    /// Nobody comes for what was set aside.
    pub fn free<'k>(&mut self, keys: impl IntoIterator<Item = &'k ClaimKey>) {
        for key in keys {
            if self.plans.get(key).is_some_and(|plan| matches!(plan.stage, Stage::SetAside(..))) {
                self.set_plan(key, None);
            }
        }
    }

    /// Have all of these claims been given their devices, as far as the API server says?
    pub fn are_given<'k>(&self, claims: impl IntoIterator<Item = &'k ClaimKey>) -> bool {
        let is_given = |key: &ClaimKey| match self.plans.get(key) {
            Some(plan) => matches!(plan.stage, Stage::Given { .. }),
            None => self.claims.get(key).is_some_and(|seen| seen.allocation.is_some()),
        };
        claims.into_iter().all(is_given)
    }

    /// Are all of these claims being given what can be used on one node only?
    pub fn are_local<'k>(&self, claims: impl IntoIterator<Item = &'k ClaimKey>) -> bool {
        let is_local = |plan: &Plan| {
            let (Some(within), Some(node)) = (&plan.within, &plan.node) else { return false };
            *within == NodeSelector::of_node(node.as_str())
        };
        claims.into_iter().all(|key| self.plans.get(key).is_some_and(is_local))
    }

    /// May the cluster show devices of one of these claims already, though not of all?
    pub fn are_being_given<'k>(&self, claims: impl IntoIterator<Item = &'k ClaimKey> + Clone) -> bool {
        let is_begun = |key: &ClaimKey| self.plans.get(key).is_some_and(|plan| plan.tried_ms.is_some());
        !self.are_given(claims.clone()) && claims.into_iter().any(is_begun)
    }

    /// The needs of a pod that has no place yet: what its claims are being given for others is not looked for again.
    pub fn needs_beside(&self, needs: &Needs) -> Needs {
        let mut beside = needs.clone();
        beside.open.retain(|open| !self.plans.contains_key(&open.claim.key));
        beside.shared.retain(|key| !self.plans.contains_key(key));
        let planned = needs.keys().into_iter().filter_map(|key| self.plans.get(key));
        beside.within.extend(planned.filter_map(|plan| plan.within.clone()));
        beside
    }

    /// Of these claims those that are being given devices.
    pub fn planned<'n>(&self, needs: impl IntoIterator<Item = &'n Needs>) -> Vec<ClaimKey> {
        let claims: BTreeSet<&ClaimKey> = needs.into_iter().flat_map(Needs::keys).collect();
        claims.into_iter().filter(|key| self.plans.contains_key(*key)).cloned().collect()
    }

    /// The pods of these claims are on their nodes: what was given stays.
    pub fn finish(&mut self, claims: &[ClaimKey]) {
        for key in claims {
            self.settle(key);
        }
    }

    /// The plan for these claims was given up: what they were given is taken back.
    pub fn withdraw(&mut self, claims: &[ClaimKey]) {
        for key in claims {
            match self.plans.get_mut(key) {
                Some(
                    Plan { stage: Stage::Giving(_), tried_ms: None, .. } | Plan { stage: Stage::SetAside(..), .. },
                ) => {
                    self.set_plan(key, None);
                }
                Some(plan) => (plan.stage, plan.tried_ms) = (Stage::TakingBack, None),
                None => {}
            }
        }
    }

    /// Another leads: what was about to be given or taken back is that one's to decide.
    pub fn stand_by(&mut self) {
        for key in self.plans.keys().cloned().collect::<Vec<_>>() {
            self.set_plan(&key, None);
        }
        self.take_failures();
        self.take_lost();
        self.term_began_ms = None;
    }

    /// Time passes, and this one leads.
    pub fn lead(&mut self, now_ms: u64) {
        self.term_began_ms.get_or_insert(now_ms);
    }

    /// What is to be written now.
    pub fn orders(&mut self, cluster: &Cluster, policy: &Policy, now_ms: u64) -> Vec<ClaimOrder> {
        self.check_pools();
        self.resolve_collisions(cluster, policy);
        let policy = &policy.claims;
        self.release_unused(cluster, policy, now_ms);
        let is_due =
            |plan: &Plan| !plan.in_flight && plan.tried_ms.is_none_or(|tried| now_ms >= tried + policy.write_again_ms);
        let mut orders = vec![];
        for (key, plan) in self.plans.iter_mut().filter(|(_, plan)| is_due(plan)) {
            let version = self.claims.get(key).map_or(0, |seen| seen.version);
            let Some(order) = plan.order(key, version) else { continue };
            (plan.in_flight, plan.tried_ms) = (true, Some(now_ms));
            orders.push(order);
        }
        orders
    }

    /// For whom an order is.
    pub fn gang_of(&self, order: &ClaimOrder) -> Option<GangKey> {
        let (ClaimOrder::Allocate { claim, .. } | ClaimOrder::Release { claim, .. }) = order;
        self.plans.get(claim)?.gang()
    }

    /// An order was carried out, or not.
    pub fn conclude(&mut self, key: &ClaimKey, uid: &str, outcome: ClaimOutcome) {
        let Some(plan) = self.plans.get_mut(key).filter(|plan| *plan.uid == *uid) else { return };
        plan.in_flight = false;
        match (&plan.stage, outcome) {
            (_, ClaimOutcome::Unknown) => {}
            (Stage::Giving(allocation), ClaimOutcome::Allocated { version }) => {
                plan.stage = Stage::Given { allocation: Arc::clone(allocation), version };
                self.changed.extend(plan.gang());
            }
            (Stage::Giving(_), ClaimOutcome::Refused { why, .. }) => {
                let gang = plan.gang.clone();
                self.set_plan(key, None);
                self.fail(gang, format!("claim {key} was not given its devices: {why}"));
            }
            // It has been withdrawn meanwhile: the order to take it back is next.
            (Stage::TakingBack, ClaimOutcome::Allocated { .. }) => plan.tried_ms = None,
            (Stage::TakingBack, ClaimOutcome::Released { .. }) => {
                self.set_plan(key, None);
                self.tell(key, ClaimNewsKind::Released, "its devices were taken back: its pod did not start".into());
            }
            (Stage::TakingBack, ClaimOutcome::Refused { .. } | ClaimOutcome::Reserved { .. }) => {
                self.set_plan(key, None);
            }
            (Stage::SetAside(..) | Stage::Giving(_) | Stage::Given { .. }, _) => {}
        }
    }

    /// Compares what was planned for a claim with what it has become.
    pub(super) fn compare(&mut self, key: &ClaimKey) {
        let (Some(plan), Some(seen)) = (self.plans.get_mut(key), self.claims.get(key)) else { return };
        let has = |seen: &SeenClaim| seen.allocation.is_some();
        let is_as_planned = has(seen) && fingerprint(seen.holdings()) == fingerprint(&plan.holdings);
        let failure = match &plan.stage {
            Stage::Giving(allocation) if is_as_planned => {
                plan.stage = Stage::Given { allocation: Arc::clone(allocation), version: seen.version };
                self.changed.extend(plan.gang());
                None
            }
            Stage::Giving(_) if has(seen) => Some(format!("claim {key} was given devices by somebody else")),
            Stage::Given { allocation, version } if seen.version > *version && !is_as_planned => {
                // Where the plan cannot be given up any more, since its pods may be bound by now, they are given again.
                plan.stage = Stage::Giving(Arc::clone(allocation));
                self.changed.extend(plan.gang());
                Some(format!("the devices of claim {key} were taken away"))
            }
            _ => None,
        };
        let Some(failure) = failure else { return };
        let gang = plan.gang.clone();
        self.fail(gang, failure);
    }

    /// A claim is seen to have devices: whoever was to be given one of them, and has not been, is given others.
    pub(super) fn give_way_to(&mut self, key: &ClaimKey) {
        let holdings = self.claims.get(key).map(SeenClaim::holdings).unwrap_or_default();
        let collisions = self.spoken_for.collisions_of(holdings, &self.fleet);
        let late: BTreeSet<ClaimKey> = { collisions }
            .flat_map(|(_, claims)| claims)
            .filter(|claim| self.plans.get(claim).is_some_and(|plan| plan.unwritten_on().is_some()))
            .collect();
        for claim in late {
            let gang = self.plans.get(&claim).and_then(Plan::gang);
            // Even where the others of its gang may be on their nodes by now: what it was to be given, it cannot have.
            self.withdraw(std::slice::from_ref(&claim));
            self.fail(gang, format!("claim {key} was given by somebody else what claim {claim} was to be given"));
        }
    }

    /// Ends a plan, if it has come far enough and the cluster shows what it gave, or that this was taken away since. What it
    /// was to give again, nobody needs any more.
    fn settle(&mut self, key: &ClaimKey) {
        let is_shown =
            |version: u64| self.claims.get(key).is_some_and(|seen| seen.allocation.is_some() || seen.version > version);
        let given = |plan: &Plan| if let Stage::Given { version, .. } = plan.stage { Some(version) } else { None };
        if self.plans.get(key).and_then(given).is_some_and(is_shown) {
            self.set_plan(key, None);
        } else if let Some(plan) = self.plans.get_mut(key) {
            if matches!(plan.stage, Stage::Giving(_)) {
                (plan.stage, plan.tried_ms) = (Stage::TakingBack, None);
            }
            plan.gang = None;
        }
    }

    /// Ends plans that nobody waits for any more, once the cluster shows what they gave.
    pub(super) fn settle_orphan(&mut self, key: &ClaimKey) {
        if self.plans.get(key).is_some_and(|plan| plan.gang.is_none()) {
            self.settle(key);
        }
    }

    /// Claims that we gave devices and that nobody uses are to lose them after a while: their pods went, or we were killed
    /// before these heard of it.
    fn release_unused(&mut self, cluster: &Cluster, policy: &ClaimPolicy, now_ms: u64) {
        for key in std::mem::take(&mut self.replanned) {
            self.watch_use(&key, now_ms);
        }
        // The pods of an earlier leader's plans have as long as ours.
        let began_ms = self.term_began_ms.unwrap_or(now_ms);
        let runs = |uid: &PodUid| cluster.pod(uid).is_some_and(|pod| matches!(pod.stage, pod::Stage::Bound(_)));
        let is_due = |(key, since): &(&ClaimKey, &u64)| {
            let is_ours = self.claims.get(*key).is_some_and(|seen| policy.is_ours(&seen.claim));
            // One that was bound past us may run though it is reserved for nobody.
            let is_used = || self.users.get(*key).is_some_and(|users| users.keys().any(runs));
            is_ours && now_ms >= began_ms.max(**since) + policy.unused_ms && !is_used()
        };
        let due: Vec<ClaimKey> = self.unused.iter().filter(is_due).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.take_back(&key);
        }
    }

    /// Takes back what a claim has that has no plan.
    pub(super) fn take_back(&mut self, key: &ClaimKey) {
        let Some(seen) = self.claims.get(key).filter(|_| !self.plans.contains_key(key)) else { return };
        let (uid, holdings) = (seen.claim.uid.clone(), seen.holdings().to_vec());
        let stage = Stage::TakingBack;
        let (gang, node, within) = (None, None, None);
        let plan = Plan { uid, gang, holdings, node, within, stage, in_flight: false, tried_ms: None };
        self.set_plan(key, Some(plan));
    }
}
