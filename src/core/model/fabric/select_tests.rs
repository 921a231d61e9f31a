//! The choice of sets against a brute force that follows the definitions word for word.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::catalogue::Catalogue;

fn machine(name: &str) -> Arc<Fabric> {
    let catalogue = Catalogue::builtin();
    let machine = catalogue.machine_by_instance_type(name).unwrap_or_else(|| panic!("no machine {name}"));
    Arc::clone(&machine.fabric)
}

fn slots(devices: usize, numa_nodes: usize, per_root: usize) -> Slots {
    let slots = Slots::new(devices).and_then(|slots| slots.over_numa_nodes(numa_nodes));
    slots.and_then(|slots| slots.per_pcie_root(per_root)).expect("even")
}

fn bridges(devices: usize, pairs: &[(usize, usize)]) -> Fabric {
    let pairs: Vec<NvLinkPair> = pairs.iter().map(|&(a, b)| NvLinkPair { a, b, links: 12 }).collect();
    Fabric::nvlink(slots(devices, 2, 1), &pairs, Bandwidth(50)).expect("bridges")
}

fn set(devices: &[usize]) -> DeviceSet {
    devices.iter().copied().collect()
}

fn links_inside(fabric: &Fabric, set: DeviceSet) -> Vec<Option<Link>> {
    set.subsets(2).map(|pair| pair.iter().collect::<Vec<_>>()).map(|pair| fabric.link(pair[0], pair[1])).collect()
}

/// Whether merging the two ends of every fast link inside leaves one part.
fn is_contiguous(fabric: &Fabric, set: DeviceSet) -> bool {
    let mut parts: Vec<DeviceSet> = set.iter().map(|device| DeviceSet::EMPTY.with(device)).collect();
    for pair in set.subsets(2) {
        let ends: Vec<usize> = pair.iter().collect();
        if fabric.link(ends[0], ends[1]).is_some_and(|link| link.kind.is_fast()) {
            let (joined, others): (Vec<DeviceSet>, Vec<DeviceSet>) =
                parts.into_iter().partition(|part| !part.intersection(pair).is_empty());
            parts = others;
            parts.push(joined.into_iter().fold(DeviceSet::EMPTY, DeviceSet::union));
        }
    }
    parts.len() == 1
}

fn bottleneck(fabric: &Fabric, set: DeviceSet) -> Bandwidth {
    let links = links_inside(fabric, set);
    if fabric.needs_contiguous_sets() {
        if set.len() > 1 && !is_contiguous(fabric, set) {
            return Bandwidth::NONE;
        }
        return links.iter().flatten().map(|link| link.bandwidth).min().unwrap_or(Bandwidth::UNLIMITED);
    }
    links.iter().map(|link| link.map_or(Bandwidth::NONE, |l| l.bandwidth)).min().unwrap_or(Bandwidth::UNLIMITED)
}

fn is_linked(fabric: &Fabric, set: DeviceSet) -> bool {
    if fabric.needs_contiguous_sets() {
        return !set.is_empty() && is_contiguous(fabric, set);
    }
    !set.is_empty() && links_inside(fabric, set).iter().all(|link| link.is_some_and(|l| l.kind.is_fast()))
}

fn bandwidth_inside(fabric: &Fabric, set: DeviceSet) -> u32 {
    let links = links_inside(fabric, set).into_iter().flatten();
    links.filter(|link| link.kind.is_fast()).map(|link| link.bandwidth.0).sum()
}

/// Size and bottleneck of the best linked set inside, by trying all subsets.
fn largest(fabric: &Fabric, within: DeviceSet) -> (usize, Bandwidth) {
    let mut subsets = (1..=within.len()).rev().map(|count| {
        let linked = within.subsets(count).filter(|&subset| is_linked(fabric, subset));
        linked.map(|subset| (count, bottleneck(fabric, subset))).max()
    });
    subsets.find_map(|best| best).unwrap_or((0, Bandwidth::UNLIMITED))
}

/// The same for NeuronLink, where it is the largest part that holds together: flood from every device.
fn largest_part(fabric: &Fabric, within: DeviceSet) -> (usize, Bandwidth) {
    assert!(fabric.needs_contiguous_sets(), "too many subsets to try");
    let part = |from: usize| {
        let mut part = vec![from];
        let mut at = 0;
        while at < part.len() {
            let linked = |&other: &usize| fabric.link(part[at], other).is_some_and(|link| link.kind.is_fast());
            let new: Vec<usize> = within.iter().filter(|other| !part.contains(other)).filter(linked).collect();
            part.extend(new);
            at += 1;
        }
        let part: DeviceSet = part.into_iter().collect();
        (part.len(), bottleneck(fabric, part))
    };
    within.iter().map(part).max().unwrap_or((0, Bandwidth::UNLIMITED))
}

fn places(fabric: &Fabric, set: DeviceSet) -> Vec<Device> {
    set.iter().filter_map(|device| fabric.device(device)).collect()
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> usize {
    values.collect::<std::collections::BTreeSet<T>>().len()
}

/// The best set in the order that the documentation of `best_subset` states.
fn best_subset(
    fabric: &Fabric,
    free: DeviceSet,
    count: usize,
    largest: impl Fn(DeviceSet) -> (usize, Bandwidth),
) -> Option<(DeviceSet, Bandwidth)> {
    let rank = |set: DeviceSet| {
        let rest = free.minus(set);
        let (here, there) = (places(fabric, set), places(fabric, rest));
        let on_one = there.iter().map(|one| there.iter().filter(|other| other.numa == one.numa).count()).max();
        let negative = |n: usize| -i32::try_from(n).expect("small");
        (
            bottleneck(fabric, set),
            bandwidth_inside(fabric, set),
            largest(rest),
            bandwidth_inside(fabric, rest),
            negative(distinct(here.iter().map(|device| device.numa))),
            negative(distinct(here.iter().map(|device| device.pcie_root))),
            on_one.unwrap_or(0),
            negative(distinct(there.iter().map(|device| device.pcie_root))),
            std::cmp::Reverse(set.iter().collect::<Vec<usize>>()),
        )
    };
    let subsets = (0..1u32 << fabric.len()).map(DeviceSet).filter(|set| set.is_subset(free) && set.len() == count);
    let best = subsets.max_by_key(|&set| rank(set)).filter(|_| count > 0)?;
    let bandwidth = bottleneck(fabric, best);
    (bandwidth > Bandwidth::NONE).then_some((best, bandwidth))
}

fn agrees_with_brute_force(name: &str, fabric: &Fabric) {
    let tried: Vec<_> = (0..1u32 << fabric.len()).map(|mask| largest(fabric, DeviceSet(mask))).collect();
    let largest = |within: DeviceSet| tried[within.0 as usize];
    for mask in 0..1u32 << fabric.len() {
        let free = DeviceSet(mask);
        assert_eq!(fabric.bottleneck(free), bottleneck(fabric, free), "{name} {free}");
        assert_eq!(fabric.is_nvlink_complete(free), is_linked(fabric, free), "{name} {free}");
        assert_eq!(fabric.largest_linked(free), largest(free).0, "{name} {free}");
        for count in 0..=fabric.len() + 1 {
            let wanted = best_subset(fabric, free, count, largest);
            assert_eq!(fabric.best_subset(free, count), wanted, "{name}: {count} of {free}");
        }
    }
}

#[test]
fn every_choice_on_machines_of_up_to_eight_is_the_best() {
    for name in ["p3.8xlarge", "p3.16xlarge", "p4d.24xlarge", "p5.48xlarge", "g6e.48xlarge", "inf2.24xlarge"] {
        agrees_with_brute_force(name, &machine(name));
    }
    agrees_with_brute_force("bridges", &bridges(6, &[(0, 3), (1, 2), (4, 5)]));
    agrees_with_brute_force("torus", &Fabric::torus(2, 4, Bandwidth(768)).expect("a torus"));
    // PCIe only: two roots of two on each of two sockets; and one of which nothing is known.
    agrees_with_brute_force("PCIe", &Fabric::pcie_only(slots(8, 2, 2)));
    agrees_with_brute_force("PCIe, places unknown", &Fabric::pcie_only(Slots::new(5).expect("five")));
    agrees_with_brute_force("mesh", &Fabric::full_mesh(slots(4, 2, 1), 4, Bandwidth(50)).expect("a mesh"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Links nobody built: any number of NVLinks between any two of up to six GPUs.
    #[test]
    fn every_choice_on_any_mesh_is_the_best(
        devices in 1usize..=6,
        links in proptest::collection::vec(0u8..4, 15),
        numa in 1usize..=2,
    ) {
        let slots = Slots::new(devices).expect("a number");
        let slots = slots.over_numa_nodes(numa).unwrap_or(slots);
        let all = (0..devices).flat_map(|a| (a + 1..devices).map(move |b| (a, b)));
        let pairs: Vec<NvLinkPair> = all.zip(links).map(|((a, b), links)| NvLinkPair { a, b, links }).collect();
        let pairs: Vec<NvLinkPair> = pairs.into_iter().filter(|pair| pair.links > 0).collect();
        let fabric = Fabric::nvlink(slots, &pairs, Bandwidth(50)).expect("a mesh");
        agrees_with_brute_force("mesh", &fabric);
    }

    /// More devices, sampled: exactly the choice of the brute force, asked for twice, and out of any order.
    #[test]
    fn every_choice_on_sixteen_and_on_twelve_is_the_best(
        mask in 0u32..1 << 16,
        more in 0u32..1 << 16,
        count in 1usize..=16,
    ) {
        for name in ["trn2.48xlarge", "inf2.48xlarge"] {
            let fabric = machine(name);
            for free in [DeviceSet(mask & more), DeviceSet(mask & 0xff0), DeviceSet(mask & more)] {
                let free = free.intersection(fabric.all());
                let count = if free.is_empty() { 1 } else { 1 + (count - 1) % free.len() };
                let wanted = best_subset(&fabric, free, count, |rest| largest_part(&fabric, rest));
                prop_assert_eq!(fabric.best_subset(free, count), wanted, "{} {}", name, free);
            }
        }
    }

    /// Most devices free, few of them taken: what is left is large, and decides.
    #[test]
    fn every_choice_of_few_out_of_many_is_the_best(mask in 0u32..1 << 16, more in 0u32..1 << 16, count in 1usize..=2) {
        for fabric in [machine("trn2.48xlarge"), machine("inf2.48xlarge")] {
            let free = DeviceSet(mask | more).intersection(fabric.all());
            let wanted = best_subset(&fabric, free, count, |rest| largest_part(&fabric, rest));
            prop_assert_eq!(fabric.best_subset(free, count), wanted, "{}", free);
        }
    }

    /// No set of a sample is denser than the choice on the whole torus.
    #[test]
    fn sets_of_the_full_torus_are_dense(count in 1usize..=16) {
        let torus = machine("trn2.48xlarge");
        let (set, bandwidth) = torus.best_subset(torus.all(), count).expect("contiguous");
        let links = |set: DeviceSet| bandwidth_inside(&torus, set);
        prop_assert_eq!(bandwidth, bottleneck(&torus, set));
        let contiguous = |set: &DeviceSet| is_contiguous(&torus, *set);
        let densest = torus.all().subsets(count).step_by(17).filter(contiguous).map(links).max();
        prop_assert!(densest.is_none_or(|densest| densest <= links(set)));
    }
}

/// Thousands of sums of bandwidths that all differ: the order of choices has room for them.
#[test]
fn every_choice_on_a_large_irregular_mesh_is_the_best() {
    let pairs = (0..12).flat_map(|a| (a + 1..12).map(move |b| (a, b)));
    let pairs = pairs.map(|(a, b)| NvLinkPair { a, b, links: 1 + ((a * 31 + b * 17 + a * b) % 18) as u8 });
    let fabric = Fabric::nvlink(slots(12, 2, 2), &pairs.collect::<Vec<_>>(), Bandwidth(50)).expect("a mesh");
    for (mask, count) in [(0xfff, 2), (0xfff, 9), (0xbdf, 3), (0x7bd, 4), (0xad5, 3), (0xf0f, 4)] {
        let free = DeviceSet(mask);
        // Every pair is linked, so that what is left is one linked set.
        let wanted = best_subset(&fabric, free, count, |rest| (rest.len(), bottleneck(&fabric, rest)));
        assert_eq!(fabric.best_subset(free, count), wanted, "{count} of {free}");
    }
}

/// One answer holds whoever asks first: two threads ask a fabric that has been asked nothing, one of them backwards.
#[test]
fn what_was_asked_before_does_not_matter() {
    let fresh = Fabric::torus(4, 4, Bandwidth(1024)).expect("a torus");
    let masks: Vec<u32> = (1..200).map(|n| (n * 40_503 % (1 << 16)) & 0x7ff7).collect();
    let answers = |masks: &mut dyn Iterator<Item = &u32>| -> Vec<_> {
        masks.map(|&mask| fresh.best_subset(DeviceSet(mask), 3)).collect()
    };
    let (one, mut other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| answers(&mut masks.iter().rev()));
        (answers(&mut masks.iter()), other.join().expect("answers"))
    });
    other.reverse();
    assert_eq!(one, other);
    assert_eq!(one, answers(&mut masks.iter()), "kept");
}

/// Takes sets of one size until none is left.
fn taken_in_turn(fabric: &Fabric, count: usize) -> String {
    let mut free = fabric.all();
    let mut taken = Vec::new();
    while let Some((set, bandwidth)) = fabric.best_subset(free, count) {
        free = free.minus(set);
        taken.push(format!("{set} {}", bandwidth.0));
    }
    taken.join(", ")
}

#[test]
fn the_cube_mesh_is_used_up_in_its_best_pairs_and_quads() {
    let dgx1v = machine("p3.16xlarge");
    assert_eq!(taken_in_turn(&dgx1v, 2), "{0,3} 100, {1,2} 100, {4,7} 100, {5,6} 100");
    assert_eq!(taken_in_turn(&dgx1v, 4), "{0,1,2,3} 50, {4,5,6,7} 50");
    // Three of one quad: the other stays whole.
    let (three, _) = dgx1v.best_subset(dgx1v.all(), 3).expect("three");
    assert_eq!(three, set(&[0, 2, 3]));
    assert_eq!(dgx1v.largest_linked(dgx1v.all().minus(three)), 4);
    assert_eq!(dgx1v.best_bottleneck(5), Some(PciePath::Sys.bandwidth()));
}

#[test]
fn bridged_pairs_stay_together_even_across_numa_nodes() {
    let fabric = bridges(6, &[(0, 3), (1, 2), (4, 5)]);
    assert_eq!(taken_in_turn(&fabric, 2), "{1,2} 600, {4,5} 600, {0,3} 600");
    // A single GPU comes from a pair that is broken already.
    assert_eq!(fabric.best_subset(set(&[0, 1, 2, 4, 5]), 1).map(|(set, _)| set), Some(set(&[0])));
    assert_eq!(fabric.best_subset(set(&[0, 3, 4]), 1).map(|(set, _)| set), Some(set(&[4])));
    assert!(fabric.is_nvlink_complete(set(&[0, 3])) && !fabric.is_nvlink_complete(set(&[0, 1])));
}

#[test]
fn behind_a_switch_numa_nodes_and_pcie_roots_decide() {
    let p4d = machine("p4d.24xlarge");
    assert_eq!(taken_in_turn(&p4d, 2), "{0,1} 600, {2,3} 600, {4,5} 600, {6,7} 600");
    let best = |devices: &[usize], count| p4d.best_subset(set(devices), count).map(|(set, _)| set);
    // Two on one root rather than the two lowest; the half-used NUMA node rather than the whole one.
    assert_eq!(best(&[0, 2, 3], 2), Some(set(&[2, 3])));
    assert_eq!(best(&[0, 1, 2, 3, 6, 7], 2), Some(set(&[6, 7])));
    assert_eq!(best(&[3, 4, 5], 1), Some(set(&[3])));
    assert_eq!(best(&[1, 2, 3], 1), Some(set(&[1])));
}

#[test]
fn where_nothing_is_better_pcie_roots_and_numa_nodes_decide() {
    let fabric = Fabric::pcie_only(slots(8, 2, 2));
    assert_eq!(taken_in_turn(&fabric, 2), "{0,1} 20, {2,3} 20, {4,5} 20, {6,7} 20");
    assert_eq!(taken_in_turn(&fabric, 4), "{0,1,2,3} 10, {4,5,6,7} 10");
    let best = |devices: &[usize], count| fabric.best_subset(set(devices), count).map(|(set, _)| set);
    // One socket rather than the lowest; one root and one more rather than three; the odd one out, not half a root.
    assert_eq!(best(&[0, 1, 4, 5, 6], 3), Some(set(&[4, 5, 6])));
    assert_eq!(best(&[0, 2, 3, 4], 3), Some(set(&[0, 2, 3])));
    assert_eq!(best(&[0, 1, 3], 1), Some(set(&[3])));
}

#[test]
fn more_links_inside_come_before_what_is_left() {
    // A triangle and a star share a slow pair only: of four over PCIe the denser four are taken.
    let pair = |a, b, links| NvLinkPair { a, b, links };
    let pairs = [pair(0, 1, 1), pair(1, 2, 1), pair(0, 2, 1), pair(3, 4, 1), pair(4, 5, 1), pair(5, 6, 1)];
    let fabric = Fabric::nvlink(Slots::new(7).expect("seven"), &pairs, Bandwidth(50)).expect("links");
    let best = |count| fabric.best_subset(fabric.all(), count).map(|(set, bandwidth)| (set, bandwidth.0));
    assert_eq!(best(3), Some((set(&[0, 1, 2]), 50)));
    assert_eq!(best(5), Some((set(&[0, 1, 2, 3, 4]), 10)));
    // Four in a row have as many links as three in a triangle and one more; the triangle stays whole.
    assert_eq!(best(4), Some((set(&[3, 4, 5, 6]), 10)));
}

#[test]
fn neuron_sets_are_contiguous_rectangles_or_nothing() {
    let torus = machine("trn2.48xlarge");
    let best = |devices: DeviceSet, count| torus.best_subset(devices, count).map(|(set, _)| set);
    assert_eq!(taken_in_turn(&torus, 4), "{0,1,2,3} 1024, {4,5,6,7} 1024, {8,9,10,11} 1024, {12,13,14,15} 1024");
    assert_eq!(best(torus.all(), 8).map(|set| bandwidth_inside(&torus, set)), Some(12 * 1024));
    assert_eq!(best(set(&[0, 1, 2, 4, 5, 6]), 4), Some(set(&[0, 1, 4, 5])));
    assert_eq!(best(set(&[0, 2, 5, 7, 8, 10, 13, 15]), 2), None, "a chessboard");
    // Over the edge of the grid: 3 and 0 are neighbours.
    assert_eq!(best(set(&[0, 3, 6, 9]), 2), Some(set(&[0, 3])));
    assert!(!torus.is_nvlink_complete(set(&[0, 5])) && torus.is_nvlink_complete(set(&[0, 1, 5])));
}

#[test]
fn nothing_and_what_is_not_there() {
    let fabric = machine("p5.48xlarge");
    assert_eq!(fabric.best_subset(fabric.all(), 0), None);
    assert_eq!(fabric.best_subset(fabric.all(), 9), None);
    assert_eq!(fabric.best_subset(DeviceSet(u32::MAX), 8), Some((fabric.all(), Bandwidth(900))));
    assert_eq!(fabric.best_subset(fabric.all(), 1), Some((set(&[0]), Bandwidth::UNLIMITED)));
    assert_eq!(fabric.bottleneck(set(&[0, 8])), Bandwidth::NONE);
    assert!(!fabric.is_nvlink_complete(set(&[0, 8])) && !fabric.is_nvlink_complete(DeviceSet::EMPTY));
    assert_eq!(fabric.bottleneck(DeviceSet::EMPTY), Bandwidth::UNLIMITED);
}
