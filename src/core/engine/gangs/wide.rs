//! Claims that members on several nodes share, such as those of a PodGroup for devices of a network: what they are given can
//! be used on more than one node. They get their devices first, and their users go where these can be used.

use std::sync::Arc;

use super::formation;
use super::planning::fabric_of;
use super::roster::Roster;
use super::task::PlanTask;
use crate::claims::{ClaimKey, Fit, Holding, NodeSelector, NodeTerm};
use crate::engine::claims::{Desk, Grant, OpenClaim};
use crate::model::node::NodeName;

/// What shared claims were given, and what is left to plan.
pub(super) struct Wide {
    /// By the seat (in the roster) of the first who uses the claim.
    pub grants: Vec<(usize, Grant)>,
    /// The members without these claims.
    pub roster: Roster,
}

/// Gives devices to claims that several use, where these can be used on several nodes. The task then asks for what is left.
/// What is taken is to be given back.
pub(super) fn give(task: &mut PlanTask, desk: &mut Desk, taken: &mut Vec<Holding>) -> Wide {
    let mut wide = Wide { grants: vec![], roster: task.roster.clone() };
    for (seat, open) in shared(&task.roster) {
        let Some(fit) = best(task, desk, seat, &open) else { continue };
        let Fit { node, allocations, .. } = &fit;
        let Some(allocation) = allocations.first().filter(|given| given.nodes != Some(NodeTerm::of_node(node))) else {
            continue;
        };
        taken.extend(desk.take(&fit));
        wide.settle(&open.claim.key, allocation.nodes.clone());
        let (key, uid) = (open.claim.key.clone(), open.claim.uid.clone());
        let grant = Grant { key, uid, allocation: Arc::new(allocation.clone()), expected: None };
        wide.grants.push((seat, grant));
    }
    let domains = task.snapshot.domains();
    let question = formation::question(&wide.roster, &task.refusals, |node: &NodeName| fabric_of(domains, node));
    if let (false, Ok(question)) = (wide.grants.is_empty(), question) {
        task.question = question;
    }
    wide
}

/// Claims of ours without devices that several members use, with the seat that has each among its open ones.
fn shared(roster: &Roster) -> Vec<(usize, OpenClaim)> {
    let waiting = roster.seats.iter().enumerate().filter(|(_, seat)| seat.node.is_none());
    let of_seat = waiting.flat_map(|(at, seat)| {
        let is_shared = |open: &&OpenClaim| open.is_ours && seat.needs.shared.contains(&open.claim.key);
        seat.needs.open.iter().filter(is_shared).map(move |open| (at, open.clone()))
    });
    of_seat.collect()
}

/// The best devices for a claim by itself, on the nodes where the one on this seat may go.
fn best(task: &PlanTask, desk: &mut Desk, seat: usize, open: &OpenClaim) -> Option<Fit> {
    let block = task.question.seats.iter().zip(task.blocks_of_seats()).find(|(at, _)| **at == seat)?.1;
    let ranks = task.ranks();
    let slots = task.snapshot.slots().iter().zip(&ranks[block]);
    let nodes: Vec<&str> =
        slots.filter_map(|(state, rank)| rank.and(state.as_ref()).map(|s| s.name().as_str())).collect();
    let claim = [(*open.claim).clone()];
    let rooms = desk.rooms(nodes.iter().copied(), &claim, 1);
    let fitting = nodes.iter().zip(&rooms).filter_map(|(node, room)| Some((room.as_ref().ok()?.rank(), *node)));
    let (_, node) = fitting.min()?;
    desk.look(node, &claim).ok()
}

impl Wide {
    /// A claim has its devices: its users need no more than to be where these can be used.
    fn settle(&mut self, key: &ClaimKey, nodes: Option<NodeTerm>) {
        let within = nodes.map(|term| NodeSelector::new(vec![term]));
        let users = self.roster.seats.iter_mut().chain(&mut self.roster.extras);
        for seat in users.filter(|seat| seat.needs.shared.contains(key)) {
            let needs = Arc::make_mut(&mut seat.needs);
            needs.shared.retain(|shared| shared != key);
            needs.open.retain(|open| open.claim.key != *key);
            needs.within.extend(within.clone());
        }
    }
}
