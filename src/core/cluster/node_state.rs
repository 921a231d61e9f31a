//! A node with what is held on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ledger::Holding;
use super::room::Room;
use super::shared_gpus::SharedGpus;
use crate::model::fabric::DeviceSet;
use crate::model::gpu_share::{self, ShareRequest};
use crate::model::inventory::Pool;
use crate::model::node::{Node, NodeName};
use crate::model::pod::{Demand, PodUid};
use crate::model::resources::{ResourceName, Resources};

/// A node with what is held on it. Pods can be seen on a node before the node itself is seen.
#[derive(Debug, Clone)]
pub struct NodeState {
    name: NodeName,
    node: Option<Arc<Node>>,
    holders: BTreeMap<PodUid, Arc<Holding>>,
    used: Resources,
    room: Room,
    shared: SharedGpus,
    grants: BTreeMap<PodUid, (ShareRequest, DeviceSet)>,
    stamp: Option<u64>,
}

impl NodeState {
    pub(super) fn new(name: NodeName) -> Self {
        Self {
            name,
            node: None,
            holders: BTreeMap::new(),
            used: Resources::default(),
            room: Room::default(),
            shared: SharedGpus::default(),
            grants: BTreeMap::new(),
            stamp: None,
        }
    }

    /// A node that nobody uses.
    pub fn idle(node: Node) -> Self {
        let mut state = Self::new(node.name().clone());
        state.set_node(Some(Arc::new(node)));
        state
    }

    /// The node's name.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// The node, once it has been seen.
    pub fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref()
    }

    /// The generation of the cluster in which it became what it is; none for a state that only could be. Equal stamps of
    /// one node mean equal states.
    pub fn stamp(&self) -> Option<u64> {
        self.stamp
    }

    pub(super) fn set_stamp(&mut self, generation: u64) {
        self.stamp = Some(generation);
    }

    /// Who holds what here.
    pub fn holders(&self) -> &BTreeMap<PodUid, Arc<Holding>> {
        &self.holders
    }

    /// What is held in all.
    pub fn used(&self) -> &Resources {
        &self.used
    }

    /// What is free.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// How many units of a pool can still be given to pods.
    pub fn free_units(&self, pool: &Pool) -> i64 {
        self.free(&pool.resource)
    }

    /// How much of any resource can still be given to pods.
    pub fn free(&self, resource: &ResourceName) -> i64 {
        let Some(node) = &self.node else { return 0 };
        match resource.as_str() {
            ResourceName::CPU => self.room.cpu_milli,
            ResourceName::MEMORY => self.room.memory,
            ResourceName::PODS => self.room.pods,
            name => match node.inventory.pools.iter().position(|pool| pool.resource.as_str() == name) {
                Some(at) => self.room.units[at],
                None => node.parts.allocatable.get(name).saturating_sub(self.used.get(name)),
            },
        }
    }

    /// The shareable GPUs that a pod with this demand would be given.
    pub fn choose_gpus(&self, demand: &Demand) -> Option<DeviceSet> {
        self.shared.choose(demand.gpu_share()?, self.node.as_ref()?.inventory.fabric.as_deref())
    }

    /// What would be free of each shareable GPU of this node if `gpus` were free now and one more pod got what it asks
    /// for; none where that does not fit.
    pub fn shared_gpus_without(&self, gpus: &SharedGpus, request: ShareRequest) -> Option<SharedGpus> {
        let chosen = gpus.choose(request, self.node.as_ref()?.inventory.fabric.as_deref())?;
        let mut rest = gpus.clone();
        rest.take(request, chosen);
        Some(rest)
    }

    /// What is free of each shareable GPU; empty where there are none.
    pub fn shared_gpus(&self) -> &SharedGpus {
        &self.shared
    }

    /// The same node as if these pods were gone.
    pub fn without<'a>(&self, pods: impl IntoIterator<Item = &'a PodUid>) -> Self {
        let mut rest = Self { stamp: None, ..self.clone() };
        for uid in pods {
            rest.remove(uid);
        }
        rest
    }

    pub(super) fn set_node(&mut self, node: Option<Arc<Node>>) {
        let gpus = |node: &Node| node.parts.allocatable.get(gpu_share::RESOURCE) / i64::from(gpu_share::WHOLE);
        self.shared = SharedGpus::idle(node.as_deref().map_or(0, |node| usize::try_from(gpus(node)).unwrap_or(0)));
        self.node = node;
        self.grants.clear();
        // Those that say which GPUs are theirs come first: the others are given what is left.
        let (told, untold): (Vec<_>, Vec<_>) =
            self.holders.clone().into_iter().partition(|(_, holding)| holding.gpus.is_some());
        for (uid, holding) in told.iter().chain(&untold) {
            self.grant(uid, holding);
        }
        self.measure();
    }

    fn measure(&mut self) {
        self.room = self.node.as_ref().map_or_else(Room::default, |node| Room::of(node, &self.used));
    }

    /// Takes the shareable GPUs of a holding. One that does not say which, and for which no GPU has room, is taken to be
    /// on the emptiest: the kubelet has let it in, wherever it is.
    fn grant(&mut self, uid: &PodUid, holding: &Holding) {
        let Some(request) = holding.demand.gpu_share() else { return };
        let fabric = self.node.as_ref().and_then(|node| node.inventory.fabric.as_deref());
        let free = || self.shared.choose(request, fabric).unwrap_or_else(|| self.shared.emptiest(request));
        let gpus = holding.gpus.unwrap_or_else(free);
        self.shared.take(request, gpus);
        self.grants.insert(uid.clone(), (request, gpus));
    }

    pub(super) fn add(&mut self, uid: PodUid, holding: Arc<Holding>) {
        self.used.add(&holding.demand.requests);
        self.grant(&uid, &holding);
        self.measure();
        let replaced = self.holders.insert(uid, holding);
        debug_assert!(replaced.is_none(), "the cluster releases a holding before it replaces it");
    }

    pub(super) fn remove(&mut self, uid: &PodUid) {
        if let Some(holding) = self.holders.remove(uid) {
            self.used.subtract(&holding.demand.requests);
            if let Some((request, gpus)) = self.grants.remove(uid) {
                self.shared.give_back(request, gpus);
            }
            self.measure();
        }
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.node.is_none() && self.holders.is_empty()
    }
}
