//! Claims in the engine: which there are, what devices they have, and what we give them.
//!
//! Whatever a claim is seen to have counts as in use, whoever gave it. What we are about to give is in use from the moment
//! of the plan until its outcome is known ([`plan`]). Devices are looked for at the [`Desk`], which hears of changes only
//! when a task takes it along; what has changed while it was away is found out when it comes back.

mod by_resource;
mod census;
mod conflicts;
mod desk;
mod fleet;
mod holders;
mod needs;
mod plan;
mod rooms;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::claims::{ClaimKey, DeviceClass, Holding, HoldingKind, PoolId, SeenClaim, Slice};
use crate::cluster::Cluster;
use crate::engine::policy::{ClaimPolicy, Policy};
use crate::model::gang::GangKey;
use crate::model::node::NodeName;
use crate::model::pod::{Pod, PodClaim, PodUid};
use by_resource::ByResource;
pub use census::{Census, Counted};
pub use conflicts::Mark;
use conflicts::{Marks, conflict};
pub(super) use desk::{Desk, Refused};
use fleet::Fleet;
use holders::{Collision, Holders};
pub use needs::{Needs, OpenClaim, Unready};
use plan::Plan;
pub use plan::{ClaimOrder, ClaimOutcome};
pub(super) use plan::{Grant, Lost};
use shown::Shown;
pub use shown::{ClaimStage, ClaimView, GpusByNode};

/// Something about a claim that people want to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNews {
    /// The claim.
    pub claim: ClaimKey,
    /// Its unique id.
    pub uid: Box<str>,
    /// What kind of news.
    pub kind: ClaimNewsKind,
    /// In one sentence.
    pub text: String,
}

/// What kind of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClaimNewsKind {
    /// A device of it was given to another claim, too.
    GivenTwice,
    /// What we had given it was taken back.
    Released,
}

/// News that are kept until somebody asks for them.
const MAX_NEWS: usize = 10_000;

/// Where the desk is.
#[derive(Debug, Default)]
enum Home {
    /// Nobody has needed it yet.
    #[default]
    Unmade,
    /// Here.
    Here(Box<Desk>),
    /// A task has taken it along.
    Away,
}

/// A copy of the engine makes a desk of its own when it needs it.
impl Clone for Home {
    fn clone(&self) -> Self {
        Self::Unmade
    }
}

/// So much more than there is may have to be told to a desk that nobody takes; then a new one is cheaper.
const MAX_UNTOLD: usize = 10_000;

/// All claims, and the devices that there are.
#[derive(Debug, Clone, Default)]
pub(super) struct ClaimKeeper {
    fleet: Fleet,
    claims: BTreeMap<ClaimKey, SeenClaim>,
    by_uid: BTreeMap<Box<str>, ClaimKey>,
    /// Claims that were read and that the watch has not shown yet, and until when they count.
    unwatched: BTreeMap<ClaimKey, u64>,
    /// Which gangs, by their pods, use a claim.
    users: BTreeMap<ClaimKey, BTreeMap<PodUid, GangKey>>,
    by_resource: ByResource,
    plans: BTreeMap<ClaimKey, Plan>,
    /// Claims that have devices, from us or for a pod of ours, that nobody uses and that no plan is for; and since when.
    unused: BTreeMap<ClaimKey, u64>,
    /// Claims whose plan has begun or ended, or of which a pod has come: whether anybody uses what they have is to be seen anew.
    replanned: BTreeSet<ClaimKey>,
    /// Since when we may take them back.
    term_began_ms: Option<u64>,
    /// Which claims are seen to have which devices.
    holders: Holders,
    /// Which claims are seen to have devices, or are being given them.
    spoken_for: Holders,
    /// Pools of which other devices are known than when it was last looked whether any was given twice.
    unchecked: BTreeSet<PoolId>,
    /// What pods show of what was given twice.
    marks: Marks,
    desk: Home,
    shown: Shown,
    /// Claims that hold something else than the desk has heard.
    untold: BTreeSet<ClaimKey>,
    /// Pools of which something was taken or changed since the desk was last taken along.
    moved: BTreeSet<PoolId>,
    /// Pools whose devices behind extended resources are to be counted again.
    uncounted: BTreeSet<PoolId>,
    /// Devices were counted for a class that may be gone since.
    has_counted: bool,
    /// Grows whenever devices may have become free.
    freed: u64,
    /// Gangs to be looked at again.
    changed: BTreeSet<GangKey>,
    /// Plans that failed.
    failures: Vec<(GangKey, String)>,
    /// Claims that are gone while they were being given devices.
    lost: Vec<Lost>,
    news: Vec<ClaimNews>,
}

impl ClaimKeeper {
    /// A node is there, is gone, or has other labels.
    pub fn touch_node(&mut self, name: &NodeName) {
        self.fleet.touch_node(name);
        // What was counted before the node was there is lost.
        self.uncounted.extend(self.fleet.pools_of(name).cloned());
        self.freed += 1;
    }

    /// Has any slice been seen?
    pub fn knows_devices(&self) -> bool {
        self.fleet.pools().next().is_some()
    }

    /// The extended resources that classes serve.
    pub fn extended_resources(&self) -> BTreeSet<Box<str>> {
        self.fleet.extended_resources()
    }

    /// A class is new, or has changed.
    pub fn set_class(&mut self, class: DeviceClass) {
        self.fleet.set_class(class);
        self.uncounted.extend(self.fleet.pools().cloned());
        self.freed += 1;
    }

    /// A class is gone.
    pub fn remove_class(&mut self, name: &str) {
        let served = self.fleet.remove_class(name);
        self.count_anew(served);
    }

    /// All classes but these are gone.
    pub fn retain_classes(&mut self, listed: &BTreeSet<String>) {
        let served = self.fleet.retain_classes(listed);
        self.count_anew(served);
    }

    /// What a class that is gone served is no longer there.
    fn count_anew(&mut self, is_due: bool) {
        if is_due {
            self.uncounted.extend(self.fleet.pools().cloned());
        }
    }

    /// A slice is new, or has changed.
    pub fn set_slice(&mut self, slice: Arc<Slice>) {
        let pools = self.fleet.set_slice(slice);
        self.unchecked.extend(pools.iter().cloned());
        self.touch_pools(pools);
        self.freed += 1;
    }

    fn touch_pools(&mut self, pools: impl IntoIterator<Item = PoolId>) {
        for pool in pools {
            self.show_anew([&pool]);
            self.uncounted.insert(pool.clone());
            self.moved.insert(pool);
        }
    }

    /// A slice is gone.
    pub fn remove_slice(&mut self, name: &str) {
        let pool = self.fleet.remove_slice(name);
        self.touch_pools(pool);
    }

    /// All slices but these are gone.
    pub fn retain_slices(&mut self, listed: &BTreeSet<String>) {
        let pools = self.fleet.retain_slices(listed);
        self.touch_pools(pools);
    }

    /// A claim was read beside the watch. One that the watch does not show counts for a while: it may show it late, or may
    /// have shown its end already.
    pub fn confirm(&mut self, seen: SeenClaim, policy: &ClaimPolicy, now_ms: u64) {
        let key = seen.claim.key.clone();
        let until_ms = match self.claims.get(&key) {
            Some(known) if known.claim.uid == seen.claim.uid => self.unwatched.get(&key).copied(),
            // There was another of this name: versions tell which of them is there.
            Some(known) if known.version > seen.version => return,
            Some(_) | None => Some(now_ms + policy.unwatched_ms),
        };
        self.see(seen, now_ms);
        self.unwatched.extend(until_ms.map(|until_ms| (key, until_ms)));
    }

    /// Claims that the watch has not shown in time are not there any more.
    pub fn forget_unwatched(&mut self, now_ms: u64) {
        let due = self.unwatched.iter().filter(|(_, until_ms)| now_ms >= **until_ms).map(|(key, _)| key.clone());
        for key in due.collect::<Vec<_>>() {
            if let Some(uid) = self.claims.get(&key).map(|seen| seen.claim.uid.clone()) {
                self.remove(&uid);
            }
        }
    }

    /// A claim is new, or has changed.
    pub fn see(&mut self, seen: SeenClaim, now_ms: u64) {
        let key = seen.claim.key.clone();
        let before = self.claims.get(&key);
        // The former of two of one name, too: what was read may be newer than what the watch shows.
        if before.is_some_and(|before| before.version > seen.version) {
            return;
        }
        let has_others = before.map(SeenClaim::holdings).unwrap_or_default() != seen.holdings();
        if let Some(former) = before.filter(|before| before.claim.uid != seen.claim.uid) {
            let former = Arc::clone(&former.claim);
            self.by_uid.remove(&former.uid);
            self.lose(&former);
        }
        self.unwatched.remove(&key);
        self.by_uid.insert(seen.claim.uid.clone(), key.clone());
        self.replace(&key, Some(seen));
        self.compare(&key);
        if has_others {
            self.give_way_to(&key);
        }
        self.settle_orphan(&key);
        self.watch_use(&key, now_ms);
        self.check_holders(&key);
    }

    /// A claim is gone.
    pub fn remove(&mut self, uid: &str) {
        let Some(key) = self.by_uid.remove(uid) else { return };
        if let Some(claim) = self.claims.get(&key).map(|seen| Arc::clone(&seen.claim)) {
            self.lose(&claim);
        }
        self.replace(&key, None);
        self.unused.remove(&key);
        self.unwatched.remove(&key);
    }

    /// All claims but these, by unique id, are gone; one that was read meanwhile may have been made since they were listed.
    pub fn retain(&mut self, listed: &BTreeSet<String>) {
        let known =
            self.by_uid.iter().filter(|(uid, key)| !listed.contains(&***uid) && !self.unwatched.contains_key(*key));
        let gone: Vec<Box<str>> = known.map(|(uid, _)| uid.clone()).collect();
        gone.iter().for_each(|uid| self.remove(uid));
    }

    /// A pod was replaced by what it is now; either can be nothing.
    pub fn replace_user(&mut self, former: Option<&Pod>, pod: Option<&Pod>) {
        match (former, pod) {
            (_, Some(pod)) => self.marks.see(pod),
            (Some(former), None) => self.marks.forget(&former.uid),
            (None, None) => {}
        }
        self.see_by_resource(former, pod);
        let use_of = |pod: &Pod| (claims_of(pod), pod.membership.as_ref().map(|membership| membership.gang.clone()));
        if former.map(use_of) == pod.map(use_of) {
            return;
        }
        let used = former.into_iter().chain(pod).flat_map(claims_of);
        let pools: Vec<PoolId> = used
            .flat_map(|key| held(self.claims.get(&key), self.plans.get(&key)))
            .map(|holding| holding.device.pool)
            .collect();
        self.show_anew(&pools);
        for (pod, key) in former.into_iter().flat_map(|pod| claims_of(pod).into_iter().map(move |key| (pod, key))) {
            if let Some(users) = self.users.get_mut(&key) {
                users.remove(&pod.uid);
                if users.is_empty() {
                    self.users.remove(&key);
                }
            }
        }
        let Some((pod, membership)) = pod.and_then(|pod| Some((pod, pod.membership.as_ref()?))) else { return };
        for key in claims_of(pod) {
            self.replanned.insert(key.clone());
            self.users.entry(key).or_default().insert(pod.uid.clone(), membership.gang.clone());
        }
    }

    /// All pods but these are gone.
    pub fn retain_users(&mut self, listed: &BTreeSet<PodUid>) {
        self.users.values_mut().for_each(|users| users.retain(|uid, _| listed.contains(uid)));
        self.users.retain(|_, users| !users.is_empty());
        self.by_resource.retain(listed);
        self.marks.retain(listed);
    }

    /// Gangs whose claims have changed.
    pub fn take_changed(&mut self) -> BTreeSet<GangKey> {
        std::mem::take(&mut self.changed)
    }

    /// Gangs whose plans have failed, and why.
    pub fn take_failures(&mut self) -> Vec<(GangKey, String)> {
        std::mem::take(&mut self.failures)
    }

    /// Claims that are gone since this was last asked. Of each has to be decided what becomes of its devices.
    pub fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    /// What has been worth telling since this was last asked.
    pub fn take_news(&mut self) -> Vec<ClaimNews> {
        std::mem::take(&mut self.news)
    }

    /// Nodes of which devices are just being given to claims, and the extended resources that devices serve: until kube-scheduler
    /// sees what was given, it would take these devices for others.
    pub fn contested(&self) -> (BTreeSet<NodeName>, BTreeSet<Box<str>>) {
        let resources = self.fleet.extended_resources();
        let is_sought = !resources.is_empty() || self.by_resource.is_asked_by_class();
        let nodes = self.plans.values().filter_map(Plan::unwritten_on).filter(|_| is_sought);
        (nodes.cloned().collect(), resources)
    }

    /// The slices of the pools that are for one node.
    pub fn slices_of(&self, node: &NodeName) -> impl Iterator<Item = &Slice> {
        self.fleet.slices_of(node)
    }

    /// How many devices, or sets of counters, are seen to be given to several claims.
    pub fn given_twice(&self) -> usize {
        self.holders.collisions()
    }

    /// Grows whenever devices may have become free.
    pub fn freed(&self) -> u64 {
        self.freed
    }

    /// The desk, up to date. It is to be brought back.
    pub fn take_desk(&mut self, cluster: &Cluster) -> Desk {
        let mut desk = match std::mem::replace(&mut self.desk, Home::Away) {
            Home::Here(desk) => *desk,
            // There was none, or the last one did not come back.
            Home::Unmade | Home::Away => {
                self.fleet.tell_anew(cluster);
                self.untold.extend(self.claims.keys().chain(self.plans.keys()).cloned());
                Desk::new()
            }
        };
        let untold = std::mem::take(&mut self.untold);
        self.moved.clear();
        let (claims, plans) = (&self.claims, &self.plans);
        desk.hear(&mut self.fleet, cluster, untold, |key| held(claims.get(key), plans.get(key)));
        desk
    }

    /// The desk comes back.
    pub fn return_desk(&mut self, desk: Desk) {
        self.desk = Home::Here(Box::new(desk));
    }

    /// What a desk would have to be told does not pile up where nobody takes it: another leads, or nothing is planned with claims.
    /// Nor does where pools were that are gone.
    pub fn tidy(&mut self) {
        let there_are = self.claims.len() + self.plans.len() + self.fleet.len();
        let is_of_use = match self.desk {
            Home::Unmade => false,
            Home::Here(_) => self.untold.len() + self.fleet.untold() <= there_are + MAX_UNTOLD,
            Home::Away => true,
        };
        if !is_of_use {
            self.desk = Home::Unmade;
            self.untold.clear();
            self.fleet.forget_untold();
        }
        if self.fleet.former_homes() > MAX_UNTOLD {
            let claims = self.claims.values().flat_map(SeenClaim::holdings);
            let plans = self.plans.values().flat_map(|plan| &plan.holdings);
            let in_use: BTreeSet<&PoolId> = claims.chain(plans).map(|holding| &holding.device.pool).collect();
            self.fleet.forget_homes(|pool| in_use.contains(pool));
        }
    }

    /// Is all that these grants rest on as the desk has seen it?
    pub fn still_hold<'g>(&self, grants: impl IntoIterator<Item = &'g Grant>) -> bool {
        grants.into_iter().all(|grant| {
            let is_open = grant.expected.is_some()
                || !self.plans.contains_key(&grant.key)
                    && self
                        .claims
                        .get(&grant.key)
                        .is_some_and(|seen| seen.claim.uid == grant.uid && seen.allocation.is_none() && !seen.leaving);
            is_open && grant.allocation.devices.iter().all(|device| !self.moved.contains(&device.device.pool))
        })
    }

    fn replace(&mut self, key: &ClaimKey, seen: Option<SeenClaim>) {
        let before = held(self.claims.get(key), self.plans.get(key));
        let seen_before = self.claims.get(key).map(SeenClaim::holdings).unwrap_or_default();
        let seen_now = seen.as_ref().map(SeenClaim::holdings).unwrap_or_default();
        self.holders.replace(key, seen_before, seen_now, &self.fleet);
        match seen {
            Some(seen) => self.claims.insert(key.clone(), seen),
            None => self.claims.remove(key),
        };
        self.note_move(key, &before);
    }

    fn set_plan(&mut self, key: &ClaimKey, plan: Option<Plan>) {
        let before = held(self.claims.get(key), self.plans.get(key));
        match plan {
            Some(plan) => _ = self.plans.insert(key.clone(), plan),
            None => _ = self.plans.remove(key),
        }
        self.replanned.insert(key.clone());
        self.note_move(key, &before);
    }

    /// What a claim holds may be other than before.
    fn note_move(&mut self, key: &ClaimKey, before: &[Holding]) {
        self.changed.extend(self.users.get(key).into_iter().flat_map(BTreeMap::values).cloned());
        let now = held(self.claims.get(key), self.plans.get(key));
        // Whether it is given or about to be is shown, though the same is held.
        self.show_anew(before.iter().map(|holding| &holding.device.pool));
        if before == now {
            return;
        }
        self.spoken_for.replace(key, before, &now, &self.fleet);
        for (holdings, has) in [(before, false), (now.as_slice(), true)] {
            let counted = holdings.iter().filter(|holding| holding.kind != HoldingKind::Admin);
            counted.for_each(|holding| self.shown.note(&holding.device, key, has));
        }
        let pools = before.iter().chain(&now).map(|holding| holding.device.pool.clone());
        self.touch_pools(pools);
        self.untold.insert(key.clone());
        if before.iter().any(|holding| !now.contains(holding)) {
            self.freed += 1;
        }
    }

    /// Since when does a claim have devices that nobody uses, from us or for a pod that we may not bind with them? To others
    /// kube-scheduler may have given them, when it saw the claim before us; it leaves them there.
    fn watch_use(&mut self, key: &ClaimKey, now_ms: u64) {
        let Some(seen) = self.claims.get(key) else { return };
        let is_waited_for = self.users.contains_key(key);
        let is_idle = seen.allocation.as_ref().is_some_and(|allocation| allocation.is_ours || is_waited_for);
        if is_idle && !seen.is_reserved && !self.plans.contains_key(key) {
            self.unused.entry(key.clone()).or_insert(now_ms);
        } else {
            self.unused.remove(key);
        }
    }

    /// Was anything of what a claim has given to another, too?
    fn check_holders(&mut self, key: &ClaimKey) {
        let holdings = self.claims.get(key).map(SeenClaim::holdings).unwrap_or_default();
        let Some((collision, claims)) = self.holders.new_collision(holdings, &self.fleet) else { return };
        let text = conflict(&collision, &claims);
        for claim in &claims {
            self.tell(claim, ClaimNewsKind::GivenTwice, text.clone());
        }
    }

    /// Slices may say only later that what was given overlaps.
    fn check_pools(&mut self) {
        for pool in std::mem::take(&mut self.unchecked) {
            for key in self.holders.claims_in(&pool) {
                self.check_holders(&key);
            }
        }
    }

    /// Of what was given twice ours give way where they have not started, as far as it takes. Looked at again and again:
    /// a claim may be reserved for a pod that does not come to run after all.
    fn resolve_collisions(&mut self, cluster: &Cluster, policy: &Policy) {
        let told: Vec<_> = self.holders.told().map(|(collision, claims)| (collision.clone(), claims.clone())).collect();
        for (collision, claims) in told {
            for key in self.yielding(&collision, &claims, cluster, policy) {
                match self.plans.get(&key) {
                    Some(plan) if plan.is_withdrawn() => {}
                    Some(plan) => self.fail(plan.gang(), conflict(&collision, &claims)),
                    None => self.take_back(&key),
                }
            }
        }
    }

    /// Which of ours have to give way: the later ones by name, until there is no collision any more.
    fn yielding(
        &self,
        collision: &Collision,
        claims: &BTreeSet<ClaimKey>,
        cluster: &Cluster,
        policy: &Policy,
    ) -> Vec<ClaimKey> {
        let may_yield = |key: &&ClaimKey| {
            self.claims.get(*key).is_some_and(|seen| {
                let was_given = seen.allocation.as_ref().is_some_and(|allocation| allocation.is_ours);
                let is_ours =
                    policy.claims.is_ours(&seen.claim) && (was_given || self.is_for_ours(key, cluster, policy));
                is_ours && !seen.is_reserved
            })
        };
        let mut yielding = vec![];
        for key in claims.iter().rev().filter(may_yield) {
            if self.holders.parties(collision, &yielding, &self.fleet).is_none() {
                break;
            }
            yielding.push(key.clone());
        }
        yielding
    }

    /// Do only pods use a claim that are planned for by us? What kube-scheduler has given it by itself, such as while our
    /// own write was on its way, is taken from nobody else then.
    fn is_for_ours(&self, key: &ClaimKey, cluster: &Cluster, policy: &Policy) -> bool {
        let Some(users) = self.users.get(key).filter(|users| !users.is_empty()) else { return false };
        users.keys().all(|uid| cluster.pod(uid).is_some_and(|pod| policy.is_ours(pod)))
    }

    fn fail(&mut self, gang: Option<GangKey>, why: String) {
        self.failures.extend(gang.map(|gang| (gang, why)));
    }

    fn tell(&mut self, key: &ClaimKey, kind: ClaimNewsKind, text: String) {
        let Some(seen) = self.claims.get(key) else { return };
        if self.news.len() < MAX_NEWS {
            self.news.push(ClaimNews { claim: key.clone(), uid: seen.claim.uid.clone(), kind, text });
        }
    }
}

/// What a claim holds: what it is seen to have, and what it is being given.
fn held(seen: Option<&SeenClaim>, plan: Option<&Plan>) -> Vec<Holding> {
    let mut held: Vec<Holding> = seen.map(|seen| seen.holdings().to_vec()).unwrap_or_default();
    for holding in plan.map(|plan| plan.holdings.as_slice()).unwrap_or_default() {
        if !held.contains(holding) {
            held.push(holding.clone());
        }
    }
    held
}

/// The claims that a pod uses and that have names.
pub(super) fn claims_of(pod: &Pod) -> Vec<ClaimKey> {
    pod.claims.iter().filter_map(|claim| key_of(pod, claim)).collect()
}

/// The claim that a pod means by this, once it has a name.
pub(in crate::engine) fn key_of(pod: &Pod, claim: &PodClaim) -> Option<ClaimKey> {
    Some(ClaimKey { namespace: pod.key.namespace.as_str().into(), name: claim.name.clone()? })
}

#[cfg(test)]
mod autoscaling_tests;
#[cfg(test)]
mod expected_tests;
#[cfg(test)]
mod holders_tests;
#[cfg(test)]
mod quota_tests;
#[cfg(test)]
mod release_tests;
#[cfg(test)]
mod successor_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wide_tests;
