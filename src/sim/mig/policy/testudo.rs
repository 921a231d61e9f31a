//! Testudo's own rule.

use testudo_core::model::mig::{LayoutTable, ProfileId};
use testudo_core::placement::slices::{SliceBook, SliceShapes};

use super::Policy;
use crate::sim::mig::fleet::{Choice, Fleet};
use crate::sim::rng::Rng;

/// Places where the GPU loses least value; among equals on the fullest. It is told no mix.
pub(super) struct Testudo {
    book: SliceBook,
}

impl Testudo {
    /// None for a geometry whose layouts cannot be enumerated.
    pub(super) fn new(table: &LayoutTable) -> Option<Testudo> {
        Some(Testudo { book: SliceBook::new(SliceShapes::new(table)?) })
    }
}

impl Policy for Testudo {
    fn place(&mut self, fleet: &Fleet, profile: ProfileId, _: &mut Rng) -> Option<Choice> {
        let values = self.book.values(fleet.running());
        fleet.cheapest(profile, |from, step| (values.cost(from, step.to), fleet.table().free(from)))
    }
}
