//! The values of layouts as integers, by layout of the product.

use super::mix::SliceMix;
use super::shapes::SliceShapes;
use crate::model::mig::LayoutId;

/// Values are kept in ten-thousandths of an eighth of a GPU. Layouts that differ only by symmetry then have equal values.
const UNIT: f64 = 10_000.0;

/// Rounds from the even mix to another. Six times as many changed no acceptance by more than chance does.
const ROUNDS: usize = 100;

/// What each layout of a product is worth under a mix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceValues(Vec<i32>);

impl SliceValues {
    /// The values of a product under a mix. Takes milliseconds: keep them as long as the mix stays.
    pub fn new(shapes: &SliceShapes, mix: &SliceMix) -> SliceValues {
        let solution = shapes.even().clone().refined(shapes.steps(), mix.weights(), ROUNDS);
        // Values are of the order of the size of a GPU, which is 8.
        let rounded: Vec<i32> = solution.value.iter().map(|value| (value * UNIT).round() as i32).collect();
        SliceValues(shapes.image().iter().map(|image| rounded[image.index()]).collect())
    }

    /// What a GPU loses by going from one layout to the next, both of the product's
    /// [`LayoutTable`](crate::model::mig::LayoutTable). Less is better; a placement that makes a GPU more useful than it
    /// was, because the rest is then kept for what suits it, costs less than nothing.
    pub fn cost(&self, from: LayoutId, to: LayoutId) -> i32 {
        self.0[from.index()] - self.0[to.index()]
    }
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
