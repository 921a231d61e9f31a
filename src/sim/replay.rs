//! Replay: pods come when their time stamps say, stay as long as they stayed, and wait when they fit nowhere.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use thiserror::Error;

use super::books::Books;
use super::placer::{Arrival, Placer};
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

/// When which pod comes, and how long it stays. In the order in which they come; without an end a pod stays for ever.
#[derive(Debug, Clone)]
pub struct Schedule(Vec<(u64, usize, Option<u64>)>);

impl Schedule {
    /// Takes the times of the workload.
    ///
    /// # Errors
    /// When a pod has none.
    pub fn of(world: &World) -> Result<Self, NoTime> {
        let times = world.pods.iter().enumerate().map(|(at, arriving)| {
            let pod = || arriving.pod.key.to_string();
            let created = arriving.created.ok_or_else(|| NoTime { pod: pod(), what: "creation time" })?;
            Ok((created, at, arriving.deleted.map(|deleted| deleted.saturating_sub(created))))
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
    /// Until when who runs: end, number of the arrival, pod, node.
    running: BinaryHeap<Reverse<(u64, usize, usize, usize)>>,
    /// Who waits, since when and for how long a run, in the order of arrival.
    waiting: VecDeque<(Arrival, u64, Option<u64>)>,
    waits: Vec<u64>,
    area: f64,
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
        waiting: VecDeque::new(),
        waits: vec![],
        area: 0.0,
        peak: 0.0,
        first,
        step: ((last - first) / POINTS as u64).max(1),
        series: vec![],
    };
    for (id, (created, pod, stays)) in schedule.iter().enumerate() {
        run.until(*created);
        let arrival = Arrival { id, pod: *pod };
        let node = run.placer.place(arrival, &mut run.ties);
        run.books.arrived(arrival, node);
        match node {
            Some(node) => run.starts(arrival, node, *stays),
            None => run.waiting.push_back((arrival, *created, *stays)),
        }
    }
    run.until(last);
    let mean = if last > first { run.area / (last - first) as f64 } else { run.books.allocated_percent() };
    let fragmentation = run.placer.fragmentation();
    // Those who wait on find a place when others go, after the last arrival and its end.
    run.until(u64::MAX);
    run.outcome(seed, mean, fragmentation)
}

impl Run<'_, '_> {
    /// Lets time pass, with all who go until then.
    fn until(&mut self, to: u64) {
        while let Some(Reverse((end, ..))) = self.running.peek().copied().filter(|Reverse((end, ..))| *end <= to) {
            self.pass(end);
            while let Some(Reverse((_, id, pod, node))) =
                self.running.peek().copied().filter(|Reverse((at, ..))| *at == end)
            {
                self.running.pop();
                let arrival = Arrival { id, pod };
                self.placer.remove(arrival);
                self.books.left(arrival, node);
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
        if to > self.now {
            self.peak = self.peak.max(allocated);
        }
        while self.series.len() < POINTS && to - self.first >= self.step * (self.series.len() as u64 + 1) {
            let at = (self.step * (self.series.len() as u64 + 1)) as f64;
            self.series.push(self.books.point(at, &*self.placer, self.waiting.len()));
        }
        self.now = to;
    }

    /// Something is free again: those who wait try in their order. Who asks for the same as one who failed fails too.
    fn retry(&mut self) {
        let mut failed = BTreeSet::new();
        for _ in 0..self.waiting.len() {
            let Some((arrival, since, stays)) = self.waiting.pop_front() else { break };
            let kind = self.world.kind_of[arrival.pod];
            let node = if failed.contains(&kind) { None } else { self.placer.place(arrival, &mut self.ties) };
            match node {
                Some(node) => {
                    self.books.placed(arrival, node);
                    self.waits.push(self.now - since);
                    self.starts(arrival, node, stays);
                }
                None => {
                    failed.insert(kind);
                    self.waiting.push_back((arrival, since, stays));
                }
            }
        }
    }

    fn starts(&mut self, arrival: Arrival, node: usize, stays: Option<u64>) {
        if let Some(stays) = stays {
            self.running.push(Reverse((self.now + stays, arrival.id, arrival.pod, node)));
        }
    }

    fn outcome(self, seed: u64, mean: f64, fragmentation: Option<f64>) -> Outcome {
        let pods = self.world.pods.len() as f64;
        let (waited, never) = (self.waits.len() + self.waiting.len(), self.waiting.len());
        let total: u64 = self.waits.iter().sum();
        let mut measures = self.books.measures(vec![("mean".into(), mean)], fragmentation);
        measures.values.extend([
            (key::PEAK, self.peak),
            (key::WAITED, percent(waited as f64, pods)),
            (key::MEAN_WAIT, total as f64 / self.waits.len().max(1) as f64),
            (key::LONGEST_WAIT, self.waits.iter().max().copied().unwrap_or(0) as f64),
            (key::NEVER_PLACED, percent(never as f64, pods)),
        ]);
        Outcome { seed, measures, series: self.series }
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
