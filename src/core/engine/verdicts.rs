//! Verdicts on all nodes for one demand, kept and brought up to date node by node.
//!
//! Pods come in few shapes, and between two questions few nodes change. So what was found out about a demand is kept,
//! and only the nodes whose stamp is newer than the table are looked at again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::snapshot::Snapshot;
use crate::cluster::Slot;
use crate::model::pod::Demand;
use crate::placement::{Asked, Rank, Reason};

/// Does a pod fit on a node, and how well?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It fits, so well.
    Fits(Rank),
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
    /// How well it fits, if it does.
    pub fn rank(&self) -> Option<Rank> {
        match self {
            Self::Fits(rank) => Some(*rank),
            Self::No(_) => None,
        }
    }

    pub(super) fn no(reason: Reason) -> Self {
        Self::No(Arc::new(Refusal::of(&reason)))
    }
}

/// What a pod is told of the nodes of an offer, in its order. Few reasons hold for many nodes, so each is there once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    of: Vec<Code>,
    refusals: Vec<Arc<Refusal>>,
}

/// 0 where the pod fits, else one more than the index of the refusal.
type Code = u32;

const FITS: Code = 0;

impl Told {
    /// Nothing yet, of so many nodes; these refusals are expected.
    pub(super) fn expecting(nodes: usize, refusals: &[Arc<Refusal>]) -> Self {
        Self { of: Vec::with_capacity(nodes), refusals: refusals.to_vec() }
    }

    /// The pod fits on the next node.
    pub(super) fn fits(&mut self) {
        self.of.push(FITS);
    }

    /// It does not, for the first of the reasons that were expected.
    pub(super) fn refused_first(&mut self) {
        self.of.push(FITS + 1);
    }

    /// It does not, for this reason.
    pub(super) fn refused(&mut self, why: &Arc<Refusal>) {
        let is_it = |known: &Arc<Refusal>| Arc::ptr_eq(known, why) || known == why;
        let at = self.refusals.iter().rposition(is_it).unwrap_or_else(|| {
            self.refusals.push(Arc::clone(why));
            self.refusals.len() - 1
        });
        self.of.push(at as Code + 1);
    }

    /// How many nodes were offered.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Was no node offered?
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// The parts: for each node 0 where the pod fits, else one more than the index of the refusal; and the refusals.
    pub fn into_parts(self) -> (Vec<u32>, Vec<Arc<Refusal>>) {
        (self.of, self.refusals)
    }

    /// How many nodes the pod fits on, and how many say what against it.
    pub fn tally(&self) -> (u64, Vec<(&Refusal, u64)>) {
        let mut counts = vec![0; self.refusals.len() + 1];
        self.of.iter().for_each(|at| counts[*at as usize] += 1);
        let refusals = self.refusals.iter().map(|refusal| &**refusal).zip(counts[1..].iter().copied());
        (counts[0], refusals.filter(|(_, count)| *count > 0).collect())
    }
}

impl Refusal {
    pub(super) fn of(reason: &Reason) -> Self {
        Self {
            text: reason.to_string().into(),
            label: reason.label(),
            preemption_can_help: reason.preemption_can_help(),
        }
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
            if remembered.table.is_newer_than(snapshot) {
                return Arc::new(VerdictTable::new(snapshot, demand));
            }
            if !remembered.table.is_of(snapshot) {
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
#[derive(Debug, Clone, Default)]
pub(super) struct VerdictTable {
    generation: u64,
    mix_version: u64,
    outcomes: Vec<Outcome>,
    /// Of the outcomes what is asked for by the thousand, close together: whether the pod fits, and if so its packed rank.
    codes: Vec<Code>,
    packed: Vec<u64>,
    /// Few: nodes that refuse a pod mostly do it for one of a handful of reasons.
    refusals: Vec<Arc<Refusal>>,
    /// The last reason, with the index of its refusal.
    last: Option<(Reason, u32)>,
}

/// What was found out about a node.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// The pod fits: the rank.
    Fits(Rank),
    /// It does not: the index of the refusal.
    Refused(u32),
}

/// Refusals no longer in use pile up when nodes change; past this many the table is made anew.
const MAX_REFUSALS: usize = 4096;

impl VerdictTable {
    fn new(snapshot: &Snapshot, demand: &Demand) -> Self {
        let mut table = Self::default();
        table.bring_up_to(snapshot, demand);
        table
    }

    fn is_newer_than(&self, snapshot: &Snapshot) -> bool {
        self.generation > snapshot.generation() || self.mix_version > snapshot.mix_version()
    }

    fn is_of(&self, snapshot: &Snapshot) -> bool {
        self.generation == snapshot.generation() && self.mix_version == snapshot.mix_version()
    }

    /// Looks again at the nodes that have changed. When the mix has, what the others cost is asked again, too.
    fn bring_up_to(&mut self, snapshot: &Snapshot, demand: &Demand) {
        if self.refusals.len() > MAX_REFUSALS {
            *self = Self::default();
        }
        let slots = snapshot.slots();
        self.outcomes.resize(slots.len(), Outcome::Refused(0));
        self.codes.resize(slots.len(), FITS + 1);
        self.packed.resize(slots.len(), 0);
        let mix_changed = self.mix_version != snapshot.mix_version();
        let asked = Asked::of(demand);
        let mut costs = snapshot.scorer().costs();
        for (slot, stamp, state) in slots.touched_after(if mix_changed { 0 } else { self.generation }) {
            let (at, changed) = (slot.index(), stamp > self.generation);
            let Some(state) = state else {
                (self.outcomes[at], self.codes[at]) = (Outcome::Refused(0), FITS + 1);
                continue;
            };
            let outcome = match self.outcomes[at] {
                Outcome::Refused(_) if !changed => continue,
                Outcome::Fits(rank) if !changed => Outcome::Fits(Rank { cost: costs.of(&asked, slot, state), ..rank }),
                _ => match asked.check(state) {
                    Ok(()) => Outcome::Fits(asked.rank(state, costs.of(&asked, slot, state))),
                    Err(reason) => self.refused(reason),
                },
            };
            self.outcomes[at] = outcome;
            (self.codes[at], self.packed[at]) = match outcome {
                Outcome::Fits(rank) => (FITS, rank.packed()),
                Outcome::Refused(refusal) => (refusal + 1, 0),
            };
        }
        self.generation = snapshot.generation();
        self.mix_version = snapshot.mix_version();
    }

    fn refused(&mut self, reason: Reason) -> Outcome {
        // Many nodes in a row refuse for the same reason: putting it into words takes longer than comparing it.
        if let Some((last, at)) = &self.last
            && *last == reason
        {
            return Outcome::Refused(*at);
        }
        let refusal = Refusal::of(&reason);
        let known = self.refusals.iter().position(|known| **known == refusal);
        let at = known.unwrap_or_else(|| {
            self.refusals.push(Arc::new(refusal));
            self.refusals.len() - 1
        });
        self.last = Some((reason, at as u32));
        Outcome::Refused(at as u32)
    }

    /// The refusals, by their index.
    pub(super) fn refusals(&self) -> &[Arc<Refusal>] {
        &self.refusals
    }

    /// Is there a node on which the pod fits?
    pub(super) fn fits_somewhere(&self) -> bool {
        self.codes.contains(&FITS)
    }

    /// Tells what was found out about the node in a slot.
    pub(super) fn tell(&self, slot: Slot, told: &mut Told) {
        told.of.push(self.codes[slot.index()]);
    }

    /// How well the pod fits on the node in a slot, if it does: its packed rank.
    pub(super) fn packed(&self, slot: Slot) -> Option<u64> {
        (self.codes[slot.index()] == FITS).then(|| self.packed[slot.index()])
    }

    /// How well the pod fits on the node in a slot, if it does.
    pub(super) fn rank(&self, slot: Slot) -> Option<Rank> {
        match self.outcomes[slot.index()] {
            Outcome::Fits(rank) => Some(rank),
            Outcome::Refused(_) => None,
        }
    }

    pub(super) fn verdict(&self, slot: Slot) -> Verdict {
        match self.outcomes[slot.index()] {
            Outcome::Fits(rank) => Verdict::Fits(rank),
            Outcome::Refused(at) => Verdict::No(Arc::clone(&self.refusals[at as usize])),
        }
    }
}
