//! Which devices to take together: exact, from a table over all subsets of a machine.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Bandwidth, Device, DeviceSet, Fabric, Routing};

/// Per subset of the devices, by its bit mask.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    /// See [`Fabric::bottleneck`].
    bottleneck: Vec<Bandwidth>,
    /// The largest linked set inside, and its bottleneck: what a later request could get from these devices.
    largest: Vec<(usize, Bandwidth)>,
    /// Sum of the bandwidths of all fast links inside, GB/s.
    inner: Vec<u32>,
    /// The devices of each NUMA node; those of which it is not known count as one more.
    numa_nodes: Vec<DeviceSet>,
    /// The devices of each PCIe root, likewise.
    pcie_roots: Vec<DeviceSet>,
}

impl Tables {
    /// Goes through the masks upwards, so that every subset is known before the sets that contain it.
    fn of(fabric: &Fabric) -> Tables {
        let count = fabric.len();
        let links: Vec<Vec<_>> = (0..count).map(|a| (0..count).map(|b| fabric.link(a, b)).collect()).collect();
        let is_fast = |a: usize, b: usize| links[a][b].is_some_and(|link| link.kind.is_fast());
        let neighbours: Vec<DeviceSet> = (0..count).map(|a| (0..count).filter(|&b| is_fast(a, b)).collect()).collect();

        let masks = 1usize << count;
        // The slowest link inside, whether or not the set is contiguous.
        let mut slowest = vec![Bandwidth::UNLIMITED; masks];
        let mut bottleneck = vec![Bandwidth::UNLIMITED; masks];
        let mut largest = vec![(0, Bandwidth::UNLIMITED); masks];
        let mut inner = vec![0u32; masks];
        for mask in 1..masks {
            let set = DeviceSet(mask as u32);
            let low = mask.trailing_zeros() as usize;
            let rest = mask & (mask - 1);
            slowest[mask] = slowest[rest];
            inner[mask] = inner[rest];
            for other in DeviceSet(rest as u32).iter() {
                match links[low][other] {
                    Some(link) => slowest[mask] = slowest[mask].min(link.bandwidth),
                    None if fabric.routing == Routing::Direct => slowest[mask] = Bandwidth::NONE,
                    None => {}
                }
                if let Some(link) = links[low][other].filter(|link| link.kind.is_fast()) {
                    inner[mask] = inner[mask].saturating_add(link.bandwidth.0);
                }
            }
            let linked = match fabric.routing {
                Routing::Direct => set.iter().all(|a| set.is_subset(neighbours[a].with(a))),
                Routing::Hops => is_contiguous(set, &neighbours),
            };
            bottleneck[mask] =
                if linked || fabric.routing == Routing::Direct { slowest[mask] } else { Bandwidth::NONE };
            largest[mask] = if linked {
                (set.len(), bottleneck[mask])
            } else {
                let without = set.iter().map(|device| largest[mask & !(1 << device)]);
                without.fold((0, Bandwidth::NONE), std::cmp::max)
            };
        }
        let numa_nodes = groups(fabric, |device| device.numa);
        let pcie_roots = groups(fabric, |device| device.pcie_root);
        Tables { bottleneck, largest, inner, numa_nodes, pcie_roots }
    }
}

/// Whether all devices of a set can be reached from its first without leaving it.
fn is_contiguous(set: DeviceSet, neighbours: &[DeviceSet]) -> bool {
    let mut reached: DeviceSet = set.iter().take(1).collect();
    loop {
        let next = reached.iter().fold(reached, |all, device| all.union(neighbours[device])).intersection(set);
        if next == reached {
            return reached == set;
        }
        reached = next;
    }
}

impl Fabric {
    fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| Tables::of(self))
    }

    /// The slowest link that the devices of a set have to use among themselves.
    ///
    /// GPUs use the link of each pair, so one pair over PCIe makes the set slow. NeuronLink devices pass data on, so
    /// that a contiguous set has its links' bandwidth, and one that is not has [`Bandwidth::NONE`]. A set of at most
    /// one device has [`Bandwidth::UNLIMITED`], one with a device that the machine does not have has none.
    pub fn bottleneck(&self, set: DeviceSet) -> Bandwidth {
        if set.is_subset(self.all()) { self.tables().bottleneck[set.0 as usize] } else { Bandwidth::NONE }
    }

    /// Whether the devices are all linked to each other without PCIe: every pair by NVLink, or contiguous by NeuronLink.
    /// True of a single device.
    pub fn is_nvlink_complete(&self, set: DeviceSet) -> bool {
        !set.is_empty() && set.is_subset(self.all()) && self.tables().largest[set.0 as usize].0 == set.len()
    }

    /// The size of the largest linked set (see [`Fabric::is_nvlink_complete`]) inside a set of devices.
    pub fn largest_linked(&self, within: DeviceSet) -> usize {
        self.tables().largest[within.intersection(self.all()).0 as usize].0
    }

    /// The best `count` of the free devices, and their bottleneck; `None` when there are too few, when none are asked
    /// for, or when no such set is contiguous where it has to be.
    ///
    /// Best is, in this order: the highest bottleneck; of NeuronLink devices the set with most links inside (a
    /// rectangle); what leaves the others the largest linked set, then the fastest, then the most bandwidth; devices
    /// on few NUMA nodes, then few PCIe roots; what leaves most free devices on one NUMA node, and breaks into fewest
    /// whole PCIe roots; the lowest indexes.
    pub fn best_subset(&self, free: DeviceSet, count: usize) -> Option<(DeviceSet, Bandwidth)> {
        let free = free.intersection(self.all());
        let tables = self.tables();
        let rank = |set: DeviceSet| {
            let rest = free.minus(set);
            let inside = if self.needs_contiguous_sets() { tables.inner[set.0 as usize] } else { 0 };
            (
                tables.bottleneck[set.0 as usize],
                inside,
                tables.largest[rest.0 as usize],
                tables.inner[rest.0 as usize],
                Reverse(touched(&tables.numa_nodes, set)),
                Reverse(touched(&tables.pcie_roots, set)),
                most_in_one(&tables.numa_nodes, rest),
                Reverse(touched(&tables.pcie_roots, rest)),
            )
        };
        let candidates = (count > 0).then(|| free.subsets(count)).into_iter().flatten();
        // Subsets come in lexicographic order, so that the first of equals has the lowest indexes.
        let mut best = None;
        for set in candidates {
            let rank = rank(set);
            if best.as_ref().is_none_or(|(highest, _)| rank > *highest) {
                best = Some((rank, set));
            }
        }
        best.map(|(rank, set)| (set, rank.0)).filter(|&(_, bandwidth)| bandwidth > Bandwidth::NONE)
    }

    /// The highest bottleneck that any `count` devices of the machine have; `None` as for [`Fabric::best_subset`].
    pub fn best_bottleneck(&self, count: usize) -> Option<Bandwidth> {
        self.best_subset(self.all(), count).map(|(_, bandwidth)| bandwidth)
    }
}

/// The devices of a fabric, grouped by where they sit.
fn groups<T: Ord>(fabric: &Fabric, place: impl Fn(Device) -> T) -> Vec<DeviceSet> {
    let mut groups: BTreeMap<T, DeviceSet> = BTreeMap::new();
    for (index, &device) in fabric.graph().node_weights().enumerate() {
        let group = groups.entry(place(device)).or_default();
        *group = group.with(index);
    }
    groups.into_values().collect()
}

/// How many groups a set has devices of.
fn touched(groups: &[DeviceSet], set: DeviceSet) -> usize {
    groups.iter().filter(|group| !group.intersection(set).is_empty()).count()
}

/// The most devices that a set has in one group.
fn most_in_one(groups: &[DeviceSet], set: DeviceSet) -> usize {
    groups.iter().map(|group| group.intersection(set).len()).max().unwrap_or(0)
}
