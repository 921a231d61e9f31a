//! Profiles that take the same slices are one shape.

use std::sync::Arc;

use super::mean_field::Solution;
use super::steps::Steps;
use super::symmetry::Classes;
use super::unusable::unusable;
use crate::model::mig::{Engines, LayoutId, LayoutTable, MigGeometry, MigProfile};

/// Rounds for the even mix, from a guess.
const ROUNDS_EVEN: usize = 300;

/// The layouts of a product in terms of shapes: `1g` and `1g+me` take the same slices at the same starts, so a GPU is
/// worth the same with either. What only engines forbid is not in the values; layouts themselves still obey it. This
/// takes the 7-slice GPUs from 2,319 layouts to 723, RTX PRO 6000 from 717 to 26; fewer still are not alike.
#[derive(Clone, Debug)]
pub struct SliceShapes {
    /// Layouts of instances that are shapes, without limits but slices.
    reduced: LayoutTable,
    /// Which of these are alike.
    classes: Classes,
    /// Steps between the classes.
    steps: Steps,
    /// By class, then shape: part of a GPU that is free and that no instance of the shape could use.
    unusable: Vec<Vec<f64>>,
    /// The values for an even mix, from which those for others are sought.
    even: Solution,
    /// The shape of each profile, by position among the reduced profiles.
    shape_of: Vec<usize>,
    /// The reduced layout of each layout of the product.
    image: Vec<LayoutId>,
}

impl SliceShapes {
    /// The shapes of a product. None when even these have too many layouts, which no product of the catalogue has.
    pub fn new(table: &LayoutTable) -> Option<SliceShapes> {
        let geometry = table.geometry();
        let mut shapes: Vec<MigProfile> = Vec::new();
        let mut shape_of = Vec::new();
        for (_, profile) in geometry.profiles() {
            let same = |shape: &MigProfile| {
                (shape.size, &shape.starts, shape.compute_slices)
                    == (profile.size, &profile.starts, profile.compute_slices)
            };
            let known = shapes.iter().position(same);
            shape_of.push(known.unwrap_or(shapes.len()));
            if known.is_none() {
                let (max_instances, engines) = (geometry.memory_slices(), Engines::default());
                shapes.push(MigProfile { max_instances, engines, ..profile.clone() });
            }
        }
        let (memory, compute) = (geometry.memory_slices(), geometry.compute_slices());
        let reduced = MigGeometry::new(geometry.name(), memory, compute, Engines::default(), shapes).ok()?;
        let reduced = LayoutTable::new(&Arc::new(reduced))?;
        let mut image: Vec<LayoutId> = Vec::with_capacity(table.len());
        for id in table.ids() {
            // A layout with one instance less comes before.
            image.push(match table.departures(id).first() {
                Some(step) => {
                    let (shape, start) = (shape_of[step.placement.profile().index()], step.placement.start());
                    let mut grown = reduced.arrivals(image[step.to.index()]).iter();
                    grown
                        .find(|grown| (grown.placement.profile().index(), grown.placement.start()) == (shape, start))?
                        .to
                }
                None => LayoutId::EMPTY,
            });
        }
        let classes = Classes::new(&reduced);
        let steps = Steps::new(&reduced, &classes);
        let unusable = classes.first.iter().map(|&id| unusable(&reduced, id)).collect();
        let count = reduced.geometry().profiles().len();
        let even = Solution::guess(&steps).refined(&steps, &vec![1; count], ROUNDS_EVEN);
        Some(SliceShapes { reduced, classes, steps, unusable, even, shape_of, image })
    }

    /// Number of shapes.
    #[expect(clippy::len_without_is_empty, reason = "a product has profiles")]
    pub fn len(&self) -> usize {
        self.steps.sizes().count()
    }

    /// The shape of each profile, by [`ProfileId::index`](crate::model::mig::ProfileId::index).
    pub fn shape_of(&self) -> &[usize] {
        &self.shape_of
    }

    /// Layouts of shapes.
    pub(super) fn reduced(&self) -> &LayoutTable {
        &self.reduced
    }

    /// The class of each layout of shapes.
    pub(super) fn classes(&self) -> &[usize] {
        &self.classes.of
    }

    /// By class, then shape: part of a GPU that is free and that no instance of the shape could use.
    pub(super) fn unusable(&self) -> &[Vec<f64>] {
        &self.unusable
    }

    /// Steps between classes of layouts of shapes.
    pub(super) fn steps(&self) -> &Steps {
        &self.steps
    }

    /// The values for an even mix.
    pub(super) fn even(&self) -> &Solution {
        &self.even
    }

    /// The layout of shapes of each layout of the product.
    pub(super) fn image(&self) -> &[LayoutId] {
        &self.image
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalogue::Catalogue;

    #[test]
    fn every_product_has_shapes_and_layouts_keep_their_slices() {
        for geometry in Catalogue::builtin().geometries() {
            let table = LayoutTable::new(geometry).expect("a table");
            let shapes = SliceShapes::new(&table).unwrap_or_else(|| panic!("{}: no shapes", geometry.name()));
            for id in table.ids() {
                let taken = f64::from(table.occupancy(id).taken()) / f64::from(geometry.memory_slices());
                let class = shapes.classes.of[shapes.image[id.index()].index()];
                assert_eq!(shapes.steps.taken_part(class), taken);
            }
            let wanted = match geometry.memory_slices() {
                8 => (6, 723, 144),
                _ => (3, 26, 11),
            };
            let found = (shapes.len(), shapes.reduced.len(), shapes.steps.len());
            assert_eq!(found, wanted, "{}", geometry.name());
        }
    }
}
