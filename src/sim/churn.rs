//! Churn: pods drawn from the workload come at random moments and stay for random times; who does not fit is lost.
//!
//! Arrivals are a Poisson process, durations are exponential with mean 1, which is the unit of time. The offered load is
//! what would be allocated in the mean if nobody were lost, as a share of what there is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::books::Books;
use super::gangs::Party;
use super::placer::Placer;
use super::result::{Outcome, POINTS, key};
use super::rng::Rng;
use super::world::World;

/// How much comes, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Churn {
    /// The offered load.
    pub load: f64,
    /// When it ends, in mean durations.
    pub horizon: f64,
    /// From when on it counts.
    pub warmup: f64,
}

/// Time in whole parts, so that moments have one order on every machine.
type Ticks = u64;
const TICKS: f64 = 1e9;

impl Churn {
    /// How many arrivals to expect.
    pub fn arrivals(&self, world: &World) -> f64 {
        self.rate(world) * self.horizon
    }

    /// Arrivals in a unit of time.
    fn rate(&self, world: &World) -> f64 {
        let asked: f64 = (0..world.units.len()).map(|unit| world.unit_milli(unit) as f64).sum();
        self.load * world.gpu_milli as f64 * world.units.len() as f64 / asked
    }

    /// Runs it.
    pub fn run(&self, world: &World, placer: &mut dyn Placer, seed: u64) -> Outcome {
        let mut rng = Rng::new(seed);
        let mut ties = rng.branch();
        let rate = self.rate(world);
        let (end, warm) = (ticks(self.horizon), ticks(self.warmup));
        let mut books = Books::new(world);
        let mut clock = Clock {
            now: 0,
            warm,
            area: 0.0,
            in_vain: 0.0,
            peak: 0.0,
            series: vec![],
            step: (end / POINTS as u64).max(1),
        };
        let mut leaving: BinaryHeap<Reverse<(Ticks, usize)>> = BinaryHeap::new();
        let mut staying: BTreeMap<usize, Party> = BTreeMap::new();
        let (mut next, mut id, mut struck) = (ticks(rng.exponential() / rate), 0, false);
        while next < end {
            while let Some(Reverse((at, id))) = leaving.peek().copied().filter(|Reverse((at, _))| *at <= next) {
                leaving.pop();
                clock.advance(at, &books, placer);
                let Some(party) = staying.remove(&id) else { continue };
                party.placed().for_each(|(arrival, _)| placer.remove(arrival));
                books.party_left(&party);
            }
            clock.advance(next, &books, placer);
            if next >= warm && !struck {
                struck = true;
                books.strike();
            }
            let mut party = Party::new(world, rng.below(world.units.len()), id);
            id += party.members.len();
            // Drawn for those who are lost, too: the policies see the same arrivals.
            let stays = ticks(rng.exponential());
            // A gang of which only a part has places holds these for as long.
            let placed = party.place(placer, &mut ties);
            books.party_arrived(&party);
            if !placed.is_empty() {
                leaving.push(Reverse((next + stays, party.id())));
                staying.insert(party.id(), party);
            }
            next += ticks(rng.exponential() / rate).max(1);
        }
        clock.advance(end, &books, placer);
        let mean = clock.area / end.saturating_sub(warm).max(1) as f64;
        let mut measures = books.measures(vec![("mean".into(), mean)], placer.fragmentation());
        measures.values.push((key::PEAK, clock.peak));
        let in_vain = clock.in_vain / end.saturating_sub(warm).max(1) as f64;
        measures.values.extend(books.held_in_vain_percent().map(|_| (key::HELD_IN_VAIN, in_vain)));
        Outcome { seed, measures, series: clock.series }
    }
}

fn ticks(time: f64) -> Ticks {
    (time * TICKS) as Ticks
}

/// Keeps the mean over time and the course.
struct Clock {
    now: Ticks,
    warm: Ticks,
    area: f64,
    /// The same of what is held in vain.
    in_vain: f64,
    peak: f64,
    series: Vec<super::result::Point>,
    step: Ticks,
}

impl Clock {
    /// Until `to` all stays as it is.
    fn advance(&mut self, to: Ticks, books: &Books<'_>, placer: &dyn Placer) {
        let allocated = books.allocated_percent();
        let counted = to.saturating_sub(self.now.max(self.warm));
        self.area += allocated * counted as f64;
        self.in_vain += books.held_in_vain_percent().unwrap_or(0.0) * counted as f64;
        if counted > 0 {
            self.peak = self.peak.max(allocated);
        }
        while self.series.len() < POINTS && to >= self.step * (self.series.len() as u64 + 1) {
            let at = (self.step * (self.series.len() as u64 + 1)) as f64 / TICKS;
            self.series.push(books.point(at, placer, 0));
        }
        self.now = to;
    }
}

#[cfg(test)]
#[path = "churn_tests.rs"]
mod tests;
