//! What is free, flat: one row of integers a node, with a column for each resource that the gang asks for.

use std::collections::BTreeSet;

use super::Shares;
use super::terrain::Terrain;
use crate::cluster::{NodeState, SharedGpus};
use crate::model::accelerator::AcceleratorResource;
use crate::model::gpu_share::ShareRequest;
use crate::model::pod::Demand;
use crate::model::resources::ResourceName;

/// What one member of a block takes: columns with amounts above 0.
#[derive(Clone)]
struct Ask {
    amounts: Vec<(usize, i64)>,
    share: Option<ShareRequest>,
}

/// Two names of the same Neuron hardware on one node: who takes of one takes of the other.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Twin {
    of: usize,
    by: usize,
    /// Units of `by` that others held before.
    held: i64,
    capacity_of: i64,
    capacity_by: i64,
}

impl Twin {
    /// How many units of `of` are gone when the gang has taken so many of `by`, beside those that were before.
    fn gone(&self, taken: i64) -> i64 {
        let units = |used: i64| {
            let parts = used.saturating_mul(self.capacity_of);
            let by = self.capacity_by.max(1);
            parts / by + i64::from(parts % by != 0)
        };
        units(self.held.saturating_add(taken)).saturating_sub(units(self.held))
    }
}

/// What is free on every node while a gang is being placed.
#[derive(Clone)]
pub(super) struct Rooms<'a> {
    width: usize,
    asks: Vec<Ask>,
    /// What is free, before twins.
    free: Vec<i64>,
    /// What the gang has taken so far; kept only where there are twins.
    taken: Vec<i64>,
    /// By node; empty where the gang asks for one name of Neuron hardware at most.
    twins: Vec<Vec<Twin>>,
    /// By node; empty where the gang asks for no shares of GPUs.
    shares: Vec<Share<'a>>,
}

#[derive(Clone)]
struct Share<'a> {
    state: &'a NodeState,
    gpus: SharedGpus,
}

impl<'a> Rooms<'a> {
    pub fn of(demands: &[&Demand], terrain: &Terrain<'a>) -> Self {
        let asked = |demand: &&Demand| {
            demand.requests.iter().filter(|(_, n)| *n > 0).map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let columns: BTreeSet<ResourceName> = demands.iter().flat_map(asked).collect();
        let columns: Vec<ResourceName> = columns.into_iter().collect();
        let ask = |demand: &&Demand| Ask {
            amounts: (columns.iter().enumerate())
                .map(|(at, name)| (at, demand.requests.get(name.as_str())))
                .filter(|(_, amount)| *amount > 0)
                .collect(),
            share: demand.gpu_share().filter(|_| terrain.shares() == Shares::OnGpus),
        };
        let mut asks: Vec<Ask> = demands.iter().map(ask).collect();
        // Devices that claims give are counted like a resource that each block has for itself.
        let counted: Vec<&[u32]> = (0..demands.len()).filter_map(|block| terrain.devices(block)).collect();
        let with_devices = asks.iter_mut().enumerate().filter(|(block, _)| terrain.devices(*block).is_some());
        with_devices.enumerate().for_each(|(nth, (_, ask))| ask.amounts.push((columns.len() + nth, 1)));
        let neuron = |name: &ResourceName| AcceleratorResource::parse(name.as_str()).is_some_and(|r| r.is_neuron());
        let neurons: Vec<usize> = (0..columns.len()).filter(|at| neuron(&columns[*at])).collect();
        let nodes = 0..terrain.len();
        let state = |at: usize| terrain.state(at);
        let twins: Vec<Vec<Twin>> = match neurons.len() {
            0 | 1 => vec![],
            _ => nodes.clone().map(|at| twins_on(state(at), &columns, &neurons)).collect(),
        };
        let share = |at: usize| Share { state: state(at), gpus: state(at).shared_gpus().clone() };
        let counts = |at: usize| counted.iter().map(move |row| i64::from(row[at]));
        let free: Vec<i64> = nodes
            .clone()
            .flat_map(|at| columns.iter().map(move |name| state(at).free(name)).chain(counts(at)))
            .collect();
        Self {
            width: columns.len() + counted.len(),
            taken: if twins.is_empty() { vec![] } else { vec![0; free.len()] },
            free,
            twins,
            shares: if asks.iter().any(|ask| ask.share.is_some()) { nodes.map(share).collect() } else { vec![] },
            asks,
        }
    }

    /// Does what a node has left depend on more than sums: on who was there first?
    pub fn depends_on_order(&self) -> bool {
        let mut requests: Vec<ShareRequest> = self.asks.iter().filter_map(|ask| ask.share).collect();
        requests.sort_unstable();
        requests.dedup();
        requests.len() > 1
    }

    /// How many members of a block, one after the other, a node has room for; at most `most` are counted.
    pub fn copies(&self, block: usize, at: usize, most: u32) -> u32 {
        let ask = &self.asks[block];
        let row = &self.free[at * self.width..][..self.width];
        let by_sums = |most: i64, &(column, amount): &(usize, i64)| most.min((row[column] / amount).max(0));
        let most = ask.amounts.iter().fold(i64::from(most), by_sums) as u32;
        let twins = self.twins.get(at).is_some_and(|twins| !twins.is_empty());
        let most = if twins { self.copies_of_twins(ask, at, most) } else { most };
        match ask.share {
            Some(request) if most > 0 => self.shares[at].copies(request, most),
            _ => most,
        }
    }

    fn copies_of_twins(&self, ask: &Ask, at: usize, most: u32) -> u32 {
        let fits = |copies: &u32| {
            let mut taken = self.taken[at * self.width..][..self.width].to_vec();
            for (column, amount) in &ask.amounts {
                taken[*column] = taken[*column].saturating_add(amount.saturating_mul(i64::from(*copies)));
            }
            self.holds(at, &taken)
        };
        // What fits once fits less: the more is taken, the less is free under every name.
        (1..=most).take_while(fits).count() as u32
    }

    /// Is nothing overdrawn of what the gang asks for on a node, when it takes this much?
    fn holds(&self, at: usize, taken: &[i64]) -> bool {
        let before = &self.taken[at * self.width..][..self.width];
        let free = &self.free[at * self.width..][..self.width];
        (0..self.width).filter(|column| taken[*column] > 0).all(|column| {
            let twins = self.twins[at].iter().filter(|twin| twin.of == column);
            let gone = twins.map(|twin| twin.gone(taken[twin.by])).fold(0, i64::saturating_add);
            free[column].saturating_sub(taken[column] - before[column]).saturating_sub(gone) >= 0
        })
    }

    /// Puts a member of a block on a node that has room for it. What comes back undoes it.
    pub fn take(&mut self, block: usize, at: usize) -> Option<SharedGpus> {
        self.shift(block, at, 1);
        let request = self.asks[block].share?;
        let share = &mut self.shares[at];
        let rest = share.state.shared_gpus_without(&share.gpus, request)?;
        Some(std::mem::replace(&mut share.gpus, rest))
    }

    pub fn give_back(&mut self, block: usize, at: usize, shares: Option<SharedGpus>) {
        self.shift(block, at, -1);
        if let Some(gpus) = shares {
            self.shares[at].gpus = gpus;
        }
    }

    fn shift(&mut self, block: usize, at: usize, by: i64) {
        for (column, amount) in &self.asks[block].amounts {
            self.free[at * self.width + column] -= by * amount;
            if let Some(taken) = self.taken.get_mut(at * self.width + column) {
                *taken += by * amount;
            }
        }
    }

    /// Is the same free on two nodes, under every name and on every GPU?
    pub fn alike(&self, a: usize, b: usize) -> bool {
        let row = |of: &[i64], at: usize| of[at * self.width..][..self.width].to_vec();
        let share = |at: usize| self.shares.get(at).map(|share| (&share.gpus, fabric_of(share.state)));
        row(&self.free, a) == row(&self.free, b)
            && (self.twins.is_empty() || (row(&self.taken, a) == row(&self.taken, b) && self.twins[a] == self.twins[b]))
            && share(a) == share(b)
    }
}

impl Share<'_> {
    fn copies(&self, request: ShareRequest, most: u32) -> u32 {
        let mut gpus = self.gpus.clone();
        let next = |_: &u32| match self.state.shared_gpus_without(&gpus, request) {
            Some(rest) => {
                gpus = rest;
                true
            }
            None => false,
        };
        (0..most).take_while(next).count() as u32
    }
}

/// Fabrics of one make are one.
fn fabric_of(state: &NodeState) -> Option<*const crate::model::fabric::Fabric> {
    state.node()?.inventory.fabric.as_ref().map(std::sync::Arc::as_ptr)
}

fn twins_on(state: &NodeState, columns: &[ResourceName], neurons: &[usize]) -> Vec<Twin> {
    let Some(node) = state.node() else { return vec![] };
    let pool = |column: usize| node.inventory.pool(columns[column].as_str());
    let pairs = neurons.iter().flat_map(|of| neurons.iter().map(move |by| (*of, *by)));
    pairs
        .filter(|(of, by)| of != by)
        .filter_map(|(of, by)| {
            let (capacity_of, capacity_by) = (pool(of)?.capacity, pool(by)?.capacity);
            Some(Twin { of, by, held: state.used().get(columns[by].as_str()), capacity_of, capacity_by })
        })
        .collect()
}
