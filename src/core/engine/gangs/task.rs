//! A gang to plan, with all that is needed for it: made under the engine's lock, solved without it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::formation::Question;
use super::roster::Roster;
use crate::engine::snapshot::Snapshot;
use crate::model::gang::GangKey;
use crate::model::node::NodeName;
use crate::placement::Rank;
use crate::placement::gang::{self, Budget, Field, No};

/// A gang to plan.
#[derive(Debug)]
pub struct PlanTask {
    pub(super) gang: GangKey,
    pub(super) roster: Roster,
    pub(super) question: Question,
    pub(super) avoid: BTreeSet<NodeName>,
    pub(super) snapshot: Arc<Snapshot>,
}

/// What came of it.
#[derive(Debug)]
pub struct Solved {
    pub(super) task: PlanTask,
    /// The node of each member to place, in the order of the question's seats; or why there is none.
    pub(super) outcome: Result<Vec<NodeName>, No>,
}

impl PlanTask {
    /// The gang.
    pub fn gang(&self) -> &GangKey {
        &self.gang
    }

    /// Looks for places. May take milliseconds.
    pub fn solve(self) -> Solved {
        let formation = &self.question.formation;
        let priority = self.roster.priority;
        let ranks: Vec<Vec<Option<Rank>>> =
            formation.blocks.iter().map(|block| self.snapshot.ranks(&block.demand, priority, &self.avoid)).collect();
        let field = Field { slots: self.snapshot.slots(), domains: self.snapshot.domains(), ranks: &ranks };
        let places = gang::plan(formation, field, Budget::default());
        let outcome = places.map(|places| places.parts().iter().flatten().flatten().cloned().collect());
        Solved { task: self, outcome }
    }
}
