//! Testudo's own rule.

use std::collections::BTreeMap;

use testudo_core::model::mig::{LayoutTable, ProfileId};
use testudo_core::placement::slices::{SliceMix, SliceShapes, SliceValues};

use super::Policy;
use crate::sim::mig::fleet::{Choice, Fleet};
use crate::sim::rng::Rng;

/// Places where the GPU loses least value; among equals on the fullest. It is told no mix.
pub(super) struct Testudo {
    shapes: SliceShapes,
    /// Kept by mix: a running fleet goes to and fro between few.
    values: BTreeMap<SliceMix, SliceValues>,
}

impl Testudo {
    /// None for a geometry whose layouts cannot be enumerated.
    pub(super) fn new(table: &LayoutTable) -> Option<Testudo> {
        Some(Testudo { shapes: SliceShapes::new(table)?, values: BTreeMap::new() })
    }
}

impl Policy for Testudo {
    fn place(&mut self, fleet: &Fleet, profile: ProfileId, _: &mut Rng) -> Option<Choice> {
        let mix = SliceMix::of_running(&self.shapes, fleet.running());
        if !self.values.contains_key(&mix) {
            let values = SliceValues::new(&self.shapes, &mix);
            self.values.insert(mix.clone(), values);
        }
        let values = &self.values[&mix];
        fleet.cheapest(profile, |from, step| (values.cost(from, step.to), fleet.table().free(from)))
    }
}
