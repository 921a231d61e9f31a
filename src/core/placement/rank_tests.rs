use super::*;
use crate::model::selector::{NodeAffinity, Preference, Requirement, Term};
use crate::testing::{NodeBuilder, PodBuilder, node, pod};
use proptest::prelude::*;

fn rank(demand: &Demand, state: &NodeState, cost: i32) -> Rank {
    Asked::of(demand).rank(state, cost)
}

fn ranked(pod: PodBuilder, node: NodeBuilder) -> Rank {
    rank(&pod.demand(), &NodeState::idle(node.build()), 0)
}

fn p4d() -> NodeBuilder {
    node("p4d").product("NVIDIA-A100-SXM4-40GB").instance("p4d.24xlarge").has("nvidia.com/gpu", 8)
}

fn l40s() -> NodeBuilder {
    node("l40s").product("NVIDIA-L40S").instance("g6e.48xlarge").has("nvidia.com/gpu", 8)
}

#[test]
fn several_gpus_want_links_between_them() {
    let link = |gpus, node| ranked(pod("p").gpus(gpus), node).link;
    assert_eq!([link(8, p4d()), link(8, l40s()), link(1, l40s())], [0, 2, 0]);
    assert_eq!(link(4, p4d().has_working("nvidia.com/gpu", 8, 7)), 1, "linked, but one has failed");
    let slices = node("n").product("NVIDIA-A100-SXM4-40GB").has("nvidia.com/mig-1g.5gb", 7);
    assert_eq!(ranked(pod("p").asks("nvidia.com/mig-1g.5gb", 3), slices).link, 0, "slices see no peers anyway");
}

#[test]
fn cores_are_linked_by_the_devices_that_they_are_on() {
    const CORE: &str = "aws.amazon.com/neuroncore";
    let on = |cores| {
        let machine = node("n").instance("inf2.24xlarge").has("aws.amazon.com/neuron", 6).has(CORE, 12);
        ranked(pod("p").asks(CORE, cores), machine).link
    };
    assert_eq!((on(1), on(2), on(7), on(12)), (0, 0, 0, 0), "12 cores are 6 devices of one ring");
}

#[test]
fn of_shareable_gpus_those_count_that_the_pod_would_get() {
    const MILLI: &str = "alibabacloud.com/gpu-milli";
    let mut cluster = crate::cluster::Cluster::default();
    // A cube mesh: 1 and 4 have no link with each other.
    cluster.set_node(node("n").instance("p3.16xlarge").has(MILLI, 8000).build());
    for (name, gpu) in [("a", 0), ("b", 2), ("c", 3), ("d", 5), ("e", 6), ("f", 7)] {
        let gpus = Some(crate::model::fabric::DeviceSet::EMPTY.with(gpu));
        cluster.set_pod(crate::model::pod::Pod { gpus, ..pod(name).asks(MILLI, 1000).on("n").build() });
    }
    let demand = pod("p").asks(MILLI, 2000).demand();
    assert_eq!(rank(&demand, cluster.node("n").unwrap(), 0).link, 2);
    cluster.remove_pod(&"uid-a".into());
    assert_eq!(rank(&demand, cluster.node("n").unwrap(), 0).link, 0);
}

#[test]
fn what_is_left_is_counted_in_devices() {
    assert_eq!(ranked(pod("p").gpus(2), p4d()).left, 600);
    let slices = node("n").product("NVIDIA-A100-SXM4-40GB").has("nvidia.com/mig-3g.20gb", 4);
    assert_eq!(ranked(pod("p").asks("nvidia.com/mig-3g.20gb", 1), slices).left, 150);
}

#[test]
fn a_plain_gpu_request_prefers_whole_gpus() {
    let form = |node| ranked(pod("p").gpus(1), node).form;
    let shared = node("n").product("NVIDIA-L40S-SHARED").has("nvidia.com/gpu", 8);
    let sliced = node("n").product("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb").has("nvidia.com/gpu", 7);
    assert_eq!([form(l40s()), form(sliced), form(shared)], [0, 1, 2]);
}

#[test]
fn pods_without_accelerators_keep_off_gpu_nodes() {
    assert!(ranked(pod("p"), node("n")).packed() < ranked(pod("p"), p4d()).packed());
}

#[test]
fn the_pods_own_preference_comes_before_cost() {
    let term = Term { labels: vec![Requirement::equals("zone", "b")], name: vec![] };
    let affinity = NodeAffinity { preferred: vec![Preference { weight: 1, term }], ..NodeAffinity::default() };
    let demand = pod("p").gpus(1).affinity(affinity).demand();
    let in_zone = |zone, cost| rank(&demand, &NodeState::idle(p4d().label("zone", zone).build()), cost);
    assert!(in_zone("b", 9_000).packed() < in_zone("a", 0).packed());
}

#[test]
fn nodes_on_their_way_out_come_last() {
    let leaving = || p4d().taint("DeletionCandidateOfClusterAutoscaler", Effect::PreferNoSchedule);
    let spot = || p4d().taint("spot", Effect::PreferNoSchedule);
    let unwelcome = |pod: PodBuilder, node| ranked(pod, node).unwelcome;
    let plain = || pod("p").gpus(1);
    assert_eq!([unwelcome(plain(), p4d()), unwelcome(plain(), spot()), unwelcome(plain(), leaving())], [0, 1, 2]);
    let tolerant = || pod("p").gpus(1).tolerates(None);
    assert_eq!([unwelcome(tolerant(), spot()), unwelcome(tolerant(), leaving())], [0, 2]);
}

#[test]
fn the_best_place_is_alone_at_ten() {
    let places = |ranks: &[u64]| -> Vec<u8> {
        let names: Vec<String> = (0..ranks.len()).map(|i| format!("n{i:02}")).collect();
        levels(&names.iter().map(String::as_str).zip(ranks.iter().copied()).collect::<Vec<_>>())
    };
    assert!(places(&[]).is_empty());
    assert_eq!(places(&[7]), [10]);
    assert_eq!(places(&[5, 5, 5]), [10, 9, 9], "of equals the first by name");
    assert_eq!(places(&[30, 10, 20, 10]), [7, 10, 8, 9]);
    assert_eq!(places(&(0..14).collect::<Vec<_>>()), [10, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0]);
}

proptest! {
    #[test]
    fn packing_keeps_the_order(order in any_order(), a in any_rank(), b in any_rank()) {
        let (a, b) = (Rank { order, ..a }, Rank { order, ..b });
        prop_assert_eq!(criteria(a).cmp(&criteria(b)), a.packed().cmp(&b.packed()));
    }

    #[test]
    fn levels_follow_the_ranks(ranks in proptest::collection::vec(0u64..40, 1..60)) {
        let names: Vec<String> = (0..ranks.len()).map(|i| format!("n{i:02}")).collect();
        let places: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(ranks.iter().copied()).collect();
        let levels = levels(&places);
        prop_assert_eq!(levels.iter().filter(|level| **level == 10).count(), 1);
        for (a, level_a) in ranks.iter().zip(&levels) {
            for (b, level_b) in ranks.iter().zip(&levels) {
                prop_assert!(a >= b || level_a >= level_b, "{} {} {} {}", a, level_a, b, level_b);
            }
        }
    }
}

/// Any order that there can be.
fn any_order() -> impl Strategy<Value = Order> {
    let shuffled = Just(Aim::ALL.to_vec()).prop_shuffle();
    let some = (shuffled, 0..=Aim::ALL.len()).prop_map(|(aims, length)| {
        let last = if aims[..length].contains(&Aim::Packing) { Aim::Spreading } else { Aim::Packing };
        let aims: Vec<Aim> = aims.into_iter().take(length).filter(|aim| *aim != last).collect();
        Order::of(&aims).expect("no aim twice")
    });
    prop_oneof![Just(Order::DEFAULT), some]
}

/// What is compared, the first difference deciding.
fn criteria(rank: Rank) -> Vec<i64> {
    let first = [rank.unwelcome.into(), rank.unmet_preference.into()];
    let of = |aim| match aim {
        Aim::Capacity => vec![rank.misfit.into()],
        Aim::Form => vec![rank.form.into()],
        Aim::Links => vec![rank.link.into()],
        Aim::Uncut => vec![rank.recuttable.into()],
        Aim::Fragmentation => vec![rank.cost.into()],
        Aim::Domains => vec![rank.opens_domain.into()],
        Aim::Packing => vec![rank.opens.into(), rank.left.into()],
        Aim::Spreading => vec![-i64::from(rank.opens), -i64::from(rank.left)],
        Aim::Zone => vec![rank.zone.into()],
        Aim::Replicas => vec![rank.on_node.into(), rank.in_rack.into()],
    };
    first.into_iter().chain(rank.order.aims().flat_map(of)).collect()
}

/// Ranks whose fields are within the ranges that [`rank`] gives them.
fn any_rank() -> impl Strategy<Value = Rank> {
    let first = (0..3u8, 0..1001u16, 0..=MAX_MISFIT, 0..3u8, 0..3u8);
    let around = (0..=MAX_ZONE, 0..=MAX_ON_NODE, 0..=MAX_IN_RACK);
    let last = (0..2u8, -1_000_000..1_000_000i32, 0..2u8, 0..2u8, 0..(1u16 << 10), around);
    (first, last).prop_map(|(first, last)| {
        let (unwelcome, unmet_preference, misfit, form, link) = first;
        let (recuttable, cost, opens_domain, opens, left, (zone, on_node, in_rack)) = last;
        let known = Rank { unwelcome, unmet_preference, misfit, form, link, recuttable, ..Rank::default() };
        Rank { cost, opens_domain, opens, left, zone, on_node, in_rack, ..known }
    })
}
