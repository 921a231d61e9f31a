//! Nodes, as far as placement cares.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::catalogue::Catalogue;
use super::inventory::{Inventory, InventoryProblem};
use super::place::Place;
use super::resources::Resources;
use super::selector::Labels;
use super::taint::{Taint, TaintPurpose};

/// The name of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for NodeName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl Borrow<str> for NodeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a node object says, before anything is concluded from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeParts {
    /// `metadata.name`.
    pub name: NodeName,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.taints`.
    pub taints: Vec<Taint>,
    /// `spec.unschedulable`.
    pub cordoned: bool,
    /// `status.capacity`.
    pub capacity: Resources,
    /// `status.allocatable`.
    pub allocatable: Resources,
}

/// A node: what its object says, and what follows from it.
#[derive(Debug, Clone)]
pub struct Node {
    /// What the object says.
    pub parts: NodeParts,
    /// Where the node stands.
    pub place: Place,
    /// Which accelerators it has.
    pub inventory: Inventory,
    /// It shows that we keep autoscalers from removing it. No decision about pods depends on that.
    pub is_protected: bool,
}

impl Node {
    /// Concludes from the parts of a node what it is. What cannot be understood is returned beside it: the node still
    /// works, by counts.
    pub fn new(parts: NodeParts, catalogue: &Catalogue) -> (Self, Vec<InventoryProblem>) {
        let place = Place::of(&parts.labels);
        let (inventory, problems) = Inventory::of(&parts, &place, catalogue);
        (Self { parts, place, inventory, is_protected: false }, problems)
    }

    /// The node's name.
    pub fn name(&self) -> &NodeName {
        &self.parts.name
    }

    /// Is an autoscaler or an interruption about to remove it?
    pub fn is_leaving(&self) -> bool {
        self.parts.taints.iter().any(|taint| taint.purpose() == TaintPurpose::Disruption)
    }

    /// Is it neither cordoned nor leaving?
    pub fn is_open(&self) -> bool {
        !self.parts.cordoned && !self.is_leaving()
    }
}
