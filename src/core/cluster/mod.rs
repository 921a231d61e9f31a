//! The state: nodes, pods, and the ledger of what is promised to whom.

mod audit;
mod demands;
mod domains;
mod gangs;
mod geography;
mod ledger;
mod names;
mod node_state;
mod room;
mod services;
mod shared_gpus;
mod slots;
mod tally;
mod usage;

pub use audit::Audit;
pub use domains::{Domain, DomainId, Domains, Level};
pub use gangs::{GangState, Gangs};
pub use geography::{Geography, Paths};
pub use ledger::{Entry, Holding, Standing};
pub use names::NameIndex;
pub use node_state::NodeState;
pub use room::Room;
pub use services::{ByDomain, Services, Sites};
pub use shared_gpus::SharedGpus;
pub use slots::{Slot, Slots};
pub use tally::{ShapeCounts, Tally};
pub use usage::Usage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::demands::Demands;
use crate::model::gang::{GangKey, Group};
use crate::model::node::{Node, NodeName};
use crate::model::pod::{Pod, PodUid, Stage};
use crate::model::quota::Amounts;

/// Nodes, pods, and who holds what. Every change stamps the nodes it touches with a new generation.
#[derive(Debug, Default, Clone)]
pub struct Cluster {
    names: Arc<NameIndex>,
    slots: Slots,
    free_slots: BTreeSet<Slot>,
    pods: BTreeMap<PodUid, Arc<Pod>>,
    demands: Demands,
    ledger: BTreeMap<PodUid, Entry>,
    unconfirmed: Arc<BTreeMap<PodUid, NodeName>>,
    tally: Tally,
    node_generation: u64,
    geography: Arc<Geography>,
    domains: Arc<Domains>,
    services: Arc<Services>,
    usage: Arc<Usage>,
    gangs: Gangs,
    generation: u64,
    freed: u64,
    opened: u64,
}

impl Cluster {
    /// Grows with every change of what any node has or holds, and with every pod that is only assumed to be on its node.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Grows with every change of what nodes are, apart from what is held on them.
    pub fn node_generation(&self) -> u64 {
        self.node_generation
    }

    /// Slots by name.
    pub fn names(&self) -> &Arc<NameIndex> {
        &self.names
    }

    /// The nodes, by slot; a slot can be free.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The state of a node.
    pub fn node(&self, name: &str) -> Option<&Arc<NodeState>> {
        self.slots[self.names.get(name)?].as_ref()
    }

    /// A pod.
    pub fn pod(&self, uid: &PodUid) -> Option<&Arc<Pod>> {
        self.pods.get(uid)
    }

    /// All pods, by unique id.
    pub fn pods(&self) -> impl ExactSizeIterator<Item = &Arc<Pod>> {
        self.pods.values()
    }

    /// What a pod holds.
    pub fn holding(&self, uid: &PodUid) -> Option<&Entry> {
        self.ledger.get(uid)
    }

    /// Pods that are only planned for or assumed to be on their node, with the node: few, and not for long.
    pub fn unconfirmed(&self) -> &Arc<BTreeMap<PodUid, NodeName>> {
        &self.unconfirmed
    }

    /// How many pods there are of each shape.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What follows from which nodes there are and what they are.
    pub fn geography(&self) -> &Arc<Geography> {
        &self.geography
    }

    /// Where the nodes stand.
    pub fn domains(&self) -> &Arc<Domains> {
        &self.domains
    }

    /// Where the replicas of each service are.
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// What the pods of each namespace hold of devices.
    pub fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    /// Which pods are members of which gang.
    pub fn gangs(&self) -> &Gangs {
        &self.gangs
    }

    /// The gangs that have changed since this was last asked.
    pub fn take_changed_gangs(&mut self) -> BTreeSet<GangKey> {
        self.gangs.take_changed()
    }

    /// Takes all gangs for changed.
    pub fn change_all_gangs(&mut self) {
        self.gangs.change_all();
    }

    /// The generation in which something last became free, or a node changed: what found no place before that may find one
    /// now.
    pub fn freed(&self) -> u64 {
        self.freed
    }

    /// The generation in which somebody last left who may keep others out of a domain, or a node was given other labels: what
    /// found no place since domains were left out may find one now, on whatever node.
    pub fn domains_opened(&self) -> u64 {
        self.opened
    }

    /// Takes in a group object, new or changed.
    pub fn set_group(&mut self, group: Group) {
        self.gangs.set_group(group);
    }

    /// Forgets a group object.
    pub fn remove_group(&mut self, key: &GangKey) {
        self.gangs.remove_group(key);
    }

    /// Forgets all group objects but these: a new list has arrived.
    pub fn retain_groups(&mut self, listed: &BTreeSet<GangKey>) {
        self.gangs.retain_groups(listed);
    }

    /// Takes in a node, new or changed.
    pub fn set_node(&mut self, node: Node) {
        let before = self.node(node.name().as_str()).and_then(|s| s.node());
        let unchanged = before.is_some_and(|n| n.parts == node.parts);
        let counts_elsewhere =
            before.is_none_or(|n| n.parts.labels != node.parts.labels || n.parts.taints != node.parts.taints);
        if !unchanged {
            let name = node.name().clone();
            self.nodes_have_changed();
            if !self.domains.stands_at(&name, &node.place) {
                self.relocate(&name, |domains| domains.insert(&name, &node.place));
            }
            self.touch(&name, |state| state.set_node(Some(Arc::new(node))));
            self.freed = self.generation;
            if counts_elsewhere {
                self.opened = self.generation;
            }
        }
    }

    /// Forgets a node. What pods hold there stays held until they go, too: the node may come back.
    pub fn remove_node(&mut self, name: &NodeName) {
        if self.names.get(name.as_str()).is_some() {
            self.nodes_have_changed();
            if self.domains.path(name).next().is_some() {
                self.relocate(name, |domains| domains.remove(name));
            }
            self.touch(name, |state| state.set_node(None));
            self.opened = self.generation;
        }
    }

    /// Changes where a node stands, and with it where the pods on it are counted.
    fn relocate(&mut self, name: &NodeName, change: impl FnOnce(&mut Domains) -> bool) {
        let before: Vec<DomainId> = self.domains.path(name).collect();
        change(Arc::make_mut(&mut self.domains));
        let after: Vec<DomainId> = self.domains.path(name).collect();
        let holders = self.node(name.as_str()).into_iter().flat_map(|state| state.holders().values());
        let replicas: Vec<Arc<Holding>> = holders.filter(|holding| holding.replica.is_some()).cloned().collect();
        for replica in replicas.iter().filter_map(|holding| holding.replica.as_ref()) {
            Arc::make_mut(&mut self.services).relocate(&replica.service, &before, &after);
        }
    }

    fn nodes_have_changed(&mut self) {
        self.node_generation += 1;
        self.geography = Arc::default();
    }

    /// Forgets all nodes but these: a new list has arrived.
    pub fn retain_nodes(&mut self, listed: &BTreeSet<NodeName>) {
        let known = self.slots.iter().flatten().filter(|state| state.node().is_some());
        let gone: Vec<NodeName> = known.map(|state| state.name().clone()).filter(|n| !listed.contains(n)).collect();
        for name in gone {
            self.remove_node(&name);
        }
    }

    /// Takes in a pod, new or changed. What it is seen to hold replaces what was assumed for it; an assumption outlives
    /// the sight of a pod that is still pending, since that may be an old sight.
    pub fn set_pod(&mut self, pod: Pod) {
        let pod = Pod { demand: self.demands.shared(&pod.demand), ..pod };
        let uid = pod.uid.clone();
        match &pod.stage {
            Stage::Bound(node) => self.hold(&uid, self.seen(&pod, node), Standing::Observed),
            Stage::Finished(_) => self.release(&uid),
            Stage::Pending => {
                if self.ledger.get(&uid).is_some_and(|entry| entry.standing == Standing::Observed) {
                    self.release(&uid);
                }
            }
        }
        self.tally.add(&pod);
        let pod = Arc::new(pod);
        let former = self.pods.insert(uid, Arc::clone(&pod));
        self.gangs.replace(former.as_deref(), Some(&pod));
        if let Some(former) = former {
            self.tally.remove(&former);
        }
    }

    /// What a pod is seen to hold. The GPUs that it was given stay what they were, whatever its owner writes on it later.
    fn seen(&self, pod: &Pod, node: &NodeName) -> Holding {
        let seen = Holding::of(pod, node);
        let known = self.ledger.get(&pod.uid).filter(|entry| entry.holding.node == *node);
        Holding { gpus: known.and_then(|entry| entry.holding.gpus).or(seen.gpus), ..seen }
    }

    /// Forgets a pod that was deleted, and what it held.
    pub fn remove_pod(&mut self, uid: &PodUid) {
        self.release(uid);
        self.forget(uid);
    }

    fn forget(&mut self, uid: &PodUid) {
        if let Some(pod) = self.pods.remove(uid) {
            self.tally.remove(&pod);
            self.gangs.replace(Some(&pod), None);
        }
    }

    /// Forgets all pods but these: a new list has arrived. A binding of our own that the list does not show is kept
    /// until `doubt_until_ms`: the list may have been taken before the pod was made.
    pub fn retain_pods(&mut self, listed: &BTreeSet<PodUid>, doubt_until_ms: u64) {
        let known: BTreeSet<PodUid> = self.pods.keys().chain(self.ledger.keys()).cloned().collect();
        for uid in known.difference(listed) {
            self.forget(uid);
            match self.ledger.get(uid).map(|entry| entry.standing) {
                Some(Standing::Committed) => self.set_standing(uid, Standing::Assumed { until_ms: doubt_until_ms }),
                Some(Standing::Observed) => self.release(uid),
                // Who plans sees that the pod is gone; members that do not exist yet are in no list.
                Some(Standing::Planned | Standing::Assumed { .. }) | None => {}
            }
        }
    }

    /// Records that a pod holds something on a node, replacing what it held before. A node that is not known yet gets
    /// its place now, so that nothing is lost when it appears.
    pub fn hold(&mut self, uid: &PodUid, holding: Holding, standing: Standing) {
        if self.ledger.get(uid).is_none_or(|entry| *entry.holding != holding) {
            self.release(uid);
            let holding = Arc::new(Holding { demand: self.demands.shared(&holding.demand), ..holding });
            self.ledger.insert(uid.clone(), Entry { holding: Arc::clone(&holding), standing });
            let slot = self.slot_for(&holding.node);
            if let Some(replica) = &holding.replica {
                Arc::make_mut(&mut self.services).add(replica, slot, self.domains.path(&holding.node));
            }
            let amounts = Amounts::of(&holding.demand);
            if !amounts.is_zero() {
                Arc::make_mut(&mut self.usage).add(&holding.pod.namespace, &amounts);
            }
            self.touch(&holding.node.clone(), |state| state.add(uid.clone(), holding));
        }
        self.set_standing(uid, standing);
    }

    /// Records how sure it is that a pod holds what it holds, if it holds anything.
    pub fn set_standing(&mut self, uid: &PodUid, standing: Standing) {
        let Some(entry) = self.ledger.get_mut(uid) else { return };
        entry.standing = standing;
        let unconfirmed = matches!(standing, Standing::Planned | Standing::Assumed { .. });
        match (unconfirmed, self.unconfirmed.contains_key(uid)) {
            (true, false) => {
                Arc::make_mut(&mut self.unconfirmed).insert(uid.clone(), entry.holding.node.clone());
                self.generation += 1;
            }
            // No new generation: whoever still takes the pod for unconfirmed only keeps it from standing in its own way.
            (false, true) => drop(Arc::make_mut(&mut self.unconfirmed).remove(uid)),
            _ => {}
        }
    }

    /// Frees what is kept for a pod by a plan; what it holds by being bound, or being about to be, stays.
    pub fn release_if_planned(&mut self, uid: &PodUid) {
        if self.holding(uid).is_some_and(|entry| entry.standing == Standing::Planned) {
            self.release(uid);
        }
    }

    /// Gives back what a pod holds, if it holds anything.
    pub fn release(&mut self, uid: &PodUid) {
        if let Some(Entry { holding, .. }) = self.ledger.remove(uid) {
            if self.unconfirmed.contains_key(uid) {
                Arc::make_mut(&mut self.unconfirmed).remove(uid);
            }
            if let Some(replica) = &holding.replica {
                let slot = self.slot_for(&holding.node);
                Arc::make_mut(&mut self.services).remove(replica, slot, self.domains.path(&holding.node));
            }
            let amounts = Amounts::of(&holding.demand);
            if !amounts.is_zero() {
                Arc::make_mut(&mut self.usage).remove(&holding.pod.namespace, &amounts);
            }
            self.touch(&holding.node, |state| state.remove(uid));
            self.freed = self.generation;
            if holding.exclusivity.is_some() {
                self.opened = self.generation;
            }
        }
    }

    /// A node is no longer kept from others, though nothing of it has changed: what found no place may find one there.
    pub fn reopen(&mut self, name: &NodeName) {
        if self.node(name.as_str()).is_some() {
            self.touch(name, |_| ());
            self.freed = self.generation;
        }
    }

    /// Changes the state of a node, makes its slot when there is none and frees it when nothing is left to remember.
    fn touch(&mut self, name: &NodeName, change: impl FnOnce(&mut NodeState)) {
        let slot = self.slot_for(name);
        self.generation += 1;
        let in_slot = self.slots.change(slot, self.generation);
        let state = in_slot.get_or_insert_with(|| Arc::new(NodeState::new(name.clone())));
        let changed = Arc::make_mut(state);
        change(changed);
        changed.set_stamp(self.generation);
        if state.is_forgotten() {
            *in_slot = None;
            Arc::make_mut(&mut self.names).remove(name.as_str());
            self.free_slots.insert(slot);
        }
    }

    /// The slot of a node, which is taken now if it has none.
    fn slot_for(&mut self, name: &NodeName) -> Slot {
        self.names.get(name.as_str()).unwrap_or_else(|| {
            let slot = self.free_slots.pop_first().unwrap_or_else(|| self.slots.push());
            Arc::make_mut(&mut self.names).insert(name.as_str(), slot);
            slot
        })
    }
}

#[cfg(test)]
mod tests;
