//! Which accelerators a node has, concluded from its labels, its resources and the catalogue.

use std::sync::Arc;

use super::accelerator::{AcceleratorKind, AcceleratorResource, Sharing, Unit};
use super::catalogue::{Catalogue, Machine};
use super::fabric::Fabric;
use super::gpu_share;
use super::node::NodeParts;
use super::place::Place;
use super::product::{Product, ProductForm, ProductLabel};
use super::resources::ResourceName;
use super::selector::{Labels, NodeAffinity};

/// All units of one accelerator resource on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Under which name pods ask for it.
    pub resource: ResourceName,
    /// What one unit is.
    pub unit: Unit,
    /// How many the node has.
    pub capacity: i64,
    /// How many of them work and may be given to pods.
    pub allocatable: i64,
    /// How many of them share one device or slice, where the labels say so.
    pub replicas: Option<i64>,
}

/// Which accelerators a node has.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// The product, where labels or the machine type name a known one.
    pub product: Option<Arc<Product>>,
    /// The machine type, where labels name a known one with this product.
    pub machine: Option<Arc<Machine>>,
    /// How the devices are connected, where that is known.
    pub fabric: Option<Arc<Fabric>>,
    /// Memory of one device in MiB: what the node says, else what the product has, else 0.
    pub device_memory_mib: u32,
    /// Accelerator resources with a capacity above 0, by name.
    pub pools: Vec<Pool>,
}

/// Something about a node that cannot be understood. The node still works, by the counts it reports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum InventoryProblem {
    #[error("label {key}: {value:?} is not a whole number")]
    NotANumber { key: String, value: String },
    #[error("label {key}: {value:?} is none of {expected}")]
    UnknownValue { key: &'static str, value: String, expected: &'static str },
    #[error("label nvidia.com/gpu.product: {0:?} is not in the catalogue; add it in a catalogue file")]
    UnknownProduct(String),
    #[error(
        "MIG strategy `single` is set but the slices are not of one profile (product label ends in -MIG-INVALID): \
         repartition the node"
    )]
    MixedSlicesInSingle,
    #[error("resource {resource}: {product} has no MIG profile {profile}")]
    UnknownProfile { resource: String, product: String, profile: String },
    #[error(
        "machine type {machine} has {expected}, but the node's GPUs are {found}: NVLink is judged by the GPUs alone"
    )]
    OtherProduct { machine: String, expected: String, found: String },
    #[error(
        "label nvidia.com/mig.capable says false, but the node offers MIG slices as {resource}: the resource counts"
    )]
    NotMigCapable { resource: String },
    #[error("label {key} says {label}, the node reports a capacity of {capacity} {resource}: the capacity counts")]
    CountsDiffer { key: String, label: i64, resource: String, capacity: i64 },
}

const PRODUCT: &str = "nvidia.com/gpu.product";
const COUNT: &str = "nvidia.com/gpu.count";
const REPLICAS: &str = "nvidia.com/gpu.replicas";
const MEMORY: &str = "nvidia.com/gpu.memory";
const MACHINE: &str = "nvidia.com/gpu.machine";
const MPS_CAPABLE: &str = "nvidia.com/mps.capable";
const MIG_CAPABLE: &str = "nvidia.com/mig.capable";
const STRATEGY: &str = "nvidia.com/mig.strategy";
const SHARING: &str = "nvidia.com/gpu.sharing-strategy";
const PLATFORM_SHARING: &str = "platform/gpu-sharing";

/// Labels by which a pod says that it wants a certain form of GPU, and not just any.
const FORM_LABELS: &[&str] =
    &[PRODUCT, SHARING, STRATEGY, REPLICAS, PLATFORM_SHARING, "nvidia.com/device-plugin.config"];

/// Does a pod condition itself on the form in which GPUs are offered?
pub fn chooses_form(affinity: &NodeAffinity) -> bool {
    FORM_LABELS.iter().any(|key| affinity.conditions_on(key))
}

impl Inventory {
    /// The pool of `resource`.
    pub fn pool(&self, resource: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.resource.as_str() == resource)
    }

    /// Has the node any accelerator?
    pub fn has_accelerators(&self) -> bool {
        !self.pools.is_empty()
    }

    /// The pool by which the units of the pool at this position are counted, and how many of it one of them is. Neuron
    /// hardware stands on a node under several names, of which the finest counts; all others count for themselves.
    pub fn counted_by(&self, at: usize) -> (usize, i64) {
        let is_neuron = |pool: &Pool| {
            AcceleratorResource::parse(pool.resource.as_str()).is_some_and(|resource| resource.is_neuron())
        };
        let pool = &self.pools[at];
        let names = self.pools.iter().enumerate().filter(|(_, other)| is_neuron(other));
        match names.min_by_key(|(_, other)| std::cmp::Reverse(other.capacity)) {
            Some((finest, other)) if is_neuron(pool) => (finest, (other.capacity / pool.capacity.max(1)).max(1)),
            _ => (at, 1),
        }
    }

    /// Are there accelerators that the device plugin holds back, because they failed their health check?
    pub fn is_degraded(&self) -> bool {
        self.pools.iter().any(|pool| pool.allocatable < pool.capacity)
    }

    /// Are all devices of the node connected with each other by NVLink or NeuronLink, and healthy?
    pub fn is_link_complete(&self) -> bool {
        !self.is_degraded() && self.fabric.as_ref().is_some_and(|f| f.len() > 1 && f.is_nvlink_complete(f.all()))
    }

    /// How many thousandths of a device one of the units is that [`Unit::set_size`] counts: shares stand for their GPUs.
    pub fn set_unit_milli(&self, pool: &Pool) -> i64 {
        if pool.unit == Unit::Thousandth { i64::from(gpu_share::WHOLE) } else { self.unit_milli(pool) }
    }

    /// How many thousandths of a device one unit of a pool of this node is. Where the labels do not say into how many
    /// parts devices are cut, an eighth.
    pub fn unit_milli(&self, pool: &Pool) -> i64 {
        let whole = i64::from(gpu_share::WHOLE);
        let slice = |profile: &str| {
            let geometry = self.product.as_ref()?.mig()?;
            let profile = geometry.profile(geometry.profile_like_name(profile)?);
            Some(whole * i64::from(profile.size) / i64::from(geometry.memory_slices()))
        };
        match (&pool.unit, pool.replicas) {
            (Unit::Device, _) => whole,
            (Unit::Thousandth, _) => 1,
            (Unit::Slice(profile), _) => slice(profile).unwrap_or(whole / 8),
            (Unit::Replica { slice: Some(profile), .. }, Some(replicas)) => {
                (slice(profile).unwrap_or(whole / 8) / replicas).max(1)
            }
            (Unit::Replica { .. } | Unit::Core, _) => {
                let devices = self.fabric.as_ref().map(|fabric| fabric.len() as i64);
                devices.map_or(whole / 8, |devices| (whole * devices / pool.capacity.max(1)).max(1))
            }
        }
    }

    pub(super) fn of(parts: &NodeParts, place: &Place, catalogue: &Catalogue) -> (Self, Vec<InventoryProblem>) {
        let mut reader = Reader { labels: &parts.labels, problems: vec![] };
        let mut inventory = reader.inventory(parts, place, catalogue);
        inventory.pools.sort_by(|a, b| a.resource.cmp(&b.resource));
        (inventory, reader.problems)
    }
}

/// Reads labels, and keeps what it could not make sense of.
struct Reader<'a> {
    labels: &'a Labels,
    problems: Vec<InventoryProblem>,
}

impl Reader<'_> {
    fn inventory(&mut self, parts: &NodeParts, place: &Place, catalogue: &Catalogue) -> Inventory {
        let accelerators: Vec<(&ResourceName, AcceleratorResource, i64)> = parts
            .capacity
            .iter()
            .filter(|(_, capacity)| *capacity > 0)
            .filter_map(|(name, capacity)| Some((name, AcceleratorResource::parse(name.as_str())?, capacity)))
            .collect();
        if accelerators.is_empty() {
            return Inventory::default();
        }
        let form = self.labels.get(PRODUCT).map_or(ProductForm::Full, |label| ProductLabel::parse(label).form);
        if form == ProductForm::MigInvalid {
            self.problems.push(InventoryProblem::MixedSlicesInSingle);
        }
        self.one_of(STRATEGY, &["none", "single", "mixed"], "none, single, mixed");

        let by_type = place.instance_type.as_deref().and_then(|name| catalogue.machine_by_instance_type(name));
        let product = self.product(catalogue).or_else(|| {
            let unlabelled = self.labels.get(PRODUCT).is_none();
            by_type.filter(|_| unlabelled).map(|machine| Arc::clone(&machine.accelerator))
        });
        let machine = self.machine(by_type, product.as_deref(), catalogue);
        let pools: Vec<Pool> = accelerators
            .into_iter()
            .map(|(name, resource, capacity)| Pool {
                resource: name.clone(),
                unit: self.unit(name, &resource, &form, product.as_deref()),
                capacity,
                allocatable: parts.allocatable.get(name.as_str()),
                replicas: self.replicas(&resource),
            })
            .collect();
        self.compare_counts(&pools);
        let devices = self.devices(&pools, machine.as_deref(), &form, product.as_deref());
        let fabric = match &machine {
            Some(machine) if devices == Some(machine.count) => Some(Arc::clone(&machine.fabric)),
            _ => product.as_ref().zip(devices).and_then(|(p, count)| catalogue.default_fabric(p, count)).cloned(),
        };
        let memory = self.number(MEMORY).and_then(|mib| u32::try_from(mib).ok());
        let of_product = product.as_ref().map(|product| product.memory_mib);
        let memory = if form.slice().is_some() { of_product.or(memory) } else { memory.or(of_product) };
        Inventory { device_memory_mib: memory.unwrap_or(0), product, machine, fabric, pools }
    }

    fn product(&mut self, catalogue: &Catalogue) -> Option<Arc<Product>> {
        let label = self.labels.get(PRODUCT)?;
        let known = catalogue.product(label).map(|resolved| resolved.product);
        if known.is_none() {
            self.problems.push(InventoryProblem::UnknownProduct(label.into()));
        }
        known
    }

    fn machine(
        &mut self,
        by_type: Option<&Arc<Machine>>,
        product: Option<&Product>,
        catalogue: &Catalogue,
    ) -> Option<Arc<Machine>> {
        let Some(product) = product else { return by_type.cloned() };
        match by_type {
            Some(machine) if machine.accelerator.name == product.name => Some(Arc::clone(machine)),
            Some(machine) => {
                self.problems.push(InventoryProblem::OtherProduct {
                    machine: machine.name.clone(),
                    expected: machine.accelerator.name.clone(),
                    found: product.name.clone(),
                });
                None
            }
            None => self.labels.get(MACHINE).and_then(|label| catalogue.machine_by_label(label, product)).cloned(),
        }
    }

    /// What one unit of a resource is on this node.
    fn unit(
        &mut self,
        name: &ResourceName,
        resource: &AcceleratorResource,
        form: &ProductForm,
        product: Option<&Product>,
    ) -> Unit {
        let (slice, replicated) = match &resource.kind {
            AcceleratorKind::NeuronDevice => return Unit::Device,
            AcceleratorKind::NeuronCore => return Unit::Core,
            AcceleratorKind::GpuShare => return Unit::Thousandth,
            AcceleratorKind::Mig(profile) => {
                let is_replicated = self.number(&replicas_of(profile)).is_some_and(|n| n > 1);
                (Some(profile.clone()), resource.shared || is_replicated)
            }
            AcceleratorKind::Gpu => {
                let slice = match form {
                    ProductForm::Mig(profile) | ProductForm::MigShared(profile) => Some(profile.clone()),
                    _ => None,
                };
                let by_form = matches!(form, ProductForm::Shared | ProductForm::MigShared(_));
                // Under renameByDefault both names stand on the node: the bare one then counts whole devices.
                let renamed = self.labels.get("nvidia.com/gpu.shared.count").is_some();
                let replicas = self.number(REPLICAS).is_some_and(|n| n > 1);
                (slice, resource.shared || by_form || (replicas && !renamed) || self.sharing().is_some())
            }
        };
        if let (Some(profile), Some(product)) = (&slice, product)
            && product.mig().is_none_or(|geometry| geometry.profile_by_name(profile).is_none())
        {
            self.problems.push(InventoryProblem::UnknownProfile {
                resource: name.to_string(),
                product: product.name.clone(),
                profile: profile.clone(),
            });
        }
        if slice.is_some() && self.labels.get(MIG_CAPABLE) == Some("false") {
            self.report(InventoryProblem::NotMigCapable { resource: name.to_string() });
        }
        match (slice, replicated) {
            (slice, true) => Unit::Replica { slice, sharing: self.sharing().unwrap_or(Sharing::TimeSlicing) },
            (Some(profile), false) => Unit::Slice(profile),
            (None, false) => Unit::Device,
        }
    }

    /// How many units of a resource share one device or slice, as the labels say.
    fn replicas(&mut self, resource: &AcceleratorResource) -> Option<i64> {
        let key = match &resource.kind {
            AcceleratorKind::Gpu => REPLICAS.to_owned(),
            AcceleratorKind::Mig(profile) => replicas_of(profile),
            _ => return None,
        };
        self.number(&key).filter(|replicas| *replicas > 0)
    }

    /// How the labels say that devices are shared, if they are.
    fn sharing(&mut self) -> Option<Sharing> {
        let expected = "none, time-slicing, mps";
        let by_plugin = self.one_of(SHARING, &["none", "time-slicing", "mps"], expected);
        let accepted = &["none", "exclusive", "mig", "time-slicing", "timeslicing", "mps"];
        let said =
            by_plugin.or_else(|| self.one_of(PLATFORM_SHARING, accepted, "none, exclusive, mig, time-slicing, mps"));
        match said.as_deref() {
            Some("time-slicing" | "timeslicing") => Some(Sharing::TimeSlicing),
            Some("mps") => Some(Sharing::Mps),
            Some(_) => None,
            // Feature discovery sets it where the device plugin is configured for MPS, not wherever MPS could run.
            None => (self.labels.get(MPS_CAPABLE) == Some("true")).then_some(Sharing::Mps),
        }
    }

    /// How many devices the node has. Where slices are offered as GPUs, the labels count slices, and of each the memory is told
    /// (GPU Feature Discovery, strategy `single`).
    fn devices(
        &mut self,
        pools: &[Pool],
        machine: Option<&Machine>,
        form: &ProductForm,
        product: Option<&Product>,
    ) -> Option<usize> {
        if let Some(profile) = form.slice() {
            let on_each = product.and_then(Product::mig).and_then(|geometry| {
                let profile = geometry.profile_like_name(profile)?;
                Some(usize::from(geometry.profile(profile).max_instances))
            });
            let slices = self.number(COUNT).and_then(|n| usize::try_from(n).ok());
            let counted = slices.zip(on_each).map(|(slices, on_each)| slices.div_ceil(on_each.max(1)));
            return machine.map(|machine| machine.count).or(counted).filter(|n| *n > 0);
        }
        let whole = pools.iter().find_map(|pool| match pool.unit {
            Unit::Device => Some(pool.capacity),
            Unit::Thousandth => Some(pool.capacity / i64::from(gpu_share::WHOLE)),
            _ => None,
        });
        let count = self.number(COUNT).or(whole).and_then(|n| usize::try_from(n).ok());
        count.or(machine.map(|m| m.count)).filter(|n| *n > 0)
    }

    /// Compares what the labels count with what the device plugin reports.
    fn compare_counts(&mut self, pools: &[Pool]) {
        // By the strategy `mixed` the label counts GPUs that are cut into slices, too.
        let has_cut =
            pools.iter().any(|pool| matches!(pool.unit, Unit::Slice(_) | Unit::Replica { slice: Some(_), .. }));
        for pool in pools {
            let key = match (&pool.unit, AcceleratorResource::parse(pool.resource.as_str())) {
                (Unit::Device, Some(AcceleratorResource { kind: AcceleratorKind::Gpu, .. })) if !has_cut => {
                    COUNT.to_owned()
                }
                (Unit::Slice(profile), Some(AcceleratorResource { kind: AcceleratorKind::Mig(_), .. })) => {
                    format!("nvidia.com/mig-{}.count", resource_suffix(profile))
                }
                _ => continue,
            };
            if let Some(label) = self.number(&key)
                && label != pool.capacity
            {
                let (resource, capacity) = (pool.resource.to_string(), pool.capacity);
                self.problems.push(InventoryProblem::CountsDiffer { key, label, resource, capacity });
            }
        }
    }

    fn number(&mut self, key: &str) -> Option<i64> {
        let value = self.labels.get(key)?;
        let number = value.parse().ok().filter(|n: &i64| (0..=1_000_000_000).contains(n));
        if number.is_none() {
            self.report(InventoryProblem::NotANumber { key: key.into(), value: value.into() });
        }
        number
    }

    fn one_of(&mut self, key: &'static str, accepted: &[&str], expected: &'static str) -> Option<String> {
        let value = self.labels.get(key)?.to_ascii_lowercase();
        if !accepted.contains(&value.as_str()) {
            self.report(InventoryProblem::UnknownValue { key, value, expected });
            return None;
        }
        Some(value)
    }

    /// The same label may be asked for more than once.
    fn report(&mut self, problem: InventoryProblem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// A profile as resource names and label keys write it: `+` is not allowed there.
fn resource_suffix(profile: &str) -> String {
    profile.replace('+', ".")
}

/// The label that says how many replicas of a slice there are.
fn replicas_of(profile: &str) -> String {
    format!("nvidia.com/mig-{}.replicas", resource_suffix(profile))
}

#[cfg(test)]
#[path = "inventory_tests.rs"]
mod tests;
