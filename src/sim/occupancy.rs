//! What is free on the nodes of a [`World`], GPU by GPU.

use std::collections::BTreeMap;

use super::openb::WHOLE_GPU;
use super::world::{GpuAsk, Kind, Machine, World};

/// What is free on a node.
#[derive(Debug, Clone)]
pub struct Free {
    /// CPU in thousandths.
    pub cpu: i64,
    /// Memory in bytes.
    pub memory: i64,
    /// Everything else that is counted, by [`World::resources`].
    pub counts: Vec<i64>,
    /// Thousandths of each GPU.
    pub gpus: Vec<i64>,
    /// How many pods of each sort of GPU request run here.
    pub tenants: BTreeMap<GpuAsk, usize>,
}

/// A pod that would go to a node: all that a policy looks at.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// What the pod asks for.
    pub kind: &'a Kind,
    /// The number of the node.
    pub node: usize,
    /// What the node has.
    pub machine: &'a Machine,
    /// What is free there.
    pub free: &'a Free,
}

/// Where a pod went: its node and its GPUs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The number of the node.
    pub node: usize,
    /// The kind of the pod.
    pub kind: usize,
    /// The GPUs, by number.
    pub gpus: Vec<usize>,
}

impl Free {
    /// A machine that nobody uses.
    pub fn idle(machine: &Machine) -> Self {
        Self {
            cpu: machine.cpu,
            memory: machine.memory,
            counts: machine.counts.clone(),
            gpus: vec![WHOLE_GPU; machine.gpus],
            tenants: BTreeMap::new(),
        }
    }

    /// All that is left of its GPUs, in thousandths.
    pub fn gpu_total(&self) -> i64 {
        self.gpus.iter().sum()
    }

    /// How many GPUs have as much left.
    pub fn gpus_with(&self, milli: i64) -> usize {
        self.gpus.iter().filter(|free| **free >= milli).count()
    }
}

impl Place<'_> {
    /// What the pod takes of the node's GPUs; nothing where the node offers what it asks for as a count.
    pub fn gpu(&self) -> GpuAsk {
        self.kind.gpu_on(self.machine)
    }

    /// Is enough of everything free, and is the pod let in?
    pub fn fits(&self) -> bool {
        let free = self.free;
        let gpu = self.gpu();
        self.kind.admitted[self.node]
            && self.kind.cpu <= free.cpu
            && self.kind.memory <= free.memory
            && (gpu.count == 0 || free.gpus_with(gpu.milli) >= gpu.count)
            && self.kind.counts_on(self.machine).all(|(number, amount)| amount <= self.count(number))
    }

    /// How much is free of what is counted. Neuron devices and cores are the same: who takes one takes of the other, and a
    /// device in part use is not free.
    fn count(&self, number: usize) -> i64 {
        let (has, free) = (&self.machine.counts, &self.free.counts);
        let twins = self.machine.twins.iter().filter(|twin| **twin != number && self.machine.twins.contains(&number));
        let taken = |twin: &usize| ((has[*twin] - free[*twin]) * has[number] + has[*twin] - 1) / has[*twin];
        free[number] - twins.map(taken).sum::<i64>()
    }

    /// The GPUs with the least left on which the pod fits, the first of equals.
    pub fn tightest_gpus(&self) -> Vec<usize> {
        let gpu = self.gpu();
        let mut fitting: Vec<usize> = (0..self.free.gpus.len()).filter(|at| self.free.gpus[*at] >= gpu.milli).collect();
        fitting.sort_by_key(|at| (self.free.gpus[*at], *at));
        fitting.truncate(gpu.count);
        fitting
    }
}

/// What is free on all nodes.
#[derive(Debug, Clone)]
pub struct Occupancy<'w> {
    world: &'w World,
    nodes: Vec<Free>,
}

impl<'w> Occupancy<'w> {
    /// Nobody uses anything.
    pub fn idle(world: &'w World) -> Self {
        Self { world, nodes: world.machines.iter().map(Free::idle).collect() }
    }

    /// The world that this is about.
    pub fn world(&self) -> &'w World {
        self.world
    }

    /// What is free, node by node.
    pub fn nodes(&self) -> &[Free] {
        &self.nodes
    }

    /// What a policy looks at.
    pub fn place(&self, kind: usize, node: usize) -> Place<'_> {
        let world = self.world;
        Place { kind: &world.kinds[kind], node, machine: &world.machines[node], free: &self.nodes[node] }
    }

    /// A pod of this kind takes these GPUs of a node, and what it asks for beside.
    pub fn take(&mut self, seat: &Seat) {
        self.change(seat, -1);
    }

    /// It gives them back.
    pub fn give_back(&mut self, seat: &Seat) {
        self.change(seat, 1);
    }

    fn change(&mut self, seat: &Seat, sign: i64) {
        let (kind, machine) = (&self.world.kinds[seat.kind], &self.world.machines[seat.node]);
        let gpu = kind.gpu_on(machine);
        let free = &mut self.nodes[seat.node];
        free.cpu += sign * kind.cpu;
        free.memory += sign * kind.memory;
        for (number, amount) in kind.counts_on(machine) {
            free.counts[number] += sign * amount;
        }
        for at in &seat.gpus {
            free.gpus[*at] += sign * gpu.milli;
        }
        if gpu.count > 0 {
            let tenants = free.tenants.entry(class(gpu)).or_insert(0);
            *tenants = if sign < 0 { *tenants + 1 } else { tenants.saturating_sub(1) };
            if *tenants == 0 {
                free.tenants.remove(&class(gpu));
            }
        }
    }
}

/// The sort of a GPU request: shares are one sort, whatever their size, and whole GPUs one for each number.
pub fn class(gpu: GpuAsk) -> GpuAsk {
    if gpu.is_share() { GpuAsk { count: 1, milli: 0 } } else { gpu }
}
