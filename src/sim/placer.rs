//! What a policy under test has to do.

use clap::ValueEnum;

use super::rng::Rng;

/// A pod that arrives: one of the workload, perhaps for the second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Counts arrivals from 0.
    pub id: usize,
    /// Which pod of the workload it is like.
    pub pod: usize,
}

/// A policy with the cluster as it sees it.
pub trait Placer {
    /// Places the pod and says on which node; none when it fits nowhere.
    fn place(&mut self, arrival: Arrival, rng: &mut Rng) -> Option<usize>;

    /// A pod that was placed has gone.
    fn remove(&mut self, arrival: Arrival);

    /// How much of the free GPUs the typical next pod could not use, in thousandths of a GPU; none where the policy
    /// keeps no account of single GPUs.
    fn fragmentation(&self) -> Option<f64> {
        None
    }
}

/// How equal scores are decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ties {
    /// At random, as stock kube-scheduler does.
    Random,
    /// The first node in the order of the inventory, as the scheduler that FGD was published with does.
    Fixed,
}
