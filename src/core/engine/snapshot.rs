//! An immutable view of the state, to decide on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::policy::{Policy, Stance};
use super::scoring::Scoring;
use super::verdicts::{Verdict, VerdictCache, VerdictTable};
use crate::cluster::{Cluster, NameIndex, NodeState, Slot};
use crate::model::node::{Node, NodeName};
use crate::model::pod::{Demand, Pod, PodUid};
use crate::placement::fragmentation::{Mix, Scorer};
use crate::placement::{self, Rank, Reason};

/// An immutable view of the state.
#[derive(Debug)]
pub struct Snapshot {
    names: Arc<NameIndex>,
    slots: Vec<Option<Arc<NodeState>>>,
    stamps: Vec<u64>,
    generation: u64,
    unconfirmed: Arc<BTreeMap<PodUid, NodeName>>,
    scoring: Arc<Scoring>,
    policy: Arc<Policy>,
    verdicts: Arc<VerdictCache>,
}

/// A node of an offer.
#[derive(Debug, Clone, Copy)]
pub enum Offered<'a> {
    /// One that the state is expected to know.
    Named(&'a str),
    /// One described in the request, for when the state does not know it (an autoscaler's template).
    Described(&'a Node),
}

impl Snapshot {
    pub(super) fn new(
        cluster: &Cluster,
        scoring: Arc<Scoring>,
        policy: Arc<Policy>,
        verdicts: Arc<VerdictCache>,
    ) -> Self {
        Self {
            names: Arc::clone(cluster.names()),
            slots: cluster.slots().to_vec(),
            stamps: cluster.stamps().to_vec(),
            generation: cluster.generation(),
            unconfirmed: Arc::clone(cluster.unconfirmed()),
            scoring,
            policy,
            verdicts,
        }
    }

    /// The generation of the state that this is a view of.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What is typical of the pods in the state.
    pub fn mix(&self) -> &Mix {
        &self.scoring.mix
    }

    /// Grows with every change of the mix, and of what the nodes are.
    pub(super) fn mix_version(&self) -> u64 {
        self.scoring.version
    }

    /// Says what places cost the pods to come.
    pub(super) fn scorer(&self) -> &Scorer {
        self.scoring.scorer()
    }

    /// How good a place is for a pod that fits there; `state` is the node as it is, or as it would be.
    pub fn rank(&self, demand: &Demand, state: &NodeState) -> Rank {
        let slot = self.names.get(state.name().as_str());
        let cost = slot.map_or(0, |slot| self.scorer().costs().of(demand, *slot, state));
        placement::rank(demand, state, cost)
    }

    /// Does a pod fit on a node, and how well?
    fn verdict(&self, demand: &Demand, state: &NodeState) -> Verdict {
        match placement::check(demand, state) {
            Ok(()) => Verdict::Fits(self.rank(demand, state).packed()),
            Err(reason) => Verdict::no(reason),
        }
    }

    /// The nodes, by slot; a slot can be free.
    pub fn slots(&self) -> &[Option<Arc<NodeState>>] {
        &self.slots
    }

    /// The generation in which each slot last changed.
    pub(super) fn stamps(&self) -> &[u64] {
        &self.stamps
    }

    /// All nodes, in the order of their names.
    pub fn nodes(&self) -> Vec<&Arc<NodeState>> {
        let mut nodes: Vec<_> = self.slots.iter().flatten().filter(|state| state.node().is_some()).collect();
        nodes.sort_by(|a, b| a.name().cmp(b.name()));
        nodes
    }

    /// The state of a node.
    pub fn node(&self, name: &str) -> Option<&Arc<NodeState>> {
        self.slots[self.names.get(name)?.index()].as_ref()
    }

    /// Is there a node of this name that has accelerators?
    pub fn has_accelerators(&self, name: &str) -> bool {
        self.node(name).and_then(|state| state.node()).is_some_and(|node| node.inventory.has_accelerators())
    }

    /// How a pod is treated.
    pub fn stance(&self, pod: &Pod) -> Stance {
        self.policy.stance(pod)
    }

    /// Does the pod fit, and how well? Ask per node with [`Judgement::of`].
    ///
    /// A pod whose binding is under way, or was left in doubt, does not stand in its own way.
    pub fn judge(&self, pod: &Pod) -> Judgement<'_> {
        let own = self.unconfirmed.get(&pod.uid).and_then(|node| {
            let state = self.node(node.as_str())?.without([&pod.uid]);
            Some((node.clone(), self.verdict(&pod.demand, &state)))
        });
        Judgement {
            snapshot: self,
            demand: Arc::clone(&pod.demand),
            table: self.verdicts.table(self, &pod.demand),
            own,
        }
    }

    /// Would the pod fit on a node if these pods went, and does it need that they go? What only kube-scheduler can see
    /// (ports, volumes, pods that must not meet) is left to it: where the pod fits as it is, victims are taken to be
    /// needed for that.
    pub fn victims_help<'v>(&self, demand: &Demand, node: &str, victims: impl IntoIterator<Item = &'v PodUid>) -> bool {
        let Some(state) = self.node(node) else { return true };
        match placement::check(demand, state) {
            Ok(()) => true,
            Err(reason) if !reason.preemption_can_help() => false,
            Err(_) => placement::check(demand, &state.without(victims)).is_ok(),
        }
    }
}

/// What a snapshot says of one pod.
#[derive(Debug)]
pub struct Judgement<'a> {
    snapshot: &'a Snapshot,
    demand: Arc<Demand>,
    table: Arc<VerdictTable>,
    /// The node on which the pod itself is assumed to be, and the verdict on it but for that.
    own: Option<(NodeName, Verdict)>,
}

impl Judgement<'_> {
    /// The best of all nodes that the pod fits on, if there is one; of equals the first by name.
    pub fn best(&self) -> Option<&NodeName> {
        let own = self.own.as_ref();
        let rank = |state: &'_ Arc<NodeState>, slot: usize| match own {
            Some((node, verdict)) if node == state.name() => verdict.rank(),
            _ => self.table.rank(Slot::at(slot)),
        };
        let nodes = self.snapshot.slots.iter().enumerate();
        let known =
            nodes.filter_map(|(slot, state)| Some((slot, state.as_ref().filter(|state| state.node().is_some())?)));
        known.filter_map(|(slot, state)| Some((rank(state, slot)?, state.name()))).min().map(|(_, name)| name)
    }

    /// The verdict on a node. A node that the state does not know is judged by its description, as idle, if it has one.
    pub fn of(&self, node: Offered<'_>) -> Verdict {
        let name = match node {
            Offered::Named(name) => name,
            Offered::Described(node) => node.name().as_str(),
        };
        if let Some((own, verdict)) = &self.own
            && own.as_str() == name
        {
            return verdict.clone();
        }
        let known = self
            .snapshot
            .names
            .get(name)
            .filter(|slot| self.snapshot.slots[slot.index()].as_ref().is_some_and(|state| state.node().is_some()));
        match (known, node) {
            (Some(slot), _) => self.table.verdict(*slot),
            (None, Offered::Described(node)) => self.snapshot.verdict(&self.demand, &NodeState::idle(node.clone())),
            (None, Offered::Named(_)) => Verdict::no(Reason::UnknownNode),
        }
    }
}
