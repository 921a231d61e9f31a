//! What a decision costs inside the core: a fleet of nodes with 8 GPUs each, half of them in use.
//!
//! `from scratch` judges a demand that was never seen before on every node; `one node changed` asks again about a known
//! demand after one pod was placed, as every request of a busy scheduler does. What they stand beside is brute force, which
//! keeps nothing and looks at every node anew. After criterion's figures a table shows how all of these grow with the fleet.

#[path = "common/figures.rs"]
mod figures;
#[path = "common/in_turn.rs"]
mod in_turn;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group};
use figures::Figure;
use in_turn::{medians, timed};
use serde_json::json;
use testudo::k8s::{node, pod};
use testudo::sim::report::chart;
use testudo::sim::report::course::{Course, Sample};
use testudo::sim::report::plots::Plot;
use testudo::sim::report::words::Caption;
use testudo_core::cluster::NodeState;
use testudo_core::engine::{Change, Engine, Offered, Policy, Snapshot};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::node::Node;
use testudo_core::model::pod::Pod;
use testudo_core::placement::Asked;

const NODES: usize = 5_000;

fn node_object(at: usize) -> Node {
    let name = format!("node-{at:05}");
    let amounts = json!({"cpu": "192", "memory": "2048Gi", "pods": "110", "nvidia.com/gpu": "8"});
    let object = json!({
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name,
            "node.kubernetes.io/instance-type": "p5.48xlarge",
            "topology.kubernetes.io/zone": format!("us-east-1{}", ["a", "b", "c"][at % 3]),
            "topology.k8s.aws/network-node-layer-1": "nn-1",
            "topology.k8s.aws/network-node-layer-2": format!("nn-1-{}", at / 512),
            "topology.k8s.aws/network-node-layer-3": format!("nn-1-{}-{}", at / 512, at / 32),
            "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
            "nvidia.com/gpu.count": "8",
        }},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
        "status": {"capacity": amounts, "allocatable": amounts},
    });
    let object = serde_json::from_value(object).expect("a node");
    Node::new(node::decode(&object).0, &Catalogue::builtin()).0
}

/// A pod that asks for so many GPUs; pods of different sizes have different demands.
fn pod_object(name: &str, gpus: usize, cpu_milli: usize, on: Option<usize>) -> Pod {
    let object = json!({
        "metadata": {"name": name, "namespace": "serving", "uid": name, "labels": {"app": format!("vllm-{gpus}")}},
        "spec": {
            "nodeName": on.map(|at| format!("node-{at:05}")),
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "containers": [{"name": "main", "resources": {"requests": {
                "cpu": format!("{cpu_milli}m"), "memory": "64Gi", "nvidia.com/gpu": gpus.to_string(),
            }}}],
        },
    });
    pod::decode(&serde_json::from_value(object).expect("a pod")).0
}

fn fleet(nodes: usize) -> Engine {
    let mut engine = Engine::new(Policy::default());
    for at in 0..nodes {
        engine.apply(Change::NodeApplied(Box::new(node_object(at))), 0);
    }
    for at in 0..nodes {
        let gpus = [1, 2, 4, 8][at % 4];
        let pod = pod_object(&format!("running-{at}"), gpus, 1000 * gpus + 100 * (at % 7), Some(at));
        engine.apply(Change::PodApplied(Box::new(pod)), 0);
    }
    engine
}

fn names(nodes: usize) -> Vec<String> {
    (0..nodes).map(|at| format!("node-{at:05}")).collect()
}

/// Judges the pod on every node, as filter and prioritize do; returns the best.
fn judge(engine: &mut Engine, pod: &Pod, names: &[String]) -> Option<(u64, usize)> {
    let snapshot = engine.snapshot();
    let judgement = snapshot.judge(pod);
    let offer = || names.iter().map(|name| Offered::Named(name));
    black_box(judgement.told(offer()));
    judgement.fitting(offer()).into_iter().map(|place| (place.packed, place.at)).min()
}

/// The best of all nodes with nothing kept: each is checked and ranked anew.
fn brute_force(snapshot: &Snapshot, pod: &Pod) -> Option<(u64, usize)> {
    let asked = Asked::of(&pod.demand);
    let place = |(at, state): (usize, &Option<Arc<NodeState>>)| {
        let state = state.as_deref()?;
        asked.check(state).ok()?;
        Some((asked.rank(state, 0).packed(), at))
    };
    snapshot.slots().iter().enumerate().filter_map(place).min()
}

/// Binds some pod to the next node, so that something has changed.
fn bind(engine: &mut Engine, turn: usize, nodes: usize) {
    let on = turn % nodes;
    let pod = pod_object(&format!("running-{on}"), 1 + turn % 4, 1_000, Some(on));
    engine.apply(Change::PodApplied(Box::new(pod)), 0);
}

fn decisions(criterion: &mut Criterion) {
    let mut engine = fleet(NODES);
    let names = names(NODES);
    let mut group = criterion.benchmark_group("placement, 5,000 nodes x 8 GPUs");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3)).sample_size(30);
    let mut unseen = 0;
    group.bench_function("judge from scratch", |b| {
        let mut fresh = || {
            unseen += 1;
            pod_object("asked", 2, 4_000 + unseen % 50_000, None)
        };
        b.iter_batched(
            &mut fresh,
            |pod| black_box(engine.snapshot().judge(&pod)).of(Offered::Named("node-00000")),
            BatchSize::SmallInput,
        );
    });
    let asked = pod_object("asked", 2, 4_000, None);
    group.bench_function("brute force", |b| b.iter(|| brute_force(&engine.snapshot(), black_box(&asked))));
    group.bench_function("choose among all", |b| b.iter(|| judge(&mut engine, black_box(&asked), &names)));
    let mut turn = 0;
    group.bench_function("judge after one node changed", |b| {
        b.iter(|| {
            turn += 1;
            bind(&mut engine, turn, NODES);
            engine.snapshot().judge(&asked).of(Offered::Named("node-00000"))
        });
    });
    group.finish();
}

/// How a decision is made. With a demand that is known, a pod was bound since the last decision.
const WAYS: [(&str, &str); 5] = [
    ("one node", "known demand, asked about one node"),
    ("best of all", "known demand, the best of all nodes"),
    ("all by name", "known demand, all nodes by name"),
    ("never seen", "demand never seen"),
    ("brute force", "brute force"),
];

/// What the ways cost on fleets of growing size: medians in microseconds.
struct Growth {
    nodes: usize,
    costs: [f64; WAYS.len()],
}

fn growth() -> Vec<Growth> {
    [100, 300, 1_000, 3_000, 5_000, 10_000, 20_000].map(costs).into()
}

/// One node: as a pod with a plan is asked about. All by name: as filter and prioritize ask, each for all nodes.
fn costs(nodes: usize) -> Growth {
    let (mut engine, names) = (fleet(nodes), names(nodes));
    let first = Offered::Named(&names[0]);
    let asked = pod_object("asked", 2, 4_000, None);
    judge(&mut engine, &asked, &names);
    let mut turn = 0;
    let mut after_a_binding = |decide: &dyn Fn(&mut Engine) -> bool| {
        turn += 1;
        bind(&mut engine, turn, nodes);
        timed(|| decide(&mut engine))
    };
    let [one, best, all] = medians(200, |_| {
        [
            after_a_binding(&|engine| engine.snapshot().judge(&asked).of(first).rank().is_some()),
            after_a_binding(&|engine| engine.snapshot().judge(&asked).best().is_some()),
            after_a_binding(&|engine| judge(engine, &asked, &names).is_some()),
        ]
    });
    let [unseen, brute] = medians(50, |round| {
        let unseen = pod_object("asked", 2, 5_000 + round, None);
        [
            timed(|| engine.snapshot().judge(&unseen).of(first)),
            timed(|| brute_force(&engine.snapshot(), black_box(&asked))),
        ]
    });
    Growth { nodes, costs: [one, best, all, unseen, brute] }
}

/// Prints how the cost grows, and draws it where `PLOTS` names a folder.
fn tell_growth() {
    let growth = growth();
    println!("\nmicroseconds\n{:>6}  {}", "nodes", WAYS.map(|(way, _)| format!("{way:>11}")).join("  "));
    for Growth { nodes, costs } in &growth {
        println!("{nodes:>6}  {}", costs.map(|cost| format!("{cost:>11.1}")).join("  "));
    }
    tell_figures(&growth);
    if let Some(folder) = std::env::var_os("PLOTS") {
        let file = std::path::Path::new(&folder).join("decision-cost.svg");
        std::fs::write(&file, drawn(&growth)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

fn tell_figures(growth: &[Growth]) {
    let on = |nodes: usize| growth.iter().find(|it| it.nodes == nodes).expect("a size that is measured").costs;
    let [.., (reference, _)] = WAYS;
    let figure = |way: usize, what: &str, of: [f64; WAYS.len()], unit, aim| Figure {
        name: format!("engine, {}: {what}", WAYS[way].1),
        value: of[way],
        unit,
        reference: Some((reference, of[WAYS.len() - 1])),
        aim,
    };
    for (way, _) in WAYS.iter().enumerate().filter(|(_, (way, _))| *way != reference) {
        figure(way, "5,000 nodes", on(5_000), "us", "").tell();
        figure(way, "10,000 nodes", on(10_000), "us", "<= 1000 us").tell();
        let times = std::array::from_fn(|way| on(10_000)[way] / on(1_000)[way]);
        figure(way, "10,000 nodes to 1,000", times, "times", "< 10 times").tell();
    }
}

fn drawn(growth: &[Growth]) -> String {
    let course = |(number, (way, _)): (usize, (&str, &str))| {
        let sample = |Growth { nodes, costs }: &Growth| {
            let cost = costs[number];
            Sample { at: *nodes as f64, mean: cost, low: cost, high: cost }
        };
        Course { number, policy: way.to_owned(), samples: growth.iter().map(sample).collect() }
    };
    let caption =
        Caption { title: "What a decision costs".to_owned(), unit: "microseconds".to_owned(), note: String::new() };
    let courses = WAYS.into_iter().enumerate().map(course).collect();
    let plot = Plot { id: "decision-cost".to_owned(), caption, over: "nodes", courses, close_up: false, counts: false };
    chart::file(&plot)
}

criterion_group!(benches, decisions);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    // Not when the benches only run once each, to see that they work (`cargo test --benches`).
    if std::env::args().any(|arg| arg == "--bench") {
        tell_growth();
    }
}
