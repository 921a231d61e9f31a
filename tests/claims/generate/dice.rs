//! Choices from a seed.

use testudo::sim::rng::Rng;

/// Draws what a case is made of.
pub struct Dice(Rng);

impl Dice {
    /// Dice whose throws follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.0.below(100) < percent
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.0.below(high - low + 1)
    }

    /// One of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.0.below(items.len())]
    }

    /// One of the items, each with its weight.
    pub fn weighted<'a, T>(&mut self, items: &'a [(usize, T)]) -> &'a T {
        let mut drawn = self.0.below(items.iter().map(|(weight, _)| weight).sum());
        for (weight, item) in items {
            if drawn < *weight {
                return item;
            }
            drawn -= weight;
        }
        unreachable!("less than the sum was drawn")
    }

    /// The items in any order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }

    /// Some of the items, at least one, in any order.
    pub fn some<T: Clone>(&mut self, items: &[T]) -> Vec<T> {
        let mut chosen = items.to_vec();
        self.shuffle(&mut chosen);
        chosen.truncate(self.between(1, items.len()));
        chosen
    }
}
