//! Policies that look at nothing but whether the pod fits.

use super::super::occupancy::Place;
use super::super::rng::Rng;
use super::Scorer;

/// Any node, and there any GPU: what is left when nobody thinks.
pub struct Random;

impl Scorer for Random {
    fn score(&self, _: &Place<'_>) -> i64 {
        0
    }

    fn gpus(&self, place: &Place<'_>, rng: &mut Rng) -> Vec<usize> {
        let gpu = place.gpu();
        let mut fitting: Vec<usize> =
            (0..place.free.gpus.len()).filter(|at| place.free.gpus[*at] >= gpu.milli).collect();
        rng.shuffle(&mut fitting);
        fitting.truncate(gpu.count);
        fitting
    }

    fn is_random(&self) -> bool {
        true
    }
}

/// The first node in the order of the inventory.
pub struct FirstFit;

impl Scorer for FirstFit {
    fn score(&self, place: &Place<'_>) -> i64 {
        -(place.node as i64)
    }
}
