//! Which GPUs go together: those that are linked best.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::nvidia;
use crate::claims::trial::Trial;
use crate::claims::view::Seat;
use crate::model::catalogue::Catalogue;
use crate::model::fabric::{Bandwidth, DeviceAttributes, DeviceSet, Fabric, MAX_DEVICES};

/// Most makes of nodes that are remembered; then all are forgotten.
const MOST: usize = 256;

/// What a fabric follows from: index, PCIe root, NUMA node and product of each device, and the machine.
type Make = (Option<String>, Vec<(usize, Option<String>, Option<u8>, Option<String>)>);

/// The fabrics of nodes, and which sets of their GPUs are best.
#[derive(Debug, Clone, Default)]
pub(super) struct Sets {
    fabrics: BTreeMap<Make, Option<Arc<Fabric>>>,
    /// The node and pool that was looked at last.
    current: Option<(Box<str>, usize, Option<Gpus>)>,
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
    /// Nodes may offer other devices from now on.
    pub fn forget_devices(&mut self) {
        (self.current, self.last) = (None, None);
    }

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
        let free_gpus: Vec<Seat> = seats.iter().copied().filter(|seat| free.contains(seat)).collect();
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

    /// The GPUs beside a device: those of its pool. A node offers the same devices to every question.
    fn gpus(&mut self, trial: &Trial, one: Option<Seat>) -> Option<&Gpus> {
        let one = one?;
        let (node, pool) = (&trial.node().name, trial.pool(one));
        if self.current.as_ref().is_none_or(|(of, at, _)| of != node || *at != pool) {
            let gpus = self.read(trial, pool);
            self.current = Some((node.clone(), pool, gpus));
        }
        self.current.as_ref()?.2.as_ref().filter(|gpus| gpus.seats.contains(&one))
    }

    fn read(&mut self, trial: &Trial, pool: usize) -> Option<Gpus> {
        let (mut seats, mut devices) = (vec![], vec![]);
        let catalogue = Catalogue::builtin();
        for seat in trial.seats().filter(|seat| trial.pool(*seat) == pool) {
            let (driver, device) = trial.device(seat);
            let Some(index) = nvidia::index(device) else { continue };
            let root = nvidia::pcie_root(device).map(str::to_owned);
            let product = nvidia::product(&catalogue, driver, device).map(|product| product.name.clone());
            seats.push(seat);
            devices.push((index, root, nvidia::numa(device), product));
        }
        if !(2..=MAX_DEVICES).contains(&seats.len()) {
            return None;
        }
        let machine = trial.node().labels.get("node.kubernetes.io/instance-type").map(str::to_owned);
        if self.fabrics.len() >= MOST {
            self.fabrics.clear();
        }
        let fabric = self.fabrics.entry((machine, devices)).or_insert_with_key(fabric).clone();
        fabric.map(|fabric| Gpus { seats, fabric })
    }
}

/// A Fabric Manager partition of this size of which all are free: such a set can be used by one virtual machine.
fn partition(trial: &Trial, free: &[Seat], count: usize) -> Vec<Seat> {
    let mut partitions: BTreeMap<_, Vec<Seat>> = BTreeMap::new();
    for seat in free {
        let (driver, device) = trial.device(*seat);
        if let Some(id) = nvidia::partition(driver, device, count) {
            partitions.entry(id).or_default().push(*seat);
        }
    }
    partitions.into_values().find(|members| members.len() == count).unwrap_or_default()
}

fn fabric((machine, devices): &Make) -> Option<Arc<Fabric>> {
    let catalogue = Catalogue::builtin();
    let machine = machine.as_deref().and_then(|name| catalogue.machine_by_instance_type(name));
    let machine = machine.filter(|machine| machine.count == devices.len()).map(|machine| &*machine.fabric);
    let attributes = devices.iter().map(|(index, root, numa, product)| DeviceAttributes {
        index: *index,
        pcie_root: root.as_deref(),
        numa: *numa,
        product: product.as_deref().and_then(|name| catalogue.product_by_name(name)).map(|product| &**product),
    });
    Fabric::from_attributes(&attributes.collect::<Vec<_>>(), machine).ok().map(Arc::new)
}
