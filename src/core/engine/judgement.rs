//! What a snapshot says of one pod.

use std::sync::Arc;

use super::snapshot::Snapshot;
use super::verdicts::{Verdict, VerdictTable};
use crate::cluster::{NodeState, Slot};
use crate::model::node::{Node, NodeName};
use crate::model::pod::Pod;
use crate::placement::{Peers, Rank, Reason, Standing};

/// A node of an offer.
#[derive(Debug, Clone, Copy)]
pub enum Offered<'a> {
    /// One that the state is expected to know.
    Named(&'a str),
    /// One described in the request, for when the state does not know it (an autoscaler's template).
    Described(&'a Node),
}

/// What a snapshot says of one pod.
#[derive(Debug)]
pub struct Judgement<'a> {
    snapshot: &'a Snapshot,
    pod: Pod,
    /// What every pod with this demand is told.
    table: Arc<VerdictTable>,
    /// The node on which the pod itself is assumed to be, and the verdict on it but for that.
    own: Option<(NodeName, Verdict)>,
    /// Where the pod's service is, if it belongs to one.
    peers: Option<Peers>,
}

impl<'a> Judgement<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        pod: &Pod,
        table: Arc<VerdictTable>,
        own: Option<(NodeName, Verdict)>,
        peers: Option<Peers>,
    ) -> Self {
        Self { snapshot, pod: pod.clone(), table, own, peers }
    }

    /// The verdict on a node. A node that the state does not know is judged by its description, as idle, if it has one.
    pub fn of(&self, node: Offered<'_>) -> Verdict {
        let name = match node {
            Offered::Named(name) => name,
            Offered::Described(node) => node.name().as_str(),
        };
        match (self.snapshot.slot(name), node) {
            (Some(slot), _) => self.in_slot(slot),
            (None, Offered::Described(node)) => self.snapshot.verdict(&self.pod.demand, &NodeState::idle(node.clone())),
            (None, Offered::Named(_)) => Verdict::no(Reason::UnknownNode),
        }
    }

    /// The best of all nodes that the pod fits on, if there is one; of equals the first by name.
    pub fn best(&self) -> Option<&'a NodeName> {
        let nodes = self.snapshot.slots().iter().enumerate();
        let known = nodes.filter_map(|(slot, state)| Some((Slot::at(slot), state.as_ref()?.node()?)));
        let ranked = known.filter_map(|(slot, node)| Some((self.rank_in_slot(slot, node)?.packed(), node.name())));
        ranked.min().map(|(_, name)| name)
    }

    fn rank_in_slot(&self, slot: Slot, node: &Node) -> Option<Rank> {
        let rank = match &self.own {
            Some((own, verdict)) if own == node.name() => verdict.rank(),
            _ => self.table.rank(slot),
        };
        rank.map(|rank| self.standing(rank, node))
    }

    fn in_slot(&self, slot: Slot) -> Verdict {
        let state = self.snapshot.slots()[slot.index()].as_ref();
        let Some(node) = state.and_then(|state| state.node()) else { return Verdict::no(Reason::UnknownNode) };
        let verdict = match &self.own {
            Some((own, verdict)) if own == node.name() => verdict.clone(),
            _ => self.table.verdict(slot),
        };
        match verdict {
            Verdict::Fits(rank) => Verdict::Fits(self.standing(rank, node)),
            no => no,
        }
    }

    /// The rank with what depends on more than the demand.
    fn standing(&self, rank: Rank, node: &Node) -> Rank {
        let domains = self.snapshot.domains();
        let around = self.peers.as_ref().map(|peers| peers.around(domains, node.name())).unwrap_or_default();
        rank.standing(Standing { misfit: self.snapshot.misfit(&self.pod, &node.place), around })
    }
}
