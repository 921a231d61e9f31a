//! Fabrics from a description: switch, bridges, adjacency, PCIe only, torus, ring.

use petgraph::graph::{NodeIndex, UnGraph};

use super::{Bandwidth, Device, Fabric, FabricError, Link, LinkKind, MAX_DEVICES, PciePath, Routing};

/// More than any link carries; it keeps sums of bandwidths far from overflow.
const MAX_BANDWIDTH: u32 = 100_000;

/// How many devices a machine has, and how they are spread over its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    devices: usize,
    numa_nodes: Option<usize>,
    per_root: Option<usize>,
}

impl Slots {
    /// Devices whose places are not known.
    ///
    /// # Errors
    /// When there is none, or more than [`MAX_DEVICES`].
    pub fn new(devices: usize) -> Result<Slots, FabricError> {
        if (1..=MAX_DEVICES).contains(&devices) {
            Ok(Slots { devices, numa_nodes: None, per_root: None })
        } else {
            Err(FabricError::DeviceCount(devices))
        }
    }

    /// Spread evenly over NUMA nodes, in order.
    ///
    /// # Errors
    /// When they cannot be divided evenly.
    pub fn over_numa_nodes(self, nodes: usize) -> Result<Slots, FabricError> {
        if nodes == 0 || !self.devices.is_multiple_of(nodes) {
            return Err(FabricError::Uneven { devices: self.devices, what: "NUMA nodes", over: nodes });
        }
        Ok(Slots { numa_nodes: Some(nodes), ..self })
    }

    /// So many beside each other under each PCIe root, in order.
    ///
    /// # Errors
    /// When they cannot be divided evenly.
    pub fn per_pcie_root(self, per_root: usize) -> Result<Slots, FabricError> {
        if per_root == 0 || !self.devices.is_multiple_of(per_root) {
            return Err(FabricError::Uneven { devices: self.devices, what: "devices per PCIe root", over: per_root });
        }
        Ok(Slots { per_root: Some(per_root), ..self })
    }

    fn device(&self, index: usize) -> Device {
        // Indexes are below MAX_DEVICES.
        let numa = self.numa_nodes.map(|nodes| (index / (self.devices / nodes)) as u8);
        Device { numa, pcie_root: self.per_root.map(|per_root| (index / per_root) as u8) }
    }

    fn nodes(&self) -> UnGraph<Device, Link> {
        let mut graph = UnGraph::with_capacity(self.devices, self.devices * self.devices / 2);
        for index in 0..self.devices {
            graph.add_node(self.device(index));
        }
        graph
    }

    /// The PCIe path of two devices. What is not known counts as the ordinary case: one NUMA node, roots of their own.
    fn path(&self, a: usize, b: usize) -> Link {
        let (a, b) = (self.device(a), self.device(b));
        let path = if a.pcie_root.is_some() && a.pcie_root == b.pcie_root {
            PciePath::Pxb
        } else if a.numa == b.numa {
            PciePath::Node
        } else {
            PciePath::Sys
        };
        Link { kind: LinkKind::Pcie(path), bandwidth: path.bandwidth() }
    }

    /// A graph with an edge for every pair, chosen by a function.
    fn complete(&self, mut link: impl FnMut(usize, usize) -> Link) -> Fabric {
        let mut graph = self.nodes();
        for a in 0..self.devices {
            for b in a + 1..self.devices {
                graph.add_edge(NodeIndex::new(a), NodeIndex::new(b), link(a, b));
            }
        }
        Fabric::new(graph, Routing::Direct)
    }
}

/// Two GPUs with NVLinks straight between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NvLinkPair {
    /// One GPU.
    pub a: usize,
    /// The other.
    pub b: usize,
    /// Bonded links.
    pub links: u8,
}

impl Fabric {
    /// Every pair over a switch at the full rate of a device.
    ///
    /// # Errors
    /// When the bandwidth is out of range.
    pub fn nvswitch(slots: Slots, per_device: Bandwidth) -> Result<Fabric, FabricError> {
        let link = Link { kind: LinkKind::NvSwitch, bandwidth: checked(per_device)? };
        Ok(slots.complete(|_, _| link))
    }

    /// PCIe only.
    pub fn pcie_only(slots: Slots) -> Fabric {
        slots.complete(|a, b| slots.path(a, b))
    }

    /// NVLinks between the given pairs - bridges, or a mesh - and PCIe between all others.
    ///
    /// # Errors
    /// When a pair names a device that is not there, or is given twice, or the bandwidth is out of range.
    pub fn nvlink(slots: Slots, pairs: &[NvLinkPair], per_link: Bandwidth) -> Result<Fabric, FabricError> {
        let mut fabric = Fabric::pcie_only(slots);
        for &NvLinkPair { a, b, links } in pairs {
            let wrong = |problem| FabricError::Link { a, b, problem };
            let edge = fabric.graph.find_edge(NodeIndex::new(a), NodeIndex::new(b));
            let edge = edge.ok_or_else(|| wrong("must connect two different devices of the machine"))?;
            if links == 0 {
                return Err(wrong("has no links"));
            }
            let bandwidth = checked(Bandwidth(per_link.0.saturating_mul(u32::from(links))))?;
            let link = Link { kind: LinkKind::NvLink { links }, bandwidth };
            if std::mem::replace(&mut fabric.graph[edge], link).kind.is_fast() {
                return Err(wrong("is given twice"));
            }
        }
        Ok(fabric)
    }

    /// NVLinks between every two devices, as many between each.
    ///
    /// # Errors
    /// As [`Fabric::nvlink`].
    pub fn full_mesh(slots: Slots, links: u8, per_link: Bandwidth) -> Result<Fabric, FabricError> {
        let devices = slots.devices;
        let pairs: Vec<NvLinkPair> =
            (0..devices).flat_map(|a| (a + 1..devices).map(move |b| NvLinkPair { a, b, links })).collect();
        Fabric::nvlink(slots, &pairs, per_link)
    }

    /// A two-dimensional torus of NeuronLinks; device `r * columns + c` is in row `r` and column `c`.
    ///
    /// # Errors
    /// When it has a side below 2, too many devices, or a bandwidth out of range.
    pub fn torus(rows: usize, columns: usize, per_device: Bandwidth) -> Result<Fabric, FabricError> {
        if rows < 2 || columns < 2 {
            return Err(FabricError::Torus { rows, columns });
        }
        let slots = Slots::new(rows.saturating_mul(columns))?;
        let at = |row: usize, column: usize| (row % rows) * columns + column % columns;
        let pairs = (0..rows).flat_map(|row| {
            (0..columns).flat_map(move |column| {
                [(at(row, column), at(row, column + 1)), (at(row, column), at(row + 1, column))]
            })
        });
        neighbours(slots, pairs, per_device)
    }

    /// A ring of NeuronLinks.
    ///
    /// # Errors
    /// When the bandwidth is out of range.
    pub fn ring(slots: Slots, per_device: Bandwidth) -> Result<Fabric, FabricError> {
        let devices = slots.devices;
        neighbours(slots, (0..devices).map(|a| (a, (a + 1) % devices)), per_device)
    }
}

fn neighbours(
    slots: Slots,
    pairs: impl Iterator<Item = (usize, usize)>,
    per_device: Bandwidth,
) -> Result<Fabric, FabricError> {
    let link = Link { kind: LinkKind::NeuronLink, bandwidth: checked(per_device)? };
    let mut graph = slots.nodes();
    for (a, b) in pairs {
        // A side of two wraps onto the same neighbour, a ring of one onto itself.
        if a != b {
            graph.update_edge(NodeIndex::new(a), NodeIndex::new(b), link);
        }
    }
    Ok(Fabric::new(graph, Routing::Hops))
}

fn checked(bandwidth: Bandwidth) -> Result<Bandwidth, FabricError> {
    if (1..=MAX_BANDWIDTH).contains(&bandwidth.0) { Ok(bandwidth) } else { Err(FabricError::Bandwidth(bandwidth.0)) }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
