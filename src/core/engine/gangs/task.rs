//! A gang to plan, with all that is needed for it: made under the engine's lock, solved without it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::formation::Question;
use super::preemption::{self, Way, Yielders};
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
    /// Who may have to make way.
    pub(super) yielders: Yielders,
    pub(super) snapshot: Arc<Snapshot>,
}

/// What came of it.
#[derive(Debug)]
pub struct Solved {
    pub(super) task: PlanTask,
    /// Where the members go, and who makes way for them; or why they cannot go anywhere.
    pub(super) outcome: Result<Way, No>,
}

impl PlanTask {
    /// The gang.
    pub fn gang(&self) -> &GangKey {
        &self.gang
    }

    /// Looks for places. May take milliseconds.
    pub fn solve(self) -> Solved {
        let ranks = self.ranks();
        let field = Field { slots: self.snapshot.slots(), domains: self.snapshot.domains(), ranks: &ranks };
        let outcome = match gang::plan(&self.question.formation, field, Budget::default()) {
            Ok(places) => {
                let nodes = places.parts().iter().flatten().flatten().cloned().collect();
                Ok(Way { nodes, yielders: vec![] })
            }
            Err(no) => preemption::make_way(&self).ok_or(no),
        };
        Solved { task: self, outcome }
    }

    /// How good each node is for a member of each block, as things are.
    pub(super) fn ranks(&self) -> Vec<Vec<Option<Rank>>> {
        let blocks = self.question.formation.blocks.iter().zip(&self.question.refused);
        let without = |refused: &BTreeSet<NodeName>| self.avoid.union(refused).cloned().collect();
        blocks
            .map(|(block, refused)| self.snapshot.ranks(&block.demand, self.roster.priority, &without(refused)))
            .collect()
    }
}
