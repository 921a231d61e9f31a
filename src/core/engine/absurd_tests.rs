//! Whatever nodes and pods claim, decisions neither panic nor overflow: absurd objects are cheap to make.

use super::{Change, Engine, Offered, Policy};
use crate::testing::{NodeBuilder, PodBuilder, node, pod};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const RESOURCES: &[&str] = &[
    "cpu",
    "memory",
    "pods",
    "nvidia.com/gpu",
    "nvidia.com/gpu.shared",
    "nvidia.com/mig-1g.5gb",
    "nvidia.com/mig-9g.999gb",
    "alibabacloud.com/gpu-milli",
    "aws.amazon.com/neuron",
    "aws.amazon.com/neurondevice",
    "aws.amazon.com/neuroncore",
];

const LABELS: &[(&str, &str)] = &[
    ("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-40GB"),
    ("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"),
    ("nvidia.com/gpu.product", "NVIDIA-L40S-SHARED"),
    ("node.kubernetes.io/instance-type", "p4d.24xlarge"),
    ("node.kubernetes.io/instance-type", "trn1.32xlarge"),
    ("nvidia.com/gpu.count", "1000000000"),
    ("nvidia.com/gpu.replicas", "1000000000"),
    ("nvidia.com/gpu.memory", "1000000000"),
];

fn amounts() -> impl Strategy<Value = i64> {
    let fixed = [i64::MIN, -1, 0, 1, 7, 16, 999, 1000, 8000, 70_000, 200_000, 70_000_000, i64::MAX - 1, i64::MAX];
    prop_oneof![select(fixed.to_vec()), any::<i64>(), 0..100_000i64]
}

fn resources() -> impl Strategy<Value = Vec<(&'static str, i64)>> {
    proptest::collection::vec((select(RESOURCES), amounts()), 0..6)
}

/// Of a node: resources with capacity and allocatable, and labels.
type NodeClaims = (Vec<(&'static str, i64, i64)>, Vec<(&'static str, &'static str)>);

fn claims() -> impl Strategy<Value = NodeClaims> {
    let has = (select(RESOURCES), amounts(), amounts(), any::<bool>());
    let has = has.prop_map(|(name, all, some, healthy)| (name, all, if healthy { all } else { some }));
    (proptest::collection::vec(has, 0..6), subsequence(LABELS, 0..4))
}

fn claiming(name: &str, (has, labels): &NodeClaims) -> NodeBuilder {
    let labelled = labels.iter().fold(node(name), |node, (key, value)| node.label(key, value));
    has.iter().fold(labelled, |node, (name, all, some)| node.has_working(name, *all, *some))
}

fn asking(name: &str, resources: &[(&str, i64)]) -> PodBuilder {
    resources.iter().fold(pod(name), |pod, (resource, amount)| pod.asks(resource, *amount))
}

fn apply_pod(engine: &mut Engine, pod: PodBuilder) {
    engine.apply(Change::PodApplied(Box::new(pod.build())), 0);
}

fn apply_node(engine: &mut Engine, node: NodeBuilder) {
    engine.apply(Change::NodeApplied(Box::new(node.build())), 0);
}

/// Asks for places for pods of all sorts.
fn ask(engine: &mut Engine, asked: &[PodBuilder]) {
    let snapshot = engine.snapshot();
    for pod in asked {
        let judgement = snapshot.judge(&pod.clone().build());
        judgement.best();
        for state in snapshot.nodes() {
            judgement.of(Offered::Named(state.name().as_str()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn absurd_amounts_are_survived(
        nodes in proptest::collection::vec(claims(), 1..4),
        held in proptest::collection::vec((resources(), 0..4usize), 0..6),
        asked in proptest::collection::vec(resources(), 1..4),
    ) {
        let mut engine = Engine::new(Policy::default());
        for (at, claims) in nodes.iter().enumerate() {
            apply_node(&mut engine, claiming(&format!("n{at}"), claims));
        }
        for (at, (resources, on)) in held.iter().enumerate() {
            apply_pod(&mut engine, asking(&format!("p{at}"), resources).on(&format!("n{on}")));
        }
        let asked: Vec<PodBuilder> = asked.iter().map(|resources| asking("asked", resources)).collect();
        ask(&mut engine, &asked);
        for pod in asked {
            for at in 0..nodes.len() {
                let _ = engine.assume(&pod.clone().build(), &format!("n{at}").as_str().into(), 1);
            }
        }
        ask(&mut engine, &[pod("asked").gpus(1)]);
    }
}

#[test]
fn all_there_is_of_two_kinds_is_not_more_than_can_be_counted() {
    let mut engine = Engine::new(Policy::default());
    let all = |name: &str, node: NodeBuilder| node.has(name, i64::MAX);
    apply_node(&mut engine, all("nvidia.com/gpu", all("aws.amazon.com/neuron", node("n"))));
    let asked = pod("asked").gpus(i64::MAX).asks("aws.amazon.com/neuron", i64::MAX).asks("memory", i64::MIN);
    ask(&mut engine, &[asked]);
}

#[test]
fn nodes_with_far_too_much_are_survived() {
    let mut engine = Engine::new(Policy::default());
    let profile = |at: usize| format!("nvidia.com/mig-1g.{at}gb");
    let pools = (0..1000).fold(node("pools"), |node, at| node.has(&profile(at), at as i64));
    apply_node(&mut engine, pools);
    apply_node(&mut engine, node("shares").has("alibabacloud.com/gpu-milli", 200_000));
    apply_node(&mut engine, node("gpus").product("NVIDIA-L4").has("nvidia.com/gpu", 70_000));
    apply_pod(&mut engine, pod("a").gpus(69_999).on("gpus"));
    apply_pod(&mut engine, pod("b").asks("alibabacloud.com/gpu-milli", 200_000).on("shares"));
    let thousandths = |milli| pod("asked").asks("alibabacloud.com/gpu-milli", milli);
    let slice = |at| pod("asked").asks(&profile(at), 1);
    ask(&mut engine, &[pod("asked").gpus(1), pod("asked").gpus(70_000), thousandths(500), thousandths(17_000)]);
    ask(&mut engine, &[thousandths(200_000), slice(1), slice(999), pod("asked")]);
    let snapshot = engine.snapshot();
    let best = |asked: PodBuilder| snapshot.judge(&asked.build()).best().map(ToString::to_string);
    assert_eq!(best(pod("asked").gpus(1)).as_deref(), Some("gpus"));
    assert_eq!(best(slice(999)).as_deref(), Some("pools"), "one of the pools that are not looked at");
}
