//! What a decision costs inside the core: a fleet of 5,000 nodes with 8 GPUs each, half of them in use.
//!
//! `from scratch` judges a demand that was never seen before on every node; `one node changed` asks again about a known
//! demand after one pod was placed, as every request of a busy scheduler does.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group};
use serde_json::json;
use testudo::k8s::{node, pod};
use testudo::sim::report::chart;
use testudo::sim::report::course::{Course, Sample};
use testudo::sim::report::plots::Plot;
use testudo::sim::report::words::Caption;
use testudo_core::engine::{Change, Engine, Offered, Policy};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::node::Node;
use testudo_core::model::pod::Pod;

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

/// What a decision costs by the number of nodes, in microseconds: once where a pod was bound since the last one and any place
/// will do to look at, as a pod with a plan is asked about; and once on all nodes by name, as filter and prioritize are.
fn growth() -> Vec<(usize, [f64; 2])> {
    const SIZES: [usize; 7] = [100, 300, 1_000, 3_000, 5_000, 10_000, 20_000];
    const ROUNDS: usize = 200;
    let asked = pod_object("asked", 2, 4_000, None);
    let of = |nodes: usize| {
        let (mut engine, names) = (fleet(nodes), names(nodes));
        judge(&mut engine, &asked, &names);
        let mut times: [Vec<Duration>; 2] = Default::default();
        for turn in 0..ROUNDS {
            bind(&mut engine, turn, nodes);
            let begin = Instant::now();
            black_box(engine.snapshot().judge(&asked).of(Offered::Named(&names[0])));
            times[0].push(begin.elapsed());
            bind(&mut engine, turn + 1, nodes);
            let begin = Instant::now();
            black_box(judge(&mut engine, &asked, &names));
            times[1].push(begin.elapsed());
        }
        let median = |mut times: Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1e6
        };
        (nodes, times.map(median))
    };
    SIZES.map(of).into()
}

/// Prints how the cost grows, and draws it where `PLOTS` names a folder.
fn tell_growth() {
    let growth = growth();
    println!("\n{:>6}  {:>20}  {:>20}", "nodes", "after a binding, us", "on all by name, us");
    for (nodes, [one, all]) in &growth {
        println!("{nodes:>6}  {one:>20.1}  {all:>20.1}");
    }
    let Some(folder) = std::env::var_os("PLOTS") else { return };
    let course = |number: usize, name: &str| {
        let at = |(nodes, times): &(usize, [f64; 2])| {
            let time = times[number];
            Sample { at: *nodes as f64, mean: time, low: time, high: time }
        };
        Course { number, policy: name.to_owned(), samples: growth.iter().map(at).collect() }
    };
    let caption =
        Caption { title: "What a decision costs".to_owned(), unit: "microseconds".to_owned(), note: String::new() };
    let courses = vec![course(0, "one place"), course(1, "all places by name")];
    let plot = Plot { id: "decision-cost".to_owned(), caption, over: "nodes", courses, close_up: false, counts: false };
    let file = std::path::Path::new(&folder).join("decision-cost.svg");
    std::fs::write(&file, chart::file(&plot)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
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
