//! A gang as people are shown it.

use std::sync::Arc;

use super::roster::Seat;
use super::{GangKeeper, Kept, Shortfall};
use crate::engine::claims::ClaimKeeper;
use crate::model::gang::{GangKey, Role};
use crate::model::node::NodeName;
use crate::model::pod::{Demand, PodKey};

/// A gang as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GangView {
    /// Which.
    pub key: GangKey,
    /// How far it has come.
    pub stage: GangStage,
    /// Why it is not further.
    pub why: Option<Arc<str>>,
    /// Its priority.
    pub priority: i32,
    /// When it was made, in seconds since 1970.
    pub created_s: i64,
    /// Its members, also those that are yet to be made, in the order in which they form sets.
    pub members: Vec<MemberView>,
    /// Nodes that refused a member lately and are not tried at present.
    pub avoided: Vec<NodeName>,
    /// How many plans have failed in a row.
    pub failures: u32,
    /// What it is short of, where an autoscaler is about and that has lasted.
    pub shortfall: Option<Shortfall>,
}

/// How far a gang has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GangStage {
    /// Not all members that must start together exist.
    Gathering,
    /// They exist, and wait for places.
    Waiting,
    /// Their places are found, and others are making way.
    Clearing,
    /// Places are kept for them.
    Planned,
    /// All that must start together have their nodes.
    Running,
}

/// A member as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// The pod; none while its controller has not made it.
    pub pod: Option<PodKey>,
    /// What it asks for.
    pub demand: Arc<Demand>,
    /// Its role.
    pub role: Role,
    /// Its number in the role.
    pub index: Option<u32>,
    /// Where it is, or is to be.
    pub node: Option<NodeName>,
    /// Is it bound to the node?
    pub is_bound: bool,
    /// Does the gang start without it?
    pub is_extra: bool,
}

impl GangKeeper {
    /// All gangs whose members start together, by key.
    pub fn views(&self) -> impl Iterator<Item = GangView> {
        self.kept.iter().map(|(key, kept)| kept.view(key, &self.claims))
    }

    /// The gang of this key.
    pub fn view(&self, key: &GangKey) -> Option<GangView> {
        self.kept.get(key).map(|kept| kept.view(key, &self.claims))
    }

    /// How far each gang has come, by key.
    pub fn stages(&self) -> impl Iterator<Item = (&GangKey, GangStage)> {
        self.kept.iter().map(|(key, kept)| (key, kept.stage()))
    }
}

impl Kept {
    fn view(&self, key: &GangKey, claims: &ClaimKeeper) -> GangView {
        let stage = self.stage();
        let why = (stage < GangStage::Planned).then(|| self.wait(claims).text());
        let mut members = vec![];
        if let Ok(roster) = &self.roster {
            let roster = self.with_places(roster);
            members.extend(roster.seats.iter().map(|seat| self.member(seat, false)));
            members.extend(roster.extras.iter().map(|seat| self.member(seat, true)));
        }
        let (priority, created_s) = self.priority_and_age();
        let avoided = self.avoid.keys().cloned().collect();
        let (failures, shortfall) = (self.failures, self.scarcity.shortfall());
        GangView { key: key.clone(), stage, why, priority, created_s, members, avoided, failures, shortfall }
    }

    pub(super) fn stage(&self) -> GangStage {
        if self.roster.is_err() {
            GangStage::Gathering
        } else if self.lacks_places() {
            GangStage::Waiting
        } else if self.batches.iter().any(|batch| batch.clearing.is_some()) {
            GangStage::Clearing
        } else if self.places().any(|(_, place)| place.pod.is_some()) {
            GangStage::Planned
        } else {
            GangStage::Running
        }
    }

    fn member(&self, seat: &Seat, is_extra: bool) -> MemberView {
        MemberView {
            pod: seat.pod.as_ref().map(|pod| pod.key.clone()),
            demand: Arc::clone(&seat.demand),
            role: Arc::clone(&seat.role),
            index: seat.index,
            is_bound: seat.node.is_some() && seat.pod.is_some() && !self.has_place(seat),
            node: seat.node.clone(),
            is_extra,
        }
    }
}
