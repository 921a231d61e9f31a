//! The mix: which demands are typical, and how much of each to expect.
//!
//! It is a function of the pods in the state and of a prior, so that a restart changes nothing, and nobody can steer it
//! by flooding: no namespace weighs more than all others together. Weights are coarse, so that it changes rarely.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::classes::AcceleratorUnit;
use crate::cluster::Tally;
use crate::model::accelerator::Unit;
use crate::model::pod::Demand;
use crate::model::resources::ResourceName;
use crate::model::shape::Shape;

/// Most shapes in a mix: those with the largest share of the demanded devices are kept.
pub const MAX_SHAPES: usize = 64;

/// How many pods a namespace may have before its weight is compared with that of the others.
const FREE_PODS: u64 = 64;

/// Weights are counted in sixteenths of pods.
const PARTS: u64 = 16;

/// A typical demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MixEntry {
    /// What the pods ask for.
    pub shape: Arc<Shape>,
    /// How many there are to expect, relative to the others.
    pub weight: u64,
}

/// Typical demands, those that ask for the largest share of devices first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mix {
    /// Its entries.
    pub entries: Vec<MixEntry>,
}

impl Mix {
    /// The mix of the pods counted by `tally`, beside a prior for each accelerator that the fleet has.
    pub fn of(tally: &Tally, fleet: &BTreeMap<ResourceName, AcceleratorUnit>) -> Self {
        let mut weights: BTreeMap<Arc<Shape>, u64> = BTreeMap::new();
        for (resource, unit) in fleet {
            for (units, weight) in prior(&unit.unit) {
                weights.insert(Arc::new(prior_shape(resource, unit, units)), weight);
            }
        }
        let pods = |counts: &crate::cluster::ShapeCounts| counts.values().map(|count| u64::from(*count)).sum::<u64>();
        let all: u64 = tally.namespaces().map(|(_, counts)| pods(counts)).sum();
        for (_, counts) in tally.namespaces() {
            let own = pods(counts);
            let cap = own.min((all - own).max(FREE_PODS));
            for (shape, count) in counts {
                *weights.entry(Arc::clone(shape)).or_default() += u64::from(*count) * PARTS * cap / own;
            }
        }
        let mut entries: Vec<MixEntry> = weights
            .into_iter()
            .map(|(shape, weight)| MixEntry { shape, weight: coarse(weight) })
            .filter(|entry| entry.weight > 0)
            .collect();
        let devices = |entry: &MixEntry| {
            let unit = fleet.get(&entry.shape.accelerator).map_or(0, |unit| unit.milli);
            i128::from(entry.weight) * i128::from(entry.shape.units) * i128::from(unit)
        };
        entries.sort_by(|a, b| devices(b).cmp(&devices(a)).then_with(|| a.shape.cmp(&b.shape)));
        entries.truncate(MAX_SHAPES);
        Self { entries }
    }
}

/// Rounds down to a power of two or one and a half times that.
fn coarse(weight: u64) -> u64 {
    let low_bits = (u64::BITS - weight.leading_zeros()).saturating_sub(2);
    weight >> low_bits << low_bits
}

/// What to expect before any pod was seen: units with their weights, sixteen pods in all.
fn prior(unit: &Unit) -> Vec<(i64, u64)> {
    let parts = |sixteenths: &[(i64, u64)]| sixteenths.to_vec();
    match unit {
        Unit::Device => parts(&[(1, 128), (2, 64), (4, 32), (8, 32)]),
        Unit::Thousandth => parts(&[(250, 32), (500, 64), (1000, 128), (2000, 16), (4000, 8), (8000, 8)]),
        Unit::Core => parts(&[(2, 128), (8, 64), (32, 32), (128, 32)]),
        Unit::Slice(_) | Unit::Replica { .. } => parts(&[(1, 256)]),
    }
}

/// A pod of the prior: eight CPUs and 32 GiB for each device that it asks for.
fn prior_shape(resource: &ResourceName, unit: &AcceleratorUnit, units: i64) -> Shape {
    let milli = units * unit.milli;
    Shape {
        accelerator: resource.clone(),
        units,
        cpu_milli: 8 * milli,
        memory: (32 << 30) / 1000 * milli,
        conditions: Demand::default(),
    }
}
