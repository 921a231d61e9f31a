//! Which accelerators a node has.

use super::catalogue::Catalogue;
use super::node::NodeParts;
use super::place::Place;

/// Which accelerators a node has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {}

/// What cannot be understood about a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InventoryProblem {}

impl Inventory {
    pub(super) fn of(_: &NodeParts, _: &Place, _: &Catalogue) -> (Self, Vec<InventoryProblem>) {
        (Self::default(), vec![])
    }
}
