//! A gang to plan, with all that is needed for it: made under the engine's lock, solved without it.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use super::devices;
use super::exclusive::Taken;
use super::formation::{Question, Refusals};
use super::preemption::{self, Way, Yielders};
use super::roster::Roster;
use super::shortfall::Lack;
use crate::cluster::Slots;
use crate::engine::Profile;
use crate::engine::claims::Desk;
use crate::engine::snapshot::Snapshot;
use crate::model::exclusive::Exclusivity;
use crate::model::gang::GangKey;
use crate::model::node::{Node, NodeName};
use crate::model::pod::{PodKey, PodUid};
use crate::placement::Rank;
use crate::placement::gang::{self, Block, Budget, Field, No, Shares};

/// A gang to plan.
#[derive(Debug)]
pub struct PlanTask {
    pub(super) gang: GangKey,
    /// What its places are chosen for.
    pub(super) profile: Arc<Profile>,
    pub(super) roster: Roster,
    pub(super) question: Question,
    /// The nodes that refused members.
    pub(super) refusals: Refusals,
    pub(super) avoid: BTreeSet<NodeName>,
    /// Who may have to make way.
    pub(super) yielders: Yielders,
    /// What would have to end by itself, if nodes may be kept free for it by now.
    pub(super) drainable: Option<Yielders>,
    /// Where devices are found, if claims are to be allocated.
    pub(super) desk: Option<Desk>,
    /// How much had become free when the task was made, as nodes and as claims count it.
    pub(super) freed: (u64, u64),
    /// The domains in which others are; worked out when it is first asked for.
    pub(super) taken: OnceLock<Taken>,
    pub(super) snapshot: Arc<Snapshot>,
}

/// What came of it.
#[derive(Debug)]
pub struct Solved {
    pub(super) task: PlanTask,
    /// Where the members go, and who makes way for them; or why they cannot go anywhere.
    pub(super) outcome: Result<Way, No>,
    /// Nodes to keep free for it, if it cannot go anywhere and has waited too long.
    pub(super) keep_free: Option<BTreeSet<NodeName>>,
    /// What is lacking where it cannot go anywhere, as an autoscaler sees it.
    pub(super) lack: Option<Lack>,
}

impl Solved {
    /// A short, constant name of what came of it, for metrics.
    pub fn label(&self) -> &'static str {
        match &self.outcome {
            Ok(way) if way.yielders.is_empty() => "places",
            Ok(_) => "places_if_others_yield",
            Err(no) if no.is_proven() => "no_places",
            Err(_) => "gave_up",
        }
    }
}

impl PlanTask {
    /// The gang.
    pub fn gang(&self) -> &GangKey {
        &self.gang
    }

    /// How many members are to get places.
    pub fn members(&self) -> usize {
        self.question.seats.len()
    }

    /// Are expressions evaluated on the way? That needs a large stack.
    pub fn needs_devices(&self) -> bool {
        self.desk.is_some()
    }

    /// Looks for places. May take milliseconds.
    pub fn solve(mut self) -> Solved {
        let outcome = self.look();
        let outcome = outcome.or_else(|no| preemption::make_way(&self).ok_or(no));
        let keep_free = outcome.is_err().then(|| self.nodes_to_keep_free()).flatten();
        let lack = self.lack(&outcome);
        Solved { task: self, outcome, keep_free, lack }
    }

    /// Looks for places on what is free now, and for devices where claims are to be allocated.
    pub(super) fn look(&mut self) -> Result<Way, No> {
        self.look_around().map_err(|no| self.taken().explain(no))
    }

    fn look_around(&mut self) -> Result<Way, No> {
        let Some(mut desk) = self.desk.take() else {
            let nodes = self.plan(&self.ranks(), &[])?;
            return Ok(Way { nodes, yielders: vec![], grants: vec![] });
        };
        let outcome = devices::plan(self, &mut desk);
        self.desk = Some(desk);
        outcome
    }

    /// Places for all members on what is free now, in the order of the question's seats.
    pub(super) fn plan(&self, ranks: &[Vec<Option<Rank>>], devices: &[Option<Vec<u32>>]) -> Result<Vec<NodeName>, No> {
        let snapshot = &self.snapshot;
        let (slots, geography, domains) = (snapshot.slots(), snapshot.geography(), snapshot.domains());
        let field = Field { slots, geography, domains, ranks, devices, shares: Shares::OnGpus };
        let places = gang::plan(&self.question.formation, field, Budget::default())?;
        Ok(places.parts().iter().flatten().flatten().cloned().collect())
    }

    /// The block of each seat to place, in the order of the question's seats.
    pub(super) fn blocks_of_seats(&self) -> impl Iterator<Item = usize> {
        let sets = self.question.formation.parts.iter().flat_map(|part| &part.sets);
        sets.flat_map(|set| set.members.iter().copied())
    }

    /// Who would have to end, pod by pod, for the gang to start: the least important first, and as few as could be found.
    /// Nothing where it would not fit even then. May take a good part of a second.
    pub fn who_must_end(&self) -> Option<Vec<(PodKey, NodeName)>> {
        let way = preemption::make_way(self)?;
        let held = way.yielders.iter().filter_map(|yielder| self.yielders.get(yielder));
        let holder = |(uid, node): &(PodUid, NodeName)| {
            let holding = self.snapshot.node(node.as_str())?.holders().get(uid)?;
            Some((holding.pod.clone(), node.clone()))
        };
        Some(held.flat_map(|held| &held.members).filter_map(holder).collect())
    }

    /// Priority and age.
    pub(super) fn order(&self) -> (i32, i64) {
        (self.roster.priority, self.roster.created_s)
    }

    /// How good each node is for a member of each block, as things are.
    pub(super) fn ranks(&self) -> Vec<Vec<Option<Rank>>> {
        let blocks = self.question.formation.blocks.iter().zip(&self.question.refused);
        let without = |refused: &BTreeSet<NodeName>| self.avoid.union(refused).cloned().collect();
        let ranks = |(block, refused): (&Block, _)| {
            self.snapshot.ranks(&block.demand, &self.profile, self.order(), &self.gang, &without(refused))
        };
        let mut rows: Vec<Vec<Option<Rank>>> = blocks.map(ranks).collect();
        for (row, members) in rows.iter_mut().zip(self.exclusivities_of_blocks()) {
            if members.is_empty() {
                continue;
            }
            for (rank, state) in row.iter_mut().zip(self.snapshot.slots().iter()) {
                let node = state.as_ref().and_then(|state| state.node()).filter(|_| rank.is_some());
                if node.is_some_and(|node| self.is_taken(&members, node)) {
                    *rank = None;
                }
            }
        }
        rows
    }

    /// How the members of each block that are to be placed stand to those of other jobs or groups; not asked where no domain is
    /// left out.
    pub(super) fn exclusivities_of_blocks(&self) -> Vec<BTreeSet<Exclusivity>> {
        let mut of_blocks = vec![BTreeSet::new(); self.question.formation.blocks.len()];
        if self.taken().is_nothing() {
            return of_blocks;
        }
        for (seat, block) in self.question.seats.iter().zip(self.blocks_of_seats()) {
            of_blocks[block].extend(self.roster.exclusivity_of(&self.roster.seats[*seat]));
        }
        of_blocks
    }

    /// Is a node in a domain that any of these cannot use because of others?
    pub(super) fn is_taken(&self, members: &BTreeSet<Exclusivity>, node: &Node) -> bool {
        members.iter().any(|member| self.taken().refuses(member, node))
    }

    fn taken(&self) -> &Taken {
        self.taken
            .get_or_init(|| Taken::of(self.snapshot.slots().iter().flatten(), &self.gang, self.roster.exclusivities()))
    }

    /// Has somebody come to one of the domains meanwhile where its members are to go, so that they cannot be there?
    pub(super) fn is_overtaken(&self, slots: &Slots, nodes: &[NodeName]) -> bool {
        let changed = slots.changed_after(self.snapshot.generation()).map(|(.., state)| state);
        let taken = Taken::of(changed, &self.gang, self.roster.exclusivities());
        if taken.is_nothing() {
            return false;
        }
        let is_refused = |(seat, node): (&usize, &NodeName)| {
            let own = self.roster.exclusivity_of(&self.roster.seats[*seat])?;
            let state = self.snapshot.node(node.as_str())?;
            Some(taken.refuses(&own, state.node()?))
        };
        self.question.seats.iter().zip(nodes).filter_map(is_refused).any(|refused| refused)
    }
}
