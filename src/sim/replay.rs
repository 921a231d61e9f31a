//! Replay: pods come when their time stamps say, stay as long as they stayed, and wait when they fit nowhere.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use thiserror::Error;

use super::books::Books;
use super::gangs::Party;
use super::placer::Placer;
use super::result::{Outcome, POINTS, Point, key, percent};
use super::rng::Rng;
use super::world::World;

/// A pod whose time is not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Pod {pod} has no {what}, and replay goes by it; use --mode inflation or churn for pods without time stamps")]
pub struct NoTime {
    /// The pod.
    pub pod: String,
    /// What is missing.
    pub what: &'static str,
}

/// When which unit comes, and how long it stays. In the order in which they come; without an end one stays for ever. A gang
/// comes with the last of its pods, and stays until the last of them went.
#[derive(Debug, Clone)]
pub struct Schedule(Vec<(u64, usize, Option<u64>)>);

/// A unit that waits: since when, and for how long a run.
struct Waiting {
    party: Party,
    since: u64,
    stays: Option<u64>,
}

impl Schedule {
    /// Takes the times of the workload.
    ///
    /// # Errors
    /// When a pod has none.
    pub fn of(world: &World) -> Result<Self, NoTime> {
        let times = world.units.iter().enumerate().map(|(at, unit)| {
            let pods = || unit.pods.iter().map(|pod| &world.pods[*pod]);
            let created = pods().map(|arriving| {
                let pod = || arriving.pod.key.to_string();
                arriving.created.ok_or_else(|| NoTime { pod: pod(), what: "creation time" })
            });
            let created = created.collect::<Result<Vec<u64>, NoTime>>()?.into_iter().max().unwrap_or(0);
            let deleted = pods().map(|arriving| arriving.deleted).collect::<Option<Vec<u64>>>();
            let deleted = deleted.and_then(|deleted| deleted.into_iter().max());
            Ok((created, at, deleted.map(|deleted| deleted.saturating_sub(created))))
        });
        let mut times = times.collect::<Result<Vec<_>, NoTime>>()?;
        times.sort_by_key(|(created, at, _)| (*created, *at));
        Ok(Self(times))
    }
}

/// One run.
struct Run<'w, 'p> {
    world: &'w World,
    placer: &'p mut dyn Placer,
    ties: Rng,
    books: Books<'w>,
    now: u64,
    /// Until when who runs: end, number of the first pod.
    running: BinaryHeap<Reverse<(u64, usize)>>,
    /// Those who run, by the number of their first pod.
    parties: BTreeMap<usize, Party>,
    /// Who waits, in the order of arrival.
    waiting: VecDeque<Waiting>,
    /// How long those pods waited that had to.
    waits: Vec<u64>,
    area: f64,
    /// The same of what is held in vain.
    in_vain: f64,
    peak: f64,
    first: u64,
    step: u64,
    series: Vec<Point>,
}

/// Runs it.
pub fn run(world: &World, schedule: &Schedule, placer: &mut dyn Placer, seed: u64) -> Outcome {
    let Schedule(schedule) = schedule;
    let first = schedule.first().map_or(0, |(created, ..)| *created);
    let ends = schedule.iter().map(|(created, _, stays)| created + stays.unwrap_or(0));
    let last = ends.max().unwrap_or(first);
    let mut run = Run {
        world,
        placer,
        ties: Rng::new(seed).branch(),
        books: Books::new(world),
        now: first,
        running: BinaryHeap::new(),
        parties: BTreeMap::new(),
        waiting: VecDeque::new(),
        waits: vec![],
        area: 0.0,
        in_vain: 0.0,
        peak: 0.0,
        first,
        step: ((last - first) / POINTS as u64).max(1),
        series: vec![],
    };
    let mut id = 0;
    for (created, unit, stays) in schedule {
        run.until(*created);
        let mut party = Party::new(world, *unit, id);
        id += party.members.len();
        party.place(run.placer, &mut run.ties);
        run.books.party_arrived(&party);
        match party.is_whole() {
            true => run.starts(party, *stays),
            false => run.waiting.push_back(Waiting { party, since: *created, stays: *stays }),
        }
    }
    run.until(last);
    let span = (last - first).max(1) as f64;
    let mean = if last > first { run.area / span } else { run.books.allocated_percent() };
    let in_vain = run.books.held_in_vain_percent().map(|now| if last > first { run.in_vain / span } else { now });
    let fragmentation = run.placer.fragmentation();
    // Those who wait on find a place when others go, after the last arrival and its end.
    run.until(u64::MAX);
    run.outcome(seed, mean, in_vain, fragmentation)
}

impl Run<'_, '_> {
    /// Lets time pass, with all who go until then.
    fn until(&mut self, to: u64) {
        while let Some(Reverse((end, ..))) = self.running.peek().copied().filter(|Reverse((end, ..))| *end <= to) {
            self.pass(end);
            while let Some(Reverse((_, id))) = self.running.peek().copied().filter(|Reverse((at, _))| *at == end) {
                self.running.pop();
                let Some(party) = self.parties.remove(&id) else { continue };
                party.placed().for_each(|(arrival, _)| self.placer.remove(arrival));
                self.books.party_left(&party);
            }
            self.retry();
        }
        if to < u64::MAX {
            self.pass(to);
        }
    }

    fn pass(&mut self, to: u64) {
        let allocated = self.books.allocated_percent();
        self.area += allocated * (to - self.now) as f64;
        self.in_vain += self.books.held_in_vain_percent().unwrap_or(0.0) * (to - self.now) as f64;
        if to > self.now {
            self.peak = self.peak.max(allocated);
        }
        while self.series.len() < POINTS && to - self.first >= self.step * (self.series.len() as u64 + 1) {
            let at = (self.step * (self.series.len() as u64 + 1)) as f64;
            self.series.push(self.books.point(at, &*self.placer, self.waiting_pods()));
        }
        self.now = to;
    }

    /// How many pods wait. Those of a gang that have a node do not.
    fn waiting_pods(&self) -> usize {
        let without = |waiting: &Waiting| waiting.party.members.iter().filter(|(_, node)| node.is_none()).count();
        self.waiting.iter().map(without).sum()
    }

    /// Something is free again: those who wait try in their order. Who asks for the same as one who failed fails too.
    fn retry(&mut self) {
        let mut failed = BTreeSet::new();
        for _ in 0..self.waiting.len() {
            let Some(Waiting { mut party, since, stays }) = self.waiting.pop_front() else { break };
            // Two gangs that ask for the same pods may still ask for other places.
            let kind = (!party.is_gang()).then(|| self.world.kind_of[party.members[0].0.pod]);
            if kind.is_none_or(|kind| !failed.contains(&kind)) {
                let placed = party.place(self.placer, &mut self.ties);
                self.books.party_placed(&party, &placed);
                self.waits.extend(placed.iter().map(|_| self.now - since));
            }
            if party.is_whole() {
                self.starts(party, stays);
            } else {
                failed.extend(kind);
                self.waiting.push_back(Waiting { party, since, stays });
            }
        }
    }

    fn starts(&mut self, party: Party, stays: Option<u64>) {
        if let Some(stays) = stays {
            self.running.push(Reverse((self.now + stays, party.id())));
            self.parties.insert(party.id(), party);
        }
    }

    fn outcome(self, seed: u64, mean: f64, in_vain: Option<f64>, fragmentation: Option<f64>) -> Outcome {
        let pods = self.world.pods.len() as f64;
        let never = self.waiting_pods();
        let waited = self.waits.len() + never;
        let total: u64 = self.waits.iter().sum();
        let mut measures = self.books.measures(vec![("mean".into(), mean)], fragmentation);
        measures.values.extend([
            (key::PEAK, self.peak),
            (key::WAITED, percent(waited as f64, pods)),
            (key::MEAN_WAIT, total as f64 / self.waits.len().max(1) as f64),
            (key::LONGEST_WAIT, self.waits.iter().max().copied().unwrap_or(0) as f64),
            (key::NEVER_PLACED, percent(never as f64, pods)),
        ]);
        measures.values.extend(in_vain.map(|in_vain| (key::HELD_IN_VAIN, in_vain)));
        Outcome { seed, measures, series: self.series }
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
