//! How the accelerators of one machine are connected, and which sets of them belong together.
//!
//! A [`Fabric`] is a graph: accelerators with their place on the host, links with kind and bandwidth. Bandwidths are
//! GB/s per device over a link, in both directions together, as vendors state them (NVLink 4: 900). PCIe paths have
//! nominal figures that only rank them.

mod build;
mod device_set;
mod pool;
mod select;
mod tables;
mod topo_matrix;

use std::fmt;
use std::sync::OnceLock;

use petgraph::graph::{NodeIndex, UnGraph};
use thiserror::Error;

pub use build::{DeviceAttributes, NvLinkPair, Slots};
pub use device_set::DeviceSet;
pub use pool::FabricPool;
pub use topo_matrix::TopoError;

use tables::{PRECOMPUTED_DEVICES, Tables};

/// Most accelerators of one machine. Queries keep a table with an entry per subset.
pub const MAX_DEVICES: usize = 16;

/// GB/s per device, both directions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bandwidth(pub u32);

impl Bandwidth {
    /// No path.
    pub const NONE: Bandwidth = Bandwidth(0);
    /// What a set of one device has: it needs no link.
    pub const UNLIMITED: Bandwidth = Bandwidth(u32::MAX);
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Bandwidth::UNLIMITED => f.write_str("unlimited"),
            Bandwidth(gbps) => write!(f, "{gbps} GB/s"),
        }
    }
}

/// The PCIe path between two devices, best first, in the terms of `nvidia-smi topo -m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PciePath {
    /// At most one PCIe bridge.
    Pix,
    /// Several PCIe bridges, no host bridge.
    Pxb,
    /// Through the host bridge.
    Phb,
    /// Through the host bridges of one NUMA node.
    Node,
    /// Through the interconnect between NUMA nodes.
    Sys,
}

impl PciePath {
    /// A nominal figure that ranks the paths, below any NVLink. It is no measurement: half the pair score that NVIDIA's
    /// go-gpuallocator gives to the path.
    pub fn bandwidth(self) -> Bandwidth {
        Bandwidth(match self {
            PciePath::Pix => 25,
            PciePath::Pxb => 20,
            PciePath::Phb => 15,
            PciePath::Node => 10,
            PciePath::Sys => 5,
        })
    }
}

/// What connects two devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// NVLinks into a switch that connects every pair at full rate.
    NvSwitch,
    /// Bonded NVLinks straight between the two, soldered or as a bridge.
    NvLink {
        /// How many: the number of `NV12`.
        links: u8,
    },
    /// A NeuronLink between neighbours.
    NeuronLink,
    /// PCIe only.
    Pcie(PciePath),
}

impl LinkKind {
    /// Whether it is a link of the accelerators themselves, and not PCIe.
    pub fn is_fast(self) -> bool {
        !matches!(self, LinkKind::Pcie(_))
    }
}

/// Where an accelerator sits on the host; `None` where that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// NUMA node.
    pub numa: Option<u8>,
    /// PCIe root, counted through the machine.
    pub pcie_root: Option<u8>,
}

/// An edge of the fabric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// What it is.
    pub kind: LinkKind,
    /// What it carries.
    pub bandwidth: Bandwidth,
}

/// How data goes between two devices of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Routing {
    /// Only over a link of the two (GPUs).
    Direct,
    /// Also through other devices of the set (NeuronLink): a set has to be contiguous.
    Hops,
}

/// A fabric that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FabricError {
    /// Not a number of devices that a machine can have here.
    #[error("{0} devices: must be 1 to {MAX_DEVICES}")]
    DeviceCount(usize),
    /// The devices cannot be divided evenly.
    #[error("{devices} devices cannot be divided evenly over {over} {what}")]
    Uneven {
        /// Devices.
        devices: usize,
        /// `NUMA nodes` or `PCIe roots`.
        what: &'static str,
        /// How many of these.
        over: usize,
    },
    /// A link to a device that is not there, to itself, given twice, or of no links.
    #[error("link {a}-{b}: {problem}")]
    Link {
        /// One end.
        a: usize,
        /// The other end.
        b: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A torus that is none.
    #[error("a torus of {rows} x {columns}: both must be at least 2")]
    Torus {
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
    },
    /// A link that carries nothing, or more than is possible.
    #[error("{0} GB/s: a link must carry 1 to 100000 GB/s")]
    Bandwidth(u32),
    /// A text that is no topology matrix.
    #[error(transparent)]
    Matrix(#[from] TopoError),
}

/// The accelerators of one machine and their links.
#[derive(Clone, Debug)]
pub struct Fabric {
    graph: UnGraph<Device, Link>,
    routing: Routing,
    tables: OnceLock<Tables>,
}

impl Fabric {
    fn new(graph: UnGraph<Device, Link>, routing: Routing) -> Fabric {
        Fabric { graph, routing, tables: OnceLock::new() }
    }

    /// The graph itself; node `i` is device `i`.
    pub fn graph(&self) -> &UnGraph<Device, Link> {
        &self.graph
    }

    /// Number of devices.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Never: a machine without accelerators has no fabric.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All devices.
    pub fn all(&self) -> DeviceSet {
        DeviceSet::first(self.len())
    }

    /// Where a device sits.
    pub fn device(&self, device: usize) -> Option<Device> {
        self.graph.node_weight(NodeIndex::new(device)).copied()
    }

    /// The link between two devices, if they have one.
    pub fn link(&self, a: usize, b: usize) -> Option<Link> {
        let edge = self.graph.find_edge(NodeIndex::new(a), NodeIndex::new(b))?;
        self.graph.edge_weight(edge).copied()
    }

    /// Whether sets have to be contiguous, since data goes from neighbour to neighbour (NeuronLink).
    pub fn needs_contiguous_sets(&self) -> bool {
        self.routing == Routing::Hops
    }
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod select_tests;

#[cfg(test)]
#[path = "attributes_tests.rs"]
mod attributes_tests;
