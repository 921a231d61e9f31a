//! Fabrics from a description: switch, bridges, adjacency, PCIe only, torus, ring; and from what DRA drivers publish.

use std::collections::BTreeSet;

use petgraph::graph::{NodeIndex, UnGraph};

use super::{Bandwidth, Device, Fabric, FabricError, Link, LinkKind, MAX_DEVICES, PciePath, Routing};
use crate::model::product::Product;

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

    fn graph(&self) -> UnGraph<Device, Link> {
        unlinked((0..self.devices).map(|index| self.device(index)))
    }
}

/// Devices without any links.
fn unlinked(devices: impl ExactSizeIterator<Item = Device>) -> UnGraph<Device, Link> {
    let count = devices.len();
    let mut graph = UnGraph::with_capacity(count, count * count / 2);
    for device in devices {
        graph.add_node(device);
    }
    graph
}

/// The PCIe path of two devices. What is not known counts as the ordinary case: one NUMA node, roots of their own.
fn pcie(a: Device, b: Device) -> Link {
    let path = if a.pcie_root.is_some() && a.pcie_root == b.pcie_root {
        PciePath::Pxb
    } else if a.numa.is_none() || b.numa.is_none() || a.numa == b.numa {
        PciePath::Node
    } else {
        PciePath::Sys
    };
    Link { kind: LinkKind::Pcie(path), bandwidth: path.bandwidth() }
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

/// What a DRA driver publishes of a device, as far as it says how devices are connected.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeviceAttributes<'a> {
    /// The driver's number of it on the machine: 3 of `gpu-3`.
    pub index: usize,
    /// `resource.kubernetes.io/pcieRoot`, such as `pci0000:17`.
    pub pcie_root: Option<&'a str>,
    /// `resource.kubernetes.io/numaNode`.
    pub numa: Option<u8>,
    /// What `productName` names, where the catalogue knows it.
    pub product: Option<&'a Product>,
}

impl Fabric {
    /// Every pair over a switch at the full rate of a device.
    ///
    /// # Errors
    /// When the bandwidth is out of range.
    pub fn nvswitch(slots: Slots, per_device: Bandwidth) -> Result<Fabric, FabricError> {
        let link = Link { kind: LinkKind::NvSwitch, bandwidth: checked(per_device)? };
        Ok(Fabric::linking(slots.graph(), Routing::Direct, |_, _| Some(link)))
    }

    /// PCIe only.
    pub fn pcie_only(slots: Slots) -> Fabric {
        let link = |a, b| Some(pcie(slots.device(a), slots.device(b)));
        Fabric::linking(slots.graph(), Routing::Direct, link)
    }

    /// Links between the devices of a graph, chosen by a function for every pair.
    fn linking(
        mut graph: UnGraph<Device, Link>,
        routing: Routing,
        link: impl Fn(usize, usize) -> Option<Link>,
    ) -> Fabric {
        for a in 0..graph.node_count() {
            for b in a + 1..graph.node_count() {
                if let Some(link) = link(a, b) {
                    graph.add_edge(NodeIndex::new(a), NodeIndex::new(b), link);
                }
            }
        }
        Fabric::new(graph, routing)
    }

    /// Devices of which each says where it sits, and what it is. Device `i` of the fabric is the `i`-th of the list.
    ///
    /// No driver publishes who is linked to whom. So the links are those of the machine's own fabric, where the machine
    /// is known, between the devices of these indexes; else two devices of one product are linked where every machine
    /// links them. All other pairs of GPUs have the PCIe path that their places tell.
    ///
    /// # Errors
    /// When there is no device, or there are more than [`MAX_DEVICES`].
    pub fn from_attributes(devices: &[DeviceAttributes], machine: Option<&Fabric>) -> Result<Fabric, FabricError> {
        Slots::new(devices.len())?;
        let roots: BTreeSet<&str> = devices.iter().filter_map(|device| device.pcie_root).collect();
        // At most as many roots as devices.
        let number = |root: &str| roots.iter().position(|known| *known == root).map(|at| at as u8);
        let place = |d: &DeviceAttributes| Device { numa: d.numa, pcie_root: d.pcie_root.and_then(number) };
        let graph = unlinked(devices.iter().map(place));
        let places: Vec<Device> = graph.node_weights().copied().collect();

        let routing = machine.map_or(Routing::Direct, |machine| machine.routing);
        let fast = |a: &DeviceAttributes, b: &DeviceAttributes| match machine {
            Some(machine) => machine.link(a.index, b.index).filter(|link| link.kind.is_fast()),
            None => {
                let product = a.product.filter(|product| b.product.is_some_and(|other| other.name == product.name))?;
                Some(Link { kind: LinkKind::NvSwitch, bandwidth: product.switch_bandwidth()? })
            }
        };
        Ok(Fabric::linking(graph, routing, |a, b| {
            let path = || (routing == Routing::Direct).then(|| pcie(places[a], places[b]));
            fast(&devices[a], &devices[b]).or_else(path)
        }))
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
    let mut graph = slots.graph();
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
