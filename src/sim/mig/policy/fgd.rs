//! Fragmentation gradient descent (Weng et al., ATC'23) on MIG tables.

use testudo_core::model::mig::{LayoutTable, ProfileId};

use super::Policy;
use crate::sim::mig::fleet::{Choice, Fleet};
use crate::sim::mig::fragmentation::unusable;
use crate::sim::mig::mix::Mix;
use crate::sim::rng::Rng;

/// Places where the expected fragmentation of the GPU grows least: the free slices that an arrival of the mix could not
/// use; among equals on the fullest GPU. As published it is told the true mix.
pub(super) struct Fgd {
    /// In millionths of a slice.
    fragmentation: Vec<i64>,
}

impl Fgd {
    pub(super) fn new(table: &LayoutTable, mix: &Mix) -> Fgd {
        let fragmentation = |id| -> f64 {
            let unusable = |profile| f64::from(unusable(table, id, profile));
            mix.shares().iter().map(|&(profile, share)| share * unusable(profile)).sum()
        };
        Fgd { fragmentation: table.ids().map(|id| (fragmentation(id) * 1e6).round() as i64).collect() }
    }
}

impl Policy for Fgd {
    fn place(&mut self, fleet: &Fleet, profile: ProfileId, _: &mut Rng) -> Option<Choice> {
        fleet.cheapest(profile, |from, step| {
            let growth = self.fragmentation[step.to.index()] - self.fragmentation[from.index()];
            (growth, fleet.table().free(from))
        })
    }
}
