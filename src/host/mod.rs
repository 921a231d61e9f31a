//! The engine's home in a running process: one lock around the state, one pointer to the newest snapshot.
//!
//! Changes come in through [`Host::take`] and a snapshot is published after each batch; the extender's questions are
//! answered from snapshots without waiting for anyone ([`answers`]); bindings go out through [`binding`].

mod answers;
mod autoscaling;
mod backing;
mod binding;
mod clock;
pub mod decisions;
mod denied;
mod election;
mod fields;
mod following;
mod gangs;
mod leader_metrics;
mod leadership;
mod metrics;
mod news;
mod observing;
pub mod offline;
mod orders;
mod policy;
mod problems;
mod recent;
mod searches;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use testudo_core::claims::ClaimKey;
use testudo_core::cluster::Audit;
use testudo_core::engine::{Change, ClaimView, Engine, GangStage, GangView, GangWait, Policy, Snapshot};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::gang::GangKey;
use testudo_core::model::node::{Node, NodeName};
use testudo_core::model::pod::{Pod, PodKey, PodUid};
use tokio::sync::Notify;
use tracing::warn;

use crate::config::Mode;
use crate::k8s::protect::PROTECTED_ANNOTATION;
use crate::k8s::watch::{ClusterEvent, DeviceList};
use crate::k8s::{manifests::Manifests, node, object, pod};
use backing::Backing;
pub use binding::Bindings;
pub use clock::Clock;
use decisions::{Decision, RecentDecisions};
pub use election::{ElectionTimes, LABEL_DEADLINE};
pub use following::BATCH;
pub use leadership::Leadership;
use metrics::Metrics;
pub use orders::GangWriters;
pub use policy::PolicyTeller;
use problems::KnownProblems;
use recent::RecentPods;
pub use searches::{Search, Searches};

/// The engine's home.
pub struct Host {
    engine: Mutex<Engine>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    catalogue: Arc<Catalogue>,
    mode: Mode,
    bindings: Bindings,
    recent: Mutex<RecentPods>,
    decisions: Mutex<RecentDecisions>,
    problems: Mutex<KnownProblems>,
    metrics: Metrics,
    nodes_listed: AtomicBool,
    pods_listed: AtomicBool,
    groups_listed: AtomicBool,
    /// Devices that stand behind extended resources. Locked before the engine, where both are.
    backing: Mutex<Backing>,
    claims_listed: AtomicBool,
    slices_listed: AtomicBool,
    classes_listed: AtomicBool,
    /// There may be something to plan.
    gang_work: Notify,
    /// It is known what became of writes on claims.
    outcomes: Notify,
    /// Tells those who wait at the barrier to look again, in the order in which they came.
    barrier_news: Notify,
    /// The version of the gangs that they have been told of.
    barrier_version: AtomicU64,
    leadership: Leadership,
    searches: Searches,
    clock: Clock,
}

impl Host {
    /// A host that knows nothing yet. Its metrics are registered in `registry`.
    pub fn new(
        policy: Policy,
        mode: Mode,
        catalogue: Arc<Catalogue>,
        bindings: Bindings,
        registry: &mut Registry,
    ) -> Self {
        let clock = Clock::start();
        // Where no claims are ours nobody waits for them.
        let without_claims = !policy.claims.is_on();
        let mut engine = Engine::new(policy);
        match mode {
            Mode::Enforce => engine.lead(clock.now_ms() / 1000),
            Mode::Observe => engine.stand_by(),
        }
        let snapshot = Arc::new(ArcSwap::from_pointee(engine.snapshot()));
        Self {
            engine: Mutex::new(engine),
            snapshot,
            catalogue,
            mode,
            bindings,
            recent: Mutex::default(),
            decisions: Mutex::default(),
            problems: Mutex::default(),
            metrics: Metrics::register(registry),
            nodes_listed: AtomicBool::new(false),
            pods_listed: AtomicBool::new(false),
            groups_listed: AtomicBool::new(false),
            backing: Mutex::default(),
            claims_listed: AtomicBool::new(without_claims),
            slices_listed: AtomicBool::new(without_claims),
            classes_listed: AtomicBool::new(without_claims),
            gang_work: Notify::new(),
            outcomes: Notify::new(),
            barrier_news: Notify::new(),
            barrier_version: AtomicU64::new(0),
            leadership: Leadership::default(),
            searches: Searches::OnThreads,
            clock,
        }
    }

    /// The same host by another clock, and with another place for what takes longer: for simulations.
    pub fn with_time(self, clock: Clock, searches: Searches) -> Self {
        Self { clock, searches, ..self }
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// A snapshot that shows all that is known. That a pod is on its node by now, or that a claim has its devices, makes no
    /// new snapshot by itself: it changes no decision.
    pub fn snapshot_to_show(&self) -> Arc<Snapshot> {
        let mut engine = self.engine.lock();
        self.publish_all(&mut engine);
        self.snapshot()
    }

    fn publish_all(&self, engine: &mut Engine) {
        if !engine.is_shown_by(&self.snapshot.load()) {
            self.snapshot.store(Arc::new(engine.snapshot()));
        }
    }

    /// The claims that have no devices, or not for sure, and how many have theirs.
    pub fn claims(&self) -> (Vec<ClaimView>, usize) {
        self.engine.lock().claims()
    }

    /// All claims, each with how far it has come.
    pub fn claim_names(&self) -> Vec<(ClaimKey, &'static str)> {
        let engine = self.engine.lock();
        let has_devices = |is_allocated| if is_allocated { "has devices" } else { "waits" };
        engine.claim_names().map(|(key, is_allocated)| (key.clone(), has_devices(is_allocated))).collect()
    }

    /// The claim of this name, with the pods that use it.
    pub fn claim(&self, key: &ClaimKey) -> Option<(ClaimView, Vec<PodKey>)> {
        let engine = self.engine.lock();
        let claim = engine.claim(key)?;
        let pods = claim.pods.iter().filter_map(|uid| engine.cluster().pod(uid)).map(|pod| pod.key.clone());
        let pods = pods.collect();
        Some((claim, pods))
    }

    /// The pod of this name, if it has been seen.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let engine = self.engine.lock();
        engine.cluster().pods().find(|pod| pod.key.namespace == namespace && pod.key.name == name).cloned()
    }

    /// All gangs whose members start together, with the snapshot of the same moment.
    pub fn gangs(&self) -> (Arc<Snapshot>, Vec<GangView>) {
        let mut engine = self.engine.lock();
        self.publish_all(&mut engine);
        (self.snapshot(), engine.gangs().collect())
    }

    /// The gangs of this name: each dialect has its own.
    pub fn gangs_named(&self, namespace: &str, name: &str) -> Vec<GangView> {
        let engine = self.engine.lock();
        engine.gangs().filter(|gang| gang.key.namespace == namespace && gang.key.name == name).collect()
    }

    /// All pods that are known, in no order that means anything.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.engine.lock().cluster().pods().cloned().collect()
    }

    /// What could not be understood about a pod.
    pub fn pod_problems(&self, uid: &PodUid) -> Vec<String> {
        self.problems.lock().of(&problems::pod_key(uid.as_str())).to_vec()
    }

    /// How far each gang has come, with a view of those that are not running.
    pub fn gangs_underway(&self) -> (Vec<(GangKey, GangStage)>, Vec<GangView>) {
        let engine = self.engine.lock();
        let stages: Vec<(GangKey, GangStage)> = engine.gang_stages().map(|(key, stage)| (key.clone(), stage)).collect();
        let underway = stages.iter().filter(|(_, stage)| *stage < GangStage::Running);
        let views = underway.filter_map(|(key, _)| engine.gang(key)).collect();
        (stages, views)
    }

    /// How far each gang has come, and for what those wait that do.
    pub fn gangs_counted(&self) -> (Vec<GangStage>, Vec<GangWait>) {
        let engine = self.engine.lock();
        (engine.gang_stages().map(|(_, stage)| stage).collect(), engine.gang_waits().collect())
    }

    /// Gangs that have no places.
    pub fn gangs_in_want(&self) -> Vec<GangView> {
        let engine = self.engine.lock();
        let waiting = engine.gang_stages().filter(|(_, stage)| *stage < GangStage::Planned);
        waiting.filter_map(|(key, _)| engine.gang(key)).collect()
    }

    /// The ledger beside the pods that are seen.
    pub fn audit(&self) -> Audit {
        self.engine.lock().cluster().audit()
    }

    /// How many devices are given to more claims than they are enough for.
    pub fn devices_given_twice(&self) -> usize {
        self.engine.lock().devices_given_twice()
    }

    /// An engine of the present state to try things on; nothing of it comes back here.
    pub fn branch(&self) -> Engine {
        self.engine.lock().branch()
    }

    /// How many pods wait for accelerators.
    pub fn waiting_pods(&self) -> usize {
        self.engine.lock().cluster().tally().waiting()
    }

    /// The decisions after the one of this number, oldest first.
    pub fn decisions_since(&self, number: u64) -> Vec<Arc<Decision>> {
        self.decisions.lock().since(number)
    }

    /// What could not be understood about a node.
    pub fn node_problems(&self, name: &str) -> Vec<String> {
        self.problems.lock().of(&problems::node_key(name)).to_vec()
    }

    /// Takes in what happened, in order, and publishes the state that results.
    pub fn take(&self, events: impl IntoIterator<Item = ClusterEvent>) {
        let mut listed: Vec<&AtomicBool> = vec![];
        // To the end: what is counted behind a node meanwhile would be overwritten by the node as it was read before that.
        let mut backing = self.backing.lock();
        let changes: Vec<Change> = events
            .into_iter()
            .filter_map(|event| {
                listed.extend(self.lists_in(&event));
                if let ClusterEvent::Listing(list) = event {
                    let flag = self.list_of(list);
                    listed.retain(|now| !std::ptr::eq(*now, flag));
                    // At once: what follows is a part only.
                    flag.store(false, Ordering::Release);
                }
                self.change(event, &mut backing)
            })
            .collect();
        // The promises of an earlier leader are taken up when all is known: a part of a gang is not the gang.
        let is_listed = |(_, flag): (_, &AtomicBool)| {
            listed.iter().any(|now| std::ptr::eq(*now, flag)) || flag.load(Ordering::Acquire)
        };
        let is_whole = self.lists().into_iter().all(is_listed);
        self.apply_to(changes, is_whole);
        drop(backing);
        // Only now: who finds us ready must find the lists in the snapshot.
        listed.iter().for_each(|flag| flag.store(true, Ordering::Release));
    }

    /// What has to be listed before anything is decided, and whether it has been.
    fn lists(&self) -> [(&'static str, &AtomicBool); 6] {
        [
            ("nodes", &self.nodes_listed),
            ("pods", &self.pods_listed),
            ("groups of pods", &self.groups_listed),
            ("claims", &self.claims_listed),
            ("slices of devices", &self.slices_listed),
            ("device classes", &self.classes_listed),
        ]
    }

    /// The lists that are complete with this event.
    fn lists_in(&self, event: &ClusterEvent) -> Vec<&AtomicBool> {
        match event {
            ClusterEvent::NodesSynced(_) => vec![&self.nodes_listed],
            ClusterEvent::PodsSynced(_) => vec![&self.pods_listed],
            ClusterEvent::GroupsSynced(_) => vec![&self.groups_listed],
            ClusterEvent::ClaimsSynced(_) => vec![&self.claims_listed],
            ClusterEvent::SlicesSynced(_) => vec![&self.slices_listed],
            ClusterEvent::ClassesSynced(_) => vec![&self.classes_listed],
            ClusterEvent::Unseen(list) => vec![self.list_of(*list)],
            _ => vec![],
        }
    }

    fn list_of(&self, list: DeviceList) -> &AtomicBool {
        match list {
            DeviceList::Claims => &self.claims_listed,
            DeviceList::Slices => &self.slices_listed,
            DeviceList::Classes => &self.classes_listed,
        }
    }

    /// Takes in files as the whole cluster.
    pub fn take_manifests(&self, manifests: Manifests) {
        let nodes_listed = ClusterEvent::NodesSynced(manifests.nodes.iter().map(|n| n.metadata.name.clone()).collect());
        let pods_listed = ClusterEvent::PodsSynced(manifests.pods.iter().map(|p| p.metadata.uid.clone()).collect());
        let groups_listed =
            ClusterEvent::GroupsSynced(manifests.groups.iter().map(|group| group.key.clone()).collect());
        let problems = manifests.group_problems.into_iter().map(ClusterEvent::Unreadable);
        let groups = manifests.groups.into_iter().map(|group| ClusterEvent::GroupApplied(Box::new(group)));
        let groups = groups.chain(problems).chain([groups_listed]);
        let claims_listed =
            ClusterEvent::ClaimsSynced(manifests.claims.iter().map(|seen| seen.claim.uid.to_string()).collect());
        let slices_listed = ClusterEvent::SlicesSynced(manifests.slices.iter().map(|s| s.name.to_string()).collect());
        let classes_listed =
            ClusterEvent::ClassesSynced(manifests.classes.iter().map(|c| c.name.to_string()).collect());
        let claims = manifests.claims.into_iter().map(|claim| ClusterEvent::ClaimApplied(Box::new(claim)));
        let slices = manifests.slices.into_iter().map(|slice| ClusterEvent::SliceApplied(Arc::new(slice)));
        let classes = manifests.classes.into_iter().map(|class| ClusterEvent::ClassApplied(Box::new(class)));
        let devices = classes.chain(slices).chain(claims).chain([claims_listed, slices_listed, classes_listed]);
        let nodes = manifests.nodes.into_iter().map(|node| ClusterEvent::NodeApplied(Box::new(node)));
        let pods = manifests.pods.into_iter().map(|pod| ClusterEvent::PodApplied(Box::new(pod)));
        self.take(groups.chain(nodes).chain(devices).chain(pods).chain([nodes_listed, pods_listed]));
    }

    /// Lets time pass: drops assumptions that nothing has confirmed.
    pub fn tick(&self) {
        let mut engine = self.engine.lock();
        let expired = engine.tick(self.now_ms());
        self.publish_all(&mut engine);
        if expired.is_empty() {
            return;
        }
        self.publish(&mut engine);
        for assumption in expired {
            self.metrics.assumptions_expired.inc();
            let (pod, node) = (assumption.pod, assumption.node);
            warn!(%pod, %node, "the binding was never confirmed: what it held is free again");
        }
    }

    fn change(&self, event: ClusterEvent, backing: &mut Backing) -> Option<Change> {
        Some(match event {
            ClusterEvent::NodeApplied(node) => Change::NodeApplied(Box::new(self.node(&node, backing))),
            ClusterEvent::NodeDeleted(name) => {
                backing.forget(&name);
                self.problems.lock().forget(&problems::node_key(&name));
                Change::NodeDeleted(NodeName::from(name.as_str()))
            }
            ClusterEvent::NodesSynced(names) => {
                backing.retain(&names);
                self.problems.lock().retain(&problems::node_key(""), |name| names.contains(name));
                Change::NodesListed(names.iter().map(|name| NodeName::from(name.as_str())).collect())
            }
            ClusterEvent::PodApplied(object) => {
                let (pod, problems) = pod::decode(&object);
                let problems = problems.iter().map(ToString::to_string).collect();
                self.report(problems::pod_key(&object.metadata.uid), problems);
                Change::PodApplied(Box::new(pod))
            }
            ClusterEvent::PodDeleted(uid) => {
                self.problems.lock().forget(&problems::pod_key(&uid));
                Change::PodDeleted(PodUid::from(uid.as_str()))
            }
            ClusterEvent::PodsSynced(uids) => {
                self.problems.lock().retain(&problems::pod_key(""), |uid| uids.contains(uid));
                Change::PodsListed(uids.iter().map(|uid| PodUid::from(uid.as_str())).collect())
            }
            ClusterEvent::GroupApplied(group) => Change::GroupApplied(group),
            ClusterEvent::GroupDeleted(gang) => Change::GroupDeleted(gang),
            ClusterEvent::GroupsSynced(gangs) => Change::GroupsListed(gangs),
            ClusterEvent::ClaimApplied(claim) => Change::ClaimApplied(claim),
            ClusterEvent::ClaimDeleted(uid) => Change::ClaimDeleted(uid),
            ClusterEvent::ClaimsSynced(uids) => Change::ClaimsListed(uids),
            ClusterEvent::SliceApplied(slice) => Change::SliceApplied(slice),
            ClusterEvent::SliceDeleted(name) => Change::SliceDeleted(name),
            ClusterEvent::SlicesSynced(names) => Change::SlicesListed(names),
            ClusterEvent::ClassApplied(class) => Change::ClassApplied(class),
            ClusterEvent::ClassDeleted(name) => Change::ClassDeleted(name),
            ClusterEvent::ClassesSynced(names) => Change::ClassesListed(names),
            ClusterEvent::Unseen(_) | ClusterEvent::Listing(_) => return None,
            ClusterEvent::GroupProblems { object, problems } => {
                self.report(object, problems.iter().map(ToString::to_string).collect());
                return None;
            }
            ClusterEvent::Unreadable(problem) => {
                self.report(problem.object.clone(), vec![problem.to_string()]);
                return None;
            }
        })
    }

    /// Reads a node, and reports what cannot be understood about it.
    fn node(&self, object: &object::Node, backing: &Backing) -> Node {
        let (mut parts, decoding) = node::decode(object);
        backing.complete(&mut parts);
        let (mut node, inventory) = Node::new(parts, &self.catalogue);
        node.is_protected = object.metadata.annotations.contains_key(PROTECTED_ANNOTATION);
        let decoding = decoding.iter().map(ToString::to_string);
        let inventory = inventory.iter().map(|problem| format!("Node {}: {problem}", object.metadata.name));
        self.report(problems::node_key(&object.metadata.name), decoding.chain(inventory).collect());
        node
    }

    /// Logs and counts what is wrong with an object, once until it changes.
    fn report(&self, object: String, problems: Vec<String>) {
        for problem in self.problems.lock().news(object, problems) {
            self.metrics.object_problems.inc();
            warn!("{problem}");
        }
    }

    fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        self.apply_to(changes, self.is_synced().is_ok());
    }

    /// Takes in changes of a state that is whole, or that is still being listed.
    fn apply_to(&self, changes: impl IntoIterator<Item = Change>, is_whole: bool) {
        let now_ms = self.now_ms();
        let mut engine = self.engine.lock();
        for change in changes {
            engine.apply(change, now_ms);
        }
        if is_whole {
            engine.keep_gangs(now_ms);
            self.gang_work.notify_one();
        }
        self.publish(&mut engine);
    }

    /// Under the engine's lock, so that an older state never replaces a newer one. A state in which no decision would
    /// come out differently is not published: a snapshot has a pointer for every node.
    fn publish(&self, engine: &mut Engine) {
        if engine.has_moved_on(&self.snapshot.load()) {
            self.snapshot.store(Arc::new(engine.snapshot()));
        }
        let version = engine.gang_version();
        if self.barrier_version.swap(version, Ordering::AcqRel) != version {
            self.barrier_news.notify_waiters();
        }
    }

    /// The engine's time, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }
}

#[cfg(test)]
mod tests;
