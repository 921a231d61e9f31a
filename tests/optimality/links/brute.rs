//! The best set of devices by looking at all of them, link by link.

use testudo_core::model::fabric::{Bandwidth, DeviceSet, Fabric};

/// The slowest link that a set has to use, read from the links themselves.
pub fn bottleneck(fabric: &Fabric, set: DeviceSet) -> Bandwidth {
    if fabric.needs_contiguous_sets() && !is_contiguous(fabric, set) {
        return Bandwidth::NONE;
    }
    let pairs = set.iter().flat_map(|a| set.iter().filter(move |b| a < *b).map(move |b| (a, b)));
    let links = pairs.map(|(a, b)| fabric.link(a, b));
    let bandwidths = links.filter_map(|link| match link {
        Some(link) => Some(link.bandwidth),
        None if fabric.needs_contiguous_sets() => None,
        None => Some(Bandwidth::NONE),
    });
    bandwidths.min().unwrap_or(Bandwidth::UNLIMITED)
}

fn is_contiguous(fabric: &Fabric, set: DeviceSet) -> bool {
    let mut reached: Vec<usize> = set.iter().take(1).collect();
    let mut at = 0;
    while let Some(&device) = reached.get(at) {
        let next: Vec<usize> =
            set.iter().filter(|other| !reached.contains(other) && fabric.link(device, *other).is_some()).collect();
        reached.extend(next);
        at += 1;
    }
    reached.len() == set.len()
}

/// The highest bottleneck among all sets of so many of the free devices.
pub fn best(fabric: &Fabric, free: DeviceSet, count: usize) -> Option<Bandwidth> {
    free.subsets(count).map(|set| bottleneck(fabric, set)).max()
}
