//! What pods ask for, kept once: thousands of pods ask for the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::pod::Demand;

/// As many are kept before it is first looked which of them nobody asks for any more.
const FEW: usize = 256;

/// Demands that pods share.
#[derive(Debug, Default, Clone)]
pub struct Demands {
    known: BTreeSet<Arc<Demand>>,
    /// How many were in use when that was last looked at.
    in_use: usize,
}

impl Demands {
    /// The one demand that stands for all that are equal to this one.
    pub fn shared(&mut self, demand: &Arc<Demand>) -> Arc<Demand> {
        if let Some(known) = self.known.get(demand) {
            return Arc::clone(known);
        }
        if self.known.len() >= FEW.max(2 * self.in_use) {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.in_use = self.known.len();
        }
        self.known.insert(Arc::clone(demand));
        Arc::clone(demand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn equals_are_one_and_what_nobody_asks_for_is_forgotten() {
        let mut demands = Demands::default();
        let asks = |gpus: usize| Arc::new(pod("p").gpus(gpus as i64).demand());
        let first = demands.shared(&asks(1));
        assert!(Arc::ptr_eq(&first, &demands.shared(&asks(1))));
        (0..10 * FEW).for_each(|gpus| drop(demands.shared(&asks(gpus))));
        assert!(demands.known.len() <= FEW, "{} are kept", demands.known.len());
        assert!(Arc::ptr_eq(&first, &demands.shared(&asks(1))), "it was in use all the time");
    }
}
