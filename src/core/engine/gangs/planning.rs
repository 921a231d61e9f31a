//! Which gang is planned next, and what is done with a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::batch::{Batch, Clearing, Place, phantom_uid};
use super::denial::Denial;
use super::devices::{Dearth, MAX_DEARTHS};
use super::formation::{self, Refusals};
use super::preemption::{self, Held, Way, Yielder, Yielders};
use super::roster::{Roster, Seat};
use super::shortfall::Lack;
use super::task::{PlanTask, Solved};
use super::{GangKeeper, Kept, NewsKind, without_numbers};
use crate::cluster::{Cluster, Domains, Holding, Standing};
use crate::engine::claims::{ClaimKeeper, Grant};
use crate::engine::{AutoscalingPolicy, Policy, Snapshot};
use crate::model::gang::{GangKey, Role};
use crate::model::node::NodeName;
use crate::model::pod::{Pod, PodUid, Promise};
use crate::placement;
use crate::placement::gang::No;

impl GangKeeper {
    /// The gang that should be planned next: those first of which a part runs and another has to, then by priority, then by
    /// age. Members beyond what a gang needs have no such precedence.
    pub fn next(&mut self, cluster: &Cluster, policy: &Policy, now_ms: u64) -> Option<GangKey> {
        for kept in self.kept.values_mut() {
            kept.confirm_denials(cluster, self.claims.freed());
        }
        for (key, role) in self.within_quota_again(cluster, policy) {
            if let Some(kept) = self.kept.get_mut(&key) {
                kept.doubt_quota(role.as_ref());
            }
        }
        let is_single = |key: &GangKey| !key.is_of_several();
        let is_ahead = |(key, kept): &(&GangKey, &Kept)| is_single(key) && kept.batches.iter().any(|it| !it.is_going());
        let is_full = self.kept.iter().filter(is_ahead).count() >= policy.gangs.max_singles_ahead;
        let is_due = |key: &GangKey, kept: &Kept| {
            !(is_full && is_single(key)) && (kept.is_due(&self.claims, now_ms) || kept.is_starving(now_ms))
        };
        let due = self.kept.iter().filter(|(key, kept)| is_due(key, kept));
        let order = |(key, kept): &(&GangKey, &Kept)| {
            let (priority, created_s) = kept.roster.as_ref().map_or((0, 0), |r| (r.priority, r.created_s));
            let is_unfinished = kept.has_started() && kept.lacks_places();
            (!is_unfinished, std::cmp::Reverse(priority), created_s, (*key).clone())
        };
        let next = due.min_by_key(order).map(|(key, _)| key.clone())?;
        self.kept.get_mut(&next)?.try_again();
        Some(next)
    }

    /// The task of planning a gang; nothing where its members do not form sets, which is then its reason to wait.
    pub fn task(
        &mut self,
        key: &GangKey,
        snapshot: Snapshot,
        cluster: &Cluster,
        policy: &Policy,
        now_ms: u64,
    ) -> Option<PlanTask> {
        let roster = self.kept.get(key)?.roster_to_plan(&self.claims)?;
        let limit = self.too_many_expected(key, &roster, policy);
        if let Some(no) = limit.or_else(|| self.over_quota(key, &roster, cluster, policy)) {
            self.deny(key, Denial::new(no, None, snapshot.generation(), self.claims.freed()), now_ms);
            return None;
        }
        let yielders = self.yielders(&roster, key, cluster, policy);
        let is_together = |gang: &GangKey| self.kept.contains_key(gang);
        let below = roster.priority.saturating_add(1);
        let is_starving = self.kept.get(key)?.is_starving(now_ms);
        let drainable = is_starving.then(|| preemption::evictable(cluster, policy, below, is_together));
        let kept = self.kept.get_mut(key)?;
        let fabric_of = |node: &NodeName| fabric_of(snapshot.domains(), node);
        let freed = (cluster.freed(), self.claims.freed());
        let refusals = kept.refusals();
        match formation::question(&roster, &refusals, fabric_of) {
            Ok(question) => {
                let avoid = kept.avoid.keys().cloned().collect();
                if let Some(no) = self.dearths.iter().find_map(|dearth| dearth.answer(&question, &avoid, freed)) {
                    // Nodes were found for it then, but no devices.
                    let lack =
                        |policy: &AutoscalingPolicy| if policy.simulates_claims { Lack::Counted } else { Lack::Unseen };
                    let lack = policy.autoscaling.as_ref().map(lack);
                    self.deny(key, Denial::new(no, lack, snapshot.generation(), freed.1), now_ms);
                    return None;
                }
                let desk = question.asks_for_devices().then(|| self.claims.take_desk(cluster));
                Some(PlanTask {
                    gang: key.clone(),
                    profile: Arc::clone(&kept.profile),
                    roster,
                    question,
                    refusals,
                    avoid,
                    yielders,
                    drainable,
                    desk,
                    freed,
                    taken: OnceLock::new(),
                    snapshot: Arc::new(snapshot),
                })
            }
            Err(shortage) => {
                kept.roster = Err(shortage);
                self.post(key, now_ms);
                None
            }
        }
    }

    /// The task of finding out who would have to end for a gang to start, whatever its priority and whoever they are.
    pub fn making_room(
        &self,
        key: &GangKey,
        snapshot: Snapshot,
        cluster: &Cluster,
        policy: &Policy,
    ) -> Option<PlanTask> {
        let is_together = |gang: &GangKey| self.kept.contains_key(gang);
        let yielders = preemption::evictable(cluster, policy, i32::MAX, is_together);
        let trial = self.trial(key, snapshot)?;
        // Who would have to end for devices to be free is not found out.
        (!trial.question.asks_for_devices()).then(|| PlanTask { yielders, ..trial })
    }

    /// Would a gang that waits have places for all its members, and devices for their claims?
    pub fn would_fit(&mut self, key: &GangKey, snapshot: Snapshot, cluster: &Cluster) -> bool {
        let Some(mut trial) = self.trial(key, snapshot) else { return false };
        trial.desk = trial.question.asks_for_devices().then(|| self.claims.take_desk(cluster));
        let fits = trial.look().is_ok();
        if let Some(desk) = trial.desk {
            self.claims.return_desk(desk);
        }
        fits
    }

    /// The task of finding out whether a gang would fit into a state that may only be thought of. Where the next members of several
    /// roles wait, it is about those that nodes would help, if there are any.
    pub fn trial(&self, key: &GangKey, snapshot: Snapshot) -> Option<PlanTask> {
        let kept = self.kept.get(key)?;
        let roster = kept.roster_without(|role| kept.lacks_something_else(role), &self.claims)?;
        let fabric_of = |node: &NodeName| fabric_of(snapshot.domains(), node);
        let refusals = kept.refusals();
        let question = formation::question(&roster, &refusals, fabric_of).ok()?;
        Some(PlanTask {
            gang: key.clone(),
            profile: Arc::clone(&kept.profile),
            roster,
            question,
            refusals,
            avoid: kept.avoid.keys().cloned().collect(),
            yielders: Yielders::new(),
            drainable: None,
            desk: None,
            freed: (0, 0),
            taken: OnceLock::new(),
            snapshot: Arc::new(snapshot),
        })
    }

    /// Members that do not exist yet hold places that no quota counts. So there is a limit to them in each namespace: nobody
    /// can take from others what he does not use.
    fn too_many_expected(&self, key: &GangKey, roster: &Roster, policy: &Policy) -> Option<No> {
        let limit = policy.gangs.max_expected;
        let more = roster.seats.iter().filter(|seat| seat.pod.is_none() && seat.node.is_none()).count();
        let kept = self.kept.iter().filter(|(gang, _)| gang.namespace == key.namespace);
        let held = kept.flat_map(|(_, kept)| kept.places()).filter(|(_, place)| place.pod.is_none()).count();
        (more > 0 && held + more > limit as usize).then_some(No::TooManyExpected { limit })
    }

    /// Who may have to make way for a gang. Members beyond those that must start together make nobody go.
    fn yielders(&self, roster: &Roster, key: &GangKey, cluster: &Cluster, policy: &Policy) -> Yielders {
        let is_below = |kept: &Kept| kept.roster.as_ref().is_ok_and(|other| other.priority < roster.priority);
        let unbound = self.kept.iter().filter(|(_, kept)| is_below(kept));
        let mut yielders: Yielders = unbound
            .filter_map(|(gang, kept)| {
                let places = kept.batches.iter().filter(|batch| !batch.is_going()).flat_map(|batch| &batch.places);
                let members: Vec<_> = places.map(|(uid, place)| (uid.clone(), place.node.clone())).collect();
                let priority = kept.roster.as_ref().map_or(0, |roster| roster.priority);
                let held = Held { priority, has_devices: true, members };
                (!held.members.is_empty()).then(|| (Yielder::Plan(gang.clone()), held))
            })
            .collect();
        let may_evict = policy.gangs.preempting.contains(&key.namespace) && roster.may_preempt();
        // Where nodes refused members for reasons that we do not see, an eviction may be for nothing.
        let is_clear = |kept: &Kept| kept.lacks_places() && kept.avoid.is_empty() && kept.refused.is_empty();
        if may_evict && self.kept.get(key).is_some_and(is_clear) {
            let is_together = |gang: &GangKey| self.kept.contains_key(gang);
            yielders.extend(preemption::evictable(cluster, policy, roster.priority, is_together));
        }
        yielders
    }

    /// Takes in what came of a task. Places are held if all of them still fit; if the gang or a node has changed meanwhile,
    /// nothing is done, and the gang is due again.
    pub fn adopt(&mut self, solved: Solved, cluster: &mut Cluster, policy: &Policy, now_ms: u64) {
        let Solved { mut task, outcome, keep_free, lack } = solved;
        if let Some(desk) = task.desk.take() {
            self.claims.return_desk(desk);
        }
        let key = task.gang.clone();
        let Some(kept) = self.kept.get_mut(&key) else { return };
        if !kept.roster_to_plan(&self.claims).is_some_and(|roster| roster.is_same(&task.roster)) {
            return;
        }
        match outcome {
            Err(no) => {
                if task.drainable.is_some() {
                    kept.patience.was_tried(now_ms);
                }
                if let Some(dearth) = Dearth::of(&task, &no, task.freed) {
                    self.dearths.insert(0, dearth);
                    self.dearths.truncate(MAX_DEARTHS);
                }
                self.note_no(&key, Denial::new(no, lack, task.snapshot.generation(), task.freed.1));
                self.doubt_no(&key, &task);
                self.skip_role(&key);
                self.note_lack(&key, now_ms);
                if let Some(nodes) = keep_free {
                    self.reserve(&key, nodes, cluster, now_ms);
                }
            }
            Ok(Way { nodes, yielders, grants }) => {
                if !self.claims.still_hold(grants.iter().flatten()) || task.is_overtaken(cluster.slots(), &nodes) {
                    return;
                }
                // Others of the namespace may have started meanwhile.
                if let Some(no) = self.over_quota(&key, &task.roster, cluster, policy) {
                    return self.deny(&key, Denial::new(no, None, cluster.generation(), task.freed.1), now_ms);
                }
                let victims = self.victims(&task.yielders, &yielders);
                for plan in yielders.iter().filter_map(Yielder::plan) {
                    let why = format!("gang {key} of higher priority needs the room");
                    self.fail(plan, cluster, &why, BTreeSet::new(), policy, now_ms);
                }
                let id = self.next_id();
                let seats = task.question.seats.iter().map(|at| (*at, &task.roster.seats[*at]));
                let until_ms = now_ms + policy.gangs.clearing_ms;
                let clearing = (!victims.is_empty()).then_some(Clearing { victims, until_ms });
                if !self.hold(&key, id, seats.zip(nodes.iter().cloned()), clearing, cluster, policy, now_ms) {
                    return;
                }
                self.give(&key, &task.question.seats, &nodes, grants);
                self.post_contested();
                let members = task.question.seats.len();
                match yielders.iter().filter(|yielder| yielder.plan().is_none()).count() {
                    0 => self.tell(&key, NewsKind::Planned, format_args!("{members} members have a place")),
                    others => {
                        let text =
                            format!("{members} members have a place once {others} of lower priority are evicted");
                        self.tell(&key, NewsKind::Planned, text);
                    }
                }
            }
        }
        self.post(&key, now_ms);
    }

    /// Nodes that were left out, since they had refused somebody, may be tried again by now: nothing else would say so.
    fn doubt_no(&mut self, key: &GangKey, task: &PlanTask) {
        let Some(kept) = self.kept.get_mut(key) else { return };
        if kept.refusals() != task.refusals || !kept.avoid.keys().eq(&task.avoid) {
            kept.no = None;
        }
    }

    /// A gang cannot be placed: that is known without a plan, and counts as one that was tried, or it would be due again at
    /// once when it has waited long.
    fn deny(&mut self, key: &GangKey, denial: Denial, now_ms: u64) {
        self.note_no(key, denial);
        self.skip_role(key);
        self.note_lack(key, now_ms);
        if let Some(kept) = self.kept.get_mut(key).filter(|kept| kept.is_starving(now_ms)) {
            kept.patience.was_tried(now_ms);
        }
        self.post(key, now_ms);
    }

    /// A gang cannot be placed.
    fn note_no(&mut self, key: &GangKey, denial: Denial) {
        let Some(kept) = self.kept.get_mut(key) else { return };
        let text = denial.no.to_string();
        // What is free changes all the time: the same with other numbers is no news.
        let words = without_numbers(&text);
        let is_news = kept.waits_for.replace(words.clone()) != Some(words);
        kept.no = Some(denial);
        if is_news {
            self.tell(key, NewsKind::Waiting, text);
        }
    }

    /// The pods that have to be evicted, none of them asked yet.
    fn victims(&self, all: &Yielders, chosen: &[Yielder]) -> BTreeMap<PodUid, Option<u64>> {
        let running = chosen.iter().filter(|yielder| yielder.plan().is_none());
        let members = running.filter_map(|yielder| all.get(yielder)).flat_map(|held| &held.members);
        members.map(|(uid, _)| (uid.clone(), None)).collect()
    }

    /// The claims of the batch that was just held are to be given devices.
    fn give(&mut self, key: &GangKey, seats: &[usize], nodes: &[NodeName], grants: Vec<Vec<Grant>>) {
        let Some(batch) = self.kept.get_mut(key).and_then(|kept| kept.batches.last_mut()) else { return };
        for ((seat, node), mut grants) in seats.iter().zip(nodes).zip(grants) {
            let phantom = phantom_uid(&batch.id, *seat);
            for grant in &mut grants {
                match (&grant.expected, batch.places.get_mut(&phantom)) {
                    (Some((alias, _)), Some(place)) => {
                        grant.key.name = format!("{phantom}:{alias}").into();
                        place.set_aside.insert(alias.clone(), grant.key.clone());
                    }
                    _ => batch.claims.push(grant.key.clone()),
                }
            }
            self.claims.give(key, node, grants);
        }
    }

    /// Holds places in one step, or none of them.
    #[expect(clippy::too_many_arguments, reason = "what a batch is made of")]
    fn hold<'a>(
        &mut self,
        key: &GangKey,
        id: Arc<str>,
        places: impl Iterator<Item = ((usize, &'a Seat), NodeName)>,
        clearing: Option<Clearing>,
        cluster: &mut Cluster,
        policy: &Policy,
        now_ms: u64,
    ) -> bool {
        let Some(kept) = self.kept.get_mut(key) else { return false };
        let timeout = kept.roster.as_ref().ok().and_then(|roster| roster.terms.hold_timeout_ms);
        let timeout = timeout.unwrap_or(policy.gangs.hold_timeout_ms).min(policy.gangs.max_hold_timeout_ms);
        let seats: Vec<((usize, &Seat), NodeName)> = places.collect();
        let placed: BTreeSet<&PodUid> = seats.iter().filter_map(|((_, seat), _)| seat.uid()).collect();
        let known = kept.roster.iter().flat_map(Roster::all);
        let joining = known.filter(|seat| seat.uid().is_some_and(|uid| placed.contains(uid)));
        let shared_claims = self.claims.planned(joining.map(|seat| &*seat.needs));
        let mut batch = Batch {
            claims: vec![],
            shared_claims,
            made_ms: now_ms,
            until_ms: now_ms + policy.gangs.bind_window_ms,
            phantoms_until_ms: now_ms + timeout,
            places: BTreeMap::new(),
            going_since_ms: (kept.has_started() && !kept.lacks_places()).then_some(now_ms),
            clearing,
            id,
        };
        for ((at, seat), node) in seats {
            let fits = cluster.node(node.as_str()).is_some_and(|state| match batch.clearing {
                None => placement::check(&seat.demand, state).is_ok(),
                Some(_) => placement::check(&seat.demand, &state.without(batch.victims())).is_ok(),
            });
            let uid = seat.pod.as_ref().map_or_else(|| phantom_uid(&batch.id, at), |pod| pod.uid.clone());
            if !fits || cluster.holding(&uid).is_some() {
                batch.places.keys().for_each(|uid| cluster.release(uid));
                return false;
            }
            let exclusivity = kept.roster.as_ref().ok().and_then(|roster| roster.exclusivity_of(seat));
            cluster.hold(&uid, Holding { exclusivity, ..holding(key, seat, &node) }, Standing::Planned);
            batch.places.insert(uid, Place::new(seat, node));
        }
        (kept.no, kept.waits_for) = (None, None);
        kept.passed_over.retain(|role, _| !batch.places.values().any(|place| place.role == *role));
        kept.scarcity.end();
        self.gang_of.extend(batch.places.keys().map(|uid| (uid.clone(), key.clone())));
        kept.batches.push(batch);
        true
    }

    /// Takes up the places that an earlier leader has promised and that are still there: its plans outlive it, under names
    /// of our own, so that what it may still write is seen to be old. Where not all members know their places by the same
    /// plan, nothing has started, and all are planned anew.
    pub(super) fn restore(&mut self, key: &GangKey, cluster: &mut Cluster, policy: &Policy, now_ms: u64) {
        let Some(kept) = self.kept.get(key) else { return };
        let Ok(roster) = &kept.roster else { return };
        // An old promise may be of what has been given since to a gang of which a part runs: that one has to be finished.
        if !kept.has_started() && self.kept.values().any(|other| other.has_started() && other.lacks_places()) {
            return;
        }
        let waiting = || roster.seats.iter().filter(|seat| seat.node.is_none() && seat.pod.is_some());
        let mut plans: BTreeMap<Arc<str>, Vec<(Seat, NodeName)>> = BTreeMap::new();
        // One whose claims have no devices (any more) would be pointed to a place where it has none.
        let has_devices = |seat: &&Seat| !seat.needs.lack_devices();
        let waiting_with_devices = waiting().filter(has_devices);
        for (seat, promise) in
            waiting_with_devices.filter_map(|seat| Some((seat, valid_promise(seat.pod.as_ref()?, now_ms)?)))
        {
            plans.entry(Arc::clone(&promise.plan)).or_default().push((seat.clone(), promise.node.clone()));
        }
        let is_one_plan = plans.len() == 1 && plans.values().map(Vec::len).sum::<usize>() == waiting().count();
        if !is_one_plan && !kept.has_started() {
            return;
        }
        for places in plans.into_values() {
            let id = self.next_id();
            let places = places.iter().enumerate().map(|(at, (seat, node))| ((at, seat), node.clone()));
            self.hold(key, id, places, None, cluster, policy, now_ms);
        }
    }

    /// The name of the next plan: none before had it, in this term or in another.
    fn next_id(&mut self) -> Arc<str> {
        self.plans += 1;
        format!("{}-{}", self.epoch, self.plans).into()
    }
}

/// What a pod shows of a plan, unless its time is over.
fn valid_promise(pod: &Pod, now_ms: u64) -> Option<&Promise> {
    let promise = pod.steering.promise.as_ref()?;
    let until_ms = u64::try_from(promise.until_s).ok()?.saturating_mul(1000);
    (until_ms > now_ms).then_some(promise)
}

/// What is held for a seat on a node.
fn holding(key: &GangKey, seat: &Seat, node: &NodeName) -> Holding {
    match &seat.pod {
        Some(pod) => Holding::of(pod, node),
        None => Holding::of_nobody(key, &seat.demand, node),
    }
}

/// The NVLink domain of a node.
pub(super) fn fabric_of(domains: &Domains, node: &NodeName) -> String {
    domains.clique(node).map_or_else(|| node.as_str().to_owned(), |id| domains.full_name(id))
}

impl Place {
    fn new(seat: &Seat, node: NodeName) -> Self {
        Self {
            node,
            role: Arc::clone(&seat.role),
            part: seat.part,
            index: seat.index,
            message_before: seat.pod.as_ref().and_then(|pod| pod.steering.unscheduled.clone()),
            pod: seat.pod.clone(),
            checked: None,
            suspicion: None,
            set_aside: BTreeMap::new(),
            has_arrived: false,
            is_left_behind: false,
            is_nominated: false,
            steered_ms: None,
            steered: 0,
        }
    }
}

impl Kept {
    /// Is there somebody to plan for, and may a place have come free since the last no?
    fn is_due(&self, claims: &ClaimKeeper, now_ms: u64) -> bool {
        self.may_fit()
            && now_ms >= self.not_before_ms
            && !self.regrouping.is_going_on()
            && self.roster_to_plan(claims).is_some()
    }

    /// The roster with the places that there are, and somebody in it who has none: all that must start at once, or, once
    /// they have places, the next of the others.
    pub(super) fn roster_to_plan(&self, claims: &ClaimKeeper) -> Option<Roster> {
        self.roster_without(|role| self.is_passed_over(role), claims)
    }

    /// The same with other roles passed over.
    pub(super) fn roster_without(
        &self,
        is_passed_over: impl Fn(&Role) -> bool,
        claims: &ClaimKeeper,
    ) -> Option<Roster> {
        let (roster, lacks_places) = (self.roster.as_ref().ok()?, self.lacks_places());
        // Of most gangs all run: these cost nothing.
        if !lacks_places && (roster.extras.is_empty() || !self.has_started()) {
            return None;
        }
        let roster = self.with_places(roster);
        let mut roster = match lacks_places {
            true => roster,
            false => {
                let next = roster.with_next_extras(is_passed_over)?;
                let next = self.with_places(&next);
                next.seats.iter().any(|seat| seat.node.is_none()).then_some(next)?
            }
        };
        let is_needy = |seat: &&mut Seat| seat.node.is_none() && seat.needs.lack_devices();
        let needy = roster.seats.iter_mut().filter(is_needy);
        needy.for_each(|seat| seat.needs = Arc::new(claims.needs_beside(&seat.needs)));
        Some(roster)
    }

    pub(super) fn with_places(&self, roster: &Roster) -> Roster {
        let mut roster = roster.clone();
        let mut phantoms = self.places().filter(|(_, place)| place.pod.is_none());
        let mut given_up: BTreeSet<usize> = BTreeSet::new();
        for (at, seat) in roster.seats.iter_mut().enumerate() {
            match &seat.pod {
                Some(pod) => seat.node = seat.node.clone().or_else(|| self.place_of(&pod.uid)),
                None => match phantoms.next() {
                    Some((_, place)) => seat.node = Some(place.node.clone()),
                    None if self.without_phantoms => drop(given_up.insert(at)),
                    None => {}
                },
            }
        }
        let mut at = 0..;
        roster.seats.retain(|_| at.next().is_none_or(|at| !given_up.contains(&at)));
        // Those beyond who have a place count as its members, so that the next one joins them.
        let (placed, extras): (Vec<Seat>, Vec<Seat>) = roster
            .extras
            .drain(..)
            .map(|seat| {
                let node = seat.pod.as_ref().and_then(|pod| self.place_of(&pod.uid));
                Seat { node, ..seat }
            })
            .partition(|seat| seat.node.is_some());
        roster.seats.extend(placed);
        roster.extras = extras;
        roster
    }

    /// The nodes that refused members.
    fn refusals(&self) -> Refusals {
        self.refused.iter().map(|(uid, nodes)| (uid.clone(), nodes.keys().cloned().collect())).collect()
    }

    fn place_of(&self, uid: &PodUid) -> Option<NodeName> {
        self.batches.iter().find_map(|batch| batch.places.get(uid)).map(|place| place.node.clone())
    }
}
