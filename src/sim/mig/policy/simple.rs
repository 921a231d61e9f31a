//! Rules that need no table of their own.

use testudo_core::model::mig::ProfileId;

use super::Policy;
use crate::sim::mig::fleet::{Choice, Fleet};
use crate::sim::rng::Rng;

/// See [`super::PolicyKind::Random`].
pub(super) struct Random;

impl Policy for Random {
    fn place(&mut self, fleet: &Fleet, profile: ProfileId, rng: &mut Rng) -> Option<Choice> {
        let count = fleet.choices(profile).count();
        let choice = fleet.choices(profile).nth(if count == 0 { 0 } else { rng.below(count) });
        choice.map(|(_, choice)| choice)
    }
}

/// See [`super::PolicyKind::FirstFit`].
pub(super) struct FirstFit;

impl Policy for FirstFit {
    fn place(&mut self, fleet: &Fleet, profile: ProfileId, _: &mut Rng) -> Option<Choice> {
        fleet.cheapest(profile, |_, _| 0)
    }
}

/// See [`super::PolicyKind::BestFit`]. On a GPU the lowest start.
pub(super) struct BestFit;

impl Policy for BestFit {
    fn place(&mut self, fleet: &Fleet, profile: ProfileId, _: &mut Rng) -> Option<Choice> {
        fleet.cheapest(profile, |from, _| fleet.table().free(from))
    }
}

/// See [`super::PolicyKind::Spread`]. On a GPU the lowest start.
pub(super) struct Spread;

impl Policy for Spread {
    fn place(&mut self, fleet: &Fleet, profile: ProfileId, _: &mut Rng) -> Option<Choice> {
        fleet.cheapest(profile, |from, _| fleet.table().occupancy(from).taken())
    }
}
