//! What has come of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use testudo_core::engine::Snapshot;
use testudo_core::model::resources::{ResourceName, Resources};
use testudo_core::model::taint::TaintPurpose;

use crate::kube_scheduler::client::Latencies;

/// What has come of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// What the fleet has and gives, by pool.
    pub pools: Vec<Pool>,
    /// How many pods have been placed.
    pub placed: usize,
    /// How many of these have finished.
    pub finished: usize,
    /// Who waits.
    pub waiting: Vec<Waiting>,
    /// The calls of the extender.
    pub calls: Vec<Calls>,
}

/// One resource on the nodes of one instance type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// `node.kubernetes.io/instance-type`.
    pub instance_type: String,
    /// How many nodes have the resource.
    pub nodes: usize,
    /// The resource.
    pub resource: String,
    /// What one of it is there.
    pub unit: String,
    /// How much there is.
    pub capacity: i64,
    /// How much pods hold.
    pub used: i64,
    /// How much of the rest can be given: what works, on nodes that take pods.
    pub free: i64,
}

/// A pod that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The pod.
    pub pod: String,
    /// What it asks for, in short.
    pub asks: String,
    /// What kube-scheduler says.
    pub message: String,
}

/// How long the calls of one verb took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Calls {
    /// The verb.
    pub verb: &'static str,
    /// How many calls.
    pub count: usize,
    /// Half of them took at most so many microseconds.
    pub p50_us: u128,
    /// 99 of a hundred took at most so many microseconds.
    pub p99_us: u128,
}

impl Summary {
    pub(super) fn new(
        snapshot: &Snapshot,
        placed: usize,
        finished: usize,
        waiting: Vec<Waiting>,
        latencies: &Latencies,
    ) -> Self {
        let calls = latencies.iter().map(|(verb, durations)| Calls::of(verb, durations));
        Self { pools: pools(snapshot), placed, finished, waiting, calls: calls.collect() }
    }
}

fn pools(snapshot: &Snapshot) -> Vec<Pool> {
    let mut pools: BTreeMap<(String, String, String), Pool> = BTreeMap::new();
    for state in snapshot.nodes() {
        let Some(node) = state.node() else { continue };
        let leaves = node.parts.taints.iter().any(|taint| taint.purpose() == TaintPurpose::Disruption);
        let instance_type = node.place.instance_type.clone().unwrap_or_default();
        let mut add = |resource: &str, unit: String, capacity, used, free| {
            let key = (instance_type.clone(), resource.to_owned(), unit);
            let pool = pools.entry(key).or_insert_with_key(|(instance_type, resource, unit)| Pool {
                instance_type: instance_type.clone(),
                nodes: 0,
                resource: resource.clone(),
                unit: unit.clone(),
                capacity: 0,
                used: 0,
                free: 0,
            });
            pool.nodes += 1;
            pool.capacity += capacity;
            pool.used += used;
            pool.free += if node.parts.cordoned || leaves { 0 } else { free };
        };
        for pool in &node.inventory.pools {
            let resource = pool.resource.as_str();
            let used = state.used().get(resource);
            add(resource, pool.unit.to_string(), pool.capacity, used, state.free_units(pool).max(0));
        }
        if !node.inventory.has_accelerators() {
            let cpus = |resources: &Resources| resources.get(ResourceName::CPU) / 1000;
            let (capacity, used) = (cpus(&node.parts.capacity), cpus(state.used()));
            let free = (cpus(&node.parts.allocatable) - used).max(0);
            add(ResourceName::CPU, "CPUs".to_owned(), capacity, used, free);
        }
    }
    pools.into_values().collect()
}

impl Calls {
    fn of(verb: &'static str, durations: &[Duration]) -> Self {
        let mut sorted = durations.to_vec();
        sorted.sort();
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
            sorted.get(rank).map_or(0, Duration::as_micros)
        };
        Self { verb, count: sorted.len(), p50_us: at(50), p99_us: at(99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let durations: Vec<Duration> = (1..=200).rev().map(Duration::from_micros).collect();
        assert_eq!(Calls::of("filter", &durations), Calls { verb: "filter", count: 200, p50_us: 100, p99_us: 198 });
        assert_eq!(Calls::of("bind", &[]), Calls { verb: "bind", count: 0, p50_us: 0, p99_us: 0 });
    }
}
