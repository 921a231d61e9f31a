//! The mix: which demands are typical, and how much of each to expect.
//!
//! It is a function of the pods in the state and of a prior, so that a restart changes nothing, and nobody can steer it
//! by flooding: no namespace with more than [`FREE_PODS`] weighs more than all others together. Weights are coarse, so
//! that it changes rarely: rounding can make a share up to twice what it was.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::fleet::{AcceleratorUnit, Fleet};
use crate::cluster::{ShapeCounts, Tally};
use crate::model::accelerator::Unit;
use crate::model::pod::Demand;
use crate::model::resources::ResourceName;
use crate::model::shape::Shape;
use crate::model::taint::{Comparison, Toleration};

/// Most shapes in a mix: those with the largest share of the demanded devices are kept.
pub const MAX_SHAPES: usize = 1024;

/// Most different conditions on nodes in a mix.
pub const MAX_CONDITIONS: usize = 64;

/// How many pods a namespace may have before its weight is compared with that of the others.
const FREE_PODS: u64 = 1024;

/// Weights are counted in parts of pods, so that those of large namespaces can be scaled down.
const PARTS: u64 = 1 << 16;

/// A typical demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MixEntry {
    /// What the pods ask for.
    pub shape: Arc<Shape>,
    /// How many there are to expect, relative to the others.
    pub weight: u64,
    /// The position of its conditions among those of the mix.
    pub(super) conditions: usize,
}

/// Typical demands, those that ask for the largest share of devices first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mix {
    /// Its entries.
    pub entries: Vec<MixEntry>,
    /// The different conditions that they have.
    pub(super) conditions: Vec<Demand>,
}

/// What a fleet leads to expect before any pod was seen, by its accelerators.
#[derive(Debug, Clone, Default)]
pub struct Prior(Vec<(Arc<Shape>, u64)>);

/// What an operator expects, by resource: how many units pods ask for, and how many such pods. Of a resource that is not in here
/// the built-in figures hold.
pub type Expected = BTreeMap<ResourceName, Vec<(i64, u32)>>;

impl Prior {
    /// What to expect of a fleet.
    pub fn of(fleet: &Fleet, expected: &Expected) -> Self {
        let of_resource = |(resource, unit): (&ResourceName, &AcceleratorUnit)| {
            let halves: Vec<(i64, u64)> = match expected.get(resource) {
                Some(said) => said.iter().map(|(units, pods)| (*units, 2 * u64::from(*pods))).collect(),
                None => prior(&unit.unit).to_vec(),
            };
            let weighted =
                |(units, halves): (i64, u64)| (Arc::new(prior_shape(resource, unit, units)), halves * PARTS / 2);
            halves.into_iter().map(weighted).collect::<Vec<_>>()
        };
        Self(fleet.units.iter().flat_map(of_resource).collect())
    }
}

impl Mix {
    /// The mix of the pods counted by `tally`, beside what their fleet leads to expect.
    pub fn of(tally: &Tally, fleet: &Fleet, prior: &Prior) -> Self {
        let pods = |counts: &ShapeCounts| counts.values().map(|count| u64::from(*count)).sum::<u64>();
        let all: u64 = tally.namespaces().map(|(_, counts)| pods(counts)).sum();
        let mut weights = prior.0.clone();
        for (_, counts) in tally.namespaces() {
            let own = pods(counts);
            let cap = own.min((all - own).max(FREE_PODS));
            let weighted =
                |(shape, count): (&Arc<Shape>, &u32)| (Arc::clone(shape), u64::from(*count) * PARTS * cap / own);
            weights.extend(counts.iter().map(weighted));
        }
        weights.sort_by(|(a, _), (b, _)| a.cmp(b));
        weights.dedup_by(|(shape, weight), (kept, sum)| {
            let same = shape == kept;
            if same {
                *sum += *weight;
            }
            same
        });
        let milli = |shape: &Shape| {
            let unit = fleet.units.get(&shape.accelerator).map_or(0, |unit| unit.milli);
            i128::from(unit) * i128::from(shape.units)
        };
        let mut entries: Vec<(i128, MixEntry)> = weights
            .into_iter()
            .map(|(shape, weight)| MixEntry { shape, weight: coarse(weight), conditions: 0 })
            .filter(|entry| entry.weight > 0)
            .map(|entry| (i128::from(entry.weight) * milli(&entry.shape), entry))
            .collect();
        // Stable: equals stay in the order of their shapes.
        entries.sort_by_key(|(milli, _)| Reverse(*milli));
        entries.truncate(MAX_SHAPES);
        Self::with_conditions(entries.into_iter().map(|(_, entry)| entry).collect())
    }

    /// Numbers the conditions. Of entries with more different ones than can be told apart, the last are left out.
    fn with_conditions(mut entries: Vec<MixEntry>) -> Self {
        let mut numbers: BTreeMap<Demand, usize> = BTreeMap::new();
        entries.retain_mut(|entry| {
            let next = numbers.len();
            match numbers.get(&entry.shape.conditions) {
                Some(number) => entry.conditions = *number,
                None if next < MAX_CONDITIONS => {
                    numbers.insert(entry.shape.conditions.clone(), next);
                    entry.conditions = next;
                }
                None => return false,
            }
            true
        });
        let mut numbered: Vec<(usize, Demand)> = numbers.into_iter().map(|(demand, number)| (number, demand)).collect();
        numbered.sort_unstable_by_key(|(number, _)| *number);
        Self { entries, conditions: numbered.into_iter().map(|(_, conditions)| conditions).collect() }
    }
}

/// Rounds down to a power of two.
fn coarse(weight: u64) -> u64 {
    let low_bits = (u64::BITS - weight.leading_zeros()).saturating_sub(1);
    weight >> low_bits << low_bits
}

/// What to expect before any pod was seen: units, with their weights in halves of pods, sixteen pods in all.
fn prior(unit: &Unit) -> &'static [(i64, u64)] {
    match unit {
        Unit::Device => &[(1, 16), (2, 8), (4, 4), (8, 3), (16, 1)],
        Unit::Thousandth => &[(250, 4), (500, 8), (1000, 16), (2000, 2), (4000, 1), (8000, 1)],
        Unit::Core => &[(2, 16), (8, 8), (32, 4), (128, 4)],
        Unit::Slice(_) | Unit::Replica { .. } => &[(1, 32)],
    }
}

/// A pod of the prior: three CPUs and twelve GiB for each device that it asks for, which the smallest nodes have. It
/// tolerates everything: nodes with accelerators are often tainted to keep other pods away, and those that ask for
/// accelerators then tolerate that.
fn prior_shape(resource: &ResourceName, unit: &AcceleratorUnit, units: i64) -> Shape {
    let milli = units * unit.milli;
    let everything = Toleration { key: None, comparison: Comparison::Exists, effect: None };
    Shape {
        accelerator: resource.clone(),
        units,
        cpu_milli: 3 * milli,
        memory: (12 << 30) / 1000 * milli,
        conditions: Demand { tolerations: vec![everything], ..Demand::default() },
    }
}

#[cfg(test)]
#[path = "mix_tests.rs"]
mod tests;
