//! What users expect of places, on small fleets: the mix, the scorer, the ranks and the verdicts together.

use crate::engine::{Change, Engine, Offered, Policy};
use crate::model::fabric::DeviceSet;
use crate::model::pod::Pod;
use crate::model::taint::Effect;
use crate::testing::{NodeBuilder, PodBuilder, node, pod};
use proptest::prelude::*;

const GPU: &str = "nvidia.com/gpu";
const MILLI: &str = "alibabacloud.com/gpu-milli";

fn engine(nodes: impl IntoIterator<Item = NodeBuilder>, pods: impl IntoIterator<Item = PodBuilder>) -> Engine {
    let mut engine = Engine::new(Policy::default());
    for node in nodes {
        engine.apply(Change::NodeApplied(Box::new(node.build())), 0);
    }
    for pod in pods {
        engine.apply(Change::PodApplied(Box::new(pod.build())), 0);
    }
    engine
}

/// The nodes that a pod fits on, with their ranks, best first.
fn ranked(engine: &mut Engine, asked: &Pod) -> Vec<(u64, String)> {
    let snapshot = engine.snapshot();
    let judgement = snapshot.judge(asked);
    let of = |name: &str| judgement.of(Offered::Named(name)).rank();
    let places = snapshot.nodes().into_iter().map(|state| state.name().to_string());
    let mut ranked: Vec<(u64, String)> = places.filter_map(|name| Some((of(&name)?.packed(), name))).collect();
    ranked.sort();
    ranked
}

/// The names of the nodes that a pod fits on, best first.
fn order(engine: &mut Engine, asked: PodBuilder) -> Vec<String> {
    ranked(engine, &asked.build()).into_iter().map(|(_, name)| name).collect()
}

fn p4d(name: &str) -> NodeBuilder {
    node(name).product("NVIDIA-A100-SXM4-40GB").instance("p4d.24xlarge").has(GPU, 8)
}

fn l40s(name: &str) -> NodeBuilder {
    node(name).product("NVIDIA-L40S").instance("g6e.48xlarge").has(GPU, 8)
}

fn l4(name: &str) -> NodeBuilder {
    node(name).product("NVIDIA-L4").instance("g6.48xlarge").has(GPU, 8)
}

/// A pod that is on the node, with so many GPUs.
fn on(node: &str, gpus: i64) -> PodBuilder {
    pod(&format!("on-{node}")).gpus(gpus).on(node)
}

#[test]
fn what_is_tried_on_a_branch_changes_no_costs() {
    let fleet = || engine([p4d("a"), p4d("b"), l40s("c")], [on("a", 1), on("b", 3)]);
    let next = |gpus: i64| pod("next").gpus(gpus).build();
    let asks = |gpus: i64| pod("asks").gpus(gpus).build();
    let (mut tried, mut alone) = (fleet(), fleet());
    ranked(&mut tried, &asks(1));
    let mut branch = tried.branch();
    branch.assume(&next(6), &"a".into(), u64::MAX).expect("room");
    ranked(&mut branch, &asks(1));
    // The same generation, and another state.
    for engine in [&mut tried, &mut alone] {
        engine.assume(&next(2), &"a".into(), u64::MAX).expect("room");
    }
    assert_eq!(ranked(&mut tried, &asks(4)), ranked(&mut alone, &asks(4)));
}

#[test]
fn part_used_before_idle_and_fullest_first() {
    for make in [p4d, l40s, l4] {
        let nodes = || [make("a-idle"), make("b-used"), make("c-fuller")];
        let mut two = engine(nodes(), [on("b-used", 3), on("c-fuller", 6)]);
        assert_eq!(order(&mut two, pod("p").gpus(2)), ["c-fuller", "b-used", "a-idle"]);
        let mut one = engine(nodes(), [on("b-used", 4), on("c-fuller", 7)]);
        assert_eq!(order(&mut one, pod("p").gpus(1)), ["c-fuller", "b-used", "a-idle"]);
    }
}

#[test]
fn a_pod_that_fills_a_gap_leaves_none() {
    let nodes = [l40s("a-gap-of-4"), l40s("b-gap-of-2")];
    let mut engine = engine(nodes, [on("a-gap-of-4", 4), on("b-gap-of-2", 6)]);
    assert_eq!(order(&mut engine, pod("p").gpus(2))[0], "b-gap-of-2");
    assert_eq!(order(&mut engine, pod("p").gpus(4))[0], "a-gap-of-4");
}

#[test]
fn pods_are_expected_on_tainted_nodes_too() {
    // Who asks for GPUs tolerates what keeps the others away from them.
    let ranks = |of: fn(NodeBuilder) -> NodeBuilder| {
        let used = on("b-used", 2).tolerates(Some(GPU));
        let asked = pod("p").gpus(2).tolerates(Some(GPU)).build();
        ranked(&mut engine([l4("a-small"), p4d("b-used"), p4d("c-idle")].map(of), [used]), &asked)
    };
    assert_eq!(ranks(|node| node), ranks(|node| node.taint(GPU, Effect::NoSchedule)));
}

#[test]
fn several_gpus_go_where_nvlink_is() {
    assert_eq!(order(&mut engine([l40s("a-pcie"), p4d("b-nvlink")], []), pod("p").gpus(8)), ["b-nvlink", "a-pcie"]);
    let ailing = p4d("a-ailing").has_working(GPU, 8, 7);
    assert_eq!(order(&mut engine([ailing, p4d("b-whole")], []), pod("p").gpus(4)), ["b-whole", "a-ailing"]);
}

#[test]
fn one_gpu_stays_away_from_nvlink() {
    assert_eq!(order(&mut engine([p4d("a-nvlink"), l40s("b-pcie")], []), pod("p").gpus(1)), ["b-pcie", "a-nvlink"]);
}

#[test]
fn the_smaller_device_will_do() {
    assert_eq!(order(&mut engine([l40s("a-l40s"), l4("b-l4")], []), pod("p").gpus(1)), ["b-l4", "a-l40s"]);
    let mut engine = engine([l40s("a-l40s"), l4("b-l4")], [on("a-l40s", 4), on("b-l4", 4)]);
    assert_eq!(order(&mut engine, pod("p").gpus(1)), ["b-l4", "a-l40s"], "both in use");
}

#[test]
fn an_idle_node_stays_whole_when_there_is_another_place() {
    for gpus in [1, 2, 4] {
        for used in [1, 2, 4] {
            let mut engine = engine([l40s("a-idle"), l40s("b-used")], [on("b-used", used)]);
            assert_eq!(order(&mut engine, pod("p").gpus(gpus))[0], "b-used", "{gpus} beside {used}");
        }
    }
}

#[test]
fn slices_go_where_fewest_are_left() {
    let mig = |name: &str, large, small| {
        let product = node(name).product("NVIDIA-A100-SXM4-40GB");
        product.has("nvidia.com/mig-3g.20gb", large).has("nvidia.com/mig-1g.5gb", small)
    };
    let slice = |profile: &str| pod("p").asks(&format!("nvidia.com/mig-{profile}"), 1);
    let mut few = engine([mig("a-many", 8, 7), mig("b-few", 2, 7)], []);
    assert_eq!(order(&mut few, slice("3g.20gb")), ["b-few", "a-many"]);
    let mut few = engine([mig("a-many", 4, 28), mig("b-few", 4, 3)], []);
    assert_eq!(order(&mut few, slice("1g.5gb")), ["b-few", "a-many"]);
    let small = |name: &str, count| node(name).product("NVIDIA-A100-SXM4-40GB").has("nvidia.com/mig-1g.5gb", count);
    let mut few = engine([small("a-many", 56), small("b-few", 7)], []);
    assert_eq!(order(&mut few, slice("1g.5gb")), ["b-few", "a-many"]);
}

#[test]
fn a_plain_gpu_request_prefers_whole_gpus() {
    let shared = node("a-shared").product("NVIDIA-L40S-SHARED").has(GPU, 8);
    let sliced = node("b-sliced").product("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb").has(GPU, 7);
    let mut engine = engine([shared, sliced, l40s("c-whole")], []);
    assert_eq!(order(&mut engine, pod("p").gpus(1)), ["c-whole", "b-sliced", "a-shared"]);
}

#[test]
fn a_share_goes_to_a_gpu_in_use_when_it_fits() {
    let shares = |name: &str| node(name).product("NVIDIA-L40S").has(MILLI, 4000);
    let used = |milli| pod("used").asks(MILLI, milli).on("b-used");
    for (used_milli, asked) in [(500, 500), (300, 500), (250, 250), (500, 250), (700, 100), (100, 100)] {
        let mut engine = engine([shares("a-idle"), shares("b-used")], [used(used_milli)]);
        assert_eq!(order(&mut engine, pod("p").asks(MILLI, asked))[0], "b-used", "{asked} beside {used_milli}");
    }
}

#[test]
fn whole_shareable_gpus_are_taken_beside_started_ones() {
    let shares = |name: &str| node(name).product("NVIDIA-L40S").has(MILLI, 4000);
    let mut engine = engine([shares("a-idle"), shares("b-used")], [pod("used").asks(MILLI, 500).on("b-used")]);
    assert_eq!(order(&mut engine, pod("p").asks(MILLI, 1000)), ["b-used", "a-idle"]);
    assert_eq!(order(&mut engine, pod("p").asks(MILLI, 2000)), ["b-used", "a-idle"]);
}

#[test]
fn few_cpus_go_with_pods_that_need_few() {
    let nodes = || [l40s("a-free"), l40s("b-few-cpus")];
    let hungry = || pod("hungry").asks("cpu", 88_000).on("b-few-cpus");
    let mut engine = engine(nodes(), [hungry()]);
    assert_eq!(order(&mut engine, pod("p").gpus(1).asks("cpu", 1000)), ["b-few-cpus", "a-free"]);
}

#[test]
fn a_pod_without_gpus_goes_where_none_are_or_where_they_suffer_least() {
    let nodes = [p4d("a-idle"), p4d("b-full"), node("c-cpu")];
    let mut engine = engine(nodes, [on("b-full", 8).asks("cpu", 8000)]);
    assert_eq!(order(&mut engine, pod("p").asks("cpu", 48_000)), ["c-cpu", "b-full", "a-idle"]);
}

#[test]
fn cpus_that_free_gpus_need_are_left_to_them() {
    let half = |node: &str, cpu| on(node, 4).asks("cpu", cpu);
    let nodes = || [l40s("a-scarce"), l40s("b-plenty")];
    let mut engine = engine(nodes(), [half("a-scarce", 76_000), half("b-plenty", 8_000)]);
    assert_eq!(order(&mut engine, pod("p").asks("cpu", 16_000)), ["b-plenty", "a-scarce"], "no GPU");
    assert_eq!(order(&mut engine, pod("p").gpus(1).asks("cpu", 16_000)), ["b-plenty", "a-scarce"], "one GPU");
    assert_eq!(order(&mut engine, pod("p").gpus(1).asks("cpu", 1000)), ["a-scarce", "b-plenty"], "few CPUs");
}

#[test]
fn neuron_nodes_are_filled_before_others_are_opened() {
    let trn1 = |name: &str| {
        let trainium = node(name).instance("trn1.32xlarge").has("cpu", 128_000);
        trainium.has("aws.amazon.com/neuron", 16).has("aws.amazon.com/neuroncore", 32)
    };
    let names = [("aws.amazon.com/neuron", 1), ("aws.amazon.com/neuroncore", 2)];
    for (holding, each) in names {
        // Not where it would break into room for 8, 4 or 2.
        for used in [1, 2, 4, 7, 15] {
            let holder = pod("used").asks(holding, used * each).asks("cpu", 8000 * used).on("b-used");
            let mut engine = engine([trn1("a-idle"), trn1("b-used")], [holder]);
            let [by_device, by_core] = names.map(|(name, each)| order(&mut engine, pod("p").asks(name, each)));
            assert_eq!(by_device, ["b-used", "a-idle"], "beside {used} held as {holding}");
            assert_eq!(by_core, by_device, "beside {used} held as {holding}");
        }
    }
}

#[test]
fn wishes_and_taints_come_before_what_a_place_costs() {
    let leaving = l40s("a-leaving").taint("DeletionCandidateOfClusterAutoscaler", Effect::PreferNoSchedule);
    let mut engine = engine([leaving, l40s("b-idle")], [on("a-leaving", 6)]);
    assert_eq!(order(&mut engine, pod("p").gpus(1)), ["b-idle", "a-leaving"]);
}

/// A pod by number. Fewer than no GPUs are shares of one, and then it says of which.
fn numbered(at: usize, (gpus, place, namespace): (i64, usize, usize)) -> Pod {
    let pod = pod(&format!("p{at}")).namespace(&format!("ns{namespace}")).asks("cpu", 500);
    let pod = if gpus < 0 { pod.asks(MILLI, -gpus * 100) } else { pod.gpus(gpus) };
    let pod = if place < 4 { pod.on(&format!("n{place}")) } else { pod };
    Pod { gpus: (gpus < 0 && place < 4).then(|| DeviceSet::EMPTY.with(at % 4)), ..pod.build() }
}

fn numbered_node(at: usize) -> NodeBuilder {
    let name = format!("n{at}");
    match at {
        // Of one kind, though only one of them has the CPUs that eight GPUs are expected to need.
        0 => l40s(&name).has("cpu", 65_000),
        1 => l40s(&name).has("cpu", 63_900),
        2 => p4d(&name),
        3 => node(&name).product("NVIDIA-L40S").has(MILLI, 4000),
        _ => l4(&name),
    }
}

fn some_pods() -> impl Strategy<Value = Vec<(i64, usize, usize)>> {
    proptest::collection::vec((-9..5i64, 0..6usize, 0..3usize), 0..16)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// After a restart nodes and pods are seen in another order, and those that went in between are never seen.
    #[test]
    fn the_past_does_not_matter(
        pods in some_pods(),
        gone in some_pods(),
        order in Just([0, 1, 2, 3]).prop_shuffle(),
        asked in -9..5i64,
    ) {
        let mut direct = engine((0..4).map(numbered_node), []);
        for (at, parts) in pods.iter().enumerate() {
            direct.apply(Change::PodApplied(Box::new(numbered(at, *parts))), 0);
        }
        let mut winding = engine((20..23).map(numbered_node), []);
        for (at, parts) in gone.iter().enumerate() {
            winding.apply(Change::PodApplied(Box::new(numbered(100 + at, *parts))), 0);
        }
        for at in order {
            winding.apply(Change::NodeApplied(Box::new(numbered_node(at).build())), 0);
            ranked(&mut winding, &pod("asked").gpus(1).build());
        }
        for (at, parts) in gone.iter().enumerate() {
            winding.apply(Change::PodDeleted(numbered(100 + at, *parts).uid), 0);
        }
        for at in 20..23 {
            winding.apply(Change::NodeDeleted(format!("n{at}").as_str().into()), 0);
        }
        for (at, parts) in pods.iter().enumerate().rev() {
            winding.apply(Change::PodApplied(Box::new(numbered(at, *parts))), 0);
        }
        let (one, other) = (direct.snapshot(), winding.snapshot());
        prop_assert_eq!(one.mix(), other.mix());
        for gpus in [asked, 0, 1, 8] {
            let asked = || numbered(999, (gpus, 9, 0));
            prop_assert_eq!(ranked(&mut direct, &asked()), ranked(&mut winding, &asked()));
        }
    }
}

#[test]
fn nodes_of_two_gpus_are_filled_before_another_is_opened() {
    let pair = |name: &str| node(name).has(GPU, 2);
    let mut engine = engine([pair("a-idle"), pair("b-used")], [pod("other").gpus(1).asks("cpu", 8000).on("b-used")]);
    assert_eq!(order(&mut engine, pod("p").gpus(1).asks("cpu", 8000)), ["b-used", "a-idle"]);
}

#[test]
fn nodes_of_sixteen_devices_are_filled_before_another_is_opened() {
    let large = |name: &str| node(name).has(GPU, 16);
    for used in [2, 4, 8, 12] {
        let mut engine = engine([large("a-idle"), large("b-used")], [pod("other").gpus(used).on("b-used")]);
        assert_eq!(order(&mut engine, pod("p").gpus(1)), ["b-used", "a-idle"], "{used} used");
    }
}

#[test]
fn slices_of_used_nodes_go_before_those_of_idle_ones() {
    const SLICE: &str = "nvidia.com/mig-1g.5gb";
    let sliced = |name: &str, count| node(name).product("NVIDIA-A100-SXM4-40GB").has(SLICE, count);
    let held = |on: &str, count| pod(&format!("on-{on}")).asks(SLICE, count).on(on);
    let mut engine = engine([sliced("a", 7), sliced("b", 28), sliced("c", 14)], [held("b", 8), held("c", 2)]);
    let best = order(&mut engine, pod("p").asks(SLICE, 3));
    assert_eq!(best, ["c", "b", "a"], "the fullest of the used ones; a could be cut anew");
}
