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

    /// Places members of a gang, which is a unit of the workload, and says on which nodes. Here: one by one, as plain
    /// schedulers do, whatever becomes of the others.
    fn place_gang(&mut self, _unit: usize, members: &[Arrival], rng: &mut Rng) -> Vec<Option<usize>> {
        members.iter().map(|member| self.place(*member, rng)).collect()
    }

    /// A pod that was placed has gone.
    fn remove(&mut self, arrival: Arrival);

    /// How much of the free GPUs the typical next pod could not use, in thousandths of a GPU; none where the policy
    /// keeps no account of single GPUs.
    fn fragmentation(&self) -> Option<f64> {
        None
    }

    /// How many GPUs of each node are wholly free; none where the policy does not say which share of a GPU is where.
    fn free_gpus(&self) -> Option<Vec<usize>> {
        None
    }
}

/// How equal scores are decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ties {
    /// At random, as stock kube-scheduler does.
    Random,
    /// The first node of an order that is drawn once a run, as in the experiment that FGD was published with: its
    /// simulator puts random numbers before the names of nodes, and its scheduler goes by name.
    Fixed,
}

/// Decides between equals.
#[derive(Debug, Clone)]
pub enum TieBreak {
    /// See [`Ties::Random`].
    Random,
    /// See [`Ties::Fixed`]: the position of each node.
    Fixed(Vec<usize>),
}

impl TieBreak {
    /// For so many nodes.
    pub fn new(ties: Ties, nodes: usize, rng: &mut Rng) -> Self {
        match ties {
            Ties::Random => Self::Random,
            Ties::Fixed => {
                let mut order: Vec<usize> = (0..nodes).collect();
                rng.shuffle(&mut order);
                Self::Fixed(order)
            }
        }
    }

    /// One of these nodes; none of none.
    pub fn choose(&self, equals: &[usize], rng: &mut Rng) -> Option<usize> {
        match self {
            _ if equals.is_empty() => None,
            Self::Random => Some(equals[rng.below(equals.len())]),
            Self::Fixed(order) => equals.iter().copied().min_by_key(|node| order[*node]),
        }
    }
}
