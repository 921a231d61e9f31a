//! What a pod asks for, read once to be compared with many nodes: reading the names of resources takes longer than
//! comparing amounts.

use crate::model::accelerator::AcceleratorResource;
use crate::model::inventory::{Inventory, Pool, chooses_form};
use crate::model::pod::Demand;
use crate::model::resources::ResourceName;

/// A demand, and what follows from it on all nodes alike.
#[derive(Debug)]
pub struct Asked<'a> {
    pub(super) demand: &'a Demand,
    pub(super) accelerators: Vec<Wanted<'a>>,
    /// Does the pod condition itself on the form in which GPUs are offered?
    pub(super) chooses_form: bool,
    pub(super) cpu_milli: i64,
    pub(super) memory: i64,
}

/// An accelerator that is asked for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub name: &'a ResourceName,
    pub resource: AcceleratorResource,
    /// Above 0.
    pub count: i64,
}

impl<'a> Asked<'a> {
    /// Reads a demand.
    pub fn of(demand: &'a Demand) -> Self {
        let wanted = |(name, resource, count)| Wanted { name, resource, count };
        Self {
            demand,
            accelerators: demand.accelerators().map(wanted).collect(),
            chooses_form: chooses_form(&demand.affinity),
            cpu_milli: demand.requests.get(ResourceName::CPU).max(0),
            memory: demand.requests.get(ResourceName::MEMORY).max(0),
        }
    }

    pub(super) fn wants_accelerators(&self) -> bool {
        !self.accelerators.is_empty()
    }

    /// The pools of a node of which it would take units, each with its position.
    pub(super) fn pools<'n>(&self, inventory: &'n Inventory) -> impl Iterator<Item = (usize, &'n Pool, &Wanted<'a>)> {
        self.accelerators.iter().filter_map(move |wanted| {
            let at = inventory.pools.iter().position(|pool| pool.resource == *wanted.name)?;
            Some((at, &inventory.pools[at], wanted))
        })
    }
}
