//! One owner of the state: changes go in, snapshots to decide on come out.
//!
//! The engine is a synchronous state machine. It is told the time; it never asks for it.

mod ahead;
mod claims;
mod devices;
mod gangs;
mod judgement;
mod mig_room;
mod of_claims;
mod policy;
mod profile;
mod quotas;
mod scoring;
mod snapshot;
mod verdicts;

pub use ahead::AheadPolicy;
pub use claims::{
    Census, ClaimNews, ClaimNewsKind, ClaimOrder, ClaimOutcome, ClaimStage, ClaimView, Counted, GpusByNode, Mark,
};
pub use devices::Devices;
pub use gangs::{
    Arrival, GangStage, GangView, GangWait, Lack, MemberView, MissingNodes, News, NewsKind, NodeRequest, Order,
    PlanTask, Report, Shortfall, Solved, Want,
};
pub use judgement::{Fitting, Judgement, Offered};
pub use mig_room::{MigSurvey, ProfileRoom};
pub use policy::{AutoscalingPolicy, ClaimPolicy, Exclusion, GangPolicy, PlacementPolicy, Policy, Stance};
pub use profile::{Profile, Profiles, Starvation};
pub use quotas::Quotas;
pub use snapshot::Snapshot;
pub use verdicts::{Refusal, Told, Verdict};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use crate::claims::{DeviceClass, SeenClaim, Slice};
use crate::cluster::{Cluster, Entry, Holding, Standing};
use crate::model::fabric::DeviceSet;
use crate::model::gang::{GangKey, Group};
use crate::model::node::{Node, NodeName};
use crate::model::pod::{Demand, Pod, PodKey, PodUid, Stage};
use crate::placement::{self, Reason};
use ahead::Ahead;
use gangs::GangKeeper;
use quotas::Used;
use scoring::MixKeeper;
use verdicts::VerdictCache;

/// Something that happened in the cluster.
#[derive(Debug, Clone)]
pub enum Change {
    /// A node appeared or changed.
    NodeApplied(Box<Node>),
    /// A node is gone.
    NodeDeleted(NodeName),
    /// A complete list of nodes has been applied; all others are gone.
    NodesListed(BTreeSet<NodeName>),
    /// A pod appeared or changed.
    PodApplied(Box<Pod>),
    /// A pod is gone.
    PodDeleted(PodUid),
    /// A complete list of pods has been applied; all others are gone.
    PodsListed(BTreeSet<PodUid>),
    /// A group object appeared or changed.
    GroupApplied(Box<Group>),
    /// A group object is gone.
    GroupDeleted(GangKey),
    /// A complete list of group objects has been applied; all others are gone.
    GroupsListed(BTreeSet<GangKey>),
    /// A claim appeared or changed.
    ClaimApplied(Box<SeenClaim>),
    /// The claim of this unique id is gone.
    ClaimDeleted(String),
    /// A complete list of claims has been applied, by unique id; all others are gone.
    ClaimsListed(BTreeSet<String>),
    /// A slice appeared or changed.
    SliceApplied(Arc<Slice>),
    /// The slice of this name is gone.
    SliceDeleted(String),
    /// A complete list of slices has been applied; all others are gone.
    SlicesListed(BTreeSet<String>),
    /// A device class appeared or changed.
    ClassApplied(Box<DeviceClass>),
    /// The device class of this name is gone.
    ClassDeleted(String),
    /// A complete list of device classes has been applied; all others are gone.
    ClassesListed(BTreeSet<String>),
}

/// Why a placement cannot be assumed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AssumeError {
    /// The place was taken since filter was asked, or has changed.
    #[error("pod {pod} no longer fits on node {node}: {reason}")]
    NoLongerFits {
        /// The pod.
        pod: PodKey,
        /// The node.
        node: NodeName,
        /// What stands against it now.
        reason: Box<Reason>,
    },
    /// The pod has a node already, or a binding elsewhere is under way.
    #[error("pod {pod} is already on node {held}, it cannot be bound to {node}")]
    Elsewhere {
        /// The pod.
        pod: PodKey,
        /// Where it was to go.
        node: NodeName,
        /// Where it is.
        held: NodeName,
    },
    /// The pod has ended.
    #[error("pod {pod} has finished, it cannot be bound to {node}")]
    Finished {
        /// The pod.
        pod: PodKey,
        /// Where it was to go.
        node: NodeName,
    },
}

/// An assumption that was dropped because nothing confirmed it in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The pod.
    pub pod: PodKey,
    /// Where it was assumed to be.
    pub node: NodeName,
}

/// For how long a placement is assumed at least without being confirmed, in milliseconds.
pub const ASSUME_TTL_MS: u64 = 60_000;

/// The owner of the state.
#[derive(Debug)]
pub struct Engine {
    cluster: Cluster,
    policy: Arc<Policy>,
    verdicts: Arc<VerdictCache>,
    mix: MixKeeper,
    gangs: GangKeeper,
    ahead: Ahead,
}

impl Engine {
    /// An engine that knows of no node and no pod.
    pub fn new(policy: Policy) -> Self {
        Self {
            cluster: Cluster::default(),
            policy: Arc::new(policy),
            verdicts: Arc::default(),
            mix: MixKeeper::default(),
            gangs: GangKeeper::default(),
            ahead: Ahead::default(),
        }
    }

    /// The state.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Takes in a change.
    pub fn apply(&mut self, change: Change, now_ms: u64) {
        match change {
            Change::NodeApplied(node) => self.set_node(*node),
            Change::NodeDeleted(name) => {
                self.cluster.remove_node(&name);
                self.gangs.claims.touch_node(&name);
                self.gangs.protection.forget(&name);
            }
            Change::NodesListed(names) => self.retain_nodes(&names),
            Change::PodApplied(pod) => self.set_pod(*pod),
            Change::PodDeleted(uid) => {
                self.gangs.claims.replace_user(self.cluster.pod(&uid).map(|pod| &**pod), None);
                self.cluster.remove_pod(&uid);
                self.forget_ahead(&uid);
            }
            Change::PodsListed(uids) => {
                self.gangs.claims.retain_users(&uids);
                self.retain_ahead(&uids);
                self.cluster.retain_pods(&uids, now_ms + ASSUME_TTL_MS);
            }
            Change::GroupApplied(group) => self.cluster.set_group(*group),
            Change::GroupDeleted(key) => self.cluster.remove_group(&key),
            Change::GroupsListed(keys) => self.cluster.retain_groups(&keys),
            Change::ClaimApplied(claim) => self.gangs.claims.see(*claim, now_ms),
            Change::ClaimDeleted(uid) => self.gangs.claims.remove(&uid),
            Change::ClaimsListed(uids) => self.gangs.claims.retain(&uids),
            Change::SliceApplied(slice) => self.gangs.claims.set_slice(slice),
            Change::SliceDeleted(name) => self.gangs.claims.remove_slice(&name),
            Change::SlicesListed(names) => self.gangs.claims.retain_slices(&names),
            Change::ClassApplied(class) => self.gangs.claims.set_class(*class),
            Change::ClassDeleted(name) => self.gangs.claims.remove_class(&name),
            Change::ClassesListed(names) => self.gangs.claims.retain_classes(&names),
        }
    }

    fn set_node(&mut self, node: Node) {
        let name = node.name().clone();
        let labels = |cluster: &Cluster| {
            let state = cluster.node(name.as_str())?;
            Some(state.node()?.parts.labels.clone())
        };
        let before = labels(&self.cluster);
        self.gangs.protection.see(&name, node.is_protected);
        self.cluster.set_node(node);
        if before != labels(&self.cluster) {
            self.gangs.claims.touch_node(&name);
        }
    }

    fn retain_nodes(&mut self, listed: &BTreeSet<NodeName>) {
        let known = self.cluster.slots().iter().flatten().map(|state| state.name());
        let gone: Vec<NodeName> = known.filter(|name| !listed.contains(*name)).cloned().collect();
        self.cluster.retain_nodes(listed);
        self.gangs.protection.retain(listed);
        gone.iter().for_each(|name| self.gangs.claims.touch_node(name));
    }

    fn set_pod(&mut self, pod: Pod) {
        let pod = self.policy.as_planned(pod);
        self.gangs.claims.replace_user(self.cluster.pod(&pod.uid).map(|pod| &**pod), Some(&pod));
        let uid = pod.uid.clone();
        let is_new = self.cluster.pod(&uid).is_none();
        self.cluster.set_pod(pod);
        self.see_ahead(&uid, is_new);
    }

    /// Lets time pass, also where nothing happens and another leads: claims that the watch has not shown in time are forgotten,
    /// assumptions that nothing has confirmed are dropped, and named.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Expired> {
        self.gangs.claims.forget_unwatched(now_ms);
        let due = |standing| matches!(standing, Standing::Assumed { until_ms } if until_ms <= now_ms);
        let unconfirmed = self.cluster.unconfirmed().keys().filter_map(|uid| Some((uid, self.cluster.holding(uid)?)));
        let expired: Vec<(PodUid, Expired)> = unconfirmed
            .filter(|(_, entry)| due(entry.standing))
            .map(|(uid, Entry { holding, .. })| {
                (uid.clone(), Expired { pod: holding.pod.clone(), node: holding.node.clone() })
            })
            .collect();
        for (uid, _) in &expired {
            self.gangs.lose(uid);
            self.cluster.release(uid);
        }
        expired.into_iter().map(|(_, expired)| expired).collect()
    }

    /// Assumes that `pod` goes to `node`, after checking once more that it fits: two pods may have been told the same
    /// place. Returns the shareable GPUs that it is given, if it asks for any. The next filter sees the place taken, until `until_ms` at most: later than the binding can end. Assuming
    /// again what is assumed already is no error, and makes it last longer.
    ///
    /// # Errors
    /// When the pod does not fit any more, has ended, or is elsewhere.
    pub fn assume(&mut self, pod: &Pod, node: &NodeName, until_ms: u64) -> Result<Option<DeviceSet>, AssumeError> {
        let known = self.cluster.pod(&pod.uid).map_or(&pod.stage, |known| &known.stage);
        if matches!(known, Stage::Finished(_)) {
            return Err(AssumeError::Finished { pod: pod.key.clone(), node: node.clone() });
        }
        // A node that was only shown ahead binds nobody, and is checked like any other.
        self.forget_ahead(&pod.uid);
        if let Some(Entry { holding, standing }) = self.cluster.holding(&pod.uid).cloned() {
            return if holding.node == *node {
                let gpus = holding.gpus;
                let until_ms = match standing {
                    Standing::Planned => Some(until_ms),
                    // The last attempt may be the one that succeeds.
                    Standing::Assumed { until_ms: before } => Some(until_ms.max(before)),
                    Standing::Committed | Standing::Observed => None,
                };
                if let Some(until_ms) = until_ms {
                    self.cluster.set_standing(&pod.uid, Standing::Assumed { until_ms });
                }
                Ok(gpus)
            } else {
                let held = holding.node.clone();
                Err(AssumeError::Elsewhere { pod: pod.key.clone(), node: node.clone(), held })
            };
        }
        if self.policy.stance(pod) == Stance::Placed {
            let state = self.cluster.node(node.as_str());
            let verdict = state.map_or(Err(Reason::UnknownNode), |s| placement::check(&pod.demand, s));
            let verdict = verdict.and_then(|()| self.check_quota(pod));
            verdict.map_err(|reason| AssumeError::NoLongerFits {
                pod: pod.key.clone(),
                node: node.clone(),
                reason: Box::new(reason),
            })?;
        }
        let gpus = self.cluster.node(node.as_str()).and_then(|state| state.choose_gpus(&pod.demand));
        let holding = Holding { gpus, ..Holding::of(pod, node) };
        self.cluster.hold(&pod.uid, holding, Standing::Assumed { until_ms });
        Ok(gpus)
    }

    /// Does its namespace's quota leave room for a pod that holds nothing yet? Two that were told so at once find out here.
    fn check_quota(&self, pod: &Pod) -> Result<(), Reason> {
        let quotas = &self.policy.placement.quotas;
        if quotas.of(&pod.key.namespace).is_none() {
            return Ok(());
        }
        let beside = self.gangs.usage(&self.policy);
        quotas.check(pod, &Used { by_pods: self.cluster.usage(), beside: &beside }).map_err(Reason::OverQuota)
    }

    /// Does another lead, so that no plan is made here?
    pub fn stands_by(&self) -> bool {
        self.gangs.stands_by()
    }

    /// Replaces what places are chosen for. What is placed stays where it is; whoever waits is looked at again.
    pub fn set_placement(&mut self, placement: PlacementPolicy) {
        if placement.expected != self.policy.placement.expected {
            self.mix.expect_anew();
        }
        Arc::make_mut(&mut self.policy).placement = placement;
        self.gangs.look_again(&mut self.cluster);
    }

    /// The API server has accepted the binding of an assumed pod.
    pub fn commit(&mut self, uid: &PodUid) {
        if !self.is_observed(uid) {
            self.cluster.set_standing(uid, Standing::Committed);
        }
    }

    /// It is not known whether an assumed pod was bound: the watch will show it on its node, or the assumption expires.
    pub fn doubt(&mut self, uid: &PodUid) {
        self.gangs.leave_behind(uid);
    }

    /// The binding of an assumed pod was refused: what it held is free again, unless its gang has a plan.
    pub fn roll_back(&mut self, uid: &PodUid) {
        if self.is_observed(uid) {
        } else if self.gangs.stays(uid) {
            self.cluster.set_standing(uid, Standing::Planned);
        } else {
            self.cluster.release(uid);
        }
    }

    /// Begins a term of leadership: plans are named after its epoch, which is greater than that of any term before, and
    /// what an earlier leader has promised is taken up from the pods. Call before the first plan.
    pub fn lead(&mut self, epoch: u64) {
        self.gangs.lead(epoch, &mut self.cluster);
    }

    /// Another leads: follows the cluster, and makes no plan until this one leads.
    pub fn stand_by(&mut self) {
        self.give_up_ahead(u64::MAX, i32::MIN);
        self.gangs.stand_by(&mut self.cluster);
    }

    /// Looks at the gangs that have changed, and lets time pass for the others. Call after changes, before what follows.
    pub fn keep_gangs(&mut self, now_ms: u64) {
        self.gangs.keep_up(&mut self.cluster, &self.policy, now_ms);
    }

    /// The gang that should be planned next, if one should. Solve it without holding up the engine, and give the result to
    /// [`adopt`](Self::adopt).
    pub fn next_plan(&mut self, now_ms: u64) -> Option<PlanTask> {
        loop {
            let gang = self.gangs.next(&self.cluster, &self.policy, now_ms)?;
            let snapshot = self.snapshot();
            if let Some(task) = self.gangs.task(&gang, snapshot, &self.cluster, &self.policy, now_ms) {
                return Some(task);
            }
        }
    }

    /// The nodes that show that testudo keeps them from being removed. What the cluster's state holds of a node does not tell: a
    /// change of that alone is no change of the node.
    pub fn protected_nodes(&self) -> &BTreeSet<NodeName> {
        self.gangs.protection.shown()
    }

    /// Takes in what came of a plan. What it rests on is checked once more: it may have changed meanwhile.
    pub fn adopt(&mut self, solved: Solved, now_ms: u64) {
        self.gangs.adopt(solved, &mut self.cluster, &self.policy, now_ms);
    }

    /// Nothing came of a plan that was looked for: the gang is looked at again after a while, and others meanwhile.
    pub fn set_aside(&mut self, gang: &GangKey, why: &str, now_ms: u64) {
        self.gangs.fail(gang, &mut self.cluster, why, BTreeSet::new(), &self.policy, now_ms);
    }

    /// What is to be written on pods now.
    pub fn orders(&mut self, now_ms: u64) -> Vec<Order> {
        let mut orders = self.gangs.orders(&mut self.cluster, &self.policy, now_ms);
        if !self.stands_by() {
            orders.extend(self.look_ahead(now_ms));
        }
        let to_wake = self.gangs.take_sleepers(&self.cluster, &self.policy);
        if !to_wake.is_empty() {
            let snapshot = self.snapshot();
            // Thousands may sleep that ask for the same: where that fits on no node, nobody has to be judged for it.
            let mut rooms: BTreeMap<Arc<Demand>, bool> = BTreeMap::new();
            let would_fit = to_wake.into_iter().filter(|pod| {
                let room = rooms.entry(Arc::clone(&pod.demand));
                let has_room = *room.or_insert_with(|| snapshot.fits_somewhere(&pod.demand));
                // One that may be on its node by now stands in its own way only there.
                let may_fit = has_room || snapshot.unconfirmed().contains_key(&pod.uid);
                may_fit && snapshot.judge(pod).best().is_some()
            });
            orders.extend(would_fit.take(gangs::MAX_WOKEN).map(|pod| Order::Wake { pod }));
        }
        orders
    }

    /// Does a snapshot show what is so now, also where no decision depends on it?
    pub fn is_shown_by(&mut self, snapshot: &Snapshot) -> bool {
        std::ptr::eq(&**self.cluster.unconfirmed(), snapshot.unconfirmed())
            && Arc::ptr_eq(&self.gangs.claims.gpus(), snapshot.gpus())
            && !self.has_moved_on(snapshot)
    }

    /// What of gangs has been worth telling since this was last asked.
    pub fn take_news(&mut self) -> Vec<News> {
        self.gangs.take_news()
    }

    /// What is to be shown on the objects that describe gangs and is not yet.
    pub fn take_reports(&mut self, now_ms: u64) -> Vec<Report> {
        self.gangs.take_reports(now_ms)
    }

    /// The gangs whose members start together, by key.
    pub fn gangs(&self) -> impl Iterator<Item = GangView> {
        self.gangs.views()
    }

    /// The gang of this key.
    pub fn gang(&self, key: &GangKey) -> Option<GangView> {
        self.gangs.view(key)
    }

    /// How far each gang has come, by key: quicker than to look at all of them.
    pub fn gang_stages(&self) -> impl Iterator<Item = (&GangKey, GangStage)> {
        self.gangs.stages()
    }

    /// The gangs that have no places, or not all, as they are counted.
    pub fn gang_waits(&self) -> impl Iterator<Item = GangWait> {
        self.gangs.waits()
    }

    /// The question who would have to end for a gang to start; nothing where it does not wait for places, or its members
    /// form no sets. Ask it with [`PlanTask::who_must_end`], without holding up the engine.
    pub fn making_room(&mut self, gang: &GangKey) -> Option<PlanTask> {
        let snapshot = self.snapshot();
        self.gangs.making_room(gang, snapshot, &self.cluster, &self.policy)
    }

    /// Gangs of which it is to be found out how many more nodes would be enough. Find it out on a [`branch`](Self::branch), without
    /// holding up the engine, and give the result to [`assess`](Self::assess).
    pub fn unassessed_shortfalls(&self, now_ms: u64) -> impl Iterator<Item = &GangKey> {
        self.gangs.unassessed(&self.policy, now_ms)
    }

    /// There is a request for the nodes of a gang, or there can be none: its members may be shown.
    pub fn note_request(&mut self, gang: &GangKey) {
        self.gangs.note_request(gang);
    }

    /// How many nodes would be enough for a gang was found out; none where no number would, or where that cannot be known.
    pub fn assess(&mut self, gang: &GangKey, missing: Option<MissingNodes>, now_ms: u64) {
        self.gangs.assess(gang, missing, now_ms);
    }

    /// What of a gang has yet to get places; nothing where it does not wait for any.
    pub fn want(&mut self, gang: &GangKey) -> Option<Want> {
        let snapshot = self.snapshot();
        self.gangs.trial(gang, snapshot).map(|trial| trial.want())
    }

    /// Would a gang that waits have places for all its members, and devices for their claims, as things are in this engine?
    /// Where it has claims that needs a large stack, and an engine that nobody else decides with: ask a branch.
    pub fn would_fit(&mut self, gang: &GangKey) -> bool {
        let snapshot = self.snapshot();
        self.gangs.would_fit(gang, snapshot, &self.cluster)
    }

    /// An engine of the same state that goes its own way from here: what is tried on it happens to nobody.
    pub fn branch(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            policy: Arc::clone(&self.policy),
            // Verdicts are kept by generation, and the generations of the two mean different states from now on.
            verdicts: Arc::default(),
            mix: self.mix.branch(),
            gangs: self.gangs.clone(),
            ahead: self.ahead.clone(),
        }
    }

    /// A pod is at bind: may it be bound?
    pub fn arrive(&mut self, pod: &Pod, node: &NodeName, now_ms: u64) -> Arrival {
        self.gangs.arrive(pod, node, &self.policy, now_ms)
    }

    /// May a pod that waits with the batch of this id be bound now?
    pub fn may_pass(&mut self, uid: &PodUid, batch: &str, now_ms: u64) -> Arrival {
        self.gangs.may_pass(uid, batch, &self.policy, now_ms)
    }

    /// A pod could not be pointed to its place.
    pub fn not_steered(&mut self, pod: &Pod) {
        self.gangs.not_steered(pod);
    }

    /// A pod could not be woken.
    pub fn not_woken(&mut self, pod: &Pod, now_ms: u64) {
        self.gangs.not_woken(pod, now_ms);
    }

    /// A pod that waits at bind is sent away, and may come again: it is not there any more.
    pub fn turn_back(&mut self, uid: &PodUid) {
        self.gangs.stays(uid);
    }

    /// A pod that waits with the batch of this id waits no longer.
    pub fn give_up(&mut self, uid: &PodUid, batch: &str, now_ms: u64) {
        self.gangs.give_up(uid, batch, &mut self.cluster, &self.policy, now_ms);
    }

    /// Grows whenever a pod that waits should ask again.
    pub fn gang_version(&self) -> u64 {
        self.gangs.version()
    }

    fn is_observed(&self, uid: &PodUid) -> bool {
        self.cluster.holding(uid).is_some_and(|entry| entry.standing == Standing::Observed)
    }

    /// The state as it is now, to decide on.
    pub fn snapshot(&mut self) -> Snapshot {
        self.mix.keep_up(&self.cluster, &self.policy.placement.expected);
        let scoring = Arc::clone(self.mix.current());
        let board = Arc::clone(self.gangs.board());
        let (beside, gpus) = (self.gangs.usage(&self.policy), self.gangs.claims.gpus());
        Snapshot::new(&self.cluster, scoring, board, beside, gpus, Arc::clone(&self.policy), Arc::clone(&self.verdicts))
    }

    /// Has anything changed since this snapshot was taken by which a decision could come out differently?
    pub fn has_moved_on(&mut self, since: &Snapshot) -> bool {
        self.mix.keep_up(&self.cluster, &self.policy.placement.expected);
        since.generation() != self.cluster.generation()
            || since.mix_version() != self.mix.current().version
            || !Arc::ptr_eq(since.board(), self.gangs.board())
            || !Arc::ptr_eq(since.policy(), &self.policy)
            || *since.beside() != self.gangs.usage(&self.policy)
    }
}

#[cfg(test)]
mod absurd_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod undo_tests;
