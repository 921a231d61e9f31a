//! Values that were computed before: a running fleet goes to and fro between few mixes.

use std::collections::BTreeMap;

use super::mix::SliceMix;
use super::shapes::SliceShapes;
use super::values::{SliceRule, SliceValues};

/// Most mixes that are remembered, of some ten kilobytes each; then all are forgotten.
const MOST: usize = 512;

/// The values for what runs, computed when they are first asked for. Remembering changes no answer, only how soon it comes:
/// about a millisecond for a new mix, some milliseconds for one that needs a new rule.
#[derive(Debug)]
pub struct SliceBook {
    shapes: SliceShapes,
    rules: BTreeMap<SliceMix, SliceRule>,
    values: BTreeMap<SliceMix, SliceValues>,
}

impl SliceBook {
    /// An empty book for the shapes of a product.
    pub fn new(shapes: SliceShapes) -> SliceBook {
        SliceBook { shapes, rules: BTreeMap::new(), values: BTreeMap::new() }
    }

    /// The values for the number of running instances of each profile, by
    /// [`ProfileId::index`](crate::model::mig::ProfileId::index).
    pub fn values(&mut self, running: &[u32]) -> &SliceValues {
        let shapes = &self.shapes;
        let mix = SliceMix::of_running(shapes, running);
        if !self.values.contains_key(&mix) {
            if self.values.len() >= MOST {
                self.values.clear();
            }
            if self.rules.len() >= MOST {
                self.rules.clear();
            }
            let coarse = mix.coarser();
            let rule = *self.rules.entry(coarse).or_insert_with_key(|coarse| SliceRule::choose(shapes, coarse));
            self.values.insert(mix.clone(), SliceValues::new(shapes, &mix, rule));
        }
        &self.values[&mix]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalogue::Catalogue;
    use crate::model::mig::LayoutTable;

    #[test]
    fn what_is_remembered_is_what_would_be_computed() {
        let catalogue = Catalogue::builtin();
        let geometry = catalogue.geometries().find(|geometry| geometry.name() == "A30-24GB").expect("a geometry");
        let shapes = SliceShapes::new(&LayoutTable::new(geometry).expect("a table")).expect("shapes");
        let profiles = geometry.profiles().len();
        let mut book = SliceBook::new(shapes.clone());
        for round in 0..2 {
            for running in [[0, 0, 0], [60, 0, 0], [0, 60, 20]] {
                let running: Vec<u32> = running.into_iter().chain([0; 8]).take(profiles).collect();
                let mix = SliceMix::of_running(&shapes, &running);
                let rule = SliceRule::choose(&shapes, &mix.coarser());
                assert_eq!(book.values(&running), &SliceValues::new(&shapes, &mix, rule), "round {round}");
            }
        }
        assert_eq!((book.values.len(), book.rules.len()), (3, 3));
    }
}
