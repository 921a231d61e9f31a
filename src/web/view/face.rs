//! What a node looks like, apart from what is held on it: its kind, and where it stands.

use serde::Serialize;
use testudo_core::claims::Gpu;
use testudo_core::cluster::{Domains, Level};
use testudo_core::model::accelerator::{AcceleratorResource, Unit};
use testudo_core::model::catalogue::{Catalogue, LinkDomain};
use testudo_core::model::fabric::{DeviceAttributes, Fabric, LinkKind};
use testudo_core::model::inventory::{Inventory, Pool};
use testudo_core::model::node::Node;

use super::mig::Cut;

/// What nodes of one kind have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// `p5.48xlarge`, else the catalogue's name of the machine.
    pub machine: Option<String>,
    /// The accelerator's name.
    pub product: Option<String>,
    /// How many there are.
    pub devices: usize,
    /// Memory of one, in MiB; 0 where it is not known.
    pub memory_mib: u32,
    /// How they are connected.
    pub links: Links,
    /// Do the links reach other nodes of the same NVLink domain?
    pub reaches_out: bool,
    /// What pods can ask for, in the order in which it is shown.
    pub pools: Vec<PoolFace>,
    /// How each device is cut, where that is known.
    pub cut: Option<Cut>,
    /// The GPUs that drivers publish for claims; then nothing is asked for by count.
    pub gpus: Option<Vec<GpuFace>>,
    /// How many devices can work as one set.
    #[serde(skip)]
    pub linked: i64,
}

/// How the devices of a machine are connected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Links {
    /// Not known.
    Unknown,
    /// By a switch, each with each.
    Switch,
    /// By PCIe only.
    Pcie,
    /// In pairs: NVLink bridges, a mesh, NeuronLink.
    Pairs {
        /// Device, device, number of links.
        pairs: Vec<(usize, usize, u8)>,
    },
}

/// A GPU that claims can have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct GpuFace {
    /// Its name.
    pub name: String,
    /// Memory slices that it can be cut into; 1 where it cannot be cut.
    pub width: u8,
}

/// One thing that pods can ask for, as cells: whole devices, slices, replicas.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PoolFace {
    /// The resource.
    pub resource: String,
    /// What one cell is, in words.
    pub unit: String,
    /// How many cells there are.
    pub cells: i64,
    /// How many parts a cell has: 1000 where a cell is a device that can be given in parts.
    pub parts: i64,
    /// How much of a device a cell is, in thousandths.
    pub milli: i64,
    /// Where in the node's inventory the pool stands.
    #[serde(skip)]
    pub at: usize,
}

/// Where a node stands, as names from the widest domain to the closest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Stand {
    /// The zone; empty where none is known.
    pub zone: String,
    /// The rack: an NVLink domain, or the closest network layer; empty where none is known.
    pub rack: String,
    /// Is the rack one NVLink domain?
    pub clique: bool,
}

impl Kind {
    /// The kind of a node; none for one without accelerators. `gpus` are those that claims can have.
    pub fn of(node: &Node, gpus: Option<&[Gpu]>) -> Option<Self> {
        if let Some(gpus) = gpus {
            return Some(Self::of_gpus(node, gpus));
        }
        let inventory = &node.inventory;
        if !inventory.has_accelerators() {
            return None;
        }
        let machine = inventory.machine.as_ref();
        let links = inventory.fabric.as_deref().map_or(Links::Unknown, Links::of);
        let devices = inventory.fabric.as_ref().map(|fabric| fabric.len());
        let pools = pools(inventory);
        Some(Self {
            machine: node.place.instance_type.clone().or_else(|| machine.map(|machine| machine.name.clone())),
            product: inventory.product.as_ref().map(|product| product.name.clone()),
            devices: devices.unwrap_or_else(|| counted_devices(&pools)),
            memory_mib: inventory.device_memory_mib,
            linked: linked(&links, inventory.fabric.as_deref()),
            links,
            reaches_out: machine.is_some_and(|machine| matches!(machine.link_domain, LinkDomain::Clique { .. })),
            cut: Cut::of(inventory, &node.parts.labels).map(|cut| shown(cut, &pools)),
            pools,
            gpus: None,
        })
    }

    fn of_gpus(node: &Node, gpus: &[Gpu]) -> Self {
        let catalogue = Catalogue::builtin();
        let machine = node.place.instance_type.as_deref().and_then(|name| catalogue.machine_by_instance_type(name));
        let machine = machine.filter(|machine| machine.count == gpus.len());
        let fabric = fabric(gpus, machine.map(|machine| &*machine.fabric), &catalogue);
        let links = fabric.as_ref().map_or(Links::Unknown, Links::of);
        let product = gpus.iter().find_map(|gpu| gpu.product.clone());
        let memory_mib = product.as_deref().and_then(|name| catalogue.product_by_name(name));
        Self {
            machine: node.place.instance_type.clone(),
            devices: gpus.len(),
            memory_mib: memory_mib.map_or(0, |product| product.memory_mib),
            product,
            linked: linked(&links, fabric.as_ref()),
            links,
            reaches_out: machine.is_some_and(|machine| matches!(machine.link_domain, LinkDomain::Clique { .. })),
            pools: vec![],
            cut: None,
            gpus: Some(gpus.iter().map(|gpu| GpuFace { name: gpu.name.to_string(), width: gpu.width }).collect()),
        }
    }
}

/// How GPUs are linked that drivers publish: as in the machine that they are in, else as far as their places tell. Of more
/// than eight in a machine that is not known it takes too long to find out.
fn fabric(gpus: &[Gpu], machine: Option<&Fabric>, catalogue: &Catalogue) -> Option<Fabric> {
    if machine.is_none() && gpus.len() > 8 {
        return None;
    }
    let attributes = gpus.iter().enumerate().map(|(at, gpu)| DeviceAttributes {
        index: gpu.index.unwrap_or(at),
        pcie_root: gpu.bus.0.as_deref(),
        numa: gpu.bus.1,
        product: gpu.product.as_deref().and_then(|name| catalogue.product_by_name(name)).map(|product| &**product),
    });
    Fabric::from_attributes(&attributes.collect::<Vec<_>>(), machine).ok()
}

/// How many devices can work as one set.
fn linked(links: &Links, fabric: Option<&Fabric>) -> i64 {
    match (links, fabric) {
        (Links::Unknown | Links::Pcie, _) | (_, None) => 1,
        (_, Some(fabric)) => i64::try_from(fabric.largest_linked(fabric.all())).unwrap_or(1),
    }
}

/// The devices that whole pools add up to, where nothing else says how many there are.
fn counted_devices(pools: &[PoolFace]) -> usize {
    let milli: i64 = pools.iter().map(|pool| pool.cells * pool.milli).sum();
    usize::try_from(milli / 1000).unwrap_or(0).max(1)
}

/// A cut by the positions at which pools are shown.
fn shown(cut: Cut, pools: &[PoolFace]) -> Cut {
    let position = |at: usize| pools.iter().position(|pool| pool.at == at).unwrap_or(0);
    let slices = cut.slices.into_iter().map(|slice| super::mig::Slice { pool: position(slice.pool), ..slice });
    Cut { slices: slices.collect(), ..cut }
}

/// The pools that are shown. Neuron hardware stands on a node under several names: devices are shown, and cores count as
/// parts of them.
fn pools(inventory: &Inventory) -> Vec<PoolFace> {
    let has_neuron_devices = inventory.pools.iter().any(|pool| is_neuron(pool) && pool.unit == Unit::Device);
    let mut neuron_shown = false;
    let shown = |(_, pool): &(usize, &Pool)| match (is_neuron(pool), &pool.unit) {
        (true, Unit::Device) => !std::mem::replace(&mut neuron_shown, true),
        (true, _) => !has_neuron_devices,
        (false, _) => true,
    };
    inventory.pools.iter().enumerate().filter(shown).map(|(at, pool)| PoolFace::of(inventory, at, pool)).collect()
}

/// Is it a name of Neuron hardware?
pub(super) fn is_neuron(pool: &Pool) -> bool {
    AcceleratorResource::parse(pool.resource.as_str()).is_some_and(|resource| resource.is_neuron())
}

impl PoolFace {
    fn of(inventory: &Inventory, at: usize, pool: &Pool) -> Self {
        let (resource, unit) = (pool.resource.to_string(), pool.unit.to_string());
        let milli = inventory.unit_milli(pool);
        match pool.unit {
            Unit::Device => Self { resource, unit, cells: pool.capacity, parts: 1000, milli: 1000, at },
            Unit::Thousandth => Self { resource, unit, cells: pool.capacity / 1000, parts: 1000, milli: 1000, at },
            _ => Self { resource, unit, cells: pool.capacity, parts: 1, milli, at },
        }
    }
}

impl Links {
    fn of(fabric: &Fabric) -> Self {
        let pairs = (0..fabric.len()).flat_map(|a| (a + 1..fabric.len()).map(move |b| (a, b)));
        let links: Vec<(usize, usize, LinkKind)> =
            pairs.filter_map(|(a, b)| Some((a, b, fabric.link(a, b)?.kind))).filter(|(.., k)| k.is_fast()).collect();
        let pairs = |(a, b, kind): &(usize, usize, LinkKind)| match kind {
            LinkKind::NvLink { links } => (*a, *b, *links),
            LinkKind::NvSwitch | LinkKind::NeuronLink | LinkKind::Pcie(_) => (*a, *b, 1),
        };
        match links.first() {
            None => Self::Pcie,
            Some(_) if links.iter().all(|(.., kind)| *kind == LinkKind::NvSwitch) => Self::Switch,
            Some(_) => Self::Pairs { pairs: links.iter().map(pairs).collect() },
        }
    }
}

impl Stand {
    /// Where a node stands.
    pub fn of(node: &Node, domains: &Domains) -> Self {
        let rack = domains.rack(node.name()).map(|id| &domains[id]);
        let rack = rack.filter(|domain| matches!(domain.level(), Level::Layer(_) | Level::Clique));
        Self {
            zone: node.place.zone.clone().unwrap_or_default(),
            rack: rack.map(|domain| domain.name().to_owned()).unwrap_or_default(),
            clique: rack.is_some_and(|domain| domain.level() == Level::Clique),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::node;
    use super::*;

    fn kind(product: &str, instance: &str, pools: &[(&str, i64)]) -> Kind {
        let labels = [("node.kubernetes.io/instance-type", instance)];
        Kind::of(&node("n", &[("nvidia.com/gpu.product", product)], pools, &labels), None).expect("accelerators")
    }

    #[test]
    fn switches_and_bridges_are_told_apart() {
        assert_eq!(kind("NVIDIA-H100-80GB-HBM3", "p5.48xlarge", &[("nvidia.com/gpu", 8)]).links, Links::Switch);
        assert_eq!(kind("NVIDIA-L40S", "g6e.48xlarge", &[("nvidia.com/gpu", 8)]).links, Links::Pcie);
        let gb200 = kind("NVIDIA-GB200", "p6e-gb200.36xlarge", &[("nvidia.com/gpu", 4)]);
        assert!(gb200.reaches_out);
    }

    #[test]
    fn neuron_devices_are_shown_once() {
        let labels = [("node.kubernetes.io/instance-type", "trn2.48xlarge")];
        let pools = [("aws.amazon.com/neuron", 16), ("aws.amazon.com/neuroncore", 128)];
        let kind = Kind::of(&node("n", &[], &pools, &labels), None).expect("accelerators");
        let shown: Vec<(&str, i64)> = kind.pools.iter().map(|pool| (pool.resource.as_str(), pool.cells)).collect();
        assert_eq!(shown, [("aws.amazon.com/neuron", 16)]);
        assert!(matches!(kind.links, Links::Pairs { .. }));
    }
}
