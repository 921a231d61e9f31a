//! What HAMi's PR 2855 does on one GPU, taken to a fleet.

use testudo_core::model::mig::{LayoutId, LayoutTable, Occupancy, ProfileId};

use super::Policy;
use crate::sim::mig::fleet::{Choice, Fleet};
use crate::sim::rng::Rng;

/// Keeps the largest contiguous run of free slices, then the most placements that are still possible. HAMi applies
/// this to the placements on the GPU that its node policy chose; here that is the fullest that fits (its `binpack`).
pub(super) struct Hami {
    /// Largest run of free slices.
    run: Vec<u32>,
    /// Placements that fit beside what is there.
    open: Vec<usize>,
}

impl Hami {
    pub(super) fn new(table: &LayoutTable) -> Hami {
        let slices = table.geometry().memory_slices();
        let run = table.ids().map(|id| largest_run(table.occupancy(id), slices)).collect();
        let open = |id: LayoutId| table.arrivals(id).len();
        Hami { run, open: table.ids().map(open).collect() }
    }
}

fn largest_run(taken: Occupancy, slices: u8) -> u32 {
    let (mut run, mut largest) = (0, 0);
    for slice in 0..slices {
        run = if taken.0 >> slice & 1 == 0 { run + 1 } else { 0 };
        largest = largest.max(run);
    }
    largest
}

impl Policy for Hami {
    fn place(&mut self, fleet: &Fleet, profile: ProfileId, _: &mut Rng) -> Option<Choice> {
        fleet.cheapest(profile, |from, step| {
            let to = step.to.index();
            (fleet.table().free(from), std::cmp::Reverse((self.run[to], self.open[to])))
        })
    }
}
