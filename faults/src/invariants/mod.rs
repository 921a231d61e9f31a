//! What must always hold, found out by somebody who reads the cluster and knows nothing of testudo's books.
//!
//! After every step ([`Auditor::check`]): no device and no counter is given twice ([`devices`]); no node has more bound to it than it
//! has, and users no more than they may ([`quotas`]); the first member of a gang is bound only when all that must start
//! together have come to bind. At the end, when all
//! faults are over and everything has had its time ([`Auditor::check_end`]): whatever can be placed is ([`placed`]), no gang
//! is half started without a reason, testudo's ledger says what the cluster says ([`ledger`]), and nothing is left lying
//! around ([`leaks`]).

mod devices;
mod feasible;
mod leaks;
mod ledger;
mod placed;
mod quotas;
mod seen;
mod situations;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use testudo_core::engine::Engine;

use crate::api::store::{Kind, Store, What, text};
use crate::facts::{Amounts, Claim, Node, Pod};
use crate::script::{Input, Quota};
use devices::Counting;
use ledger::Moment;
use quotas::Used;
pub use seen::Seen;
use situations::Situations;

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A device is given to one claim only.
    DeviceOnce,
    /// Counters are not drawn beyond what is there.
    CounterKept,
    /// A claim keeps its devices while a pod that runs uses it.
    InUse,
    /// Nothing is bound to a node beyond what it has.
    NodeKept,
    /// Users get no more than they may have.
    QuotaKept,
    /// A gang starts as a whole.
    GangWhole,
    /// What can be placed is placed.
    Placed,
    /// Testudo's ledger says what the cluster says.
    Ledger,
    /// Nothing is left lying around.
    Clean,
    /// Nothing panics.
    NoPanic,
    /// Nobody spins: a run comes to its end.
    Ends,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Against which rule.
    pub rule: Rule,
    /// What it is.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

fn wrong(rule: Rule, what: impl Into<String>) -> Option<Violation> {
    Some(Violation { rule, what: what.into() })
}

/// A node's capacity counts for so long after it has become less: who binds may not know yet.
const CAPACITY_REMEMBERED_MS: u64 = 20_000;

/// A member counts as having come to bind for so long after its call has ended: its binding may still be under way.
const ARRIVAL_REMEMBERED_MS: u64 = 20_000;

/// A node that nobody has kept from an autoscaler when a member came to bind may be gone so much later: the write that keeps it may
/// get lost once, and an autoscaler has not seen it yet.
const NODE_LEAVES_WITHIN_MS: u64 = 5_000;

/// The reader.
#[derive(Debug, Default)]
pub struct Auditor {
    quota: Option<Quota>,
    read: u64,
    nodes: BTreeMap<String, Vec<(u64, Amounts)>>,
    pods: BTreeMap<String, Pod>,
    claims: BTreeMap<String, Claim>,
    /// Claims that kube-scheduler has given devices by itself: together with the reservation for its pod.
    given_by_scheduler: BTreeSet<String>,
    /// When pods were last at bind, and for which node.
    at_bind: BTreeMap<String, (u64, String)>,
    /// The gangs of pods that were deleted.
    gone: BTreeMap<String, String>,
    /// Gangs that have lost a member, or while they started its node or their leader: these may be in part.
    hurt: BTreeSet<String>,
    /// The replica that leads, as far as its label says so.
    leader: String,
    situations: Situations,
    seen: Seen,
}

impl Auditor {
    /// Of a cluster whose users may have so much, and where gangs have waited long after this time.
    pub fn new(quota: Option<Quota>, patience_ms: Option<u64>) -> Self {
        Self { quota, situations: Situations::new(patience_ms), ..Self::default() }
    }

    /// How much was going on.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// Something happens that may leave gangs in part which are just being bound.
    pub fn hear(&mut self, input: &Input, now_ms: u64) {
        if matches!(input, Input::Crash(..) | Input::Pause(..) | Input::Storm(..) | Input::SchedulerRestarts(..)) {
            self.excuse(|pod, auditor| auditor.has_come(&pod.uid, now_ms));
        }
        if matches!(input, Input::Crash(..) | Input::Pause(..) | Input::Refuse(..)) {
            self.excuse_staged();
        }
    }

    /// The gangs of these pods may be in part, unless they are whole by now.
    fn excuse(&mut self, is_struck: impl Fn(&Pod, &Self) -> bool) {
        let struck = self.pods.values().filter(|pod| is_struck(pod, self));
        let gangs: BTreeSet<(String, usize)> = struck.filter_map(|pod| pod.gang.clone()).collect();
        let in_part = gangs.into_iter().filter(|(gang, together)| self.started(gang) < *together);
        let in_part: Vec<String> = in_part.map(|(gang, _)| gang).collect();
        self.hurt.extend(in_part);
    }

    /// Gangs that are made in stages and of which a part runs may stay so: the places that are kept for members yet to be made
    /// do not outlive who leads, and their nodes may not do any more.
    fn excuse_staged(&mut self) {
        self.excuse(|pod, _| pod.staged && pod.node.is_some());
    }

    /// How many members of a gang have their node.
    fn started(&self, gang: &str) -> usize {
        let is_member = |pod: &&Pod| pod.gang.as_ref().is_some_and(|(name, _)| name == gang);
        self.pods.values().filter(is_member).filter(|pod| pod.node.is_some()).count()
    }

    /// These pods are at bind for these nodes. Whoever binds them may not have heard yet that one is gone.
    pub fn note_at_bind(&mut self, pods: Vec<(String, String)>, now_ms: u64) {
        self.hurt.extend(pods.iter().filter_map(|(uid, _)| self.gone.get(uid)).cloned());
        self.at_bind.extend(pods.into_iter().map(|(uid, node)| (uid, (now_ms, node))));
    }

    /// Reads what has happened, and judges it.
    pub fn check(&mut self, store: &Store, now_ms: u64) -> Option<Violation> {
        let read = std::mem::replace(&mut self.read, store.version());
        for happened in store.ever_since(Kind::Node, read) {
            let node = happened.object.node();
            let is_gone = happened.what == What::Deleted;
            if is_gone {
                self.note_node_gone(&node.name, now_ms);
            }
            let has = if is_gone { Amounts::default() } else { node.has };
            let history = self.nodes.entry(node.name.clone()).or_default();
            let is_less = history.last().is_some_and(|(_, had)| !has.covers(*had));
            history.push((happened.at_ms, has));
            if is_less || node.closed {
                self.excuse_staged();
            }
        }
        let mut violation = None;
        for happened in store.ever_since(Kind::Pod, read) {
            let pod = happened.object.pod().clone();
            self.note_leader(&happened.object);
            violation = violation.or_else(|| self.see_pod(pod, happened.what, now_ms));
        }
        for happened in store.ever_since(Kind::Claim, read) {
            violation = violation.or_else(|| self.see_claim(happened.object.claim(), happened.what));
        }
        if [Kind::Pod, Kind::Claim, Kind::Slice].iter().any(|kind| !store.ever_since(*kind, read).is_empty()) {
            violation = violation.or_else(|| self.devices_kept(store, Counting::OursAndUsed));
        }
        violation
    }

    /// Judges how things are at the end, where an autoscaler could add these nodes.
    pub fn check_end(&self, store: &Store, engines: &[Engine], could_add: &[Node]) -> Option<Violation> {
        let blamed = placed::half_started(store).into_iter().find(|(gang, _)| !self.hurt.contains(gang));
        let gangs = blamed.and_then(|(gang, (started, together))| {
            let text =
                format!("gang {gang}: {started} of its members have started, and {together} must start together");
            wrong(Rule::GangWhole, text)
        });
        let devices = gangs.or_else(|| self.devices_kept(store, Counting::All));
        let rest = devices.or_else(|| placed::left_out(store, self.quota, could_add));
        let rest = rest.or_else(|| leaks::left_behind(store));
        rest.or_else(|| engines.iter().find_map(|engine| ledger::differs(store, engine, Moment::End)))
    }

    /// Counts the gangs that are excused from being whole at the end.
    pub fn note_in_part(&mut self, store: &Store) {
        let in_part = placed::half_started(store);
        self.seen.excused += in_part.keys().filter(|gang| self.hurt.contains(*gang)).count() as u64;
    }

    /// Judges the ledger of a replica that has heard of everything.
    pub fn check_ledger(&mut self, store: &Store, engine: &Engine) -> Option<Violation> {
        self.seen.ledgers += 1;
        ledger::differs(store, engine, Moment::Any)
    }

    fn see_pod(&mut self, pod: Pod, what: What, now_ms: u64) -> Option<Violation> {
        if what == What::Deleted {
            self.note_loss(&pod, now_ms);
            self.pods.remove(&pod.uid);
            self.gone.extend(pod.gang.map(|(gang, _)| (pod.uid, gang)));
            return None;
        }
        let before = self.pods.insert(pod.uid.clone(), pod.clone());
        self.situations.see(&pod, before.as_ref(), &self.pods, now_ms, &mut self.seen);
        if pod.ended || pod.leaving {
            self.note_loss(&pod, now_ms);
        }
        if let Some((gang, together)) = &pod.gang
            && self.started(gang) >= *together
        {
            // What happens to it from now on has to have a reason of its own.
            self.hurt.remove(gang);
        }
        let is_new = pod.node.is_some() && before.is_none_or(|before| before.node.is_none());
        if !is_new || !pod.is_ours {
            return None;
        }
        self.seen.bound += 1;
        let kept = self.node_kept(&pod, now_ms).or_else(|| self.quota_kept(&pod));
        kept.or_else(|| self.gang_whole(&pod, now_ms))
    }

    /// Another leads, which can be seen by the label of its pod.
    fn note_leader(&mut self, pod: &serde_json::Value) {
        let is_leader = pod["metadata"]["labels"]["testudo.dev/leader"] == "true";
        let name = text(pod, "/metadata/name");
        if is_leader && self.leader != name {
            name.clone_into(&mut self.leader);
            self.excuse_staged();
        }
    }

    /// A gang that has lost a member that had started, or was about to, is in part, and nobody is to blame.
    fn note_loss(&mut self, pod: &Pod, now_ms: u64) {
        if let Some((gang, _)) = &pod.gang
            && (pod.node.is_some() || self.has_come(&pod.uid, now_ms))
        {
            self.hurt.insert(gang.clone());
        }
    }

    /// A gang whose member was just being bound to a node when that vanished may be in part: others of it may be bound by now.
    fn note_node_gone(&mut self, node: &str, now_ms: u64) {
        let came = |at: &u64, to: &str| to == node && at + NODE_LEAVES_WITHIN_MS >= now_ms;
        self.excuse(|pod, auditor| {
            pod.node.is_none() && auditor.at_bind.get(&pod.uid).is_some_and(|(at, to)| came(at, to))
        });
    }

    /// Has it come to bind lately?
    fn has_come(&self, uid: &str, now_ms: u64) -> bool {
        self.at_bind.get(uid).is_some_and(|(at, _)| at + ARRIVAL_REMEMBERED_MS >= now_ms)
    }

    fn node_kept(&self, pod: &Pod, now_ms: u64) -> Option<Violation> {
        let node = pod.node.as_ref()?;
        let history = self.nodes.get(node).map(Vec::as_slice).unwrap_or_default();
        let ended = |at: usize| history.get(at + 1).map_or(now_ms, |(ms, _)| *ms);
        let recent = history.iter().enumerate().filter(|(at, _)| ended(*at) + CAPACITY_REMEMBERED_MS >= now_ms);
        let had: Vec<Amounts> = recent.map(|(_, (_, has))| *has).collect();
        let used: Amounts = self.pods.values().filter(|pod| pod.is_on(node)).map(|pod| pod.asks).sum();
        if had.iter().any(|had| had.covers(used)) {
            return None;
        }
        let pods: Vec<String> =
            self.pods.values().filter(|pod| pod.is_on(node)).map(|pod| pod.key.name.clone()).collect();
        wrong(Rule::NodeKept, format!("node {node} has {had:?}, and {} hold {used:?}", pods.join(", ")))
    }

    fn quota_kept(&self, pod: &Pod) -> Option<Violation> {
        let quota = self.quota?;
        let claims: Vec<&Claim> = self.claims.values().collect();
        let used = Used::of(self.pods.values(), &claims);
        let text = || format!("{} is bound; then {used:?} are in use, and there may be {quota:?}", pod.key);
        (!used.is_within(quota)).then(|| wrong(Rule::QuotaKept, text()))?
    }

    /// The first of a gang is bound: have all that must start with it come to bind?
    fn gang_whole(&mut self, pod: &Pod, now_ms: u64) -> Option<Violation> {
        let (gang, together) = pod.gang.clone()?;
        let is_member = |other: &&Pod| other.gang.as_ref().is_some_and(|(name, _)| *name == gang);
        let members: Vec<&Pod> = self.pods.values().filter(is_member).collect();
        if members.iter().any(|other| other.uid != pod.uid && other.node.is_some()) {
            return None;
        }
        self.seen.gangs += 1;
        if pod.staged {
            // The others are made when it runs. That there are places for them is seen when they are.
            return None;
        }
        let came = members.iter().filter(|other| self.has_come(&other.uid, now_ms));
        let came: Vec<&str> = came.map(|other| other.key.name.as_str()).collect();
        if came.len() >= together {
            return None;
        }
        if self.hurt.contains(&gang) {
            self.seen.excused += 1;
            return None;
        }
        let came = if came.is_empty() { "nobody".to_owned() } else { came.join(", ") };
        let text =
            format!("{} of gang {gang} is bound; {together} must start together, and {came} came to bind", pod.key);
        wrong(Rule::GangWhole, text)
    }

    fn see_claim(&mut self, claim: &Claim, what: What) -> Option<Violation> {
        let name = claim.key.to_string();
        let before = if what == What::Deleted {
            self.claims.remove(&name)
        } else {
            self.claims.insert(name.clone(), claim.clone())
        };
        let had = before.as_ref().is_some_and(|before| before.devices.is_some());
        if what == What::Deleted || claim.devices.is_none() {
            self.given_by_scheduler.remove(&name);
        } else if !had && !claim.reserved.is_empty() {
            self.given_by_scheduler.insert(name);
        }
        if !had && claim.devices.is_some() && claim.marked {
            self.seen.allocated += 1;
        }
        let before = before.filter(|_| had && (claim.devices.is_none() || what == What::Deleted))?;
        self.seen.taken_back += u64::from(before.reserved.is_empty());
        let user = &self.user_of(&before)?.key;
        wrong(Rule::InUse, format!("claim {} has lost its devices, and pod {user} runs with them", claim.key))
    }

    /// A pod that is on its node and uses the claim.
    fn user_of(&self, claim: &Claim) -> Option<&Pod> {
        let users = claim.reserved.iter().filter_map(|uid| self.pods.get(uid));
        { users }.find(|pod| pod.node.is_some() && !pod.ended)
    }
}
