//! The steps between layouts, laid out for going over all of them many times.

use crate::model::mig::LayoutTable;

/// For each layout, by number: where arrivals of each shape lead, and departures.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    /// Part of a GPU that each shape takes.
    sizes: Vec<f64>,
    /// Part of a GPU that is taken in each layout.
    taken: Vec<f64>,
    /// Shapes that fit in each layout, with the layouts then.
    arrivals: Vec<Vec<(usize, Vec<u16>)>>,
    /// Layouts with one instance less.
    departures: Vec<Vec<u16>>,
}

impl Steps {
    /// The steps of a table of shapes.
    pub fn new(table: &LayoutTable) -> Steps {
        let slices = f64::from(table.geometry().memory_slices());
        // A table's numbers are of 16 bits.
        let number = |index: usize| index as u16;
        let arrivals = table.ids().map(|id| {
            let shapes = table.geometry().profiles().map(|(shape, _)| {
                let next = table.arrivals_of(id, shape).iter().map(|step| number(step.to.index()));
                (shape.index(), next.collect::<Vec<_>>())
            });
            shapes.filter(|(_, next)| !next.is_empty()).collect()
        });
        let departures = table.ids().map(|id| {
            let before = table.departures(id).iter().map(|step| number(step.to.index()));
            before.collect()
        });
        Steps {
            sizes: table.geometry().profiles().map(|(_, profile)| f64::from(profile.size) / slices).collect(),
            taken: table.ids().map(|id| f64::from(table.occupancy(id).taken()) / slices).collect(),
            arrivals: arrivals.collect(),
            departures: departures.collect(),
        }
    }

    /// Number of layouts.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Part of a GPU that each shape takes.
    pub fn sizes(&self) -> impl Iterator<Item = f64> {
        self.sizes.iter().copied()
    }

    /// Part of a GPU that is taken in a layout.
    pub fn taken_part(&self, at: usize) -> f64 {
        self.taken[at]
    }

    /// Shapes that fit, with the layouts then; none of the lists is empty.
    pub fn arrivals(&self, at: usize) -> impl Iterator<Item = (usize, &[u16])> {
        self.arrivals[at].iter().map(|(shape, next)| (*shape, next.as_slice()))
    }

    /// Layouts with one instance less.
    pub fn departures(&self, at: usize) -> &[u16] {
        &self.departures[at]
    }
}
