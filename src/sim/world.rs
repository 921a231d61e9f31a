//! The cluster of a simulation, flat and fixed: what nodes have, what pods ask for, who may go where.
//!
//! The reference policies work on this. Pods that ask for the same are one [`Kind`], so that what is found out for one
//! holds for all; whom a node lets in at all (taints, affinity, size) is asked of the engine's own check once.

use std::collections::BTreeMap;
use std::sync::Arc;

use testudo_core::cluster::NodeState;
use testudo_core::model::accelerator::{AcceleratorKind, AcceleratorResource, Unit};
use testudo_core::model::node::Node;
use testudo_core::model::pod::Demand;
use testudo_core::model::resources::{ResourceName, Resources};
use testudo_core::placement;
use thiserror::Error;

use super::gangs;
use super::input::{Arriving, Input};
use super::openb::{GPU_MILLI, WHOLE_GPU};
use crate::k8s::object;

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
    /// Its Neuron hardware, as numbers of [`World::resources`]: devices and cores are the same under two names.
    pub twins: Vec<usize>,
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
    pub admitted: Arc<[bool]>,
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
    /// The same as they were read.
    pub node_objects: Vec<object::Node>,
    /// The same, flat.
    pub machines: Vec<Machine>,
    /// The pods of the workload.
    pub pods: Vec<Arriving>,
    /// What arrives at once: pods, and gangs of them.
    pub units: Vec<gangs::Unit>,
    /// How many of them are gangs.
    pub gangs: usize,
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
    /// So much cannot be reckoned with.
    #[error("{object}: {amount} {resource} is more than can be simulated ({limit})")]
    TooMuch {
        /// `Node a`, `Pod team/b`.
        object: String,
        /// Of what.
        resource: String,
        /// How much.
        amount: i64,
        /// The most that can.
        limit: i64,
    },
}

impl World {
    /// Lays out nodes and pods.
    ///
    /// # Errors
    /// When there is nothing to simulate with them.
    pub fn new(input: Input) -> Result<Self, WorldError> {
        let Input { nodes, node_objects, pods, units } = input;
        if nodes.is_empty() {
            return Err(WorldError::NoNodes);
        }
        if pods.is_empty() {
            return Err(WorldError::NoPods);
        }
        for node in &nodes {
            reckonable(|| format!("Node {}", node.name()), &node.parts.allocatable)?;
        }
        let neuron = NeuronShare::of(&nodes);
        let mut names = Names::default();
        let mut machines: Vec<Machine> = nodes.iter().map(|node| machine(node, neuron, &mut names)).collect();
        let idle: Vec<NodeState> = nodes.iter().cloned().map(NodeState::idle).collect();
        let mut probes = BTreeMap::new();
        let mut of_demand: BTreeMap<Arc<Demand>, usize> = BTreeMap::new();
        let (mut kinds, mut kind_of) = (Vec::<Kind>::new(), vec![]);
        for arriving in &pods {
            let demand = &arriving.pod.demand;
            let at = match of_demand.get(demand) {
                Some(at) => *at,
                None => {
                    reckonable(|| format!("Pod {}", arriving.pod.key), &demand.requests)?;
                    let mut kind = kind(demand, neuron, &mut names)
                        .map_err(|asked| WorldError::OddShare { pod: arriving.pod.key.to_string(), asked })?;
                    let probe = probe(demand);
                    let admits = |state: &NodeState| placement::check(&probe, state).is_ok();
                    let admitted = || idle.iter().map(admits).collect::<Arc<[bool]>>();
                    kind.admitted = Arc::clone(probes.entry(probe.clone()).or_insert_with(admitted));
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
        let gangs = units.iter().filter(|unit| unit.gang.is_some()).count();
        Ok(Self { nodes, node_objects, machines, pods, units, gangs, kind_of, kinds, resources: names.0, gpu_milli })
    }

    /// The accelerators that a unit of the workload asks for, in thousandths.
    pub fn unit_milli(&self, unit: usize) -> i64 {
        self.units[unit].pods.iter().map(|pod| self.kind(*pod).gpu_milli).sum()
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

fn machine(node: &Node, neuron: NeuronShare, names: &mut Names) -> Machine {
    let allocatable = &node.parts.allocatable;
    let mut machine = Machine {
        name: node.name().to_string(),
        cpu: allocatable.get(ResourceName::CPU),
        memory: allocatable.get(ResourceName::MEMORY),
        counts: vec![],
        gpus: 0,
        gpus_as: None,
        twins: vec![],
        gpu_milli: 0,
    };
    let has_devices = allocatable.iter().any(|(name, amount)| amount > 0 && is_neuron(name) == Some(Neuron::Device));
    for (name, amount) in allocatable.iter().filter(|(name, amount)| !is_plain(name) && *amount > 0) {
        let number = names.number(name);
        let gpus = match (name.as_str(), is_neuron(name)) {
            (GPU_MILLI, _) => amount / WHOLE_GPU,
            (other, None) if node.inventory.pool(other).is_some_and(|pool| pool.unit == Unit::Device) => amount,
            _ => 0,
        };
        if is_neuron(name).is_some() {
            machine.twins.push(number);
        }
        if !(has_devices && is_neuron(name) == Some(Neuron::Core)) {
            machine.gpu_milli += gpu_milli(name, amount, neuron);
        }
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
fn kind(demand: &Arc<Demand>, neuron: NeuronShare, names: &mut Names) -> Result<Kind, i64> {
    let requests = &demand.requests;
    let mut kind = Kind {
        demand: Arc::clone(demand),
        cpu: requests.get(ResourceName::CPU),
        memory: requests.get(ResourceName::MEMORY),
        gpu: GpuAsk::default(),
        gpu_as: None,
        counts: vec![],
        gpu_milli: 0,
        admitted: Arc::default(),
        pods: 0,
    };
    for (name, amount) in requests.iter().filter(|(name, amount)| !is_plain(name) && *amount > 0) {
        let number = names.number(name);
        kind.gpu_milli += gpu_milli(name, amount, neuron);
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

fn gpu_milli(name: &ResourceName, amount: i64, neuron: NeuronShare) -> i64 {
    match name.as_str() {
        GPU_MILLI => amount,
        _ if is_neuron(name) == Some(Neuron::Core) => amount * WHOLE_GPU * neuron.devices / neuron.cores,
        other if AcceleratorResource::parse(other).is_some() => amount * WHOLE_GPU,
        _ => 0,
    }
}

/// The two sizes in which Neuron hardware is offered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Neuron {
    Device,
    Core,
}

fn is_neuron(name: &ResourceName) -> Option<Neuron> {
    match AcceleratorResource::parse(name.as_str())?.kind {
        AcceleratorKind::NeuronDevice => Some(Neuron::Device),
        AcceleratorKind::NeuronCore => Some(Neuron::Core),
        _ => None,
    }
}

/// How much of a device one core is, over all nodes that offer both; where none does, a core counts as one.
#[derive(Clone, Copy)]
struct NeuronShare {
    devices: i64,
    cores: i64,
}

impl NeuronShare {
    fn of(nodes: &[Node]) -> Self {
        let (mut devices, mut cores) = (0, 0);
        for node in nodes {
            let of = |size| {
                let amounts = node.parts.allocatable.iter().filter(|(name, _)| is_neuron(name) == Some(size));
                amounts.map(|(_, amount)| amount).max().unwrap_or(0)
            };
            if of(Neuron::Device) > 0 && of(Neuron::Core) > 0 {
                devices += of(Neuron::Device);
                cores += of(Neuron::Core);
            }
        }
        if cores > 0 { Self { devices, cores } } else { Self { devices: 1, cores: 1 } }
    }
}

/// Amounts up to which nothing overflows, whatever is added up or multiplied: 64 PiB of memory.
const MAX_AMOUNT: i64 = 1 << 56;

/// The same for accelerators, in units or thousandths: their use may be kept one by one.
const MAX_ACCELERATORS: i64 = 1 << 20;

fn reckonable(object: impl Fn() -> String, amounts: &Resources) -> Result<(), WorldError> {
    for (name, amount) in amounts.iter() {
        let is_accelerator = name.as_str() == GPU_MILLI || AcceleratorResource::parse(name.as_str()).is_some();
        let limit = if is_accelerator { MAX_ACCELERATORS } else { MAX_AMOUNT };
        if amount > limit {
            return Err(WorldError::TooMuch { object: object(), resource: name.to_string(), amount, limit });
        }
    }
    Ok(())
}
