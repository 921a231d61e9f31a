//! Verdicts on all nodes for one demand, kept and brought up to date node by node.
//!
//! Pods come in few shapes, and between two questions few nodes change. So what was found out about a demand is kept,
//! and only the nodes whose stamp is newer than the table are looked at again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::snapshot::Snapshot;
use crate::cluster::{NodeState, Slot};
use crate::model::pod::Demand;
use crate::placement::{self, Reason};

/// Does a pod fit on a node, and how well?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It fits; the packed rank orders places, smaller is better.
    Fits(u64),
    /// It does not.
    No(Arc<Refusal>),
}

/// What remains of a [`Reason`] when its numbers are left out: all nodes with the same text share it.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What users read.
    pub text: Arc<str>,
    /// [`Reason::label`].
    pub label: &'static str,
    /// [`Reason::preemption_can_help`].
    pub preemption_can_help: bool,
}

impl Verdict {
    /// Looks at one node.
    pub fn of(demand: &Demand, state: &NodeState) -> Self {
        match placement::check(demand, state) {
            Ok(()) => Self::Fits(placement::rank(demand, state).packed()),
            Err(reason) => Self::no(reason),
        }
    }

    pub(super) fn no(reason: Reason) -> Self {
        Self::No(Arc::new(Refusal {
            text: reason.to_string().into(),
            label: reason.label(),
            preemption_can_help: reason.preemption_can_help(),
        }))
    }
}

/// How many demands are remembered. The least recently asked for goes first.
const MAX_TABLES: usize = 256;

/// What is remembered, by demand.
#[derive(Debug, Default)]
pub(super) struct VerdictCache {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    by_demand: BTreeMap<Arc<Demand>, Remembered>,
    /// Counts questions: the age of a table is how long ago, in questions, it was asked for.
    asked: u64,
}

#[derive(Debug)]
struct Remembered {
    table: Arc<VerdictTable>,
    last_asked: u64,
}

impl VerdictCache {
    /// The verdicts on all nodes of `snapshot`.
    pub(super) fn table(&self, snapshot: &Snapshot, demand: &Arc<Demand>) -> Arc<VerdictTable> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.asked += 1;
        let asked = tables.asked;
        if let Some(remembered) = tables.by_demand.get_mut(demand) {
            remembered.last_asked = asked;
            // A reader may still hold a snapshot older than what another has brought up to date meanwhile.
            if remembered.table.generation > snapshot.generation() {
                return Arc::new(VerdictTable::new(snapshot, demand));
            }
            if remembered.table.generation < snapshot.generation() {
                Arc::make_mut(&mut remembered.table).bring_up_to(snapshot, demand);
            }
            return Arc::clone(&remembered.table);
        }
        let table = Arc::new(VerdictTable::new(snapshot, demand));
        if tables.by_demand.len() >= MAX_TABLES {
            let oldest =
                tables.by_demand.iter().min_by_key(|(_, r)| r.last_asked).map(|(demand, _)| Arc::clone(demand));
            oldest.map(|demand| tables.by_demand.remove(&demand));
        }
        tables.by_demand.insert(Arc::clone(demand), Remembered { table: Arc::clone(&table), last_asked: asked });
        table
    }
}

/// The verdicts on all nodes for one demand, by slot.
#[derive(Debug, Clone)]
pub(super) struct VerdictTable {
    generation: u64,
    outcomes: Vec<Outcome>,
    /// Few: nodes that refuse a pod mostly do it for one of a handful of reasons.
    refusals: Vec<Arc<Refusal>>,
}

/// A verdict in eight bytes: a rank, or the index of a refusal behind the top bit.
#[derive(Debug, Clone, Copy)]
struct Outcome(u64);

const REFUSED: u64 = 1 << 63;

/// Refusals no longer in use pile up when nodes change; past this many the table is made anew.
const MAX_REFUSALS: usize = 4096;

impl VerdictTable {
    fn new(snapshot: &Snapshot, demand: &Demand) -> Self {
        let mut table = Self { generation: 0, outcomes: vec![], refusals: vec![] };
        table.bring_up_to(snapshot, demand);
        table
    }

    fn bring_up_to(&mut self, snapshot: &Snapshot, demand: &Demand) {
        if self.refusals.len() > MAX_REFUSALS {
            *self = Self { generation: 0, outcomes: vec![], refusals: vec![] };
        }
        self.outcomes.resize(snapshot.slots().len(), Outcome(REFUSED));
        let seen = self.generation;
        for (at, _) in snapshot.stamps().iter().enumerate().filter(|(_, stamp)| **stamp > seen) {
            if let Some(state) = &snapshot.slots()[at] {
                self.outcomes[at] = self.outcome(demand, state);
            }
        }
        self.generation = snapshot.generation();
    }

    fn outcome(&mut self, demand: &Demand, state: &NodeState) -> Outcome {
        match Verdict::of(demand, state) {
            Verdict::Fits(rank) => Outcome(rank),
            Verdict::No(refusal) => {
                let known = self.refusals.iter().position(|known| **known == *refusal);
                let at = known.unwrap_or_else(|| {
                    self.refusals.push(refusal);
                    self.refusals.len() - 1
                });
                Outcome(REFUSED | at as u64)
            }
        }
    }

    pub(super) fn verdict(&self, slot: Slot) -> Verdict {
        let Outcome(outcome) = self.outcomes[slot.index()];
        if outcome & REFUSED == 0 {
            Verdict::Fits(outcome)
        } else {
            Verdict::No(Arc::clone(&self.refusals[(outcome & !REFUSED) as usize]))
        }
    }
}
