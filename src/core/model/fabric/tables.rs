//! What is known of every subset of a machine's devices, worked out once per fabric, and the best choice for every set
//! of free devices.
//!
//! How good a choice is depends on two sets only: what is taken and what is left. Each of them has its part of the
//! order in a table, at bit positions of its own, so that a choice is judged by two look-ups and an OR. The best choices
//! are kept by free set: all of them from the start on small machines, where there are 3^8 to judge, and from the first
//! question for a free set on larger ones (3^16 would take a tenth of a second). What is kept is a pure function of the
//! fabric, so it does not matter who asked first.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::{Bandwidth, Device, DeviceSet, Fabric, Routing};

/// Machines up to this many devices have all their choices worked out with the tables.
pub(super) const PRECOMPUTED_DEVICES: usize = 8;

/// Per subset of the devices, by its bit mask.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    /// See [`Fabric::bottleneck`].
    pub bottleneck: Vec<Bandwidth>,
    /// The size of the largest linked set inside.
    pub largest: Vec<u8>,
    /// What taking the set contributes to the order of choices.
    taken: Vec<u64>,
    /// What leaving the set contributes.
    left: Vec<u64>,
    /// The best sets of 1, 2, ... of these devices as masks; 0 where there is none.
    best: Vec<OnceLock<Box<[u16]>>>,
}

/// Widths in the order of choices of its four parts, from the one that decides last to the one that decides first: what
/// is left by place, what is taken by place, what is left by links, what is taken by links.
const PLACE_BITS: u32 = 10;
const LINK_BITS: u32 = 16;

impl Tables {
    pub(super) fn of(fabric: &Fabric) -> Tables {
        let links = LinkTables::of(fabric);
        let numa_nodes = groups(fabric, |device| device.numa);
        let pcie_roots = groups(fabric, |device| device.pcie_root);
        let masks = links.bottleneck.len();
        let sets = || (0..masks).map(|mask| DeviceSet(mask as u32));

        let taken_links: Vec<_> = (0..masks).map(|mask| (links.bottleneck[mask], links.inner[mask])).collect();
        let left_links: Vec<_> = (0..masks).map(|mask| (links.largest[mask], links.inner[mask])).collect();
        // At most 16 devices, so at most 16 groups: five bits for each figure.
        let few = |count: usize| 31 - count as u64;
        let taken_place = sets().map(|set| few(touched(&numa_nodes, set)) << 5 | few(touched(&pcie_roots, set)));
        let left_place = sets().map(|set| (most_in_one(&numa_nodes, set) as u64) << 5 | few(touched(&pcie_roots, set)));
        let above = |(links, place): (u64, u64)| links << (LINK_BITS + 2 * PLACE_BITS) | place << PLACE_BITS;
        let below = |(links, place): (u64, u64)| links << (2 * PLACE_BITS) | place;
        let taken: Vec<u64> = ordinals(&taken_links).into_iter().zip(taken_place).map(above).collect();
        let left: Vec<u64> = ordinals(&left_links).into_iter().zip(left_place).map(below).collect();
        let bits = |parts: &[u64]| parts.iter().fold(0, |all, part| all | part);
        debug_assert_eq!(bits(&taken) & bits(&left), 0, "each part has bit positions of its own");

        let largest = links.largest.iter().map(|&(size, _)| size).collect();
        let best = (0..masks).map(|_| OnceLock::new()).collect();
        let tables = Tables { bottleneck: links.bottleneck, largest, taken, left, best };
        if fabric.len() <= PRECOMPUTED_DEVICES {
            for free in sets() {
                tables.best(free, 1);
            }
        }
        tables
    }

    /// The best `count` of the free devices, if any are good enough to be a set.
    pub(super) fn best(&self, free: DeviceSet, count: usize) -> Option<DeviceSet> {
        let best = self.best[free.0 as usize].get_or_init(|| self.judge(free));
        let set = *best.get(count.checked_sub(1)?)?;
        (set != 0).then_some(DeviceSet(set.into()))
    }

    /// The best sets of every size, from one pass over all subsets.
    fn judge(&self, free: DeviceSet) -> Box<[u16]> {
        let mut best: Box<[(u64, u32)]> = vec![(0, 0); free.len()].into();
        let mut set = free.0;
        while set != 0 {
            let order = self.taken[set as usize] | self.left[(free.0 & !set) as usize];
            let highest = &mut best[set.count_ones() as usize - 1];
            // Of equals the one with the lowest indexes: it has the lowest device that only one of them has.
            let lower = || highest.1 == 0 || (set ^ highest.1).trailing_zeros() == (set & !highest.1).trailing_zeros();
            if order > highest.0 || order == highest.0 && lower() {
                *highest = (order, set);
            }
            set = (set - 1) & free.0;
        }
        let usable = |set: u32| self.bottleneck[set as usize] > Bandwidth::NONE;
        // Masks of at most 16 devices.
        best.iter().map(|&(_, set)| if usable(set) { set as u16 } else { 0 }).collect()
    }
}

/// What the links say of every subset.
struct LinkTables {
    /// See [`Fabric::bottleneck`].
    bottleneck: Vec<Bandwidth>,
    /// Size and bottleneck of the largest linked set inside: what a later request could get from these devices.
    largest: Vec<(u8, Bandwidth)>,
    /// Sum of the bandwidths of all fast links inside, GB/s.
    inner: Vec<u32>,
}

impl LinkTables {
    /// Goes through the masks upwards, so that every subset is known before the sets that contain it.
    fn of(fabric: &Fabric) -> LinkTables {
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
                (set.len() as u8, bottleneck[mask])
            } else {
                let without = set.iter().map(|device| largest[mask & !(1 << device)]);
                without.fold((0, Bandwidth::NONE), std::cmp::max)
            };
        }
        LinkTables { bottleneck, largest, inner }
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

/// The values by their place among the distinct ones: the same order, in at most 16 bits for 2^16 values.
fn ordinals<T: Ord + Copy>(values: &[T]) -> Vec<u64> {
    let mut distinct = values.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    values.iter().map(|value| distinct.partition_point(|other| other < value) as u64).collect()
}

/// The devices of a fabric, grouped by where they sit; those of which it is not known are one more group.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fabric::Slots;

    #[test]
    fn small_machines_are_worked_out_at_once_and_large_ones_as_they_are_asked() {
        let fabric = |devices| Fabric::pcie_only(Slots::new(devices).expect("a number"));
        let known = |tables: &Tables| tables.best.iter().filter(|best| best.get().is_some()).count();
        assert_eq!(known(&Tables::of(&fabric(PRECOMPUTED_DEVICES))), 1 << PRECOMPUTED_DEVICES);
        let large = Tables::of(&fabric(PRECOMPUTED_DEVICES + 1));
        assert_eq!(known(&large), 0);
        for (mask, count) in [(7, 2), (7, 3), (7, 4), (9, 1)] {
            assert_eq!(large.best(DeviceSet(mask), count).is_some(), count < 4);
        }
        assert_eq!(known(&large), 2);
    }
}
