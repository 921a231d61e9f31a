//! What a decision costs inside the core: a fleet of 5,000 nodes with 8 GPUs each, half of them in use.
//!
//! `from scratch` judges a demand that was never seen before on every node; `one node changed` asks again about a known
//! demand after one pod was placed, as every request of a busy scheduler does.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::json;
use testudo::k8s::{node, pod};
use testudo_core::engine::{Change, Engine, Offered, Policy, Verdict};
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

fn fleet() -> Engine {
    let mut engine = Engine::new(Policy::default());
    for at in 0..NODES {
        engine.apply(Change::NodeApplied(Box::new(node_object(at))), 0);
    }
    for at in 0..NODES {
        let gpus = [1, 2, 4, 8][at % 4];
        let pod = pod_object(&format!("running-{at}"), gpus, 1000 * gpus + 100 * (at % 7), Some(at));
        engine.apply(Change::PodApplied(Box::new(pod)), 0);
    }
    engine
}

/// Judges the pod on every node; returns the best.
fn judge(engine: &mut Engine, pod: &Pod, names: &[String]) -> Option<(u64, usize)> {
    let snapshot = engine.snapshot();
    let judgement = snapshot.judge(pod);
    let ranked = names.iter().enumerate().filter_map(|(at, name)| match judgement.of(Offered::Named(name)) {
        Verdict::Fits(rank) => Some((rank, at)),
        Verdict::No(_) => None,
    });
    ranked.map(|(rank, at)| (rank.packed(), at)).min()
}

fn decisions(criterion: &mut Criterion) {
    let mut engine = fleet();
    let names: Vec<String> = (0..NODES).map(|at| format!("node-{at:05}")).collect();
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
            let pod = pod_object(&format!("running-{}", turn % NODES), 1 + turn % 4, 1_000, Some(turn % NODES));
            engine.apply(Change::PodApplied(Box::new(pod)), 0);
            engine.snapshot().judge(&asked).of(Offered::Named("node-00000"))
        });
    });
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
