//! What drivers publish: slices of pools, devices, counters.

use std::collections::BTreeMap;
use std::fmt;

use super::amount::Amount;
use super::attribute::Attribute;
use super::nodes::Nodes;
use crate::model::taint::Taint;

/// A pool of a driver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId {
    /// The driver.
    pub driver: Box<str>,
    /// The pool's name, which is unique within the driver.
    pub name: Box<str>,
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.driver, self.name)
    }
}

/// The name of a device, which is unique in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    /// Driver and pool.
    pub pool: PoolId,
    /// The device's name within the pool.
    pub name: Box<str>,
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.name)
    }
}

/// A ResourceSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// `metadata.name`, by which the slices of a pool are ordered.
    pub name: Box<str>,
    /// The pool that it is a part of.
    pub pool: PoolId,
    /// Which edition of the pool.
    pub generation: i64,
    /// How many slices that edition has.
    pub slices: i64,
    /// Which nodes all its devices are for.
    pub nodes: Nodes,
    /// Whether each device says for itself which nodes it is for.
    pub per_device_nodes: bool,
    /// Counters that devices of the pool share. A slice with these has no devices.
    pub counters: Vec<CounterSet>,
    /// Its devices, in the order in which the driver wants them to be used.
    pub devices: Vec<Device>,
}

impl Slice {
    /// What the driver would publish for another node that is like `node`, for which this is: all devices of a new one work.
    pub fn like(&self, node: &str, other: &str) -> Slice {
        let named_after = |name: &str| if name == node { other.into() } else { format!("{name}-{other}").into() };
        let mut slice = self.clone();
        slice.name = named_after(&self.name);
        slice.pool.name = named_after(&self.pool.name);
        slice.nodes = Nodes { name: Some(other.into()), ..Nodes::default() };
        slice.devices.iter_mut().for_each(|device| device.taints.clear());
        slice
    }
}

/// Counters under one name, for example of one GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterSet {
    /// Its name, which is unique within the pool.
    pub name: Box<str>,
    /// The counters, and how much there is of each.
    pub counters: BTreeMap<Box<str>, Amount>,
}

/// A device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// Its name, which is unique within the pool.
    pub name: Box<str>,
    /// Its attributes; a name without a domain belongs to the driver.
    pub attributes: BTreeMap<Box<str>, Attribute>,
    /// Its capacities.
    pub capacity: BTreeMap<Box<str>, Capacity>,
    /// Counters that it takes while it is in use.
    pub consumes: Vec<CounterSet>,
    /// Whether several requests can have a part of it.
    pub shareable: bool,
    /// Which nodes it is for, where devices say that for themselves.
    pub nodes: Nodes,
    /// Its taints that keep claims away; other effects say nothing about that.
    pub taints: Vec<Taint>,
    /// Whether a claim that has it is bound to the node for which it was allocated.
    pub binds_to_node: bool,
    /// Conditions that must hold before the pod is bound.
    pub binding_conditions: Option<Vec<String>>,
    /// Conditions under which it must not be bound.
    pub binding_failure_conditions: Option<Vec<String>>,
}

impl Device {
    /// An attribute by its qualified name, from a device of this driver.
    pub fn attribute(&self, name: &str, driver: &str) -> Option<&Attribute> {
        self.attributes.get(name).or_else(|| {
            let (domain, id) = name.split_once('/')?;
            if domain == driver { self.attributes.get(id) } else { None }
        })
    }
}

/// How much a device has of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// That much.
    pub value: Amount,
    /// Which parts of it can be asked for.
    pub policy: Option<RequestPolicy>,
}

/// Which parts of a capacity can be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestPolicy {
    /// What a request gets that does not say how much.
    pub default: Option<Amount>,
    /// The parts that there are.
    pub valid: Valid,
}

/// The parts of a capacity that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Valid {
    /// Any.
    #[default]
    Any,
    /// These, ascending. A request is rounded up to the next.
    Values(Vec<Amount>),
    /// A range. A request is rounded up to the next step from the minimum.
    Range {
        /// The least.
        min: Amount,
        /// The most, if there is a most.
        max: Option<Amount>,
        /// Between these.
        step: Option<Amount>,
    },
}
