//! The steps between classes of layouts, laid out for going over all of them many times.

use super::symmetry::Classes;
use crate::model::mig::LayoutTable;

/// For each class, by number: where arrivals of each shape lead, and departures. A class with fewer instances has a lower
/// number.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    /// Part of a GPU that each shape takes.
    sizes: Vec<f64>,
    /// Part of a GPU that is taken in each class.
    taken: Vec<f64>,
    /// Shapes that fit in each class, with the classes then.
    arrivals: Vec<Vec<(usize, Vec<u16>)>>,
    /// Classes with one instance less, one for each instance.
    departures: Vec<Vec<u16>>,
}

impl Steps {
    /// The steps of a table of shapes.
    pub fn new(table: &LayoutTable, classes: &Classes) -> Steps {
        let slices = f64::from(table.geometry().memory_slices());
        // There are no more classes than layouts, whose numbers are of 16 bits.
        let number = |index: usize| classes.of[index] as u16;
        let arrivals = classes.first.iter().map(|&id| {
            let shapes = table.geometry().profiles().map(|(shape, _)| {
                let next = table.arrivals_of(id, shape).iter().map(|step| number(step.to.index()));
                let mut next: Vec<u16> = next.collect();
                next.sort_unstable();
                next.dedup();
                (shape.index(), next)
            });
            shapes.filter(|(_, next)| !next.is_empty()).collect()
        });
        let departures = classes.first.iter().map(|&id| {
            let before = table.departures(id).iter().map(|step| number(step.to.index()));
            before.collect()
        });
        let taken = classes.first.iter().map(|&id| f64::from(table.occupancy(id).taken()) / slices);
        Steps {
            sizes: table.geometry().profiles().map(|(_, profile)| f64::from(profile.size) / slices).collect(),
            taken: taken.collect(),
            arrivals: arrivals.collect(),
            departures: departures.collect(),
        }
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Part of a GPU that each shape takes.
    pub fn sizes(&self) -> impl Iterator<Item = f64> {
        self.sizes.iter().copied()
    }

    /// Part of a GPU that is taken in a class.
    pub fn taken_part(&self, at: usize) -> f64 {
        self.taken[at]
    }

    /// Shapes that fit, with the classes then; none of the lists is empty.
    pub fn arrivals(&self, at: usize) -> impl Iterator<Item = (usize, &[u16])> {
        self.arrivals[at].iter().map(|(shape, next)| (*shape, next.as_slice()))
    }

    /// Classes with one instance less, one for each instance.
    pub fn departures(&self, at: usize) -> &[u16] {
        &self.departures[at]
    }
}
