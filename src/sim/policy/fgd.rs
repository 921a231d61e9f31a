//! FGD (`fgd_score.go`, `frag.go`): place where the share of free GPU grows least that the typical next pod could not use.
//!
//! Frequencies stay whole numbers of pods here, so that a place that changes nothing is told from one that gains or
//! loses a little.

use std::collections::BTreeMap;

use testudo_core::model::selector::NodeAffinity;

use super::super::occupancy::{Free, Place};
use super::super::world::{GpuAsk, World};
use super::Scorer;

/// See the module.
pub struct Fgd {
    typical: TypicalPods,
}

impl Fgd {
    /// Takes the typical pods from the workload.
    pub fn new(world: &World) -> Self {
        Self { typical: TypicalPods::of(world) }
    }

    /// The score of a place once the pod took `gpus`.
    fn with(&self, place: &Place<'_>, before: i64, gpus: &[usize]) -> i64 {
        let mut left = place.free.gpus.clone();
        for at in gpus {
            left[*at] -= place.gpu().milli;
        }
        let after = self.typical.wasted(place.node, place.free.cpu - place.kind.cpu, &left);
        let gain = (before - after) as f64 / self.typical.weight as f64 / 1000.0;
        (100.0 / (1.0 + (-gain).exp())) as i64
    }

    /// The best score, and the GPUs that give it: the first of equals.
    fn best(&self, place: &Place<'_>) -> (i64, Vec<usize>) {
        let before = self.typical.wasted(place.node, place.free.cpu, &place.free.gpus);
        let gpu = place.gpu();
        if !gpu.is_share() {
            let gpus = place.tightest_gpus();
            return (self.with(place, before, &gpus), gpus);
        }
        let free = &place.free.gpus;
        let mut best: Option<(i64, Vec<usize>)> = None;
        for at in 0..free.len() {
            // GPUs with as much left are as good.
            if free[at] < gpu.milli || free[..at].contains(&free[at]) {
                continue;
            }
            let score = self.with(place, before, &[at]);
            if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                best = Some((score, vec![at]));
            }
        }
        best.unwrap_or_default()
    }
}

impl Scorer for Fgd {
    fn score(&self, place: &Place<'_>) -> i64 {
        self.best(place).0
    }

    fn gpus(&self, place: &Place<'_>, _: &mut super::Rng) -> Vec<usize> {
        self.best(place).1
    }
}

/// The most popular requests of a workload that together make up 95 % of its pods.
#[derive(Debug)]
pub struct TypicalPods {
    /// How many pods they stand for.
    weight: i64,
    /// Which of [`Self::classes`] each node belongs to.
    class_of: Vec<usize>,
    /// What the pods ask for that a node lets in, for each sort of node that lets in the same ones.
    classes: Vec<Class>,
}

/// Typical pods as nodes of one sort see them.
#[derive(Debug)]
struct Class {
    /// How many pods need no GPU or are not let in.
    useless: i64,
    /// Those that ask for the same of a GPU.
    alike: Vec<(GpuAsk, Ladder)>,
}

/// How many pods ask for at most so much CPU: the amounts ascend, the numbers are running totals.
#[derive(Debug, Default)]
struct Ladder(Vec<(i64, i64)>);

impl Ladder {
    fn of(mut amounts: Vec<(i64, i64)>) -> Self {
        amounts.sort_unstable();
        let mut total = 0;
        for (_, pods) in &mut amounts {
            total += *pods;
            *pods = total;
        }
        Self(amounts)
    }

    /// Those that ask for at most `cpu`, and all.
    fn up_to(&self, cpu: i64) -> (i64, i64) {
        let above = self.0.partition_point(|(asks, _)| *asks <= cpu);
        let total = |rungs: usize| rungs.checked_sub(1).map_or(0, |last| self.0[last].1);
        (total(above), total(self.0.len()))
    }
}

/// The popularity that typical pods reach together.
const POPULARITY_PERCENT: usize = 95;

/// What a typical pod asks for; memory is left out, as published.
type Spec<'a> = (i64, GpuAsk, &'a NodeAffinity);

impl TypicalPods {
    /// The typical pods of a workload.
    pub fn of(world: &World) -> Self {
        Self::covering(world, POPULARITY_PERCENT)
    }

    /// The most popular requests that make up so many percent of the pods.
    pub(super) fn covering(world: &World, percent: usize) -> Self {
        let mut specs: BTreeMap<Spec<'_>, (usize, usize)> = BTreeMap::new();
        for (number, kind) in world.kinds.iter().enumerate() {
            specs.entry((kind.cpu, kind.gpu, &kind.demand.affinity)).or_insert((0, number)).0 += kind.pods;
        }
        let mut by_popularity: Vec<(usize, Spec<'_>, usize)> =
            specs.into_iter().map(|(spec, (pods, kind))| (pods, spec, kind)).collect();
        by_popularity.sort_by(|a, b| b.cmp(a));
        let all: usize = by_popularity.iter().map(|(pods, ..)| pods).sum();
        let mut weight = 0;
        let mut chosen: Vec<(i64, usize)> = vec![];
        for (pods, _, kind) in by_popularity {
            if weight * 100 >= all * percent {
                break;
            }
            weight += pods;
            chosen.push((pods as i64, kind));
        }
        let mut signatures: BTreeMap<Vec<bool>, usize> = BTreeMap::new();
        let mut classes = vec![];
        let class_of = (0..world.machines.len())
            .map(|node| {
                let lets_in = |kind: usize| {
                    let (kind, machine) = (&world.kinds[kind], &world.machines[node]);
                    kind.gpu_as.is_some() && kind.gpu_as == machine.gpus_as && kind.admitted[node]
                };
                let signature: Vec<bool> = chosen.iter().map(|(_, kind)| lets_in(*kind)).collect();
                *signatures.entry(signature).or_insert_with_key(|signature| {
                    classes.push(Class::of(world, &chosen, signature));
                    classes.len() - 1
                })
            })
            .collect();
        Self { weight: weight as i64, class_of, classes }
    }

    /// How many thousandths of the GPUs a typical pod cannot use on this node, times [`Self::weight`].
    fn wasted(&self, node: usize, cpu: i64, gpus: &[i64]) -> i64 {
        let class = &self.classes[self.class_of[node]];
        let all: i64 = gpus.iter().sum();
        let mut wasted = class.useless * all;
        for (ask, pods) in &class.alike {
            let (fitting, total) = pods.up_to(cpu);
            let mut enough = 0;
            let mut crumbs = 0;
            for free in gpus {
                if *free >= ask.milli {
                    enough += 1;
                } else {
                    crumbs += free;
                }
            }
            let usable = if enough >= ask.count { fitting } else { 0 };
            wasted += usable * crumbs + (total - usable) * all;
        }
        wasted
    }

    /// How much of the free GPUs a typical pod cannot use, in thousandths of a GPU.
    pub fn fragmentation(&self, nodes: &[Free]) -> f64 {
        let wasted: i64 = nodes.iter().enumerate().map(|(node, free)| self.wasted(node, free.cpu, &free.gpus)).sum();
        wasted as f64 / self.weight as f64
    }
}

impl Class {
    fn of(world: &World, chosen: &[(i64, usize)], let_in: &[bool]) -> Self {
        let mut useless = 0;
        let mut alike: BTreeMap<GpuAsk, Vec<(i64, i64)>> = BTreeMap::new();
        for ((pods, kind), let_in) in chosen.iter().zip(let_in) {
            let kind = &world.kinds[*kind];
            if *let_in {
                alike.entry(kind.gpu).or_default().push((kind.cpu, *pods));
            } else {
                useless += pods;
            }
        }
        Self { useless, alike: alike.into_iter().map(|(ask, amounts)| (ask, Ladder::of(amounts))).collect() }
    }
}
