//! Which GPUs go together: those that are linked best.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::{Equivalent, IndexMap};
use rustc_hash::FxBuildHasher;

use super::nvidia;
use crate::claims::trial::Trial;
use crate::claims::view::Seat;
use crate::model::catalogue::Catalogue;
use crate::model::fabric::{Bandwidth, DeviceAttributes, DeviceSet, Fabric, MAX_DEVICES};

/// Most makes of nodes that are remembered, and most nodes; then all are forgotten.
const MOST_MAKES: usize = 256;
const MOST_NODES: usize = 20_000;

/// Index, PCIe root, NUMA node and product of a device.
type Marks<Text> = (usize, Option<Text>, Option<u8>, Option<Text>);

/// What a fabric follows from: the machine, and its devices.
type Make<Text> = (Option<Text>, Vec<Marks<Text>>);

/// A make that is only looked up.
#[derive(Hash)]
struct Looked<'d>(Make<&'d str>);

impl Equivalent<Make<Box<str>>> for Looked<'_> {
    fn equivalent(&self, (machine, devices): &Make<Box<str>>) -> bool {
        let Looked((own_machine, own_devices)) = self;
        let same = |(own, known): (&Marks<&str>, &Marks<Box<str>>)| {
            *own == (known.0, known.1.as_deref(), known.2, known.3.as_deref())
        };
        *own_machine == machine.as_deref()
            && own_devices.len() == devices.len()
            && own_devices.iter().zip(devices).all(same)
    }
}

/// The fabrics of nodes, and which sets of their GPUs are best.
#[derive(Debug, Clone, Default)]
pub(super) struct Sets {
    fabrics: IndexMap<Make<Box<str>>, Option<Arc<Fabric>>, FxBuildHasher>,
    /// What each node has, by the number of its layout and by pool.
    nodes: IndexMap<(u64, usize), Option<Gpus>, FxBuildHasher>,
    /// The last best set, and for which ask it was.
    last: Option<(usize, Vec<Seat>)>,
}

/// GPUs of one pool, in the order of the fabric's devices.
#[derive(Debug, Clone)]
struct Gpus {
    seats: Vec<Seat>,
    fabric: Arc<Fabric>,
}

impl Sets {
    /// The best `count` of the free devices of an ask; none when there is no best.
    pub fn best(&mut self, trial: &Trial, ask: usize, free: &[Seat], count: usize) -> Vec<Seat> {
        let chosen: Vec<Seat> = trial.chosen_for(ask).collect();
        if !chosen.is_empty() {
            // A set is chosen as a whole. Where that went wrong there is no other best.
            let same =
                self.last.as_ref().filter(|(of, set)| *of == ask && chosen.iter().all(|seat| set.contains(seat)));
            return same.map(|(_, set)| set.clone()).unwrap_or_default();
        }
        let set = if count < 2 { vec![] } else { self.search(trial, free, count) };
        self.last = Some((ask, set.clone()));
        set
    }

    fn search(&mut self, trial: &Trial, free: &[Seat], count: usize) -> Vec<Seat> {
        let Some(Gpus { seats, fabric }) = self.gpus(trial, free.first().copied()) else { return vec![] };
        // Both are in the order of the seats.
        let free_gpus: Vec<Seat> = seats.iter().copied().filter(|seat| free.binary_search(seat).is_ok()).collect();
        let partition = partition(trial, &free_gpus, count);
        if !partition.is_empty() {
            return partition;
        }
        let set = (0..seats.len()).filter(|at| free_gpus.contains(&seats[*at])).collect();
        let best = fabric.best_subset(set, count).map(|(best, _)| best).unwrap_or_default();
        best.iter().map(|at| seats[at]).collect()
    }

    /// What sets of several GPUs lose by links that are slower than the best of the machine, and by what they leave.
    pub fn cost(&mut self, trial: &Trial, ask: usize) -> i64 {
        let mut chosen = trial.chosen_for(ask);
        let (Some(first), Some(_)) = (chosen.next(), chosen.next()) else { return 0 };
        let Some(Gpus { seats, fabric }) = self.gpus(trial, Some(first)) else { return 0 };
        let at = |seat: Seat| seats.iter().position(|other| *other == seat);
        let Some(set) = trial.chosen_for(ask).map(at).collect::<Option<DeviceSet>>() else { return 0 };
        let free = (0..seats.len()).filter(|at| !trial.is_taken(seats[*at])).collect();
        let best = fabric.best_bottleneck(set.len()).unwrap_or(Bandwidth::NONE);
        let lost = i64::from(best.0) - i64::from(fabric.bottleneck(set).0);
        // A slow link is worse than anything that is left behind.
        lost.max(0) * 1_000 - fabric.largest_linked(free) as i64
    }

    /// The GPUs beside a device: those of its pool.
    fn gpus(&mut self, trial: &Trial, one: Option<Seat>) -> Option<&Gpus> {
        let one = one?;
        let key = (trial.layout(), trial.pool(one));
        let at = match self.nodes.get_index_of(&key) {
            Some(at) => at,
            None => {
                let gpus = self.read(trial, key.1);
                if self.nodes.len() >= MOST_NODES {
                    self.nodes.clear();
                }
                self.nodes.insert_full(key, gpus).0
            }
        };
        self.nodes[at].as_ref().filter(|gpus| gpus.seats.contains(&one))
    }

    fn read(&mut self, trial: &Trial, pool: usize) -> Option<Gpus> {
        let (mut seats, mut devices) = (vec![], vec![]);
        for seat in trial.seats().filter(|seat| trial.pool(*seat) == pool) {
            let (driver, device) = trial.device(seat);
            let Some(index) = nvidia::index(device) else { continue };
            seats.push(seat);
            let product = nvidia::product_name(driver, device);
            devices.push((index, nvidia::pcie_root(device), nvidia::numa(device), product));
        }
        if !(2..=MAX_DEVICES).contains(&seats.len()) {
            return None;
        }
        let make = Looked((trial.node().labels.get("node.kubernetes.io/instance-type"), devices));
        let fabric = match self.fabrics.get(&make) {
            Some(fabric) => fabric.clone(),
            None => {
                if self.fabrics.len() >= MOST_MAKES {
                    self.fabrics.clear();
                }
                let Looked((machine, devices)) = make;
                let fabric = fabric(machine, &devices);
                let owned = |text: Option<&str>| text.map(Box::from);
                let devices = devices.into_iter().map(|(at, root, numa, name)| (at, owned(root), numa, owned(name)));
                self.fabrics.insert((owned(machine), devices.collect()), fabric.clone());
                fabric
            }
        };
        fabric.map(|fabric| Gpus { seats, fabric })
    }
}

/// A Fabric Manager partition of this size of which all are free: such a set can be used by one virtual machine.
fn partition(trial: &Trial, free: &[Seat], count: usize) -> Vec<Seat> {
    let Some(first) = free.first() else { return vec![] };
    // All of them are in one pool, and so of one driver.
    let partition_of = nvidia::partitions(trial.device(*first).0, count);
    let mut partitions: BTreeMap<_, Vec<Seat>> = BTreeMap::new();
    for seat in free {
        if let Some(id) = partition_of(trial.device(*seat).1) {
            partitions.entry(id).or_default().push(*seat);
        }
    }
    partitions.into_values().find(|members| members.len() == count).unwrap_or_default()
}

fn fabric(machine: Option<&str>, devices: &[Marks<&str>]) -> Option<Arc<Fabric>> {
    let catalogue = Catalogue::builtin();
    let machine = machine.and_then(|name| catalogue.machine_by_instance_type(name));
    let machine = machine.filter(|machine| machine.count == devices.len()).map(|machine| &*machine.fabric);
    let attributes = devices.iter().map(|(index, root, numa, product)| DeviceAttributes {
        index: *index,
        pcie_root: *root,
        numa: *numa,
        product: product.and_then(|name| catalogue.product_by_driver_name(name)).map(|product| &**product),
    });
    Fabric::from_attributes(&attributes.collect::<Vec<_>>(), machine).ok().map(Arc::new)
}
