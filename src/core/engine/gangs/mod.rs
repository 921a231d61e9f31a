//! Gangs in the engine: who waits, who has places, who is bound together.
//!
//! A gang that waits holds nothing. When places for all that must start at once are found, they are held for them in one
//! step (a [`Batch`]): the ledger shows them as taken to everybody else. kube-scheduler is then pointed to them, member by
//! member ([`steering`]), and a binding waits until all of the batch are at bind ([`barrier`]). A batch that does not get
//! there in time is taken back as a whole.

mod barrier;
mod batch;
mod board;
mod denial;
mod devices;
mod exclusive;
mod extras;
mod formation;
mod generation;
mod leadership;
mod newcomers;
mod news;
mod overdue;
mod planning;
mod preemption;
mod prior_devices;
mod protection;
mod quotas;
mod regrouping;
mod report;
mod roster;
mod second_look;
mod shortfall;
mod starvation;
mod steering;
mod successors;
mod task;
mod view;
mod wait;
mod wide;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::{Cluster, GangState};
use crate::engine::claims::ClaimKeeper;
use crate::engine::{Policy, Profile};
use crate::model::gang::{GangKey, Group, Role};
use crate::model::node::NodeName;
use crate::model::pod::{Pod, PodUid, Stage};
pub use barrier::Arrival;
use batch::{Batch, Place, Suspicion};
pub use board::{Board, Fate, not_ours};
use board::{Notice, held};
use denial::Denial;
use devices::Dearth;
pub use news::{News, NewsKind};
use protection::Protection;
use regrouping::Regrouping;
pub use report::Report;
use report::Reported;
use roster::{Roster, Seat, Shortage};
use second_look::SecondLook;
use shortfall::Scarcity;
pub use shortfall::{Lack, MissingNodes, NodeRequest, Shortfall, Want};
use starvation::Patience;
pub use steering::{MAX_WOKEN, Order};
pub use task::{PlanTask, Solved};
pub use view::{GangStage, GangView, MemberView};
pub use wait::GangWait;
use wait::Wait;

/// All gangs whose members do not start each for itself.
#[derive(Debug, Clone, Default)]
pub(super) struct GangKeeper {
    kept: BTreeMap<GangKey, Kept>,
    /// The claims of all pods.
    pub claims: ClaimKeeper,
    /// What claims are known to ask for in vain.
    dearths: Vec<Dearth>,
    /// Whose place is kept, by pod.
    gang_of: BTreeMap<PodUid, GangKey>,
    board: Arc<Board>,
    /// Another leads, or nobody yet.
    stands_by: bool,
    /// Tells the plans of one leader from those of another.
    epoch: u64,
    /// How many plans there were in this epoch.
    plans: u64,
    /// Grows whenever somebody waiting at the barrier should look again.
    version: u64,
    /// Places were given up since pods were last woken: no event of the API tells the scheduler.
    freed_places: bool,
    second_look: SecondLook,
    news: Vec<News>,
    /// Of gangs that have lost all members.
    farewells: Vec<Report>,
    /// Which nodes are kept from being removed.
    pub protection: Protection,
}

/// What is kept of a gang.
#[derive(Debug, Clone)]
struct Kept {
    /// The object that describes it, and its first member, for those who are told of it.
    group: Option<Arc<Group>>,
    member: Option<Arc<Pod>>,
    /// What its places are chosen for: the profile of that member.
    profile: Arc<Profile>,
    roster: Result<Roster, Shortage>,
    /// Has any member its node, whatever is known of the gang?
    runs: bool,
    batches: Vec<Batch>,
    /// Why it cannot be placed: that which must start at once or, where all roles are passed over, the first that comes next.
    no: Option<Denial>,
    /// Roles of which the next member beyond those that must start cannot be placed, and why.
    passed_over: BTreeMap<Role, Denial>,
    /// For what it is known to wait, without numbers.
    waits_for: Option<String>,
    /// What its members are told while they wait; with the time when that was new, so that it does not change all the time.
    told: Option<(Arc<str>, u64)>,
    /// What is told has other numbers than what is so by now.
    is_behind: bool,
    /// Nodes that failed the gang, and until when they are not tried again.
    avoid: BTreeMap<NodeName, u64>,
    /// Nodes that refused a member, and until when they are not tried again for it.
    refused: BTreeMap<PodUid, BTreeMap<NodeName, u64>>,
    /// How many plans have failed in a row.
    failures: u32,
    /// No plan is made before.
    not_before_ms: u64,
    /// Members that were expected did not come: no places are kept for them.
    without_phantoms: bool,
    /// Members of whom it was written lately that they have no place any more, and when.
    withdrawn: BTreeMap<PodUid, u64>,
    /// How long it has waited, and what is kept free for it.
    patience: Patience,
    /// Is a part of it that runs being evicted?
    regrouping: Regrouping,
    /// Members that were woken for the reason that is told now.
    corrected: BTreeMap<PodUid, Arc<str>>,
    /// What its object shows.
    reported: Reported,
    /// What it is short of.
    scarcity: Scarcity,
}

/// How long a text stays at least, in milliseconds: one that changes wakes the pods that show it.
const TEXT_STAYS_MS: u64 = 5_000;

impl GangKeeper {
    /// What filter reads.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Grows whenever somebody waiting at the barrier should look again.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes in what has changed, and lets time pass.
    pub fn keep_up(&mut self, cluster: &mut Cluster, policy: &Policy, now_ms: u64) {
        self.claims.tidy();
        if self.stands_by {
            return self.pass_over(cluster);
        }
        self.claims.lead(now_ms);
        self.freed_places |= self.second_look.is_due(cluster.freed(), now_ms);
        self.take_in_lost_claims(cluster, policy, now_ms);
        let mut changed: Vec<GangKey> =
            cluster.take_changed_gangs().union(&self.claims.take_changed()).cloned().collect();
        // What of a gang runs has to be finished before others are given anything.
        changed.sort_by_key(|key| !cluster.gangs().get(key).is_some_and(GangState::runs));
        changed.iter().for_each(|key| self.review(key, cluster, policy, now_ms));
        self.post_contested();
        for (key, why) in self.claims.take_failures() {
            self.fail(&key, cluster, &why, BTreeSet::new(), policy, now_ms);
        }
        for kept in self.kept.values_mut() {
            kept.forget_refusals(now_ms);
        }
        self.end_reserves(cluster, now_ms);
        self.regroup(cluster, &policy.gangs, now_ms);
        self.settle_shortfalls(policy, now_ms);
        let in_time = self.kept.iter().filter(|(_, kept)| kept.is_behind || !kept.batches.is_empty());
        for key in in_time.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.let_time_pass(&key, cluster, policy, now_ms);
        }
    }

    /// The policy has changed: what was found out by the last one does not hold any more, and no event tells those who wait.
    pub fn look_again(&mut self, cluster: &mut Cluster) {
        self.kept.values_mut().for_each(Kept::look_anew);
        cluster.change_all_gangs();
        self.freed_places = true;
    }

    /// Writes down of which nodes devices are just being given to claims.
    fn post_contested(&mut self) {
        let (nodes, served) = self.claims.contested();
        if self.board.contested() != (&nodes, &served) {
            Arc::make_mut(&mut self.board).contest(nodes, served);
        }
    }

    /// Looks at a gang whose members, or whose object, have changed.
    fn review(&mut self, key: &GangKey, cluster: &mut Cluster, policy: &Policy, now_ms: u64) {
        let gangs = cluster.gangs();
        let is_ours = |pod: &Pod| policy.is_ours(pod);
        let needs = |pod: &Pod| self.claims.needs(pod, &policy.claims);
        // Of one that has lost all its members the next ones are held until it is clear what they are.
        let gang = gangs.get(key).filter(|gang| gang.members.values().any(|pod| is_ours(pod) && pod.is_alive()));
        let expected = policy.gangs.max_expected;
        match gang.map(|gang| roster::roster(gang, &gangs.descriptions(key, gang), is_ours, needs, expected)) {
            None => self.forget(key, cluster),
            Some(Ok(None)) => {
                // Who was planned alone may be on its node by now.
                self.settle(key, cluster, policy, now_ms);
                self.forget(key, cluster);
                Arc::make_mut(&mut self.board).post(key, None);
            }
            Some(Ok(Some(roster))) => {
                let sound = formation::check(&roster).map(|()| roster);
                self.keep(key, sound, cluster, policy, now_ms);
            }
            Some(Err(shortage)) => self.keep(key, Err(shortage), cluster, policy, now_ms),
        }
    }

    fn forget(&mut self, key: &GangKey, cluster: &mut Cluster) {
        if let Some(kept) = self.kept.remove(key) {
            self.say_farewell(key, &kept);
            for batch in kept.batches {
                self.give_back(batch, cluster);
            }
            self.post_reserves(cluster);
        }
        Arc::make_mut(&mut self.board).strike(key);
    }

    fn keep(
        &mut self,
        key: &GangKey,
        roster: Result<Roster, Shortage>,
        cluster: &mut Cluster,
        policy: &Policy,
        now_ms: u64,
    ) {
        let is_new = !self.kept.contains_key(key);
        let kept = self.kept.entry(key.clone()).or_insert_with(|| Kept::new(roster.clone()));
        kept.group =
            cluster.gangs().get(key).and_then(|gang| cluster.gangs().descriptions(key, gang).into_iter().next());
        kept.member =
            cluster.gangs().get(key).and_then(|gang| gang.members.values().min_by_key(|pod| &pod.key).cloned());
        kept.runs = cluster.gangs().get(key).is_some_and(GangState::runs);
        if let Some(member) = &kept.member {
            kept.profile = Arc::clone(policy.placement.profiles.of(member));
        }
        let is_same = match (&kept.roster, &roster) {
            (Ok(before), Ok(now)) => before.is_same(now),
            (Err(before), Err(now)) => before == now,
            _ => false,
        };
        let invalid = roster.as_ref().err().filter(|shortage| shortage.is_invalid()).map(ToString::to_string);
        let before = std::mem::replace(&mut kept.roster, roster);
        if !is_same {
            match before {
                Ok(before) => kept.forget_denials(&before),
                Err(_) => kept.look_anew(),
            }
            kept.without_phantoms = false;
        }
        if let Some(text) = invalid.filter(|_| is_new || !is_same) {
            self.tell(key, NewsKind::Invalid, text);
        }
        if is_new {
            self.restore(key, cluster, policy, now_ms);
        }
        self.settle(key, cluster, policy, now_ms);
        self.post(key, now_ms);
    }

    /// Brings the places of a gang in line with what its members have become.
    fn settle(&mut self, key: &GangKey, cluster: &mut Cluster, policy: &Policy, now_ms: u64) {
        let Some(kept) = self.kept.get_mut(key) else { return };
        let members = cluster.gangs().get(key).map(|gang| gang.members.clone()).unwrap_or_default();
        let mut failure: Option<String> = None;
        for batch in &mut kept.batches {
            let (mut left, mut gone) = (vec![], vec![]);
            for (uid, place) in &mut batch.places {
                let Some(known) = &place.pod else { continue };
                match members.get(uid) {
                    Some(pod) if pod.stage == Stage::Pending && !pod.leaving => {
                        place.suspicion = place.suspicion.take().or_else(|| place.objection(pod).map(Suspicion::new));
                        place.pod = Some(Arc::clone(pod));
                    }
                    Some(pod) if matches!(pod.stage, Stage::Bound(_)) => left.push(uid.clone()),
                    _ => gone.push((uid.clone(), known.key.clone())),
                }
            }
            // Who waits at the barrier may have waited for these only.
            self.version += u64::from(!left.is_empty() && !batch.is_going());
            for uid in left.iter().chain(gone.iter().map(|(uid, _)| uid)) {
                let place = batch.places.remove(uid);
                self.claims.free(place.iter().flat_map(|place| place.set_aside.values()));
                self.gang_of.remove(uid);
                cluster.release_if_planned(uid);
            }
            if let (false, Some((_, pod))) = (batch.is_going(), gone.first()) {
                self.claims.withdraw(&batch.claims);
                failure.get_or_insert(format!("pod {pod} is gone"));
            }
        }
        kept.drop_empty(&mut self.claims);
        kept.refused.retain(|uid, _| members.contains_key(uid));
        self.end_generation(key, cluster);
        self.serve_successors(key, policy, now_ms);
        self.admit_newcomers(key, cluster, policy, now_ms);
        let Some(kept) = self.kept.get(key) else { return };
        // Nothing has started, and the places are not those of all any more: all are planned anew together.
        let is_partial =
            !kept.has_started() && !kept.batches.is_empty() && (kept.roster.is_err() || kept.lacks_places());
        let robbed = || Some(format!("the devices of claim {} were taken away", kept.robbed(&self.claims)?));
        if let Some(text) = failure.or_else(robbed) {
            self.fail(key, cluster, &text, BTreeSet::new(), policy, now_ms);
        } else if is_partial {
            self.withdraw(key, cluster);
        }
    }

    /// Gives up the places of members that have not started; the next plan avoids these nodes, and waits a little longer each
    /// time.
    pub fn fail(
        &mut self,
        key: &GangKey,
        cluster: &mut Cluster,
        why: &str,
        avoid: BTreeSet<NodeName>,
        policy: &Policy,
        now_ms: u64,
    ) {
        self.withdraw(key, cluster);
        let Some(kept) = self.kept.get_mut(key) else { return };
        kept.look_anew();
        kept.failures = kept.failures.saturating_add(1);
        let pause = policy.gangs.retry_ms << kept.failures.saturating_sub(1).min(6);
        kept.not_before_ms = now_ms + pause;
        kept.avoid.extend(avoid.into_iter().map(|node| (node, now_ms + policy.gangs.avoid_ms)));
        // What remains is being bound.
        let what = match kept.batches.is_empty() {
            true => "its plan was given up, nothing of it has started",
            false => "only its members that are being bound keep their places",
        };
        self.tell(key, NewsKind::Failed, format_args!("{what}: {why}"));
        self.post(key, now_ms);
    }

    /// A member was refused its place: the plan is given up, and the next one has another place for it.
    fn refuse(
        &mut self,
        key: &GangKey,
        refusals: &[(Arc<Pod>, NodeName, String)],
        cluster: &mut Cluster,
        policy: &Policy,
        now_ms: u64,
    ) {
        let Some(kept) = self.kept.get_mut(key) else { return };
        for (pod, node, _) in refusals {
            let until_ms = now_ms + policy.gangs.refusal_ms;
            kept.refused.entry(pod.uid.clone()).or_default().insert(node.clone(), until_ms);
        }
        let Some((pod, node, why)) = refusals.first() else { return };
        let text = format!("node {node} was refused to pod {}: {why}", pod.key);
        self.fail(key, cluster, &text, BTreeSet::new(), policy, now_ms);
    }

    /// Takes back all batches that are not going.
    fn withdraw(&mut self, key: &GangKey, cluster: &mut Cluster) {
        self.withdraw_if(key, cluster, |batch, _| !batch.is_going());
    }

    /// Takes back the batches of which this is true; says whether there were any.
    fn withdraw_if(
        &mut self,
        key: &GangKey,
        cluster: &mut Cluster,
        is_withdrawn: impl Fn(&Batch, &Cluster) -> bool,
    ) -> bool {
        let Some(kept) = self.kept.get_mut(key) else { return false };
        let withdrawn: Vec<Batch> = kept.batches.extract_if(.., |batch| is_withdrawn(batch, cluster)).collect();
        let were_any = !withdrawn.is_empty();
        for batch in withdrawn {
            self.give_back(batch, cluster);
        }
        were_any
    }

    fn give_back(&mut self, batch: Batch, cluster: &mut Cluster) {
        for uid in batch.places.keys() {
            self.gang_of.remove(uid);
            cluster.release_if_planned(uid);
        }
        self.claims.withdraw(&batch.claims);
        self.claims.free(batch.set_aside());
        self.freed_places = true;
        self.version += 1;
    }

    /// Writes down what the members are told.
    fn post(&mut self, key: &GangKey, now_ms: u64) {
        let Some(kept) = self.kept.get_mut(key) else { return };
        let wait = kept.wait(&self.claims);
        let (label, mut text) = (wait.verdict(), wait.text());
        let is_undecided = matches!(wait, Wait::Unplanned);
        if let (Ok(_), None, Some((told, _))) = (&kept.roster, &kept.no, &kept.told) {
            // It is being looked at again: what it was told last holds until that comes to another end.
            text = Arc::clone(told);
        }
        let is_new = kept.told.as_ref().is_none_or(|(told, _)| *told != text);
        let is_fresh = |(told, since): &(Arc<str>, u64)| now_ms < since + TEXT_STAYS_MS && same_words(told, &text);
        kept.is_behind = is_new && kept.told.as_ref().is_some_and(is_fresh);
        if is_new && !kept.is_behind {
            kept.told = Some((text, now_ms));
        }
        kept.note_progress(key, &self.claims);
        let told = kept.told.as_ref().map_or("", |(told, _)| told);
        let has_devices = |batch: &&Batch| self.claims.are_given(batch.awaited_claims());
        let usable = kept.batches.iter().filter(|batch| batch.clearing.is_none()).filter(has_devices);
        let unsettled = kept.batches.iter().filter(|batch| self.claims.are_being_given(batch.awaited_claims()));
        let unsettled = unsettled.flat_map(|batch| batch.unsettled(&self.claims));
        let found = kept.found_with_devices().filter(|_| is_undecided);
        let pods = usable.flat_map(|batch| &batch.places).filter(|(_, place)| place.pod.is_some());
        let notice = Notice {
            places: pods.map(|(uid, place)| (uid.clone(), place.node.clone())).collect(),
            free: kept.roster.iter().flat_map(|roster| &roster.free).filter_map(Seat::uid).cloned().collect(),
            unsettled: unsettled.chain(found.map(|uid| (uid.clone(), None))).collect(),
            elsewhere: Arc::new(held(key, "gang_elsewhere", ELSEWHERE)),
            held: Arc::new(held(key, label, told)),
        };
        if Arc::make_mut(&mut self.board).post(key, Some(notice)) {
            self.version += 1;
        }
    }
}

/// What a member that has a place is told on other nodes. It reaches the pod's condition only when the place was refused.
const ELSEWHERE: &str = "its place is on another node";

/// Do two texts differ in numbers only?
fn same_words(a: &str, b: &str) -> bool {
    without_numbers(a) == without_numbers(b)
}

fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

impl Kept {
    fn new(roster: Result<Roster, Shortage>) -> Self {
        Self {
            group: None,
            member: None,
            profile: Arc::default(),
            roster,
            runs: false,
            batches: vec![],
            no: None,
            passed_over: BTreeMap::new(),
            waits_for: None,
            told: None,
            is_behind: false,
            avoid: BTreeMap::new(),
            refused: BTreeMap::new(),
            failures: 0,
            not_before_ms: 0,
            without_phantoms: false,
            withdrawn: BTreeMap::new(),
            patience: Patience::default(),
            regrouping: Regrouping::default(),
            corrected: BTreeMap::new(),
            reported: Reported::default(),
            scarcity: Scarcity::default(),
        }
    }

    /// Nodes that refused somebody are tried again after a while.
    fn forget_refusals(&mut self, now_ms: u64) {
        let before = self.avoid.len() + self.refused.values().map(BTreeMap::len).sum::<usize>();
        self.avoid.retain(|_, until| *until > now_ms);
        self.refused.values_mut().for_each(|nodes| nodes.retain(|_, until| *until > now_ms));
        self.refused.retain(|_, nodes| !nodes.is_empty());
        if before > self.avoid.len() + self.refused.values().map(BTreeMap::len).sum::<usize>() {
            self.look_anew();
        }
    }

    /// Has any member its node, or is about to have it?
    fn has_started(&self) -> bool {
        let is_bound = |seat: &Seat| seat.pod.is_some() && seat.node.is_some();
        self.batches.iter().any(|batch| batch.is_going())
            || self.roster.as_ref().is_ok_and(|roster| roster.seats.iter().any(is_bound))
    }

    /// Forgets batches of which nobody is left to be placed.
    fn drop_empty(&mut self, claims: &mut ClaimKeeper) {
        for batch in self.batches.extract_if(.., |batch| batch.places.is_empty()) {
            claims.finish(&batch.claims);
        }
    }

    fn places(&self) -> impl Iterator<Item = (&PodUid, &Place)> {
        self.batches.iter().flat_map(|batch| &batch.places)
    }

    fn has_place(&self, seat: &Seat) -> bool {
        let Some(pod) = &seat.pod else { return false };
        self.batches.iter().any(|batch| batch.places.contains_key(&pod.uid))
    }

    /// Is there anybody who must start at once and has no place?
    fn lacks_places(&self) -> bool {
        let Ok(roster) = &self.roster else { return false };
        let phantoms = self.places().filter(|(_, place)| place.pod.is_none()).count();
        let expected = roster.seats.iter().filter(|seat| seat.pod.is_none()).count();
        let unplaced = |seat: &Seat| seat.pod.is_some() && seat.node.is_none() && !self.has_place(seat);
        roster.seats.iter().any(unplaced) || (!self.without_phantoms && expected > phantoms)
    }
}

#[cfg(test)]
mod tests;
