use super::*;
use crate::cluster::Cluster;
use crate::model::fabric::DeviceSet;
use crate::model::gpu_share;
use crate::model::pod::Pod;
use crate::testing::{node, pod};
use proptest::prelude::*;

/// What is free, looked through one by one: no order, no tricks.
#[derive(Debug, Clone)]
struct Naive {
    cpu: i64,
    memory: i64,
    gpus: Vec<u16>,
    units: Vec<u16>,
}

impl Naive {
    fn fits(&self, bite: &Bite) -> bool {
        let mut after = self.clone();
        after.take(bite)
    }

    /// Takes it, if it fits.
    fn take(&mut self, bite: &Bite) -> bool {
        let enough = bite.cpu <= self.cpu && bite.memory <= self.memory;
        self.cpu -= bite.cpu;
        self.memory -= bite.memory;
        enough
            && match bite.what {
                What::Nothing => true,
                What::Part(part) => self.take_part(part),
                What::Whole(gpus) => (0..gpus).all(|_| self.take_part(WHOLE)),
                What::Units { pool, count } => match self.units[usize::from(pool)].checked_sub(count) {
                    Some(left) => {
                        self.units[usize::from(pool)] = left;
                        true
                    }
                    None => false,
                },
            }
    }

    /// From the GPU that it leaves least of.
    fn take_part(&mut self, part: u16) -> bool {
        let tightest = self.gpus.iter_mut().filter(|free| **free >= part).min_by_key(|free| **free - part);
        tightest.map(|free| *free -= part).is_some()
    }

    fn flat(&self) -> FlatRoom {
        let mut shared = [0; MAX_GPUS];
        shared[..self.gpus.len()].copy_from_slice(&self.gpus);
        shared.sort_unstable();
        let mut units = [0; MAX_POOLS];
        units.copy_from_slice(&self.units);
        FlatRoom { cpu: self.cpu, memory: self.memory, shared, units }
    }
}

fn rooms() -> impl Strategy<Value = Naive> {
    let free = prop_oneof![4 => Just(WHOLE), 1 => Just(0), 8 => 0..=WHOLE];
    let gpus = prop_oneof![Just(MAX_GPUS), 0..=MAX_GPUS];
    (
        0..40_000i64,
        0..40_000i64,
        gpus.prop_flat_map(move |gpus| proptest::collection::vec(free.clone(), gpus)),
        proptest::collection::vec(0..20u16, MAX_POOLS),
    )
        .prop_map(|(cpu, memory, gpus, units)| Naive { cpu, memory, gpus, units })
}

fn bites() -> impl Strategy<Value = Bite> {
    let what = prop_oneof![
        Just(What::Nothing),
        (1..WHOLE).prop_map(What::Part),
        (0..=20u8).prop_map(What::Whole),
        (0..MAX_POOLS as u8, 0..8u16).prop_map(|(pool, count)| What::Units { pool, count }),
    ];
    (0..4000i64, 0..4000i64, what).prop_map(|(cpu, memory, what)| Bite { cpu, memory, what, milli: 0 })
}

proptest! {
    #[test]
    fn a_flat_room_is_the_same_room(mut naive in rooms(), bites in proptest::collection::vec(bites(), 0..60)) {
        let mut flat = naive.flat();
        for bite in bites {
            prop_assert_eq!(flat.fits(&bite), naive.fits(&bite), "{:?} in {:?}", bite, naive);
            if flat.fits(&bite) {
                flat.take(&bite);
                naive.take(&bite);
            }
            prop_assert!(flat.shared.is_sorted());
            prop_assert_eq!(flat, naive.flat());
        }
        let free = naive.gpus.iter().chain(&naive.units).any(|free| *free > 0);
        prop_assert_eq!(flat.has_accelerators(), free);
    }
}

/// The room of a node with so many shareable GPUs, of some of which thousandths are in use.
fn shareable(gpus: i64, used: &[(usize, i64)]) -> FlatRoom {
    let mut cluster = Cluster::default();
    cluster.set_node(node("n").has(gpu_share::RESOURCE, gpus * 1000).build());
    for (at, (gpu, thousandths)) in used.iter().enumerate() {
        let gpus = Some(DeviceSet::EMPTY.with(*gpu));
        let holder = pod(&format!("p{at}")).asks(gpu_share::RESOURCE, *thousandths).asks("cpu", 0).on("n").build();
        cluster.set_pod(Pod { gpus, ..holder });
    }
    FlatRoom::of(cluster.node("n").unwrap())
}

#[test]
fn thousandths_are_counted_gpu_by_gpu_and_not_twice() {
    let room = shareable(3, &[(0, 300), (2, 900)]);
    assert_eq!(room.shared[MAX_GPUS - 3..], [100, 700, 1000]);
    let thousandths = [(gpu_share::RESOURCE.into(), 1)];
    assert_eq!(room.free_milli(&thousandths), 1800);
    assert_eq!(room.units, [0; MAX_POOLS]);
}

#[test]
fn what_is_held_beyond_what_there_is_counts_as_nothing_free() {
    let room = shareable(2, &[(0, 700), (0, 700)]);
    assert_eq!(room.shared[MAX_GPUS - 2..], [0, 1000]);
    let mut cluster = Cluster::default();
    cluster.set_node(node("n").has("nvidia.com/gpu", 4).build());
    cluster.set_pod(pod("p").gpus(6).asks("cpu", 1 << 50).asks("memory", i64::MAX).on("n").build());
    let room = FlatRoom::of(cluster.node("n").unwrap());
    assert_eq!((room.cpu, room.memory, room.units[0]), (0, 0, 0));
}

#[test]
fn of_more_gpus_than_are_looked_at_the_emptiest_count() {
    let in_use: Vec<(usize, i64)> = (0..16).map(|gpu| (gpu, 1000)).collect();
    let room = shareable(20, &in_use);
    assert_eq!(room.shared[MAX_GPUS - 4..], [1000; 4]);
}

#[test]
fn more_units_than_can_be_counted_are_very_many() {
    let state = NodeState::idle(node("n").has("nvidia.com/gpu", 70_000).build());
    assert_eq!(FlatRoom::of(&state).units[0], u16::MAX);
}

#[test]
fn neuron_hardware_under_several_names_is_counted_once() {
    let names = [("aws.amazon.com/neuron", 1), ("aws.amazon.com/neurondevice", 1), ("aws.amazon.com/neuroncore", 2)];
    for (held, each) in names {
        let mut cluster = Cluster::default();
        let trainium = node("n").instance("trn1.32xlarge");
        cluster.set_node(names.iter().fold(trainium, |node, (name, each)| node.has(name, 16 * each)).build());
        cluster.set_pod(pod("p").asks(held, 3 * each).on("n").build());
        let room = FlatRoom::of(cluster.node("n").unwrap());
        assert_eq!(room.free_units(), 26, "{held}");
    }
}
