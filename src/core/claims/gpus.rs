//! The accelerators that drivers publish, as they stand on a node: each GPU with what is given of it, partitions where they
//! lie. For people: nothing is decided by it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::choice::nvidia;
use super::claim::ClaimKey;
use super::slice::{Device, DeviceId, PoolId, Slice};
use crate::model::catalogue::Catalogue;
use crate::model::mig::{MigGeometry, Placement};
use crate::model::pod::PodUid;

/// A GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Its name within its pool: `gpu-0`.
    pub name: Box<str>,
    /// The product, where the catalogue knows it.
    pub product: Option<String>,
    /// Memory slices that it can be cut into; 1 where it cannot be cut.
    pub width: u8,
    /// Its driver keeps claims off it.
    pub is_tainted: bool,
    /// Its number on the machine.
    pub index: Option<usize>,
    /// The PCIe root that it hangs on, and its NUMA node.
    pub bus: (Option<String>, Option<u8>),
    /// Whether its driver offers MIG instances of it, and how.
    pub mig: Option<Mig>,
    /// Partitions that it is cut into, and whatever is given of it, from its first memory slice on.
    pub parts: Vec<Part>,
}

/// How MIG instances of a GPU are offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mig {
    /// What it can be cut into.
    pub geometry: Arc<MigGeometry>,
    /// Whether instances are cut when they are given. Otherwise there are those that it has been cut into.
    pub is_on_demand: bool,
}

/// A part of a GPU, or all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The device that stands for it.
    pub device: Box<str>,
    /// Its first memory slice.
    pub start: u8,
    /// How many it has.
    pub size: u8,
    /// The instance that it is; none for a whole GPU.
    pub instance: Option<Placement>,
    /// Who it was given to, or is just being given to.
    pub takers: Vec<Taker>,
}

/// Who has a device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taker {
    /// The claim.
    pub claim: ClaimKey,
    /// The first of the pods that use it, as far as that is known.
    pub pod: Option<PodUid>,
}

impl Gpu {
    /// How many memory slices are given to claims.
    pub fn taken(&self) -> u8 {
        self.parts.iter().filter(|part| !part.takers.is_empty()).map(|part| part.size).fold(0, u8::saturating_add)
    }

    /// Is nothing given of it, and may anything be?
    pub fn is_free(&self) -> bool {
        !self.is_tainted && self.taken() == 0
    }
}

/// More GPUs than this of one node are not shown.
const MOST: usize = 64;

/// The GPUs among the devices of these slices, by pool and number; `takers` says who has a device. Of each pool only the
/// newest edition counts. Partitions that could be cut but are not are no parts.
pub fn gpus<'s>(slices: impl IntoIterator<Item = &'s Slice>, takers: impl Fn(&DeviceId) -> Vec<Taker>) -> Vec<Gpu> {
    let mut by_pool: BTreeMap<&PoolId, Vec<&Slice>> = BTreeMap::new();
    let own = slices.into_iter().filter(|slice| slice.pool.driver.starts_with("gpu."));
    own.for_each(|slice| by_pool.entry(&slice.pool).or_default().push(slice));
    let catalogue = Catalogue::builtin();
    let mut found = vec![];
    for (pool, slices) in by_pool {
        let newest = slices.iter().map(|slice| slice.generation).max();
        let devices = slices.iter().filter(|slice| Some(slice.generation) == newest).flat_map(|slice| &slice.devices);
        let mut reader = Reader { pool, catalogue: &catalogue, takers: &takers, gpus: BTreeMap::new() };
        devices.for_each(|device| reader.add(device));
        let mut of_pool: Vec<Gpu> = reader.gpus.into_values().collect();
        of_pool.sort_by(|a, b| (a.index.is_none(), a.index, &a.name).cmp(&(b.index.is_none(), b.index, &b.name)));
        found.extend(of_pool);
    }
    for gpu in &mut found {
        // A partition that is given wins over one that is only there.
        gpu.parts.sort_by_key(|part| (part.start, Reverse(part.takers.len()), part.device.clone()));
    }
    found.truncate(MOST);
    found
}

struct Reader<'r, F> {
    pool: &'r PoolId,
    catalogue: &'r Catalogue,
    takers: &'r F,
    gpus: BTreeMap<Box<str>, Gpu>,
}

impl<F: Fn(&DeviceId) -> Vec<Taker>> Reader<'_, F> {
    fn add(&mut self, device: &Device) {
        let driver = &*self.pool.driver;
        let takers = (self.takers)(&DeviceId { pool: self.pool.clone(), name: device.name.clone() });
        if !nvidia::is_mig(driver, device) {
            let gpu = self.gpu(&device.name, device);
            gpu.index = nvidia::index(device);
            gpu.bus = (nvidia::pcie_root(device).map(str::to_owned), nvidia::numa(device));
            gpu.is_tainted = !device.taints.is_empty();
            if !takers.is_empty() {
                let size = gpu.width;
                gpu.parts.push(Part { device: device.name.clone(), start: 0, size, instance: None, takers });
            }
            return;
        }
        let Some((parent, _)) = device.name.split_once("-mig-") else { return };
        // What could be cut on demand is named for each place where it could lie.
        let is_on_demand = !device.consumes.is_empty();
        let is_only_offered = is_on_demand && takers.is_empty();
        if is_only_offered && self.gpus.get(parent).is_some_and(|gpu| gpu.mig.is_some()) {
            return;
        }
        let geometry = nvidia::product(self.catalogue, driver, device).and_then(|product| product.mig());
        let Some(geometry) = geometry else { return };
        let Some(placement) = nvidia::placement(geometry, driver, device) else { return };
        let gpu = self.gpu(parent, device);
        gpu.mig.get_or_insert_with(|| Mig { geometry: Arc::clone(geometry), is_on_demand });
        if is_only_offered {
            return;
        }
        let (start, size) = (placement.start(), placement.size());
        gpu.parts.push(Part { device: device.name.clone(), start, size, instance: Some(placement), takers });
    }

    fn gpu(&mut self, name: &str, device: &Device) -> &mut Gpu {
        let product = nvidia::product(self.catalogue, &self.pool.driver, device);
        self.gpus.entry(name.into()).or_insert_with(|| Gpu {
            name: name.into(),
            product: product.map(|product| product.name.clone()),
            width: product.and_then(|product| product.mig()).map_or(1, |geometry| geometry.memory_slices()),
            is_tainted: false,
            index: name.strip_prefix("gpu-").and_then(|number| number.parse().ok()),
            bus: (None, None),
            mig: None,
            parts: vec![],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::attribute::Attribute;
    use crate::claims::nodes::Nodes;
    use crate::claims::slice::CounterSet;

    fn device(name: &str, kind: &str, product: &str, on_demand: bool) -> Device {
        let text = |text: &str| Attribute::String(text.into());
        let consumes = on_demand.then(|| CounterSet { name: "gpu-0-counter-set".into(), counters: BTreeMap::new() });
        Device {
            name: name.into(),
            attributes: [("type".into(), text(kind)), ("productName".into(), text(product))].into(),
            consumes: consumes.into_iter().collect(),
            ..Device::default()
        }
    }

    fn slice(name: &str, generation: i64, devices: Vec<Device>) -> Slice {
        let pool = PoolId { driver: "gpu.nvidia.com".into(), name: "n".into() };
        let nodes = Nodes::default();
        let (counters, per_device_nodes) = (vec![], false);
        Slice { name: name.into(), pool, generation, slices: 1, nodes, per_device_nodes, counters, devices }
    }

    fn taker(name: &str) -> Taker {
        Taker { claim: ClaimKey { namespace: "team".into(), name: name.into() }, pod: None }
    }

    #[test]
    fn partitions_lie_where_their_names_say() {
        const A30: &str = "NVIDIA A30";
        let devices = vec![
            device("gpu-0", "gpu", A30, true),
            device("gpu-0-mig-1g6gb-14-3", "mig", A30, true),
            device("gpu-0-mig-2g12gb-5-0", "mig", A30, true),
            device("gpu-0-mig-1g6gb-14-2", "mig", A30, true),
        ];
        let taken = ["gpu-0-mig-1g6gb-14-3", "gpu-0-mig-2g12gb-5-0"];
        let takers = |id: &DeviceId| if taken.contains(&&*id.name) { vec![taker(&id.name)] } else { vec![] };
        let old = slice("old", 1, vec![device("gpu-7", "gpu", A30, false)]);
        let found = gpus([&old, &slice("new", 2, devices)], takers);
        let [gpu] = &found[..] else { panic!("{found:?}") };
        assert_eq!((&*gpu.name, gpu.width, gpu.taken(), gpu.is_free()), ("gpu-0", 4, 3, false));
        let parts: Vec<(u8, u8)> = gpu.parts.iter().map(|part| (part.start, part.size)).collect();
        assert_eq!(parts, [(0, 2), (3, 1)], "what could still be cut is none");
        let mig = gpu.mig.as_ref().expect("instances are offered");
        assert!(mig.is_on_demand);
        let profile = |part: &Part| mig.geometry.profile(part.instance.expect("an instance").profile()).name.clone();
        assert_eq!(gpu.parts.iter().map(profile).collect::<Vec<_>>(), ["2g.12gb", "1g.6gb"]);
    }

    #[test]
    fn gpus_are_ordered_by_number_and_what_is_cut_for_good_is_shown_free() {
        const H100: &str = "NVIDIA H100 80GB HBM3";
        let whole = [10, 2].map(|at| device(&format!("gpu-{at}"), "gpu", H100, false));
        let cut = device("gpu-3-mig-1g10gb-15-4", "mig", H100, false);
        let nobody = |_: &DeviceId| vec![];
        let found = gpus([&slice("s", 1, [whole.to_vec(), vec![cut]].concat())], nobody);
        let names: Vec<&str> = found.iter().map(|gpu| &*gpu.name).collect();
        assert_eq!(names, ["gpu-2", "gpu-3", "gpu-10"]);
        assert_eq!((found[1].parts.len(), found[1].parts[0].start, found[1].is_free()), (1, 4, true));
        let is_on_demand = |gpu: &Gpu| gpu.mig.as_ref().map(|mig| mig.is_on_demand);
        assert_eq!(found.iter().map(is_on_demand).collect::<Vec<_>>(), [None, Some(false), None]);
    }

    #[test]
    fn other_devices_are_none() {
        let mut channels = slice("s", 1, vec![device("channel-0", "channel", "", false)]);
        channels.pool.driver = "compute-domain.nvidia.com".into();
        assert!(gpus([&channels], |_: &DeviceId| vec![]).is_empty());
    }
}
