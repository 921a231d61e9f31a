//! Places for members whose claims are to be allocated with them.
//!
//! The planner counts: for how many members of each block a node has devices is asked beforehand. Where kinds of members share
//! devices these counts promise too much together, so the devices are chosen member by member afterwards; a node that
//! turns out to have too few counts for fewer, and all are planned anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::formation::Question;
use super::preemption::Way;
use super::roster::Roster;
use super::task::PlanTask;
use super::wide;
use crate::claims::{Holding, Room};
use crate::engine::claims::{Desk, Grant, Needs, OpenClaim, Refused};
use crate::model::node::NodeName;
use crate::model::pod::Demand;
use crate::placement::Rank;
use crate::placement::gang::{Block, No, Obstacle};

/// How often is planned anew because a node has too few devices for what was counted.
const MAX_ATTEMPTS: usize = 16;

impl Needs {
    /// What is told of a pod with these needs that gets no devices.
    pub(super) fn lacking(&self, refused: &Refused) -> No {
        let claim = refused.claim.and_then(|at| self.open.get(at)).filter(|open| !open.is_expected);
        let claim = claim.map(|open| open.claim.key.to_string());
        No::NoDevices { claim, wish: refused.wish.clone() }
    }
}

/// What is known to be lacking: a pod that asks for the same as one for which there are no devices gets none either, as
/// long as nothing has become free.
#[derive(Debug, Clone)]
pub(super) struct Dearth {
    demand: Arc<Demand>,
    needs: Arc<Needs>,
    refused: Refused,
    /// When that was found, as nodes and as claims count what becomes free.
    found: (u64, u64),
}

/// So many are remembered.
pub(super) const MAX_DEARTHS: usize = 16;

impl Dearth {
    /// What a task has found out, if it was about a single pod that nothing else keeps from any node.
    pub fn of(task: &PlanTask, no: &No, found: (u64, u64)) -> Option<Self> {
        let (No::NoDevices { claim, wish }, [block], [refused], [needs]) =
            (no, &*task.question.formation.blocks, &*task.question.refused, &*task.question.needs)
        else {
            return None;
        };
        if !is_plain(block, task.question.seats.len(), &task.avoid, refused) {
            return None;
        }
        let is_it = |open: &OpenClaim| Some(open.claim.key.to_string()) == *claim;
        let refused = Refused { claim: needs.open.iter().position(is_it), wish: wish.clone() };
        Some(Self { demand: Arc::clone(&block.demand), needs: Arc::clone(needs), refused, found })
    }

    /// Why there are no devices for what is asked here, if that is known.
    pub fn answer(&self, question: &Question, avoid: &BTreeSet<NodeName>, now: (u64, u64)) -> Option<No> {
        let ([block], [refused], [needs]) = (&*question.formation.blocks, &*question.refused, &*question.needs) else {
            return None;
        };
        let is_same = self.found == now && self.demand == block.demand && self.needs.is_like(needs);
        (is_same && is_plain(block, question.seats.len(), avoid, refused)).then(|| needs.lacking(&self.refused))
    }
}

fn is_plain(block: &Block, seats: usize, avoid: &BTreeSet<NodeName>, refused: &BTreeSet<NodeName>) -> bool {
    seats == 1 && block.relations.is_empty() && block.placed.is_empty() && avoid.is_empty() && refused.is_empty()
}

/// Whose members choose their devices first.
#[derive(Debug, Clone, Copy)]
enum Turn {
    MostFirst,
    FewestFirst,
}

/// How good each node is for members of each block, and for how many of them it has devices; by block and slot.
struct Counted {
    ranks: Vec<Vec<Option<Rank>>>,
    devices: Vec<Option<Vec<u32>>>,
}

/// Places for all members, and devices for their claims.
///
/// # Errors
/// Why there are none. Where devices are short for several kinds of members together, that is not proven.
pub(super) fn plan(task: &mut PlanTask, desk: &mut Desk) -> Result<Way, No> {
    let mut taken = vec![];
    let wide = wide::give(task, desk, &mut taken);
    let way = plan_beside(task, &wide.roster, desk);
    desk.give_back(taken);
    let mut way = way?;
    for (seat, grant) in wide.grants {
        if let Some(at) = task.question.seats.iter().position(|other| *other == seat) {
            way.grants[at].push(grant);
        }
    }
    Ok(way)
}

/// The same, where claims that can be used on several nodes have their devices. Those that ask for most choose first: who asks for
/// few finds them elsewhere rather. Where that leads to nothing it is the other way round.
fn plan_beside(task: &PlanTask, roster: &Roster, desk: &mut Desk) -> Result<Way, No> {
    match plan_in_turn(task, roster, desk, Turn::MostFirst) {
        Ok(way) => Ok(way),
        Err((no, false)) => Err(*no),
        Err((no, true)) => plan_in_turn(task, roster, desk, Turn::FewestFirst).map_err(|_| *no),
    }
}

/// Plans anew as long as a node turns out to have devices for fewer members than were counted.
///
/// # Errors
/// Why there are no places, and whether that was so at once, or follows from who has chosen first.
fn plan_in_turn(task: &PlanTask, roster: &Roster, desk: &mut Desk, turn: Turn) -> Result<Way, (Box<No>, bool)> {
    let mut counted = count(task, desk).map_err(|no| (Box::new(no), false))?;
    for attempt in 0..MAX_ATTEMPTS {
        let nodes = task.plan(&counted.ranks, &counted.devices).map_err(|no| (Box::new(no), attempt > 0))?;
        let mut taken = vec![];
        let chosen = choose(task, roster, desk, &nodes, turn, &mut taken);
        desk.give_back(taken);
        match chosen {
            Ok(grants) => return Ok(Way { nodes, yielders: vec![], grants }),
            Err(Short { block, node, members }) => counted.lower(task, block, &node, members),
        }
    }
    Err((Box::new(No::GaveUp { steps: MAX_ATTEMPTS as u64 }), true))
}

/// Counts on each node for how many members it has devices.
///
/// # Errors
/// When no node has any for the members of some block, or none where these can be.
fn count(task: &PlanTask, desk: &mut Desk) -> Result<Counted, No> {
    let mut counted = Counted { ranks: task.ranks(), devices: vec![] };
    let joining = joining(task);
    for (block, needs) in task.question.needs.iter().enumerate() {
        let ranks = &mut counted.ranks[block];
        // Whoever has its place already needs no node.
        if joining[block] > 0 && needs.restrict_nodes() {
            keep_within(task, needs, ranks).map_err(|obstacle| {
                let role = task.question.formation.blocks[block].role.clone();
                No::NoNode { role, obstacle: Some(obstacle) }
            })?;
        }
        if needs.open.is_empty() || joining[block] == 0 {
            counted.devices.push(None);
            continue;
        }
        counted.devices.push(Some(count_block(task, desk, needs, ranks, joining[block])?));
    }
    Ok(counted)
}

/// How many members of each block are to be placed.
fn joining(task: &PlanTask) -> Vec<u32> {
    let mut joining = vec![0; task.question.formation.blocks.len()];
    for block in task.blocks_of_seats() {
        joining[block] += 1;
    }
    joining
}

/// Leaves only nodes on which the claims can be.
///
/// # Errors
/// When there were some and none is left: what stands against them, and how many they were.
fn keep_within(task: &PlanTask, needs: &Needs, ranks: &mut [Option<Rank>]) -> Result<(), (Obstacle, usize)> {
    let mut left_out: BTreeMap<Obstacle, usize> = BTreeMap::new();
    let nodes = task.snapshot.slots().iter().map(|state| state.as_ref().and_then(|state| state.node()));
    for (rank, node) in ranks.iter_mut().zip(nodes) {
        let Some(obstacle) = rank.and(node).and_then(|node| needs.obstacle(node)) else { continue };
        *left_out.entry(obstacle).or_default() += 1;
        *rank = None;
    }
    if ranks.iter().any(Option::is_some) {
        return Ok(());
    }
    left_out.into_iter().max_by_key(|(_, nodes)| *nodes).map_or(Ok(()), Err)
}

fn count_block(
    task: &PlanTask,
    desk: &mut Desk,
    needs: &Needs,
    ranks: &mut [Option<Rank>],
    joining: u32,
) -> Result<Vec<u32>, No> {
    let claims = needs.claims();
    let mut counts = vec![0; ranks.len()];
    let mut rooms: Vec<(usize, Arc<Room>)> = vec![];
    let mut refusals: BTreeMap<Arc<Refused>, usize> = BTreeMap::new();
    let slots = task.snapshot.slots().iter().enumerate();
    let open = slots.filter_map(|(slot, state)| Some((slot, state.as_ref().filter(|_| ranks[slot].is_some())?)));
    let open: Vec<(usize, &str)> = open.map(|(slot, state)| (slot, state.name().as_str())).collect();
    let answers = desk.rooms(open.iter().map(|(_, node)| *node), &claims, joining);
    for ((slot, _), answer) in open.iter().zip(answers) {
        match answer {
            Ok(room) => {
                counts[*slot] = room.pods.min(joining);
                rooms.push((*slot, room));
            }
            Err(why) => {
                *refusals.entry(why).or_default() += 1;
                ranks[*slot] = None;
            }
        }
    }
    if let (true, Some((why, _))) = (rooms.is_empty(), refusals.into_iter().max_by_key(|(_, nodes)| *nodes)) {
        return Err(needs.lacking(&why));
    }
    rank_by_devices(ranks, &rooms);
    Ok(counts)
}

/// What the devices cost stands where the cost of a node stands otherwise.
fn rank_by_devices(ranks: &mut [Option<Rank>], rooms: &[(usize, Arc<Room>)]) {
    let mut order: Vec<_> = rooms.iter().map(|(_, room)| room.rank()).collect();
    order.sort_unstable();
    order.dedup();
    for (slot, room) in rooms {
        let nth = order.binary_search(&room.rank()).unwrap_or_default();
        if let Some(rank) = &mut ranks[*slot] {
            rank.cost = i32::try_from(nth).unwrap_or(i32::MAX);
        }
    }
}

/// A node has devices for fewer members of a block than were placed there.
struct Short {
    block: usize,
    node: NodeName,
    members: u32,
}

/// Devices for each member on its node, in turn. What is taken on the way is to be given back.
fn choose(
    task: &PlanTask,
    roster: &Roster,
    desk: &mut Desk,
    nodes: &[NodeName],
    turn: Turn,
    taken: &mut Vec<Holding>,
) -> Result<Vec<Vec<Grant>>, Short> {
    let mut served: BTreeMap<(usize, &NodeName), u32> = BTreeMap::new();
    let mut grants = vec![vec![]; nodes.len()];
    let needs = |seat: usize| &roster.seats[seat].needs;
    let seats = task.question.seats.iter().copied().zip(task.blocks_of_seats()).zip(nodes).enumerate();
    let mut in_turn: Vec<_> = seats.filter(|(_, ((seat, _), _))| !needs(*seat).open.is_empty()).collect();
    in_turn.sort_by_key(|(_, ((seat, _), _))| match turn {
        Turn::MostFirst => -needs(*seat).devices,
        Turn::FewestFirst => needs(*seat).devices,
    });
    for (at, ((seat, block), node)) in in_turn {
        let needs = needs(seat);
        let members = served.entry((block, node)).or_default();
        let Ok(fit) = desk.look(node.as_str(), &needs.claims()) else {
            return Err(Short { block, node: node.clone(), members: *members });
        };
        *members += 1;
        taken.extend(desk.take(&fit));
        let ours = needs.open.iter().zip(fit.allocations).filter(|(open, _)| open.is_ours);
        let grant = ours.map(|(open, allocation)| Grant {
            key: open.claim.key.clone(),
            uid: open.claim.uid.clone(),
            allocation: Arc::new(allocation),
            expected: open.is_expected.then(|| (open.alias.clone(), Arc::clone(&open.claim))),
        });
        grants[at] = grant.collect();
    }
    Ok(grants)
}

impl Counted {
    fn lower(&mut self, task: &PlanTask, block: usize, node: &NodeName, members: u32) {
        let Some(slot) = task.snapshot.slot(node.as_str()) else { return };
        if let Some(Some(counts)) = self.devices.get_mut(block) {
            counts[slot.index()] = members;
        }
        if members == 0 {
            self.ranks[block][slot.index()] = None;
        }
    }
}
