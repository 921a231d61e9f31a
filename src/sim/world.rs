//! The cluster of a simulation, flat and fixed: what nodes have, what pods ask for, who may go where.
//!
//! The reference policies work on this. Pods that ask for the same are one [`Kind`], so that what is found out for one
//! holds for all; whom a node lets in at all (taints, affinity, size) is asked of the engine's own check once.

use std::collections::BTreeMap;
use std::sync::Arc;

use testudo_core::cluster::NodeState;
use testudo_core::model::accelerator::{AcceleratorResource, Unit};
use testudo_core::model::node::Node;
use testudo_core::model::pod::Demand;
use testudo_core::model::resources::{ResourceName, Resources};
use testudo_core::placement;
use thiserror::Error;

use super::input::{Arriving, Input};
use super::openb::{GPU_MILLI, WHOLE_GPU};

/// What a node has when nobody uses it.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// CPU in thousandths.
    pub cpu: i64,
    /// Memory in bytes.
    pub memory: i64,
    /// Everything else that is counted, by [`World::resources`].
    pub counts: Vec<i64>,
    /// How many whole GPUs it has whose use is kept one by one.
    pub gpus: usize,
    /// Under which resource it offers those, as an index of [`World::resources`].
    pub gpus_as: Option<usize>,
    /// Its accelerators in thousandths; a slice or a replica counts as one.
    pub gpu_milli: i64,
}

/// What a pod asks for in GPUs that are kept one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct GpuAsk {
    /// How many.
    pub count: usize,
    /// How much of each, in thousandths.
    pub milli: i64,
}

impl GpuAsk {
    /// All of it.
    pub fn total(self) -> i64 {
        self.count as i64 * self.milli
    }

    /// Is it part of one GPU?
    pub fn is_share(self) -> bool {
        self.count == 1 && self.milli < WHOLE_GPU
    }
}

/// What pods of one kind ask for.
#[derive(Debug, Clone)]
pub struct Kind {
    /// The demand as the engine sees it.
    pub demand: Arc<Demand>,
    /// CPU in thousandths.
    pub cpu: i64,
    /// Memory in bytes.
    pub memory: i64,
    /// GPUs that a node keeps one by one, and under which resource they are asked for.
    pub gpu: GpuAsk,
    /// See [`GpuAsk`]; on a node that offers this resource otherwise it is a count.
    pub gpu_as: Option<usize>,
    /// Everything else, by [`World::resources`].
    pub counts: Vec<(usize, i64)>,
    /// Accelerators of every sort in thousandths.
    pub gpu_milli: i64,
    /// Which nodes let it in, were they idle.
    pub admitted: Vec<bool>,
    /// How many pods of the workload are of this kind.
    pub pods: usize,
}

impl Kind {
    /// What such a pod takes of a node's GPUs; nothing where the node offers what it asks for as a count.
    pub fn gpu_on(&self, machine: &Machine) -> GpuAsk {
        if self.gpu_as == machine.gpus_as { self.gpu } else { GpuAsk::default() }
    }

    /// What such a pod takes of a node beside CPU, memory and GPUs.
    pub fn counts_on(&self, machine: &Machine) -> impl Iterator<Item = (usize, i64)> {
        let as_count = self.gpu_as.filter(|number| Some(*number) != machine.gpus_as);
        self.counts.iter().copied().chain(as_count.map(|number| (number, self.gpu.count as i64)))
    }
}

/// Nodes and kinds of pods.
#[derive(Debug)]
pub struct World {
    /// The nodes as the engine knows them.
    pub nodes: Vec<Node>,
    /// The same, flat.
    pub machines: Vec<Machine>,
    /// The pods of the workload.
    pub pods: Vec<Arriving>,
    /// Of which kind each pod is.
    pub kind_of: Vec<usize>,
    /// The kinds, in the order in which they first appear.
    pub kinds: Vec<Kind>,
    /// The names behind counts.
    pub resources: Vec<ResourceName>,
    /// All accelerators in thousandths.
    pub gpu_milli: i64,
}

/// Why nothing can be simulated with this input.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WorldError {
    /// There is nowhere to place anything.
    #[error("there is no node to place pods on; give some with --nodes or --fleet")]
    NoNodes,
    /// There is nothing to place.
    #[error("there is no pod to place; give some with --pods or --fleet")]
    NoPods,
    /// Allocation is a share of nothing.
    #[error("no node has an accelerator, so there is no share of them to allocate")]
    NoGpus,
    /// Load cannot be reached without them.
    #[error("no pod asks for an accelerator, so no load of them can be reached")]
    NoGpuPods,
    /// Thousandths that are neither a share nor whole GPUs.
    #[error("Pod {pod} asks for {asked} {GPU_MILLI}: below 1000 is a share of one GPU, else a multiple of 1000")]
    OddShare {
        /// The pod.
        pod: String,
        /// What it asks for.
        asked: i64,
    },
}

impl World {
    /// Lays out nodes and pods.
    ///
    /// # Errors
    /// When there is nothing to simulate with them.
    pub fn new(input: Input) -> Result<Self, WorldError> {
        let Input { nodes, pods } = input;
        if nodes.is_empty() {
            return Err(WorldError::NoNodes);
        }
        if pods.is_empty() {
            return Err(WorldError::NoPods);
        }
        let mut names = Names::default();
        let mut machines: Vec<Machine> = nodes.iter().map(|node| machine(node, &mut names)).collect();
        let idle: Vec<NodeState> = nodes.iter().cloned().map(NodeState::idle).collect();
        let mut probes = BTreeMap::new();
        let mut of_demand: BTreeMap<Arc<Demand>, usize> = BTreeMap::new();
        let (mut kinds, mut kind_of) = (Vec::<Kind>::new(), vec![]);
        for arriving in &pods {
            let demand = &arriving.pod.demand;
            let at = match of_demand.get(demand) {
                Some(at) => *at,
                None => {
                    let mut kind = kind(demand, &mut names)
                        .map_err(|asked| WorldError::OddShare { pod: arriving.pod.key.to_string(), asked })?;
                    let probe = probe(demand);
                    let admits = |state: &NodeState| placement::check(&probe, state).is_ok();
                    let admitted = || idle.iter().map(admits).collect::<Vec<_>>();
                    kind.admitted = probes.entry(probe.clone()).or_insert_with(admitted).clone();
                    of_demand.insert(Arc::clone(demand), kinds.len());
                    kinds.push(kind);
                    kinds.len() - 1
                }
            };
            kinds[at].pods += 1;
            kind_of.push(at);
        }
        for machine in &mut machines {
            machine.counts.resize(names.0.len(), 0);
        }
        let gpu_milli = machines.iter().map(|machine| machine.gpu_milli).sum();
        if gpu_milli == 0 {
            return Err(WorldError::NoGpus);
        }
        if kinds.iter().all(|kind| kind.gpu_milli == 0) {
            return Err(WorldError::NoGpuPods);
        }
        Ok(Self { nodes, machines, pods, kind_of, kinds, resources: names.0, gpu_milli })
    }

    /// The kind of a pod of the workload.
    pub fn kind(&self, pod: usize) -> &Kind {
        &self.kinds[self.kind_of[pod]]
    }
}

/// Resource names by number.
#[derive(Default)]
struct Names(Vec<ResourceName>);

impl Names {
    fn number(&mut self, name: &ResourceName) -> usize {
        self.0.iter().position(|known| known == name).unwrap_or_else(|| {
            self.0.push(name.clone());
            self.0.len() - 1
        })
    }
}

fn machine(node: &Node, names: &mut Names) -> Machine {
    let allocatable = &node.parts.allocatable;
    let mut machine = Machine {
        name: node.name().to_string(),
        cpu: allocatable.get(ResourceName::CPU),
        memory: allocatable.get(ResourceName::MEMORY),
        counts: vec![],
        gpus: 0,
        gpus_as: None,
        gpu_milli: 0,
    };
    for (name, amount) in allocatable.iter().filter(|(name, _)| !is_plain(name)) {
        let number = names.number(name);
        let gpus = match name.as_str() {
            GPU_MILLI => amount / WHOLE_GPU,
            other if node.inventory.pool(other).is_some_and(|pool| pool.unit == Unit::Device) => amount,
            _ => 0,
        };
        machine.gpu_milli += gpu_milli(name, amount);
        // A node has its GPUs under one name; what more there is, is counted.
        match usize::try_from(gpus) {
            Ok(gpus @ 1..) if machine.gpus == 0 => (machine.gpus, machine.gpus_as) = (gpus, Some(number)),
            _ => {
                machine.counts.resize(machine.counts.len().max(number + 1), 0);
                machine.counts[number] = amount;
            }
        }
    }
    machine
}

/// In case of error says how many thousandths are asked for that are neither a share nor whole GPUs.
fn kind(demand: &Arc<Demand>, names: &mut Names) -> Result<Kind, i64> {
    let requests = &demand.requests;
    let mut kind = Kind {
        demand: Arc::clone(demand),
        cpu: requests.get(ResourceName::CPU),
        memory: requests.get(ResourceName::MEMORY),
        gpu: GpuAsk::default(),
        gpu_as: None,
        counts: vec![],
        gpu_milli: 0,
        admitted: vec![],
        pods: 0,
    };
    for (name, amount) in requests.iter().filter(|(name, amount)| !is_plain(name) && *amount > 0) {
        let number = names.number(name);
        kind.gpu_milli += gpu_milli(name, amount);
        let ask = match name.as_str() {
            GPU_MILLI if amount < WHOLE_GPU => GpuAsk { count: 1, milli: amount },
            GPU_MILLI if amount % WHOLE_GPU != 0 => return Err(amount),
            GPU_MILLI => GpuAsk { count: (amount / WHOLE_GPU) as usize, milli: WHOLE_GPU },
            other if AcceleratorResource::parse(other).is_some() => GpuAsk { count: amount as usize, milli: WHOLE_GPU },
            _ => GpuAsk::default(),
        };
        if ask.count > 0 && kind.gpu_as.is_none() {
            (kind.gpu, kind.gpu_as) = (ask, Some(number));
        } else {
            kind.counts.push((number, amount));
        }
    }
    Ok(kind)
}

/// What decides which nodes let a pod in, without what depends on how full they are.
fn probe(demand: &Demand) -> Demand {
    let requests: Resources =
        demand.requests.iter().filter(|(name, _)| !is_plain(name)).map(|(n, amount)| (n.clone(), amount)).collect();
    Demand { requests, ..demand.clone() }
}

fn is_plain(name: &ResourceName) -> bool {
    matches!(name.as_str(), ResourceName::CPU | ResourceName::MEMORY)
}

fn gpu_milli(name: &ResourceName, amount: i64) -> i64 {
    match name.as_str() {
        GPU_MILLI => amount,
        other if AcceleratorResource::parse(other).is_some() => amount.saturating_mul(WHOLE_GPU),
        _ => 0,
    }
}
