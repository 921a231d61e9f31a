//! Which devices to take together: exact answers, looked up in tables over all subsets of a machine.

use super::{Bandwidth, DeviceSet, Fabric, PRECOMPUTED_DEVICES, Tables};

impl Fabric {
    fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| Tables::of(self))
    }

    /// Works out the tables of a small machine now, rather than on the first question: some ten microseconds. Those of
    /// a machine of 16 take milliseconds, which only clusters that have one should pay for.
    pub fn prepare(&self) {
        if self.len() <= PRECOMPUTED_DEVICES {
            self.tables();
        }
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
        !set.is_empty() && set.is_subset(self.all()) && self.largest_linked(set) == set.len()
    }

    /// The size of the largest linked set (see [`Fabric::is_nvlink_complete`]) inside a set of devices.
    pub fn largest_linked(&self, within: DeviceSet) -> usize {
        self.tables().largest[within.intersection(self.all()).0 as usize].into()
    }

    /// The best `count` of the free devices, and their bottleneck; `None` when there are too few, when none are asked
    /// for, or when no such set is contiguous where it has to be.
    ///
    /// Best is, in this order: the highest bottleneck; the most bandwidth of fast links inside (of NeuronLink devices:
    /// the compact set); what leaves the others the largest linked set, then the fastest, then the most bandwidth;
    /// devices on few NUMA nodes, then few PCIe roots; what leaves most free devices on one NUMA node, and breaks into
    /// fewest whole PCIe roots; the lowest indexes.
    ///
    /// On machines of up to eight devices this is a look-up, on larger ones from the second question for the same free
    /// devices on.
    pub fn best_subset(&self, free: DeviceSet, count: usize) -> Option<(DeviceSet, Bandwidth)> {
        let tables = self.tables();
        let set = tables.best(free.intersection(self.all()), count)?;
        Some((set, tables.bottleneck[set.0 as usize]))
    }

    /// The highest bottleneck that any `count` devices of the machine have; `None` as for [`Fabric::best_subset`].
    pub fn best_bottleneck(&self, count: usize) -> Option<Bandwidth> {
        self.best_subset(self.all(), count).map(|(_, bandwidth)| bandwidth)
    }
}
