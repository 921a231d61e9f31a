//! How much a fleet takes of a mix: the same short experiment for each rule.

use super::mix::SliceMix;
use super::shapes::SliceShapes;
use super::stream::{Arrival, RING, arrivals};
use crate::model::mig::{LayoutId, LayoutTable, Placement};

/// GPUs of the rehearsed fleet.
const FLEET: usize = 64;

/// Instances that are asked for.
const ARRIVALS: usize = 24_000;

/// Of these, those that are not counted, as the fleet starts empty.
const NOT_COUNTED: usize = 3_000;

/// Which layout follows when an instance goes that is not there: none.
const NONE: u16 = u16::MAX;

/// The arrivals of a mix at full load.
pub(super) struct Rehearsal<'a> {
    table: &'a LayoutTable,
    classes: &'a [usize],
    arrivals: Vec<Arrival>,
    sizes: Vec<u64>,
    placements: Vec<Placement>,
    /// By layout, then placement: the layout without it.
    without: Vec<u16>,
}

/// Where an arrival of a shape goes on a GPU, and what that costs.
#[derive(Clone, Copy)]
struct Move {
    cost: i64,
    placement: u16,
    to: u16,
}

/// What is not possible.
const NOWHERE: Move = Move { cost: i64::MAX, placement: 0, to: 0 };

impl<'a> Rehearsal<'a> {
    /// The rehearsal of a mix.
    pub fn new(shapes: &'a SliceShapes, mix: &SliceMix) -> Rehearsal<'a> {
        let table = shapes.reduced();
        let geometry = table.geometry();
        let sizes: Vec<u64> = geometry.profiles().map(|(_, profile)| u64::from(profile.size)).collect();
        let weights = mix.weights();
        let asked: u64 = weights.iter().zip(&sizes).map(|(&weight, size)| u64::from(weight) * size).sum();
        let whole: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let rate = FLEET as f64 * f64::from(geometry.memory_slices()) * whole as f64 / asked as f64;
        let placements: Vec<Placement> = geometry.placements().collect();
        let mut without = vec![NONE; table.len() * placements.len()];
        for id in table.ids() {
            for step in table.departures(id) {
                let at = number(&placements, step.placement);
                // A table's numbers are of 16 bits.
                without[id.index() * placements.len() + usize::from(at)] = step.to.index() as u16;
            }
        }
        let arrivals = arrivals(ARRIVALS, rate, weights);
        Rehearsal { table, classes: shapes.classes(), arrivals, sizes, placements, without }
    }

    /// The memory slices that the fleet takes when each instance goes where its GPU loses least of these values, which are
    /// by class.
    pub fn taken(&self, values: &[i32]) -> u64 {
        let moves = self.moves(values);
        let mut gpus = [0u16; FLEET];
        // What runs, by the tick in which it ends: lists through `next`, which end with themselves.
        let mut ends = vec![usize::MAX; RING];
        let mut next = vec![usize::MAX; self.arrivals.len()];
        let mut places = vec![(0usize, 0u16); self.arrivals.len()];
        let (mut now, mut taken) = (0u32, 0);
        for (at, arrival) in self.arrivals.iter().enumerate() {
            while now < arrival.tick {
                now += 1;
                let mut gone = std::mem::replace(&mut ends[now as usize % RING], usize::MAX);
                while gone != usize::MAX {
                    let (gpu, placement) = places[gone];
                    let from = usize::from(gpus[gpu]) * self.placements.len();
                    gpus[gpu] = self.without[from + usize::from(placement)];
                    gone = next[gone];
                }
            }
            let moves = &moves[arrival.shape];
            // The first among equals. A plain loop: most of a rehearsal is spent here.
            let (mut gpu, mut least) = (0, i64::MAX);
            for (at, &from) in gpus.iter().enumerate() {
                let cost = moves[usize::from(from)].cost;
                if cost < least {
                    (gpu, least) = (at, cost);
                }
            }
            if least == i64::MAX {
                continue;
            }
            let Move { placement, to, .. } = moves[usize::from(gpus[gpu])];
            gpus[gpu] = to;
            places[at] = (gpu, placement);
            let end = &mut ends[(now + arrival.stay) as usize % RING];
            next[at] = std::mem::replace(end, at);
            taken += if at < NOT_COUNTED { 0 } else { self.sizes[arrival.shape] };
        }
        taken
    }

    /// By shape, then layout: the best of its moves; among equally dear ones those on the fuller GPU, then the lowest start.
    fn moves(&self, values: &[i32]) -> Vec<Vec<Move>> {
        let value = |id: LayoutId| i64::from(values[self.classes[id.index()]]);
        let shapes = self.table.geometry().profiles();
        let best = |shape, from: LayoutId| {
            let steps = self.table.arrivals_of(from, shape).iter();
            let best = steps.min_by_key(|step| value(from) - value(step.to));
            best.map_or(NOWHERE, |step| Move {
                // A GPU has at most 16 slices.
                cost: (value(from) - value(step.to)) * 32 + i64::from(self.table.free(from)),
                placement: number(&self.placements, step.placement),
                to: step.to.index() as u16,
            })
        };
        shapes.map(|(shape, _)| self.table.ids().map(|from| best(shape, from)).collect()).collect()
    }
}

/// The number of a placement.
fn number(placements: &[Placement], placement: Placement) -> u16 {
    let at = placements.iter().position(|&known| known == placement);
    // A GPU of at most 16 slices and a few profiles has few placements.
    at.expect("a placement of the product") as u16
}
