//! A reference policy at work: scores are kept for every kind of pod, and only nodes that changed are looked at again.

use std::collections::BTreeMap;

use super::occupancy::{Occupancy, Seat};
use super::openb::WHOLE_GPU;
use super::placer::{Arrival, Placer, TieBreak};
use super::policy::{Scorer, TypicalPods};
use super::rng::Rng;
use super::world::World;

/// A policy that scores nodes, on a cluster of its own.
pub struct FlatPlacer<'w> {
    occupancy: Occupancy<'w>,
    scorer: Box<dyn Scorer>,
    ties: TieBreak,
    typical: TypicalPods,
    boards: Vec<Board>,
    /// How many boards are in use.
    kept: usize,
    /// Counts what was placed and removed.
    now: u64,
    /// When each node last changed.
    changed: Vec<u64>,
    /// Who sits where, by arrival.
    seats: BTreeMap<usize, Seat>,
}

/// The scores for one kind of pod.
#[derive(Default)]
struct Board {
    /// By node; none where the pod does not fit. Empty until a pod of this kind comes.
    scores: Vec<Option<i64>>,
    /// Until when changes are taken in.
    seen: u64,
}

/// How many scores are kept. Where more kinds of pods come to more nodes, all are found out anew.
const MAX_SCORES: usize = 16 << 20;

impl<'w> FlatPlacer<'w> {
    /// An empty cluster.
    pub fn new(world: &'w World, scorer: Box<dyn Scorer>, ties: TieBreak) -> Self {
        Self {
            occupancy: Occupancy::idle(world),
            ties: if scorer.is_random() { TieBreak::Random } else { ties },
            scorer,
            typical: TypicalPods::of(world),
            boards: world.kinds.iter().map(|_| Board::default()).collect(),
            kept: 0,
            now: 0,
            changed: vec![0; world.machines.len()],
            seats: BTreeMap::new(),
        }
    }

    fn refresh(&mut self, kind: usize) {
        let nodes = self.changed.len();
        if self.boards[kind].scores.is_empty() {
            if (self.kept + 1) * nodes > MAX_SCORES {
                self.boards.iter_mut().for_each(|board| *board = Board::default());
                self.kept = 0;
            }
            self.kept += 1;
        }
        let (occupancy, scorer) = (&self.occupancy, &self.scorer);
        let score = |node: usize| {
            let place = occupancy.place(kind, node);
            place.fits().then(|| scorer.score(&place))
        };
        let board = &mut self.boards[kind];
        if board.scores.is_empty() {
            board.scores = (0..nodes).map(score).collect();
        } else {
            for (node, _) in self.changed.iter().enumerate().filter(|(_, changed)| **changed > board.seen) {
                board.scores[node] = score(node);
            }
        }
        board.seen = self.now;
    }

    fn touch(&mut self, node: usize) {
        self.now += 1;
        self.changed[node] = self.now;
    }

    fn best(&self, kind: usize, rng: &mut Rng) -> Option<usize> {
        let scores = &self.boards[kind].scores;
        let highest = scores.iter().flatten().max()?;
        let best = scores.iter().enumerate().filter(|(_, score)| score.as_ref() == Some(highest)).map(|(at, _)| at);
        self.ties.choose(&best.collect::<Vec<usize>>(), rng)
    }
}

impl Placer for FlatPlacer<'_> {
    fn place(&mut self, arrival: Arrival, rng: &mut Rng) -> Option<usize> {
        let kind = self.occupancy.world().kind_of[arrival.pod];
        self.refresh(kind);
        let node = self.best(kind, rng)?;
        let gpus = self.scorer.gpus(&self.occupancy.place(kind, node), rng);
        let seat = Seat { node, kind, gpus };
        self.occupancy.take(&seat);
        self.touch(node);
        self.seats.insert(arrival.id, seat);
        Some(node)
    }

    fn remove(&mut self, arrival: Arrival) {
        if let Some(seat) = self.seats.remove(&arrival.id) {
            self.occupancy.give_back(&seat);
            self.touch(seat.node);
        }
    }

    fn fragmentation(&self) -> Option<f64> {
        Some(self.typical.fragmentation(self.occupancy.nodes()))
    }

    fn free_gpus(&self) -> Option<Vec<usize>> {
        Some(self.occupancy.nodes().iter().map(|free| free.gpus_with(WHOLE_GPU)).collect())
    }
}
