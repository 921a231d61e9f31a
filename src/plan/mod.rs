//! What-if: how many copies of a workload fit into a cluster, where, and by how much which node group has to grow for the
//! rest.
//!
//! It is the engine that answers, on a copy of the cluster: pods are placed by its judgement and gangs by its planner, in
//! the same code that `testudo serve` runs. Nothing is written, nobody is evicted, and pods of the cluster that wait are
//! not placed first. Claims are given devices by its allocator, whoever would allocate them. What only kube-scheduler knows
//! (volumes, ports) is not asked.

mod claims;
mod controllers;
mod growth;
mod room;
mod workload;

use testudo_core::model::pod::Stage;

use crate::k8s::manifests::Manifests;
use crate::k8s::pod;
pub use controllers::KNOWN;
pub use growth::{Growth, growths, growths_for};
pub use room::{More, Placed, Refusal, Room};
pub use workload::{Workload, WorkloadError, workloads};

/// More copies than this are not counted.
pub const MAX_COPIES: usize = 10_000;

/// How many copies of one workload fit.
#[derive(Debug, Clone)]
pub struct Fit {
    /// Where the pods of each copy that fits go, in the order in which they were placed.
    pub placed: Vec<Placed>,
    /// Why there is no place for the next copy; none where no more were asked for.
    pub refusal: Option<Refusal>,
}

/// How many pods of a cluster wait for a node.
pub fn waiting(cluster: &Manifests) -> usize {
    cluster.pods.iter().filter(|object| pod::decode(object).0.stage == Stage::Pending).count()
}

/// Places copies of a workload until so many have places, or one has none.
pub fn fill(room: &mut Room, workload: &Workload, copies: usize) -> Fit {
    let mut placed = vec![];
    while placed.len() < copies.min(MAX_COPIES) {
        match room.place(workload) {
            Ok(copy) => placed.push(copy),
            Err(refusal) => return Fit { placed, refusal: Some(refusal) },
        }
    }
    Fit { placed, refusal: None }
}

#[cfg(test)]
mod claims_tests;
#[cfg(test)]
mod tests;
