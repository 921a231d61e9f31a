//! A reference policy at work: scores are kept for every kind of pod, and only nodes that changed are looked at again.

use super::occupancy::{Occupancy, Seat};
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
    /// Every node that changed, in order.
    changed: Vec<usize>,
    /// Who sits where, by arrival.
    seats: Vec<Option<Seat>>,
}

/// The scores for one kind of pod.
#[derive(Default)]
struct Board {
    /// By node; none where the pod does not fit. Empty until the first pod of this kind comes.
    scores: Vec<Option<i64>>,
    /// How much of what changed is taken in.
    seen: usize,
}

impl<'w> FlatPlacer<'w> {
    /// An empty cluster.
    pub fn new(world: &'w World, scorer: Box<dyn Scorer>, ties: TieBreak) -> Self {
        Self {
            occupancy: Occupancy::idle(world),
            ties: if scorer.is_random() { TieBreak::Random } else { ties },
            scorer,
            typical: TypicalPods::of(world),
            boards: world.kinds.iter().map(|_| Board::default()).collect(),
            changed: vec![],
            seats: vec![],
        }
    }

    fn refresh(&mut self, kind: usize) {
        let (occupancy, scorer) = (&self.occupancy, &self.scorer);
        let score = |node: usize| {
            let place = occupancy.place(kind, node);
            place.fits().then(|| scorer.score(&place))
        };
        let board = &mut self.boards[kind];
        let nodes = occupancy.nodes().len();
        let news = &self.changed[board.seen..];
        if board.scores.is_empty() || news.len() >= nodes {
            board.scores = (0..nodes).map(score).collect();
        } else {
            let mut news = news.to_vec();
            news.sort_unstable();
            news.dedup();
            for node in news {
                board.scores[node] = score(node);
            }
        }
        board.seen = self.changed.len();
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
        self.changed.push(node);
        self.seats.resize(self.seats.len().max(arrival.id + 1), None);
        self.seats[arrival.id] = Some(seat);
        Some(node)
    }

    fn remove(&mut self, arrival: Arrival) {
        if let Some(seat) = self.seats.get_mut(arrival.id).and_then(Option::take) {
            self.occupancy.give_back(&seat);
            self.changed.push(seat.node);
        }
    }

    fn fragmentation(&self) -> Option<f64> {
        Some(self.typical.fragmentation(self.occupancy.nodes()))
    }
}
