//! From the file form to domain values: every reference resolved, every entry checked.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use super::{Catalogue, CatalogueError, LinkDomain, Machine, table};
use crate::model::fabric::{Bandwidth, Fabric, FabricError, LinkKind, MAX_DEVICES, NvLinkPair, Slots};
use crate::model::mig::{Engines, MigGeometry, MigProfile, ProfileKind};
use crate::model::product::{Product, Vendor};

/// The fabrics of machines of which only product and count are known, by the bandwidth of their switch and the count.
pub(super) type DefaultFabrics = BTreeMap<(Option<Bandwidth>, usize), Arc<Fabric>>;

/// An entry of the file, for errors.
#[derive(Clone, Copy)]
struct Entry<'a> {
    section: &'static str,
    name: &'a str,
}

impl Entry<'_> {
    fn error(self, problem: impl Display) -> CatalogueError {
        CatalogueError::Entry { section: self.section, name: self.name.to_owned(), problem: problem.to_string() }
    }

    fn find<'t, T>(self, kind: &str, name: &str, among: &'t BTreeMap<String, T>) -> Result<&'t T, CatalogueError> {
        among.get(name).ok_or_else(|| self.error(format_args!("{kind} {name:?} is not in the catalogue")))
    }
}

/// Resolves a whole file.
pub(super) fn catalogue(file: table::File) -> Result<Catalogue, CatalogueError> {
    let mut families = BTreeMap::new();
    let mut families_by_pci_id = BTreeMap::new();
    for (name, family) in &file.mig_families {
        let entry = Entry { section: "migFamilies", name };
        let shape = entry.find("shape", &family.shape, &file.mig_shapes)?;
        let geometry = Arc::new(geometry(entry, shape, family)?);
        for id in &family.pci_device_ids {
            if id.len() != 4 || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(entry.error(format_args!("PCI device id {id:?} must be four hexadecimal digits")));
            }
            if families_by_pci_id.insert(id.to_ascii_uppercase(), Arc::clone(&geometry)).is_some() {
                return Err(entry.error(format_args!("PCI device id {id} belongs to another family too")));
            }
        }
        families.insert(name.clone(), geometry);
    }
    let (products, spellings) = products(&file, &families)?;
    let default_fabrics = default_fabrics(&products);

    let mut fabrics = BTreeMap::new();
    for (name, spec) in &file.fabrics {
        let entry = Entry { section: "fabrics", name };
        let fabric = fabric(spec).map_err(|error| entry.error(error))?;
        fabric.prepare();
        fabrics.insert(name.clone(), Arc::new(fabric));
    }
    let mut machines = BTreeMap::new();
    for (name, spec) in &file.machines {
        let entry = Entry { section: "machines", name };
        let machine = machine(entry, spec, &spellings, &fabrics, &default_fabrics)?;
        machines.insert(name.clone(), Arc::new(machine));
    }
    Ok(Catalogue { file, families, families_by_pci_id, products, spellings, machines, default_fabrics })
}

fn geometry(entry: Entry, shape: &table::Shape, family: &table::Family) -> Result<MigGeometry, CatalogueError> {
    let engines = |engines: table::Engines| Engines { media: engines.media, ofa: engines.ofa };
    let mut unused: BTreeMap<&str, &table::FamilyProfile> =
        family.profiles.iter().map(|(kind, profile)| (kind.as_str(), profile)).collect();
    let mut profiles = Vec::with_capacity(shape.profiles.len());
    for of_shape in &shape.profiles {
        let kind: ProfileKind = of_shape.kind.parse().map_err(|error| entry.error(error))?;
        let named = unused.remove(of_shape.kind.as_str());
        let named = named.ok_or_else(|| entry.error(format_args!("profile {kind} of its shape has no name")))?;
        profiles.push(MigProfile {
            kind,
            name: named.name.clone(),
            aliases: named.aliases.clone(),
            gi_profile_id: of_shape.gi_profile_id,
            compute_slices: of_shape.compute_slices,
            size: of_shape.size,
            starts: of_shape.starts.clone(),
            max_instances: of_shape.max_instances,
            memory_mib: named.memory_mib,
            engines: engines(of_shape.engines),
        });
    }
    if let Some(kind) = unused.into_keys().next() {
        return Err(entry.error(format_args!("its shape {:?} has no profile {kind}", family.shape)));
    }
    MigGeometry::new(entry.name, shape.memory_slices, shape.compute_slices, engines(shape.engines), profiles)
        .map_err(|error| entry.error(error))
}

type Products = BTreeMap<String, Arc<Product>>;

/// Products by name, and by every spelling in lower case.
fn products(
    file: &table::File,
    families: &BTreeMap<String, Arc<MigGeometry>>,
) -> Result<(Products, Products), CatalogueError> {
    let (mut products, mut spellings) = (Products::new(), Products::new());
    for (name, spec) in &file.products {
        let entry = Entry { section: "products", name };
        let product = Arc::new(product(entry, spec, families)?);
        for spelling in std::iter::once(name).chain(&spec.spellings) {
            let replaced = spellings.insert(spelling.to_ascii_lowercase(), Arc::clone(&product));
            if let Some(other) = replaced.filter(|other| other.name != *name) {
                return Err(entry.error(format_args!("{spelling:?} is also a name of {}", other.name)));
            }
        }
        products.insert(name.clone(), product);
    }
    Ok((products, spellings))
}

fn product(
    entry: Entry,
    spec: &table::Product,
    families: &BTreeMap<String, Arc<MigGeometry>>,
) -> Result<Product, CatalogueError> {
    if spec.memory_mib == 0 {
        return Err(entry.error("memoryMib must be at least 1"));
    }
    let vendor = match spec.vendor {
        table::Vendor::Nvidia => {
            if spec.cores.is_some() {
                return Err(entry.error("cores are for Neuron chips"));
            }
            let nvlink = match spec.nvlink_gbps {
                Some(0) => return Err(entry.error("nvlinkGbps must be at least 1")),
                gbps => gbps.map(Bandwidth),
            };
            let switched = matches!(spec.default_fabric, table::DefaultFabric::Nvswitch);
            if switched && nvlink.is_none() {
                return Err(entry.error("defaultFabric nvswitch needs nvlinkGbps"));
            }
            let mig = spec.mig.as_ref().map(|family| entry.find("MIG family", family, families)).transpose()?;
            Vendor::Nvidia { mig: mig.cloned(), nvlink, switched }
        }
        table::Vendor::Neuron => {
            if spec.mig.is_some() || spec.nvlink_gbps.is_some() {
                return Err(entry.error("mig and nvlinkGbps are for NVIDIA GPUs"));
            }
            let cores = spec.cores.filter(|&cores| cores > 0);
            Vendor::Neuron { cores: cores.ok_or_else(|| entry.error("cores must be given, and be at least 1"))? }
        }
    };
    Ok(Product { name: entry.name.to_owned(), vendor, spellings: spec.spellings.clone(), memory_mib: spec.memory_mib })
}

fn default_fabrics(products: &Products) -> DefaultFabrics {
    let switches = products.values().map(|product| product.switch_bandwidth()).chain([None]);
    let mut fabrics = DefaultFabrics::new();
    for bandwidth in switches {
        for count in 1..=MAX_DEVICES {
            let fabric = Slots::new(count).and_then(|slots| match bandwidth {
                Some(bandwidth) => Fabric::nvswitch(slots, bandwidth),
                None => Ok(Fabric::pcie_only(slots)),
            });
            if let Ok(fabric) = fabric {
                fabrics.entry((bandwidth, count)).or_insert_with(|| Arc::new(fabric));
            }
        }
    }
    fabrics
}

fn slots(spec: table::Slots) -> Result<Slots, FabricError> {
    let mut slots = Slots::new(spec.devices)?;
    if let Some(nodes) = spec.numa_nodes {
        slots = slots.over_numa_nodes(nodes)?;
    }
    if let Some(per_root) = spec.per_pcie_root {
        slots = slots.per_pcie_root(per_root)?;
    }
    Ok(slots)
}

fn fabric(spec: &table::Fabric) -> Result<Fabric, FabricError> {
    match *spec {
        table::Fabric::Nvswitch { slots: at, gbps } => Fabric::nvswitch(slots(at)?, Bandwidth(gbps)),
        table::Fabric::Pcie { slots: at } => Ok(Fabric::pcie_only(slots(at)?)),
        table::Fabric::Nvlink { slots: at, gbps_per_link, ref pairs } => {
            let pairs: Vec<NvLinkPair> = pairs.iter().map(|&(a, b, links)| NvLinkPair { a, b, links }).collect();
            Fabric::nvlink(slots(at)?, &pairs, Bandwidth(gbps_per_link))
        }
        table::Fabric::FullMesh { slots: at, gbps_per_link, links } => {
            Fabric::full_mesh(slots(at)?, links, Bandwidth(gbps_per_link))
        }
        table::Fabric::Torus { rows, columns, gbps } => Fabric::torus(rows, columns, Bandwidth(gbps)),
        table::Fabric::Ring { slots: at, gbps } => Fabric::ring(slots(at)?, Bandwidth(gbps)),
        table::Fabric::TopoMatrix { ref text, gbps_per_link: None } => Ok(Fabric::from_topo_matrix(text)?),
        table::Fabric::TopoMatrix { gbps_per_link: Some(gbps @ 0), .. } => Err(FabricError::Bandwidth(gbps)),
        table::Fabric::TopoMatrix { ref text, gbps_per_link: Some(gbps) } => {
            Ok(Fabric::from_topo_matrix_at(text, Bandwidth(gbps))?)
        }
    }
}

fn machine(
    entry: Entry,
    spec: &table::Machine,
    spellings: &Products,
    fabrics: &BTreeMap<String, Arc<Fabric>>,
    default_fabrics: &DefaultFabrics,
) -> Result<Machine, CatalogueError> {
    let accelerator = spellings.get(&spec.accelerator.to_ascii_lowercase());
    let accelerator = accelerator
        .ok_or_else(|| entry.error(format_args!("product {:?} is not in the catalogue", spec.accelerator)))?;
    let fabric = match &spec.fabric {
        Some(name) => entry.find("fabric", name, fabrics)?,
        None => default_fabrics
            .get(&(accelerator.switch_bandwidth(), spec.count))
            .ok_or_else(|| entry.error(format_args!("count {} must be 1 to {MAX_DEVICES}", spec.count)))?,
    };
    if fabric.len() != spec.count {
        let (have, count) = (fabric.len(), spec.count);
        return Err(entry.error(format_args!("its fabric has {have} devices, its count is {count}")));
    }
    let neuron = matches!(accelerator.vendor, Vendor::Neuron { .. });
    let links = || fabric.graph().edge_weights().map(|link| link.kind);
    if links().any(|kind| kind.is_fast() && neuron != (kind == LinkKind::NeuronLink)) {
        return Err(entry.error(format_args!("its fabric does not connect devices like {}", accelerator.name)));
    }
    let link_domain = match spec.link_clique {
        Some(devices) if usize::from(devices) <= spec.count => {
            return Err(entry.error(format_args!("linkClique {devices} does not go beyond the machine")));
        }
        Some(devices) => LinkDomain::Clique { devices },
        None if links().any(LinkKind::is_fast) => LinkDomain::Node,
        None => LinkDomain::None,
    };
    for (what, value) in [("efaGbps", spec.efa_gbps), ("vcpus", spec.vcpus), ("memoryGib", spec.memory_gib)] {
        if value == Some(0) {
            return Err(entry.error(format_args!("{what} must be at least 1")));
        }
    }
    Ok(Machine {
        name: entry.name.to_owned(),
        accelerator: Arc::clone(accelerator),
        count: spec.count,
        fabric: Arc::clone(fabric),
        link_domain,
        efa_gbps: spec.efa_gbps,
        vcpus: spec.vcpus,
        memory_gib: spec.memory_gib,
        labels: spec.labels.clone(),
    })
}
