//! The product catalogue: what is known of accelerators and machines by name.
//!
//! It is a table, `catalogue.yaml`, built in; a file of an operator can add entries or replace them. What it does not
//! know is not an error: callers then work with the counts that a node reports.

mod resolve;
mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use thiserror::Error;

use super::fabric::Fabric;
use super::mig::MigGeometry;
use super::product::{Product, ProductForm, ProductLabel};
use crate::yaml::{self, YamlError};

static BUILTIN: LazyLock<Arc<Catalogue>> = LazyLock::new(|| {
    let built = Catalogue::parse(include_str!("catalogue.yaml"));
    Arc::new(built.unwrap_or_else(|error| panic!("the built-in catalogue: {error}")))
});

/// How far the fast links of a machine's devices reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkDomain {
    /// No pair of devices has one.
    None,
    /// Within the machine.
    Node,
    /// Over several machines (NVL72, UltraServer).
    Clique {
        /// Devices of a complete domain.
        devices: u16,
    },
}

/// A type of machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Instance type, or our name.
    pub name: String,
    /// What it has.
    pub accelerator: Arc<Product>,
    /// How many.
    pub count: usize,
    /// How they are connected.
    pub fabric: Arc<Fabric>,
    /// How far their links reach.
    pub link_domain: LinkDomain,
    /// EFA network bandwidth, Gbit/s, where known.
    pub efa_gbps: Option<u32>,
    /// Virtual CPUs, where known.
    pub vcpus: Option<u32>,
    /// Main memory in GiB, where known.
    pub memory_gib: Option<u32>,
    labels: Vec<String>,
}

/// A product label that the catalogue knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedProduct {
    /// The product.
    pub product: Arc<Product>,
    /// How its devices are offered.
    pub form: ProductForm,
}

/// A catalogue file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CatalogueError {
    /// Not YAML, or not of the catalogue's form: unknown field, wrong type, number out of range.
    #[error(transparent)]
    Form(#[from] YamlError),
    /// An entry contradicts itself or another one.
    #[error("{section} {name}: {problem}")]
    Entry {
        /// `migShapes`, `migFamilies`, `products`, `fabrics` or `machines`.
        section: &'static str,
        /// The entry.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

/// All that is known.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// What it was made from, so that it can be extended: an addition may replace what other entries refer to.
    file: table::File,
    families: BTreeMap<String, Arc<MigGeometry>>,
    /// Family by PCI device id, upper case.
    families_by_pci_id: BTreeMap<String, Arc<MigGeometry>>,
    products: BTreeMap<String, Arc<Product>>,
    /// Product by every spelling, lower case.
    spellings: BTreeMap<String, Arc<Product>>,
    machines: BTreeMap<String, Arc<Machine>>,
    default_fabrics: resolve::DefaultFabrics,
}

impl Catalogue {
    /// The built-in catalogue.
    pub fn builtin() -> Arc<Catalogue> {
        Arc::clone(&BUILTIN)
    }

    /// A catalogue with the entries of a file only.
    ///
    /// # Errors
    /// When the file cannot be used; the error names the line or the entry.
    pub fn parse(yaml: &str) -> Result<Catalogue, CatalogueError> {
        resolve::catalogue(yaml::read(yaml)?)
    }

    /// This catalogue with a file's entries added; an entry of the same name is replaced.
    ///
    /// # Errors
    /// As [`Catalogue::parse`].
    pub fn extended_with(&self, yaml: &str) -> Result<Catalogue, CatalogueError> {
        resolve::catalogue(self.file.clone().merged_with(yaml::read(yaml)?))
    }

    /// All products, by name.
    pub fn products(&self) -> impl ExactSizeIterator<Item = &Arc<Product>> {
        self.products.values()
    }

    /// All machine types, by name.
    pub fn machines(&self) -> impl ExactSizeIterator<Item = &Arc<Machine>> {
        self.machines.values()
    }

    /// All MIG geometries, by family.
    pub fn geometries(&self) -> impl ExactSizeIterator<Item = &Arc<MigGeometry>> {
        self.families.values()
    }

    /// A product by any of its names, without suffix; upper and lower case are the same.
    pub fn product_by_name(&self, name: &str) -> Option<&Arc<Product>> {
        self.spellings.get(&name.to_ascii_lowercase())
    }

    /// A product as the driver itself spells it, `NVIDIA A100-SXM4-40GB` (DRA's `productName`): labels have dashes for
    /// its blanks.
    pub fn product_by_driver_name(&self, name: &str) -> Option<&Arc<Product>> {
        self.product_by_name(&name.split_whitespace().collect::<Vec<_>>().join("-"))
    }

    /// The product that a value of `nvidia.com/gpu.product` names, and the form in which it is offered.
    pub fn product(&self, label: &str) -> Option<ResolvedProduct> {
        let ProductLabel { product, form } = ProductLabel::parse(label);
        let product = Arc::clone(self.product_by_name(&product)?);
        Some(ResolvedProduct { product, form })
    }

    /// The MIG geometry of a GPU by its PCI device id, such as `20B0`, with or without `0x`.
    pub fn geometry_by_pci_id(&self, device_id: &str) -> Option<&Arc<MigGeometry>> {
        let digits = device_id.strip_prefix("0x").unwrap_or(device_id);
        self.families_by_pci_id.get(&digits.to_ascii_uppercase())
    }

    /// The machine of an instance type (`node.kubernetes.io/instance-type`), or of our own name.
    pub fn machine_by_instance_type(&self, instance_type: &str) -> Option<&Arc<Machine>> {
        self.machines.get(instance_type)
    }

    /// The machine that a value of `nvidia.com/gpu.machine` names, given what its GPUs are: DGX A100 is the name of two.
    /// In a cloud the value is the instance type. Of several patterns that match, the longest counts.
    pub fn machine_by_label(&self, label: &str, product: &Product) -> Option<&Arc<Machine>> {
        let by_name = self.machines.get(label).map(|machine| (usize::MAX, machine));
        let by_pattern = self.machines.values().flat_map(|machine| {
            let matching = machine.labels.iter().filter(|pattern| matches(pattern, label));
            matching.map(move |pattern| (pattern.len(), machine))
        });
        let fitting = by_name.into_iter().chain(by_pattern).filter(|(_, m)| m.accelerator.name == product.name);
        // The first of equals, that is the first by name.
        fitting.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, machine)| machine)
    }

    /// How `count` devices of a product are connected on a machine of which nothing else is known: over NVSwitch where
    /// every machine with several of them links them all, else by PCIe. `None` when no machine can have so many.
    pub fn default_fabric(&self, product: &Product, count: usize) -> Option<&Arc<Fabric>> {
        self.default_fabrics.get(&(product.switch_bandwidth(), count))
    }
}

/// Whether a text fits a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
#[path = "catalogue/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "catalogue/file_tests.rs"]
mod file_tests;
