//! Which pools a node can draw on, and which devices of them.
//!
//! As upstream's `GatherPools`: of each pool only the newest generation among the slices that are for the node counts, and
//! a pool of which slices are missing, or that contradicts itself, hands out nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::error::AllocationError;
use super::inventory::{EditionNo, Inventory, Listing};
use super::nodes::Node;
use super::slice::{PoolId, Slice};

/// A pool as one node sees it.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub id: PoolId,
    pub edition: EditionNo,
    pub state: PoolState,
}

/// Whether a pool can be used.
#[derive(Debug, Clone)]
pub(super) enum PoolState {
    /// These are the devices in slices for the node, in the order in which the driver wants them to be used.
    Usable(Vec<Listing>),
    /// Slices of it are missing: the driver is just writing them.
    Incomplete,
    /// It contradicts itself.
    Invalid(String),
}

/// The pools of a node: by driver and name, those with binding conditions last.
///
/// # Errors
/// When a slice selects nodes in a way that is not understood.
pub(super) fn pools(inventory: &Inventory, node: &Node) -> Result<Vec<Pool>, AllocationError> {
    let mut relevant: BTreeMap<&PoolId, Vec<u32>> = BTreeMap::new();
    for number in inventory.slices_for(&node.name) {
        let slice = inventory.slice(number);
        if !is_relevant(slice, node)? {
            continue;
        }
        let known = relevant.entry(&slice.pool).or_default();
        let generation = known.first().map(|first| inventory.slice(*first).generation);
        match generation {
            Some(generation) if slice.generation < generation => {}
            Some(generation) if slice.generation > generation => *known = vec![number],
            _ => known.push(number),
        }
    }
    let pools = relevant.into_iter().filter_map(|(id, slices)| pool(inventory, id, slices));
    let (conditional, mut usable): (Vec<Pool>, Vec<Pool>) = pools.partition(|pool| has_conditions(inventory, pool));
    usable.extend(conditional);
    Ok(usable)
}

fn is_relevant(slice: &Slice, node: &Node) -> Result<bool, AllocationError> {
    let error = |what: &str| AllocationError::NodeSelector { slice: slice.name.to_string(), what: what.to_owned() };
    if !slice.counters.is_empty() {
        return Ok(true);
    }
    if slice.nodes.is_given() {
        return slice.nodes.include(node).map_err(error);
    }
    if slice.per_device_nodes {
        for device in &slice.devices {
            if device.nodes.include(node).map_err(error)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// None when a newer edition of the pool is being written, which has nothing for the node yet.
fn pool(inventory: &Inventory, id: &PoolId, mut slices: Vec<u32>) -> Option<Pool> {
    let (number, edition) = inventory.edition_of(slices[0]);
    let first = inventory.slice(slices[0]);
    let pool = |state| Some(Pool { id: id.clone(), edition: number, state });
    let count = |slices: &[u32]| i64::try_from(slices.len()).unwrap_or(i64::MAX);
    if count(&slices) != first.slices {
        if inventory.newest(id).is_some_and(|newest| newest > first.generation) {
            return None;
        }
        if count(&edition.slices) != first.slices {
            return pool(PoolState::Incomplete);
        }
    }
    slices.sort_by_key(|slice| &inventory.slice(*slice).name);
    let mut names = BTreeSet::new();
    let devices = slices.iter().map(|slice| inventory.slice(*slice).devices.len());
    let mut listings = Vec::with_capacity(devices.sum());
    for listing in slices.iter().flat_map(|slice| inventory.listings_in(*slice)) {
        let name = &inventory.device(listing).name;
        // What stands beside counters is no device.
        if !inventory.slice_of(listing).counters.is_empty() {
            continue;
        }
        if edition.has_duplicates && !names.insert(name) {
            return pool(PoolState::Invalid(format!("duplicate device name {name}")));
        }
        listings.push(listing);
    }
    if let Some(fault) = &edition.fault {
        return pool(PoolState::Invalid(fault.clone()));
    }
    pool(PoolState::Usable(listings))
}

fn has_conditions(inventory: &Inventory, pool: &Pool) -> bool {
    let PoolState::Usable(listings) = &pool.state else { return false };
    listings.iter().any(|listing| inventory.device(*listing).binding_conditions.is_some())
}
