use super::super::room::What;
use super::*;
use crate::cluster::Cluster;
use crate::placement::fragmentation::classes::Classes;
use crate::placement::fragmentation::{Fleet, Prior};
use crate::testing::{NodeBuilder, node, pod};
use proptest::prelude::*;

fn sorts(weights: &[u64]) -> Vec<Typical> {
    let sort = |(at, weight): (usize, &u64)| Typical {
        bite: Bite { cpu: 0, memory: 0, what: What::Nothing, milli: at as i64 },
        weight: *weight,
        fits: true,
    };
    weights.iter().enumerate().map(sort).collect()
}

/// The amounts of pods, stream by stream.
fn amounts(streams: &[Vec<Bite>]) -> Vec<Vec<i64>> {
    streams.iter().map(|stream| stream.iter().map(|bite| bite.milli).collect()).collect()
}

/// The class of the only kind of node, with what typical pods take of it; `pods` gives counts and GPUs of pods without a
/// wish for CPUs.
fn class(node: NodeBuilder, pods: &[(usize, i64)], selects: Option<&str>) -> (Classes, Vec<Typical>) {
    let mut cluster = Cluster::default();
    cluster.set_node(node.build());
    for (count, gpus) in pods {
        for at in 0..*count {
            let pod = pod(&format!("p{gpus}-{at}")).gpus(*gpus).asks("cpu", 0);
            cluster.set_pod(selects.into_iter().fold(pod, |pod, zone| pod.selects("zone", zone)).build());
        }
    }
    let fleet = Fleet::of(cluster.slots());
    let mix = Mix::of(cluster.tally(), &fleet, &Prior::default());
    let classes = Classes::of(&fleet, &mix);
    let typical = typical(&mix, &classes.classes[0]).into_iter().flatten().collect();
    (classes, typical)
}

#[test]
fn those_that_fit_nowhere_on_an_empty_node_pass_by_and_count_as_demand() {
    let small = || node("n").has("nvidia.com/gpu", 4);
    let (classes, sorts) = class(small(), &[(64, 1), (8, 8)], None);
    let some = amounts(&streams(&sorts, &classes.classes[0]));
    assert!(some.iter().flatten().all(|milli| *milli == 1000), "{some:?}");
    let (classes, sorts) = class(small(), &[(64, 1)], None);
    let all = amounts(&streams(&sorts, &classes.classes[0]));
    let length = |streams: &[Vec<i64>]| streams.iter().map(Vec::len).sum::<usize>();
    assert!(length(&some) < length(&all), "what passes by takes part of the horizon");
}

#[test]
fn those_that_do_not_accept_the_node_pass_by() {
    let in_zone = |zone| class(node("n").has("nvidia.com/gpu", 4).label("zone", "a"), &[(8, 1)], Some(zone)).1;
    assert!(in_zone("a")[0].fits);
    assert!(!in_zone("b")[0].fits);
}

#[test]
fn a_stream_offers_so_many_times_what_the_node_has() {
    for (nodes_gpus, sorts) in [(8, vec![(16, 4)]), (8, vec![(16, 1)]), (4, vec![(16, 2), (16, 1)]), (1, vec![(4, 1)])]
    {
        let (classes, sorts) = class(node("n").has("nvidia.com/gpu", nodes_gpus), &sorts, None);
        let horizon = HORIZON * nodes_gpus * 1000;
        for stream in amounts(&streams(&sorts, &classes.classes[0])) {
            let [before @ .., last] = stream.as_slice() else { panic!("an empty stream") };
            let before: i64 = before.iter().sum();
            assert!(before < horizon && before + last >= horizon, "{before} {last} {horizon}");
        }
    }
}

#[test]
fn equal_mixes_give_equal_streams() {
    let of = || {
        let (classes, sorts) = class(node("n").has("nvidia.com/gpu", 8), &[(16, 1), (8, 2), (8, 4)], None);
        amounts(&streams(&sorts, &classes.classes[0]))
    };
    assert_eq!(of(), of());
}

#[test]
fn no_sorts_no_streams() {
    assert!(deal(&[]).iter().all(Vec::is_empty));
}

#[test]
fn each_stream_has_an_order_of_its_own() {
    let sorts = sorts(&[4, 4]);
    let orders: std::collections::BTreeSet<Vec<i64>> =
        deal(&sorts).iter().map(|stream| stream.iter().map(|pod| pod.bite.milli).collect()).collect();
    assert_eq!(orders.len(), STREAMS);
}

proptest! {
    #[test]
    fn pods_are_dealt_in_their_shares(weights in proptest::collection::vec(1u64..1 << 40, 1..SORTS)) {
        let sorts = sorts(&weights);
        let streams = deal(&sorts);
        prop_assert_eq!(streams.len(), STREAMS);
        for stream in &streams {
            prop_assert_eq!(stream.len(), STEPS);
        }
        let all: u128 = weights.iter().copied().map(u128::from).sum();
        for (at, weight) in weights.iter().enumerate() {
            let of_sort = |stream: &Vec<&Typical>| stream.iter().filter(|pod| pod.bite.milli == at as i64).count();
            let counts: Vec<usize> = streams.iter().map(of_sort).collect();
            let dealt = counts.iter().sum::<usize>() as u128;
            let exact = u128::from(*weight) * (STREAMS * STEPS) as u128;
            prop_assert!(dealt * all <= exact + all && exact <= dealt * all + all, "{} of {}", dealt, exact / all);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            prop_assert!(most - least <= 1, "evenly over the streams: {:?}", counts);
        }
    }
}
