//! From who is to start together to what the planner is asked: blocks of equal members, sets, parts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::roster::{Roster, Seat, Shortage, devices};
use crate::model::gang::{Relation, Role, Slices, TopologyLevel};
use crate::model::node::NodeName;
use crate::model::pod::Demand;
use crate::placement::gang::{Block, Formation, Part, Set};

/// What the planner is asked, and which seats its answer is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// What is to be placed.
    pub formation: Formation,
    /// The index in the roster of each member to place, in the order of the formation's parts, sets and members.
    pub seats: Vec<usize>,
}

/// What the planner is asked for a roster. `fabric_of` names the NVLink domain of a node.
///
/// # Errors
/// When the members' GPUs do not add up to sets.
pub fn question(roster: &Roster, fabric_of: impl Fn(&NodeName) -> String) -> Result<Question, Shortage> {
    let sets = sets(roster, fabric_of)?;
    let mut builder = Builder { roster, blocks: BTreeMap::new(), question: Question::default() };
    builder.question.formation.topology.clone_from(&roster.terms.topology);
    builder.add_blocks();
    builder.add_parts(sets);
    Ok(builder.question)
}

/// Seats that must share a domain, by their index in the roster.
struct Group {
    seats: Vec<usize>,
    within: Option<TopologyLevel>,
}

fn sets(roster: &Roster, fabric_of: impl Fn(&NodeName) -> String) -> Result<Vec<Group>, Shortage> {
    let seats = &roster.seats;
    let alone = |at| Group { seats: vec![at], within: None };
    let Some(tensor_parallel) = roster.terms.tensor_parallel.filter(|gpus| *gpus > 1) else {
        return Ok(slices(roster));
    };
    let of_each: Vec<i64> = seats.iter().map(|seat| devices(&seat.demand)).collect();
    let (with_devices, without): (Vec<usize>, Vec<usize>) = (0..seats.len()).partition(|at| of_each[*at] > 0);
    let uneven = |found| Shortage::UnevenSet { tensor_parallel, found };
    let mut groups = vec![];
    let mut open: Vec<usize> = vec![];
    let mut found = 0;
    for at in by_location(roster, with_devices, i64::from(tensor_parallel), fabric_of) {
        found += of_each[at];
        open.push(at);
        let full = found >= i64::from(tensor_parallel);
        if full && open.len() > 1 && found != i64::from(tensor_parallel) {
            return Err(uneven(found));
        }
        if full {
            groups.push(Group { seats: std::mem::take(&mut open), within: Some(TopologyLevel::DeviceFabric) });
            found = 0;
        }
    }
    if !open.is_empty() {
        return Err(uneven(found));
    }
    groups.extend(without.into_iter().map(alone));
    Ok(groups)
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
        let found: i64 = bound.iter().map(|at| devices(&roster.seats[*at].demand)).sum();
        order.extend(bound);
        let mut missing = (tensor_parallel - found % tensor_parallel) % tensor_parallel;
        while missing > 0 {
            let Some(at) = others.next() else { break };
            missing -= devices(&roster.seats[at].demand);
            order.push(at);
        }
    }
    order.extend(others);
    order
}

/// Sets that are said in members instead of GPUs; a member of none stands for itself.
fn slices(roster: &Roster) -> Vec<Group> {
    let said = |role: &Role| -> Option<&Slices> {
        roster.terms.roles.get(role).and_then(|terms| terms.slices.as_ref()).or(roster.terms.slices.as_ref())
    };
    let mut groups: Vec<Group> = vec![];
    let mut open: BTreeMap<&Role, usize> = BTreeMap::new();
    for (at, seat) in roster.seats.iter().enumerate() {
        let slices = said(&seat.role).filter(|slices| slices.members > 1);
        let begun = open.get(&seat.role).copied();
        match (slices, begun) {
            (Some(slices), Some(group)) if groups[group].seats.len() < slices.members as usize => {
                groups[group].seats.push(at);
            }
            (slices, _) => {
                if slices.is_some() {
                    open.insert(&seat.role, groups.len());
                }
                groups.push(Group { seats: vec![at], within: slices.map(|slices| slices.within.clone()) });
            }
        }
    }
    groups
}

/// What members of one block have in common.
type Kind = (Role, Arc<Demand>, Vec<Relation>);

fn kind(seat: &Seat, roster: &Roster) -> Kind {
    let of_pod = |seat: &Seat| Some(seat.pod.as_ref()?.membership.as_ref()?.relations.clone());
    // One that does not exist yet will stand to the others as those of its role do.
    let like = || roster.seats.iter().filter(|other| other.role == seat.role).find_map(of_pod);
    (Arc::clone(&seat.role), Arc::clone(&seat.demand), of_pod(seat).or_else(like).unwrap_or_default())
}

struct Builder<'a> {
    roster: &'a Roster,
    /// The index of each block.
    blocks: BTreeMap<Kind, usize>,
    question: Question,
}

impl Builder<'_> {
    fn add_blocks(&mut self) {
        for seat in &self.roster.seats {
            let blocks = &mut self.question.formation.blocks;
            let kind = kind(seat, self.roster);
            let at = *self.blocks.entry(kind.clone()).or_insert(blocks.len());
            if at == blocks.len() {
                let (role, demand, relations) = kind;
                blocks.push(Block { role, demand, relations, placed: vec![] });
            }
            blocks[at].placed.extend(seat.node.clone());
        }
    }

    /// A pipeline is a part, and so is a role that has rules of its own.
    fn add_parts(&mut self, sets: Vec<Group>) {
        let terms = &self.roster.terms;
        let ruled = |group: &Group| {
            let role = &self.roster.seats[*group.seats.first()?].role;
            terms.roles.get(role).filter(|role| !role.topology.is_empty()).map(|_| Arc::clone(role))
        };
        let mut by_role: BTreeMap<Option<Role>, Vec<Group>> = BTreeMap::new();
        for group in sets {
            by_role.entry(ruled(&group)).or_default().push(group);
        }
        let of_pipeline = terms.pipeline_parallel.map_or(usize::MAX, |sets| sets.max(1) as usize);
        for (role, mut groups) in by_role {
            let rules = role.as_ref().and_then(|role| terms.roles.get(role)).map(|role| role.topology.clone());
            // Members without devices (a head, a router) belong to no pipeline in particular.
            let (sets, others): (Vec<Group>, Vec<Group>) = groups.drain(..).partition(|group| group.within.is_some());
            let size = if role.is_some() { usize::MAX } else { of_pipeline };
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
                self.add_part(pipeline, rules.clone().unwrap_or_default());
            }
        }
    }

    fn add_part(&mut self, groups: Vec<Group>, topology: Vec<crate::model::gang::TopologyRule>) {
        let mut part = Part { topology, sets: vec![] };
        for group in groups {
            let mut set = Set { members: vec![], within: group.within, placed: vec![] };
            for at in group.seats {
                let seat = &self.roster.seats[at];
                match &seat.node {
                    Some(node) => set.placed.push(node.clone()),
                    None => {
                        set.members.push(self.blocks[&kind(seat, self.roster)]);
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
