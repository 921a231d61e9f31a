//! What is expected to come, read from what runs.

use super::shapes::SliceShapes;

/// Sum of the weights before rounding. Placement depends little on the mix (see docs/placement.md), so coarse weights do,
/// and values are computed anew only when the mix has really changed.
const PARTS: u32 = 24;

/// How many times coarser the weights are for the choice of a rule, which costs more than values do.
const COARSER: u8 = 2;

/// Instances of each shape that are assumed to run besides those that do: what an empty fleet expects.
const PRIOR: u32 = 2;

/// The expected mix of arrivals, as coarse weights of the shapes.
///
/// By Little's law the number that runs is rate times duration, so a shape's share of what runs is its share of the
/// arrivals, weighted by how long they stay. Where arrivals are refused, large ones are refused most, and fewer of them run
/// than were asked for; to count those higher was tried and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceMix(Vec<u8>);

impl SliceMix {
    /// The mix for the number of running instances of each profile, by
    /// [`ProfileId::index`](crate::model::mig::ProfileId::index).
    pub fn of_running(shapes: &SliceShapes, running: &[u32]) -> SliceMix {
        let mut counts = vec![u64::from(PRIOR); shapes.len()];
        for (&shape, &running) in shapes.shape_of().iter().zip(running) {
            counts[shape] += u64::from(running);
        }
        let total: u64 = counts.iter().sum();
        let parts = u64::from(PARTS);
        let weight = |count: &u64| {
            // What runs at all has a weight: room that is kept for it is cheap, and without it none would run again.
            let least = u64::from(*count > u64::from(PRIOR));
            // At most PARTS.
            ((count * parts + total / 2) / total).max(least) as u8
        };
        SliceMix(counts.iter().map(weight).collect())
    }

    /// The same mix with fewer different weights. What comes at all still does.
    pub fn coarser(&self) -> SliceMix {
        SliceMix(self.0.iter().map(|weight| weight.div_ceil(COARSER)).collect())
    }

    /// The weight of each shape; not all are 0.
    pub fn weights(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalogue::Catalogue;
    use crate::model::mig::LayoutTable;

    #[test]
    fn the_mix_follows_what_runs_in_coarse_steps() {
        let catalogue = Catalogue::builtin();
        let table = LayoutTable::new(catalogue.geometries().next().expect("a geometry")).expect("a table");
        let shapes = SliceShapes::new(&table).expect("shapes");
        // 1g, 1g+me, 1g+2mem, 2g, 3g, 4g, 7g; the first two are one shape.
        let mix = |running: [u32; 7]| SliceMix::of_running(&shapes, &running).weights().to_vec();
        assert_eq!(mix([0; 7]), [4; 6]);
        assert_eq!(mix([1_000, 0, 0, 0, 0, 0, 0]), [24, 0, 0, 0, 0, 0]);
        assert_eq!(mix([1_000, 0, 0, 1, 0, 0, 0]), [24, 0, 1, 0, 0, 0]);
        assert_eq!(mix([500, 500, 0, 0, 0, 0, 1_000]), [12, 0, 0, 0, 0, 12]);
        assert_eq!(mix([100, 0, 105, 98, 102, 97, 96]), [4; 6]);
        assert_eq!(mix([u32::MAX; 7]), [7, 3, 3, 3, 3, 3]);
        let coarse = |running: [u32; 7]| SliceMix::of_running(&shapes, &running).coarser().weights().to_vec();
        assert_eq!(coarse([0; 7]), [2; 6]);
        assert_eq!(coarse([900, 0, 0, 0, 0, 0, 50]), [12, 0, 0, 0, 0, 1]);
    }
}
