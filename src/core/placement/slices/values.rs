//! The values of layouts as integers, by layout of the product.

use std::sync::Arc;

use super::mix::SliceMix;
use super::rehearsal::Rehearsal;
use super::shapes::SliceShapes;
use crate::model::mig::LayoutId;

/// Size of a GPU in the unit of values, whatever the number of slices.
const GPU: f64 = 8.0;

/// Values are kept in ten-thousandths of an eighth of a GPU. Layouts that differ only by symmetry then have equal values.
const UNIT: f64 = 10_000.0;

/// Rounds from the even mix to another. Six times as many changed no acceptance by more than chance does.
const ROUNDS: usize = 100;

/// How much each of three considerations counts in the value of a layout, in whole units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceRule {
    /// What a GPU of a large fleet earns from there on. Looks ahead; errs where some shapes hardly ever come.
    outlook: u8,
    /// Free slices that the average arrival could not use, which lower the value. Sees only the present.
    waste: u8,
    /// Square of the part that is taken: of two GPUs the fuller one is filled, so the other may become empty.
    packing: u8,
}

impl SliceRule {
    /// The rules that are tried. The first is kept where none does better: it errs least where little is known.
    pub const ALL: [SliceRule; 3] = [
        SliceRule { outlook: 0, waste: 1, packing: 3 },
        SliceRule { outlook: 1, waste: 1, packing: 3 },
        SliceRule { outlook: 1, waste: 0, packing: 1 },
    ];

    /// The rule under which a fleet takes most of a mix at full load, in one and the same rehearsal for all. Takes some
    /// milliseconds: choose for [`SliceMix::coarser`] and keep it.
    pub fn choose(shapes: &SliceShapes, mix: &SliceMix) -> SliceRule {
        let rehearsal = Rehearsal::new(shapes, mix);
        let outlook = outlook(shapes, mix);
        let taken = SliceRule::ALL.map(|rule| rehearsal.taken(&rule.values(shapes, mix, &outlook)));
        let best = (1..taken.len()).fold(0, |best, at| if taken[at] > taken[best] { at } else { best });
        SliceRule::ALL[best]
    }

    /// The value of each class of layouts.
    fn values(self, shapes: &SliceShapes, mix: &SliceMix, outlook: &[f64]) -> Vec<i32> {
        // What never comes decides between equals.
        let shares: Vec<f64> = mix.weights().iter().map(|&weight| f64::from(weight) + 0.02).collect();
        let whole: f64 = shares.iter().sum();
        let value = |(at, unusable): (usize, &Vec<f64>)| {
            let waste: f64 = unusable.iter().zip(&shares).map(|(part, share)| part * share).sum();
            let taken = shapes.steps().taken_part(at);
            let value = f64::from(self.outlook) * outlook[at] - f64::from(self.waste) * waste / whole * GPU
                + f64::from(self.packing) * taken * taken;
            // Of the order of the size of a GPU.
            (value * UNIT).round() as i32
        };
        shapes.unusable().iter().enumerate().map(value).collect()
    }
}

/// What a GPU in each class earns from there on. Shapes that do not run count as a little: they may come.
fn outlook(shapes: &SliceShapes, mix: &SliceMix) -> Vec<f64> {
    let weights: Vec<u8> = mix.weights().iter().map(|weight| weight + 1).collect();
    shapes.even().clone().refined(shapes.steps(), &weights, ROUNDS).value
}

/// What each layout of a product is worth under a mix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceValues(Arc<[i32]>);

impl SliceValues {
    /// The values of a product under a mix by a rule. Takes about a millisecond: keep them as long as the mix stays.
    pub fn new(shapes: &SliceShapes, mix: &SliceMix, rule: SliceRule) -> SliceValues {
        let values = rule.values(shapes, mix, &outlook(shapes, mix));
        let class = |image: &LayoutId| shapes.classes()[image.index()];
        SliceValues(shapes.image().iter().map(|image| values[class(image)]).collect())
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
