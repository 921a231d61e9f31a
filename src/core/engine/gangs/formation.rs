//! From who is to start together to what the planner is asked: blocks of equal members, sets, parts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::roster::{Roster, Seat, Shortage};
use crate::claims::ClaimKey;
use crate::engine::claims::Needs;
use crate::model::gang::{Relation, Role, Slices, TopologyLevel, TopologyRule};
use crate::model::node::NodeName;
use crate::model::pod::{Demand, PodUid};
use crate::placement::gang::{Block, Formation, Part, Set};

/// What the planner is asked, and which seats its answer is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// What is to be placed.
    pub formation: Formation,
    /// The index in the roster of each member to place, in the order of the formation's parts, sets and members.
    pub seats: Vec<usize>,
    /// The nodes that refused the members of each block.
    pub refused: Vec<BTreeSet<NodeName>>,
    /// What a member of each block needs of devices that claims give: that of the first, and the others need the like.
    pub needs: Vec<Arc<Needs>>,
}

impl Question {
    /// Are claims to be allocated, or have members to go where theirs are?
    pub fn asks_for_devices(&self) -> bool {
        self.needs.iter().any(|needs| !needs.open.is_empty() || !needs.within.is_empty())
    }
}

/// The nodes that refused a member.
pub type Refusals = BTreeMap<PodUid, BTreeSet<NodeName>>;

/// What the planner is asked for a roster. `fabric_of` names the NVLink domain of a node.
///
/// # Errors
/// When the members' GPUs do not add up to sets.
pub fn question(
    roster: &Roster,
    refusals: &Refusals,
    fabric_of: impl Fn(&NodeName) -> String,
) -> Result<Question, Shortage> {
    let sets = sets(roster, fabric_of)?;
    let likes = likes(roster);
    let mut builder = Builder { roster, refusals, likes, blocks: BTreeMap::new(), question: Question::default() };
    builder.question.formation.topology.clone_from(&roster.terms.topology);
    builder.add_blocks();
    builder.add_parts(sets);
    Ok(builder.question)
}

/// Do the members' GPUs add up to sets?
///
/// # Errors
/// When they do not.
pub fn check(roster: &Roster) -> Result<(), Shortage> {
    sets(roster, |node| node.to_string()).map(drop)
}

/// Seats that must share a domain, by their index in the roster.
struct Group {
    seats: Vec<usize>,
    within: Option<TopologyLevel>,
}

fn sets(roster: &Roster, fabric_of: impl Fn(&NodeName) -> String) -> Result<Vec<Group>, Shortage> {
    let is_tensor_parallel = |seat: &Seat| roster.terms.tensor_parallel_of(&seat.role).is_some_and(|gpus| gpus > 1);
    let has_sets = |at: &usize| is_tensor_parallel(&roster.seats[*at]) && roster.seats[*at].devices() > 0;
    let mut groups = sharers(roster);
    let on_one_node: BTreeSet<usize> = groups.iter().flat_map(|group| group.seats.iter().copied()).collect();
    let free = (0..roster.seats.len()).filter(|at| !on_one_node.contains(at));
    let (in_sets, others): (Vec<usize>, Vec<usize>) = free.partition(has_sets);
    for run in runs(roster, in_sets) {
        groups.extend(tensor_parallel_sets(roster, run, &fabric_of)?);
    }
    groups.extend(slices(roster, others));
    Ok(groups)
}

/// Seats that use a claim together, which has no devices yet: these will be on one node.
fn sharers(roster: &Roster) -> Vec<Group> {
    let mut groups: Vec<(BTreeSet<&ClaimKey>, Vec<usize>)> = vec![];
    for (at, seat) in roster.seats.iter().enumerate().filter(|(_, seat)| !seat.needs.shared.is_empty()) {
        let mut claims: BTreeSet<&ClaimKey> = seat.needs.shared.iter().collect();
        let mut seats = vec![at];
        // Who shares with several brings these together.
        groups.retain(|(others, members)| {
            let is_apart = others.is_disjoint(&claims);
            if !is_apart {
                claims.extend(others);
                seats.extend(members);
            }
            is_apart
        });
        seats.sort_unstable();
        groups.push((claims, seats));
    }
    groups.into_iter().map(|(_, seats)| Group { seats, within: Some(TopologyLevel::Node) }).collect()
}

/// Seats that may form sets with each other: all where they are numbered through, else those of one role and part.
fn runs(roster: &Roster, seats: Vec<usize>) -> Vec<Vec<usize>> {
    if roster.is_numbered() {
        return vec![seats];
    }
    let mut runs: BTreeMap<(&Role, Option<u32>), Vec<usize>> = BTreeMap::new();
    for at in seats {
        let seat = &roster.seats[at];
        runs.entry((&seat.role, seat.part)).or_default().push(at);
    }
    runs.into_values().collect()
}

/// Sets of so many GPUs, member by member. A member with more GPUs than that has several sets to itself.
fn tensor_parallel_sets(
    roster: &Roster,
    run: Vec<usize>,
    fabric_of: impl Fn(&NodeName) -> String,
) -> Result<Vec<Group>, Shortage> {
    let of_seat = |at: usize| roster.terms.tensor_parallel_of(&roster.seats[at].role).unwrap_or(1);
    let Some(tensor_parallel) = run.first().map(|at| of_seat(*at)) else { return Ok(vec![]) };
    let has_run = roster.seats.iter().any(|seat| seat.node.is_some());
    let uneven = |found| Shortage::UnevenSet { tensor_parallel, found, has_run };
    let mut groups = vec![];
    let mut open: Vec<usize> = vec![];
    let mut found = 0;
    for at in by_location(roster, run, i64::from(tensor_parallel), fabric_of) {
        found += roster.seats[at].devices();
        open.push(at);
        let is_full = found >= i64::from(tensor_parallel);
        let is_even =
            if open.len() > 1 { found == i64::from(tensor_parallel) } else { found % i64::from(tensor_parallel) == 0 };
        if is_full && !is_even {
            return Err(uneven(found));
        }
        if is_full {
            groups.push(Group { seats: std::mem::take(&mut open), within: Some(TopologyLevel::DeviceFabric) });
            found = 0;
        }
    }
    if open.is_empty() { Ok(groups) } else { Err(uneven(found)) }
}

/// The order in which members form sets. Numbered ones keep theirs. Others form them with whom they share an NVLink domain
/// already, so that one who takes the place of another completes its set.
fn by_location(
    roster: &Roster,
    seats: Vec<usize>,
    tensor_parallel: i64,
    fabric_of: impl Fn(&NodeName) -> String,
) -> Vec<usize> {
    if seats.iter().all(|at| roster.seats[*at].index.is_some()) {
        return seats;
    }
    let mut by_fabric: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut others = vec![];
    for at in seats {
        match &roster.seats[at].node {
            Some(node) => by_fabric.entry(fabric_of(node)).or_default().push(at),
            None => others.push(at),
        }
    }
    let mut others = others.into_iter();
    let mut order = vec![];
    for bound in by_fabric.into_values() {
        let found: i64 = bound.iter().map(|at| roster.seats[*at].devices()).sum();
        order.extend(bound);
        let mut missing = (tensor_parallel - found % tensor_parallel) % tensor_parallel;
        while missing > 0 {
            let Some(at) = others.next() else { break };
            missing -= roster.seats[at].devices();
            order.push(at);
        }
    }
    order.extend(others);
    order
}

/// Sets that are said in members instead of GPUs; a member of none stands for itself.
fn slices(roster: &Roster, seats: Vec<usize>) -> Vec<Group> {
    let said = |role: &Role| -> Option<&Slices> {
        roster.terms.roles.get(role).and_then(|terms| terms.slices.as_ref()).or(roster.terms.slices.as_ref())
    };
    let mut groups: Vec<Group> = vec![];
    let mut open: BTreeMap<(&Role, Option<u32>), usize> = BTreeMap::new();
    for at in seats {
        let seat = &roster.seats[at];
        let slices = said(&seat.role).filter(|slices| slices.members > 1);
        let begun = open.get(&(&seat.role, seat.part)).copied();
        match (slices, begun) {
            (Some(slices), Some(group)) if groups[group].seats.len() < slices.members as usize => {
                groups[group].seats.push(at);
            }
            (slices, _) => {
                if slices.is_some() {
                    open.insert((&seat.role, seat.part), groups.len());
                }
                groups.push(Group { seats: vec![at], within: slices.map(|slices| slices.within.clone()) });
            }
        }
    }
    groups
}

/// For each seat the first that needs the like of devices. One that has its place needs none any more: it is like those of
/// its role that are to stand beside it.
fn likes(roster: &Roster) -> Vec<usize> {
    let seats = &roster.seats;
    let mut firsts: Vec<usize> = vec![];
    let mut likes: Vec<usize> = (0..seats.len()).collect();
    for at in (0..seats.len()).filter(|at| seats[*at].node.is_none()) {
        match firsts.iter().find(|first| seats[**first].needs.is_like(&seats[at].needs)) {
            Some(first) => likes[at] = *first,
            None => firsts.push(at),
        }
    }
    for at in (0..seats.len()).filter(|at| seats[*at].node.is_some()) {
        let beside =
            |first: &&usize| seats[**first].role == seats[at].role && seats[**first].demand == seats[at].demand;
        likes[at] = firsts.iter().find(beside).copied().unwrap_or(at);
    }
    let placed: Vec<usize> = (0..seats.len()).filter(|at| seats[*at].node.is_some() && likes[*at] == *at).collect();
    // Those of whom nobody is left to be placed are all alike.
    placed.iter().for_each(|at| likes[*at] = placed[0]);
    likes
}

/// What members of one block have in common; the number is that of the first who needs the like of devices.
type Kind = (Role, Arc<Demand>, Vec<Relation>, BTreeSet<NodeName>, usize);

fn kind(seat: &Seat, like: usize, roster: &Roster, refusals: &Refusals) -> Kind {
    let of_pod = |seat: &Seat| Some(seat.pod.as_ref()?.membership.as_ref()?.relations.clone());
    // One that does not exist yet will stand to the others as those of its role do.
    let of_role = || roster.seats.iter().filter(|other| other.role == seat.role).find_map(of_pod);
    let relations = of_pod(seat).or_else(of_role).unwrap_or_default();
    let refused = seat.pod.as_ref().and_then(|pod| refusals.get(&pod.uid)).cloned().unwrap_or_default();
    (Arc::clone(&seat.role), Arc::clone(&seat.demand), relations, refused, like)
}

struct Builder<'a> {
    roster: &'a Roster,
    refusals: &'a Refusals,
    likes: Vec<usize>,
    /// The index of each block.
    blocks: BTreeMap<Kind, usize>,
    question: Question,
}

impl Builder<'_> {
    fn add_blocks(&mut self) {
        for (seat, like) in self.roster.seats.iter().zip(&self.likes) {
            let blocks = &mut self.question.formation.blocks;
            let kind = kind(seat, *like, self.roster, self.refusals);
            let at = *self.blocks.entry(kind.clone()).or_insert(blocks.len());
            if at == blocks.len() {
                let (role, demand, relations, refused, _) = kind;
                blocks.push(Block { role, demand, relations, placed: vec![] });
                self.question.refused.push(refused);
                self.question.needs.push(Arc::clone(&self.roster.seats[*like].needs));
            }
            blocks[at].placed.extend(seat.node.clone());
        }
    }

    /// A pipeline is a part, and so is a role of which something is said that is not said of all, and what has a domain to
    /// itself.
    fn add_parts(&mut self, sets: Vec<Group>) {
        let terms = &self.roster.terms;
        let stands_out = |role: &Role| {
            let said = terms.roles.get(role);
            said.is_some_and(|said| !said.topology.is_empty() || said.pipeline_parallel.is_some())
        };
        let parts = self.roster.exclusive_parts();
        let mut exclusive: BTreeMap<(Role, u32), Vec<Group>> = BTreeMap::new();
        let mut by_role: BTreeMap<Option<Role>, Vec<Group>> = BTreeMap::new();
        for group in sets {
            // A set that goes over several parts is of none.
            let mut of_seats = group.seats.iter().map(|at| parts[*at].as_ref());
            let first = of_seats.next().flatten().filter(|first| of_seats.all(|part| part == Some(first)));
            if let Some(part) = first {
                exclusive.entry(part.clone()).or_default().push(group);
                continue;
            }
            let role = group.seats.first().map(|at| Arc::clone(&self.roster.seats[*at].role));
            by_role.entry(role.filter(stands_out)).or_default().push(group);
        }
        for (role, groups) in by_role {
            let said = role.as_ref().and_then(|role| terms.roles.get(role));
            let topology = said.map(|said| said.topology.clone()).unwrap_or_default();
            let of_role = role.as_ref().map_or(terms.pipeline_parallel, |role| terms.pipeline_parallel_of(role));
            let size = of_role.map_or(usize::MAX, |sets| sets.max(1) as usize);
            // Members without devices (a head, a router) belong to no pipeline in particular.
            let (sets, others): (Vec<Group>, Vec<Group>) = groups.into_iter().partition(|group| group.within.is_some());
            let mut pipelines: Vec<Vec<Group>> = vec![];
            for group in sets {
                match pipelines.last_mut() {
                    Some(last) if last.len() < size => last.push(group),
                    _ => pipelines.push(vec![group]),
                }
            }
            match pipelines.first_mut() {
                Some(first) => first.extend(others),
                None => pipelines.push(others),
            }
            for pipeline in pipelines {
                self.add_part(pipeline, topology.clone(), None);
            }
        }
        for ((role, _), groups) in exclusive {
            let said = terms.roles.get(&role);
            let topology = said.map(|said| said.topology.clone()).unwrap_or_default();
            self.add_part(groups, topology, said.and_then(|said| said.exclusive.clone()));
        }
    }

    fn add_part(&mut self, groups: Vec<Group>, topology: Vec<TopologyRule>, exclusive: Option<Arc<str>>) {
        let mut part = Part { topology, exclusive, sets: vec![] };
        for group in groups {
            let mut set = Set { members: vec![], within: group.within, placed: vec![] };
            for at in group.seats {
                let seat = &self.roster.seats[at];
                match &seat.node {
                    Some(node) => set.placed.push(node.clone()),
                    None => {
                        set.members.push(self.blocks[&kind(seat, self.likes[at], self.roster, self.refusals)]);
                        self.question.seats.push(at);
                    }
                }
            }
            part.sets.push(set);
        }
        self.question.formation.parts.push(part);
    }
}

#[cfg(test)]
#[path = "formation_tests.rs"]
mod tests;
