//! Who came, who was placed and what that takes: kept beside a policy, the same for all.

use std::collections::BTreeMap;

use super::gangs::Party;
use super::placer::{Arrival, Placer};
use super::result::{Measures, Point, SET_SIZES, key, percent};
use super::world::{Kind, World};

/// Accounts of one run. Counts can be struck, to leave out a warm-up.
#[derive(Debug)]
pub struct Books<'w> {
    world: &'w World,
    /// Thousandths of accelerators held on each node.
    held: Vec<i64>,
    /// Of all nodes together.
    allocated: i64,
    /// GPUs of each node that nobody holds; none where shares are asked for, as their GPUs are the policy's choice.
    free_gpus: Option<Vec<usize>>,
    /// Thousandths of accelerators that gangs hold which are not whole.
    held_in_vain: i64,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    pods: usize,
    placed: usize,
    gpu_asked: i64,
    gpu_given: i64,
    /// Asked for by pods that were refused though in total enough was free for them.
    fragmented: i64,
    gangs: usize,
    whole_gangs: usize,
    half_gangs: usize,
}

impl<'w> Books<'w> {
    /// Nobody has come yet.
    pub fn new(world: &'w World) -> Self {
        let shares = world.kinds.iter().any(|kind| kind.gpu.is_share());
        let free_gpus = (!shares).then(|| world.machines.iter().map(|machine| machine.gpus).collect());
        let held = vec![0; world.machines.len()];
        Self { world, held, allocated: 0, free_gpus, held_in_vain: 0, counts: Counts::default() }
    }

    /// A unit arrived, and its pods were placed or not.
    pub fn party_arrived(&mut self, party: &Party) {
        for (arrival, node) in &party.members {
            self.arrived(*arrival, *node);
        }
        if party.is_gang() {
            let held_in_vain = party.held_in_vain(self.world);
            self.counts.gangs += 1;
            self.counts.whole_gangs += usize::from(party.is_whole());
            self.counts.half_gangs += usize::from(held_in_vain > 0);
            self.held_in_vain += held_in_vain;
        }
    }

    /// More pods of a unit that had arrived before were placed: these.
    pub fn party_placed(&mut self, party: &Party, placed: &[(Arrival, usize)]) {
        for (arrival, node) in placed {
            self.placed(*arrival, *node);
        }
        if party.is_gang() && !placed.is_empty() {
            let now: i64 = placed.iter().map(|(arrival, _)| self.world.kind(arrival.pod).gpu_milli).sum();
            let all: i64 = party.placed().map(|(arrival, _)| self.world.kind(arrival.pod).gpu_milli).sum();
            let before = all - now;
            self.counts.whole_gangs += usize::from(party.is_whole());
            self.counts.half_gangs += usize::from(!party.is_whole() && before == 0);
            self.held_in_vain += party.held_in_vain(self.world) - before;
        }
    }

    /// A unit has gone, with all of its pods that had nodes.
    pub fn party_left(&mut self, party: &Party) {
        for (arrival, node) in party.placed() {
            self.left(arrival, node);
        }
        if party.is_gang() {
            self.held_in_vain -= party.held_in_vain(self.world);
        }
    }

    /// How much of the accelerators is held by gangs that are not whole; none where there are no gangs.
    pub fn held_in_vain_percent(&self) -> Option<f64> {
        (self.world.gangs > 0).then(|| self.share(self.held_in_vain as f64))
    }

    /// A pod arrived, and was placed or not.
    pub fn arrived(&mut self, arrival: Arrival, node: Option<usize>) {
        let kind = self.world.kind(arrival.pod);
        let enough_in_total = node.is_none() && kind.gpu_milli > 0 && self.free_to(kind) >= kind.gpu_milli;
        let counts = &mut self.counts;
        counts.pods += 1;
        counts.gpu_asked += kind.gpu_milli;
        counts.fragmented += if enough_in_total { kind.gpu_milli } else { 0 };
        if let Some(node) = node {
            self.placed(arrival, node);
        }
    }

    /// A pod that had arrived before was placed.
    pub fn placed(&mut self, arrival: Arrival, node: usize) {
        let kind = self.world.kind(arrival.pod);
        let asked = kind.gpu_milli;
        self.counts.placed += 1;
        self.counts.gpu_given += asked;
        self.held[node] += asked;
        self.allocated += asked;
        if let Some(free) = &mut self.free_gpus {
            free[node] -= kind.gpu_on(&self.world.machines[node]).count;
        }
    }

    /// A pod has gone from its node.
    pub fn left(&mut self, arrival: Arrival, node: usize) {
        let kind = self.world.kind(arrival.pod);
        self.held[node] -= kind.gpu_milli;
        self.allocated -= kind.gpu_milli;
        if let Some(free) = &mut self.free_gpus {
            free[node] += kind.gpu_on(&self.world.machines[node]).count;
        }
    }

    /// What was counted so far does not count; what is held stays.
    pub fn strike(&mut self) {
        self.counts = Counts::default();
    }

    /// How much of the accelerators is allocated.
    pub fn allocated_percent(&self) -> f64 {
        percent(self.allocated as f64, self.world.gpu_milli as f64)
    }

    /// How much of the accelerators has been asked for, in thousandths.
    pub fn asked(&self) -> i64 {
        self.counts.gpu_asked
    }

    /// What counting gives.
    pub fn values(&self) -> Vec<(&'static str, f64)> {
        let counts = &self.counts;
        let mut values = vec![
            (key::ACCEPTED, percent(counts.placed as f64, counts.pods as f64)),
            (key::ACCEPTED_GPU, percent(counts.gpu_given as f64, counts.gpu_asked as f64)),
            (key::REJECTED_BY_FRAGMENTATION, self.rejected_percent()),
        ];
        if self.world.gangs > 0 {
            let of_gangs = |gangs: usize| percent(gangs as f64, counts.gangs as f64);
            values.push((key::GANGS_WHOLE, of_gangs(counts.whole_gangs)));
            values.push((key::GANGS_HALF, of_gangs(counts.half_gangs)));
        }
        values
    }

    /// The same, with what was allocated.
    pub fn measures(&self, allocated_percent: Vec<(String, f64)>, fragmentation: Option<f64>) -> Measures {
        let fragmentation = fragmentation.map(|milli| (key::FRAGMENTATION, self.share(milli)));
        let values = self.values().into_iter().chain(fragmentation).collect();
        Measures { allocated_percent, values, ..Measures::default() }
    }

    /// This moment.
    pub fn point(&self, at: f64, placer: &dyn Placer, waiting: usize) -> Point {
        Point {
            at,
            allocated_percent: self.allocated_percent(),
            fragmentation_percent: placer.fragmentation().map(|milli| self.share(milli)),
            rejected_by_fragmentation_percent: self.rejected_percent(),
            waiting,
            free_sets: self.free_sets(placer),
            held_by_half_gangs_percent: self.held_in_vain_percent(),
            ..Point::default()
        }
    }

    /// How many sets of wholly free GPUs there are, by their size.
    fn free_sets(&self, placer: &dyn Placer) -> BTreeMap<usize, usize> {
        let Some(free) = placer.free_gpus().or_else(|| self.free_gpus.clone()) else { return BTreeMap::new() };
        let largest = self.world.machines.iter().map(|machine| machine.gpus).max().unwrap_or(0);
        let sizes = SET_SIZES.into_iter().filter(|size| *size <= largest);
        sizes.map(|size| (size, free.iter().map(|gpus| gpus / size).sum())).collect()
    }

    fn rejected_percent(&self) -> f64 {
        percent(self.counts.fragmented as f64, self.counts.gpu_asked as f64)
    }

    fn share(&self, milli: f64) -> f64 {
        percent(milli, self.world.gpu_milli as f64)
    }

    /// What is free in total on the nodes that let such pods in.
    fn free_to(&self, kind: &Kind) -> i64 {
        let nodes = self.world.machines.iter().zip(&self.held).zip(kind.admitted.iter());
        nodes.filter(|(_, admitted)| **admitted).map(|((machine, held), _)| machine.gpu_milli - held).sum()
    }
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
