//! Allocates the claims of a pod on a node, and keeps what is in use.

use std::sync::Arc;

use super::allocation::Allocation;
use super::choice::Scorer;
use super::claim::{Claim, DeviceClass};
use super::error::AllocationError;
use super::inquiry::Inquiry;
use super::inventory::{Inventory, Reach};
use super::layout::Layouts;
use super::moves::Moves;
use super::nodes::Node;
use super::refusal::NodeRefusal;
use super::search::Effort;
use super::selectors::Selectors;
use super::slice::{PoolId, Slice};
use super::usage::{Holding, Usage};

/// Devices that can be allocated, and what is in use of them.
///
/// A plan for many claims is made by asking ([`Allocator::allocate_on`]) and taking ([`Allocator::take`]) in turn; giving
/// back ([`Allocator::release`]) undoes exactly what taking did.
#[derive(Debug, Clone)]
pub struct Allocator {
    inventory: Inventory,
    usage: Usage,
    selectors: Selectors,
    layouts: Layouts,
    effort: Effort,
    /// How often the inventory was made anew.
    renewals: u64,
    moves: Moves,
}

/// Devices for the claims of a pod on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// The node.
    pub node: Box<str>,
    /// One for each claim, in their order.
    pub allocations: Vec<Allocation>,
    /// Which alternative each request got, by claim and request: 0 for the first, and where there is no choice.
    pub alternatives: Vec<Vec<usize>>,
    /// What they cost: less is better.
    pub cost: i64,
}

impl Fit {
    /// Between nodes, for the same claims and scorer: less is better. What is asked for first comes first, at any cost.
    pub fn rank(&self) -> (&[Vec<usize>], i64) {
        (&self.alternatives, self.cost)
    }
}

/// Whether the claims of a pod fit on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They fit.
    Fits(Fit),
    /// They do not.
    Refused(NodeRefusal),
}

/// An answer, and how many steps it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The answer.
    pub verdict: T,
    /// Steps of the search.
    pub steps: u64,
}

/// Whether the claims of a pod fit on any node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BestFit {
    /// They fit, and best there.
    Fits(Fit),
    /// They fit nowhere; by node.
    Refused(Vec<NodeRefusal>),
}

impl Allocator {
    /// Devices of which none is in use.
    pub fn new(inventory: Inventory) -> Allocator {
        let usage = Usage::new(&inventory);
        Allocator {
            inventory,
            usage,
            selectors: Selectors::default(),
            layouts: Layouts::default(),
            effort: Effort::default(),
            renewals: 0,
            moves: Moves::default(),
        }
    }

    /// The same, with another bound on each search.
    #[must_use]
    pub fn with_effort(self, effort: Effort) -> Allocator {
        Allocator { effort, ..self }
    }

    /// What there is.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// What is in use of it.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// What has changed since this was last asked.
    pub fn take_moves(&mut self) -> Moves {
        std::mem::take(&mut self.moves)
    }

    /// A node is new, or its labels are.
    pub fn set_node(&mut self, node: Node) {
        self.move_node(&node.name);
        self.inventory.set_node(node);
    }

    /// A node is gone.
    pub fn remove_node(&mut self, name: &str) {
        self.move_node(name);
        self.inventory.remove_node(name);
    }

    fn move_node(&mut self, name: &str) {
        self.layouts.forget(Reach::Node(name));
        self.moves.add_node(name);
    }

    /// A class is new, or has changed.
    pub fn set_class(&mut self, class: DeviceClass) {
        self.moves.everywhere = true;
        self.inventory.set_class(class);
    }

    /// A class is gone.
    pub fn remove_class(&mut self, name: &str) {
        self.moves.everywhere = true;
        self.inventory.remove_class(name);
    }

    /// From now on these are all slices of a pool. What is in use of it stays so.
    pub fn set_pool(&mut self, pool: &PoolId, slices: Vec<Arc<Slice>>) {
        self.move_pool(pool);
        self.inventory.set_pool(pool, slices);
        self.move_pool(pool);
        self.usage.keep_up(&self.inventory, pool);
        if self.inventory.is_worn() {
            self.inventory = self.inventory.renewed();
            self.usage = std::mem::take(&mut self.usage).moved_to(&self.inventory);
            self.selectors.forget_devices();
            self.layouts.forget(Reach::Everywhere);
            self.renewals += 1;
        }
    }

    fn move_pool(&mut self, pool: &PoolId) {
        let reach = self.inventory.reach(pool);
        self.layouts.forget(reach);
        self.moves.add(pool, reach);
    }

    /// Grows when numbers of listings have another meaning.
    pub(super) fn renewals(&self) -> u64 {
        self.renewals
    }

    /// From now on this is in use.
    pub fn take(&mut self, holdings: impl IntoIterator<Item = Holding>) {
        for holding in holdings {
            self.moves.add(&holding.device.pool, self.inventory.reach(&holding.device.pool));
            self.usage.take(&mut self.inventory, &holding);
        }
    }

    /// It no longer is.
    pub fn release(&mut self, holdings: impl IntoIterator<Item = Holding>) {
        for holding in holdings {
            self.moves.add(&holding.device.pool, self.inventory.reach(&holding.device.pool));
            self.usage.release(&self.inventory, &holding);
        }
    }

    /// A question about claims that one pod uses together, to be put to one node after the other.
    ///
    /// # Errors
    /// Where upstream's allocator fails too, whatever the node: the question cannot be answered.
    pub fn ask<'a>(&'a mut self, claims: &'a [Claim]) -> Result<Inquiry<'a>, AllocationError> {
        let Allocator { inventory, usage, selectors, layouts, effort, .. } = self;
        Inquiry::new(claims, inventory, usage, selectors, layouts, *effort)
    }

    /// Looks for devices on one node for the claims of one pod.
    ///
    /// # Errors
    /// Where upstream's allocator fails too: the question cannot be answered.
    pub fn allocate_on(
        &mut self,
        node: &str,
        claims: &[Claim],
        scorer: &mut dyn Scorer,
    ) -> Result<Answer<Verdict>, AllocationError> {
        self.ask(claims)?.on(node, scorer)
    }

    /// Looks for the node where the claims of one pod fit best. Of equals it is the first by name.
    ///
    /// # Errors
    /// As [`Allocator::allocate_on`] on any node: what is wrong is not better for being elsewhere. Only a pool that
    /// contradicts itself is no error as long as there is a node that fits.
    pub fn allocate(&mut self, claims: &[Claim], scorer: &mut dyn Scorer) -> Result<Answer<BestFit>, AllocationError> {
        self.ask(claims)?.best(scorer)
    }
}

#[cfg(test)]
#[path = "allocator_tests.rs"]
mod tests;
