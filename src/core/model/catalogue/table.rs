//! The catalogue's file form. Wire types only: the parent module turns them into domain values.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A whole file. Every section may be missing in an operator's addition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct File {
    pub mig_shapes: BTreeMap<String, Shape>,
    pub mig_families: BTreeMap<String, Family>,
    pub products: BTreeMap<String, Product>,
    pub fabrics: BTreeMap<String, Fabric>,
    pub machines: BTreeMap<String, Machine>,
}

impl File {
    /// This with the other's entries added; an entry of the same name is replaced.
    pub(super) fn merged_with(mut self, other: File) -> File {
        self.mig_shapes.extend(other.mig_shapes);
        self.mig_families.extend(other.mig_families);
        self.products.extend(other.products);
        self.fabrics.extend(other.fabrics);
        self.machines.extend(other.machines);
        self
    }
}

/// A placement table.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Shape {
    pub memory_slices: u8,
    pub compute_slices: u8,
    #[serde(default)]
    pub engines: Engines,
    pub profiles: Vec<ShapeProfile>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Engines {
    pub media: u8,
    pub ofa: u8,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ShapeProfile {
    pub kind: String,
    pub gi_profile_id: u8,
    pub compute_slices: u8,
    pub size: u8,
    pub starts: Vec<u8>,
    pub max_instances: u8,
    #[serde(default)]
    pub engines: Engines,
}

/// Names and memory of a shape's profiles on some products.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Family {
    pub shape: String,
    /// Four hexadecimal digits.
    #[serde(default)]
    pub pci_device_ids: Vec<String>,
    /// By kind; the shape's order counts.
    pub profiles: BTreeMap<String, FamilyProfile>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FamilyProfile {
    pub name: String,
    pub memory_mib: Option<u32>,
    #[serde(default)]
    pub aliases: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) enum Vendor {
    Nvidia,
    Neuron,
}

/// How several devices of a product are connected when the machine is not known.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum DefaultFabric {
    #[default]
    Pcie,
    Nvswitch,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Product {
    pub vendor: Vendor,
    #[serde(default)]
    pub spellings: Vec<String>,
    pub memory_mib: u32,
    pub nvlink_gbps: Option<u32>,
    pub mig: Option<String>,
    pub cores: Option<u8>,
    #[serde(default)]
    pub default_fabric: DefaultFabric,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Slots {
    pub devices: usize,
    pub numa_nodes: Option<usize>,
    pub per_pcie_root: Option<usize>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(super) enum Fabric {
    Nvswitch {
        slots: Slots,
        gbps: u32,
    },
    Pcie {
        slots: Slots,
    },
    Nvlink {
        slots: Slots,
        gbps_per_link: u32,
        pairs: Vec<(usize, usize, u8)>,
    },
    FullMesh {
        slots: Slots,
        gbps_per_link: u32,
        links: u8,
    },
    Torus {
        rows: usize,
        columns: usize,
        gbps: u32,
    },
    Ring {
        slots: Slots,
        gbps: u32,
    },
    /// What `nvidia-smi topo -m` prints.
    TopoMatrix {
        text: String,
        gbps_per_link: Option<u32>,
    },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Machine {
    pub accelerator: String,
    pub count: usize,
    pub fabric: Option<String>,
    pub link_clique: Option<u16>,
    pub efa_gbps: Option<u32>,
    pub vcpus: Option<u32>,
    pub memory_gib: Option<u32>,
    #[serde(default)]
    pub labels: Vec<String>,
}
