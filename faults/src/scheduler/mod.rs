//! A model of kube-scheduler: what it sees of the cluster is behind, it takes pods from a queue, places one after the other
//! ([`cycle`]), or the members of a PodGroup together ([`groups`]), with its own filters ([`filters`]) and testudo's, and binds
//! several at the same time ([`binding`]).
//!
//! Pods that found no place are put aside and come back when something happens that could help, as its plugins say; after
//! an error they wait for a while only.

mod binding;
mod cycle;
mod filters;
mod groups;
mod preemption;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use testudo::sim::rng::Rng;

use crate::api::store::{Happened, Key, Kind, Store, What, text};
use crate::api::view::View;
use crate::facts::{Device, Node, Pod};
use crate::service::Service;
use crate::story::Story;
use binding::Binding;

/// The kinds that it watches.
const KINDS: [Kind; 6] = [Kind::Node, Kind::Pod, Kind::Claim, Kind::Slice, Kind::Class, Kind::PodGroup];

/// How long it waits after a failed attempt, and after several: as testudo's chart sets it.
const FIRST_BACKOFF_MS: u64 = 1_000;
const LAST_BACKOFF_MS: u64 = 2_000;

/// After this time pods that were put aside are looked at in any case.
const FLUSH_MS: u64 = 300_000;

/// The scheduler.
pub struct Scheduler {
    rng: Rng,
    view: View,
    waiting: BTreeMap<String, Waiting>,
    /// Where pods are that are being bound, or were, and are not seen there yet.
    assumed: BTreeMap<String, (Pod, String)>,
    bindings: Vec<Binding>,
    /// The devices that it has itself given to claims, and on which node, until it sees that the claims have them.
    given: BTreeMap<Key, (Vec<Device>, String)>,
    /// A filter call hangs so long, at most.
    hangs: Option<Hanging>,
    /// It is not there before.
    down_until_ms: u64,
    /// Nodes that its own filters refuse to some pods, until then.
    refusing: BTreeMap<String, u64>,
}

struct Hanging {
    uid: String,
    replica: usize,
    until_ms: u64,
}

/// A pod that has no node.
#[derive(Debug, Clone)]
struct Waiting {
    pod: Pod,
    /// As it was last seen, for testudo.
    object: crate::api::store::Object,
    place: Queue,
    attempts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    /// To be tried.
    Active,
    /// To be tried after a while.
    BackOff { until_ms: u64 },
    /// Put aside, until something happens that helps against what stood against it.
    Aside { since_ms: u64, against: Against },
    /// Being bound.
    Binding,
}

/// What stood against a pod on the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Against {
    room: bool,
    claims: bool,
    extender: bool,
    /// There are too few of its group.
    quorum: bool,
    other: bool,
}

impl Against {
    fn or(self, more: Self) -> Self {
        Self {
            room: self.room || more.room,
            claims: self.claims || more.claims,
            extender: self.extender || more.extender,
            quorum: self.quorum || more.quorum,
            other: self.other || more.other,
        }
    }
}

/// What a step of it needs of the world.
pub struct Around<'w> {
    /// The API server.
    pub store: &'w mut Store,
    /// How to reach testudo.
    pub service: Service<'w>,
    /// What is told.
    pub story: &'w mut Story,
    /// The time.
    pub now_ms: u64,
    /// How far behind the scheduler's watches are, at most.
    pub lag_ms: usize,
}

impl Scheduler {
    /// One that has just started.
    pub fn new(rng: Rng, store: &Store) -> Self {
        let mut scheduler = Self {
            rng,
            view: View::of(&KINDS, store),
            waiting: BTreeMap::new(),
            assumed: BTreeMap::new(),
            bindings: vec![],
            given: BTreeMap::new(),
            hangs: None,
            down_until_ms: 0,
            refusing: BTreeMap::new(),
        };
        let pods: Vec<_> = scheduler.view.all(Kind::Pod).map(|(_, pod)| pod.clone()).collect();
        pods.into_iter().for_each(|pod| scheduler.see_pod(What::Added, pod, 0));
        scheduler
    }

    /// Ends it, and starts it anew after a while. Its calls to testudo go on.
    pub fn restart(&mut self, store: &Store, until_ms: u64) {
        let rng = self.rng.branch();
        *self = Self { down_until_ms: until_ms, refusing: std::mem::take(&mut self.refusing), ..Self::new(rng, store) };
    }

    /// Its own filters refuse this node to half of all pods for a while.
    pub fn refuse(&mut self, node: &str, until_ms: u64) {
        self.refusing.insert(node.to_owned(), until_ms);
    }

    /// Has it anything to do at once?
    pub fn is_busy(&self) -> bool {
        !self.bindings.is_empty() || self.waiting.values().any(|waiting| waiting.place == Queue::Active)
    }

    /// When it has something to do, as far as it knows.
    pub fn next_ms(&self) -> Option<u64> {
        let back_offs = self.waiting.values().filter_map(|waiting| match waiting.place {
            Queue::BackOff { until_ms } => Some(until_ms),
            _ => None,
        });
        back_offs.chain(self.hangs.as_ref().map(|hanging| hanging.until_ms)).min()
    }

    /// Does what is to be done.
    pub fn step(&mut self, around: &mut Around<'_>) {
        if around.now_ms < self.down_until_ms {
            return;
        }
        let refusing = self.refusing.len();
        self.refusing.retain(|_, until_ms| around.now_ms < *until_ms);
        if self.refusing.len() < refusing {
            // As when a volume is there: its plugin is told.
            self.wake(|against| against.other, around.now_ms);
        }
        let news = self.view.catch_up(around.store, &mut self.rng, around.lag_ms, around.now_ms);
        for (kind, happened) in news {
            self.see(kind, happened, around.now_ms);
        }
        self.go_on_binding(around);
        self.come_back(around.now_ms);
        if !self.still_hangs(around) {
            self.place_next(around);
        }
    }

    fn see(&mut self, kind: Kind, Happened { what, object, .. }: Happened, now_ms: u64) {
        if kind == Kind::Claim && (what == What::Deleted || object.claim().devices.is_some()) {
            self.given.remove(&Key::of(&object));
        }
        match kind {
            Kind::Pod => self.see_pod(what, object, now_ms),
            Kind::Node => self.wake(|against| against.room || against.extender || against.other, now_ms),
            Kind::Claim | Kind::Class => self.wake(|against| against.claims || against.extender, now_ms),
            Kind::Slice => self.wake(|against| against.claims, now_ms),
            Kind::PodGroup => self.wake(|against| against.quorum || against.extender, now_ms),
            Kind::Lease => {}
        }
    }

    fn see_pod(&mut self, what: What, object: crate::api::store::Object, now_ms: u64) {
        let pod = object.pod().clone();
        let uid = pod.uid.clone();
        if what == What::Deleted || !pod.is_pending() {
            self.waiting.remove(&uid);
            self.assumed.remove(&uid);
            if pod.node.is_some() || what == What::Deleted {
                let is_less = what == What::Deleted || pod.ended;
                self.wake(|against| against.extender || (against.room && is_less), now_ms);
            }
            return;
        }
        if what == What::Added && pod.group.is_some() {
            self.wake(|against| against.quorum, now_ms);
        }
        if !pod.is_ours || pod.gated {
            self.waiting.remove(&uid);
            return;
        }
        let Some(waiting) = self.waiting.get_mut(&uid) else {
            let waiting = Waiting { pod, object, place: Queue::Active, attempts: 0 };
            self.waiting.insert(uid, waiting);
            return;
        };
        // Its own failure is told by an update, too; that does not wake it.
        let is_news = relevant(&waiting.object) != relevant(&object);
        let known = waiting.pod.nominated.take();
        let shown = waiting.object.pod().nominated.clone();
        let (priority, has_left) = (pod.priority, shown.is_some() && shown != pod.nominated);
        (waiting.pod, waiting.object) = (pod, object);
        // A nomination of its own counts before its watch shows it.
        if waiting.pod.nominated.is_none() && shown.is_none() {
            waiting.pod.nominated = known;
        }
        if let Queue::Aside { against, .. } = waiting.place
            && is_news
            && (against.extender || against.claims)
        {
            waiting.end_rest(now_ms);
        }
        if has_left {
            // For whoever is not more important it counted there: it is as if it had been deleted.
            let helps = |pod: &Pod, against: &Against| pod.priority <= priority && (against.room || against.extender);
            self.wake_those(helps, now_ms);
        }
    }

    /// Something happened that may help.
    fn wake(&mut self, helps: impl Fn(&Against) -> bool, now_ms: u64) {
        self.wake_those(|_, against| helps(against), now_ms);
    }

    /// Something happened that may help some pods.
    fn wake_those(&mut self, helps: impl Fn(&Pod, &Against) -> bool, now_ms: u64) {
        for waiting in self.waiting.values_mut() {
            if let Queue::Aside { against, .. } = &waiting.place
                && helps(&waiting.pod, against)
            {
                waiting.end_rest(now_ms);
            }
        }
    }

    fn come_back(&mut self, now_ms: u64) {
        for waiting in self.waiting.values_mut() {
            match waiting.place {
                Queue::BackOff { until_ms } if now_ms >= until_ms => waiting.place = Queue::Active,
                Queue::Aside { since_ms, .. } if now_ms >= since_ms + FLUSH_MS => waiting.place = Queue::Active,
                _ => {}
            }
        }
    }

    /// All nodes as they are seen, and what is free on each when those are counted who are on their way there.
    fn room(&self) -> BTreeMap<String, Room> {
        let nodes = self.view.all(Kind::Node).map(|(_, node)| node.node().clone());
        let mut rooms: BTreeMap<String, Room> =
            nodes.map(|node| (node.name.clone(), Room { node, pods: vec![] })).collect();
        let mut counted = BTreeSet::new();
        for (_, object) in self.view.all(Kind::Pod) {
            let pod = object.pod();
            if let Some(room) = pod.node.as_ref().filter(|_| !pod.ended).and_then(|node| rooms.get_mut(node)) {
                counted.insert(pod.uid.clone());
                room.pods.push(pod.clone());
            }
        }
        for (uid, (pod, node)) in &self.assumed {
            if let Some(room) = rooms.get_mut(node).filter(|_| !counted.contains(uid)) {
                room.pods.push(pod.clone());
            }
        }
        rooms
    }
}

/// A node, and who is on it.
#[derive(Debug, Clone)]
struct Room {
    node: Node,
    pods: Vec<Pod>,
}

impl Waiting {
    /// Whose turn it is first: the most important, then the oldest.
    fn turn(&self) -> (Reverse<i64>, String, String) {
        (Reverse(self.pod.priority), self.pod.created.clone(), self.pod.uid.clone())
    }

    fn end_rest(&mut self, now_ms: u64) {
        if let Queue::Aside { since_ms, .. } = self.place {
            let until_ms = since_ms + self.back_off_ms();
            self.place = if now_ms >= until_ms { Queue::Active } else { Queue::BackOff { until_ms } };
        }
    }

    fn back_off_ms(&self) -> u64 {
        (FIRST_BACKOFF_MS << self.attempts.saturating_sub(1).min(8)).min(LAST_BACKOFF_MS)
    }
}

/// Of a pod what its plugins look at when it changes: labels, annotations, claims, gates and the nomination.
fn relevant(pod: &serde_json::Value) -> [&serde_json::Value; 4] {
    [
        &pod["metadata"]["labels"],
        &pod["metadata"]["annotations"],
        &pod["status"]["nominatedNodeName"],
        &pod["status"]["resourceClaimStatuses"],
    ]
}

/// The name of a node in an object, for the story.
fn named(object: &serde_json::Value) -> &str {
    text(object, "/metadata/name")
}
