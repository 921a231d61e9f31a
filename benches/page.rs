//! What the page costs the server on 5,000 nodes of 8 GPUs, with 1,000 gangs among what runs: an update, as it is computed
//! once for all who look, and everything, for who begins to look. What an update stands beside is everything computed anew.

#[path = "common/figures.rs"]
mod figures;
#[path = "common/in_turn.rs"]
mod in_turn;

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group};
use figures::Figure;
use in_turn::{medians, timed};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use testudo::config::Mode;
use testudo::host::{Bindings, Host};
use testudo::k8s::manifests::Manifests;
use testudo::k8s::watch::ClusterEvent;
use testudo::web::Publisher;
use testudo_core::engine::Policy;
use testudo_core::model::catalogue::Catalogue;

const NODES: usize = 5_000;

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

fn node(at: usize) -> Value {
    let resources = json!({"cpu": "192", "memory": "2Ti", "pods": "110", "nvidia.com/gpu": "8"});
    let zone = ["a", "b", "c"][at % 3];
    json!({
        "metadata": {"name": format!("node-{at:04}"), "labels": {
            "node.kubernetes.io/instance-type": "p5.48xlarge",
            "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
            "topology.kubernetes.io/zone": zone,
            "topology.k8s.aws/network-node-layer-3": format!("nn-{zone}-{}", at / 48),
        }},
        "status": {"capacity": resources, "allocatable": resources},
    })
}

/// Every tenth node runs a member of a gang of two, the others single pods.
fn pod(node: usize, at: usize, gpus: usize) -> Value {
    let annotations = match gpus {
        8 => json!({"testudo.dev/pod-group": format!("gang-{}", node / 20), "testudo.dev/min-member": "2"}),
        _ => json!({}),
    };
    json!({
        "metadata": {
            "name": format!("pod-{node}-{at}"), "namespace": format!("team-{}", node % 40), "uid": format!("{node}-{at}"),
            "labels": {"app": format!("app-{}", node % 300)}, "annotations": annotations,
            "creationTimestamp": "2026-01-02T03:04:05Z",
        },
        "spec": {"nodeName": format!("node-{node:04}"), "containers": [
            {"name": "c", "resources": {"requests": {"cpu": "4", "memory": "32Gi", "nvidia.com/gpu": gpus.to_string()}}},
        ]},
        "status": {"phase": "Running"},
    })
}

/// A fleet of which about nine in ten GPUs are in use, by 30,000 pods.
fn fleet() -> Arc<Host> {
    let registry = &mut Registry::default();
    let host = Host::new(Policy::default(), Mode::Enforce, Catalogue::builtin(), Bindings::OwnCopy, registry);
    let pods = (0..NODES).flat_map(|node| match node % 10 {
        0 => vec![pod(node, 0, 8)],
        _ => (0..7).map(|at| pod(node, at, 1)).collect(),
    });
    let (nodes, pods) = ((0..NODES).map(|at| read(node(at))).collect(), pods.map(read).collect());
    host.take_manifests(Manifests { nodes, pods, ..Manifests::default() });
    Arc::new(host)
}

/// Lets one GPU on each of so many nodes be taken, or be free again.
fn change(host: &Host, nodes: usize, round: u64) {
    let nodes = (0..nodes).map(|at| (at * 37 + 1) % NODES).filter(|node| node % 10 != 0);
    let events = nodes.map(|node| match round.is_multiple_of(2) {
        true => ClusterEvent::PodApplied(Box::new(read(pod(node, 99, 1)))),
        false => ClusterEvent::PodDeleted(format!("{node}-99")),
    });
    host.take(events.collect::<Vec<_>>());
}

/// One that knows nothing yet.
fn publisher(host: &Arc<Host>) -> Publisher {
    Publisher::new(Arc::clone(host), "bench", None)
}

/// On how many nodes something has changed between two updates.
const CHANGED: [usize; 4] = [0, 1, 50, 500];

fn page(criterion: &mut Criterion) {
    let host = fleet();
    let publisher = publisher(&host);
    publisher.everything();
    let mut group = criterion.benchmark_group("page");
    group.sample_size(30);
    for nodes in CHANGED {
        group.bench_function(BenchmarkId::new("update", nodes), |bench| {
            bench.iter_custom(|rounds| {
                let mut sum = Duration::ZERO;
                for round in 0..rounds {
                    change(&host, nodes, round);
                    let began = Instant::now();
                    publisher.publish();
                    sum += began.elapsed();
                }
                sum
            });
        });
    }
    group.bench_function("everything", |bench| {
        bench.iter_custom(|rounds| {
            let mut sum = Duration::ZERO;
            for round in 0..rounds {
                change(&host, 1, round);
                publisher.publish();
                let began = Instant::now();
                publisher.everything();
                sum += began.elapsed();
            }
            sum
        });
    });
    group.finish();
}

fn tell_updates() {
    let host = fleet();
    let kept = publisher(&host);
    kept.everything();
    for nodes in CHANGED {
        let [update] = medians(30, |round| {
            change(&host, nodes, round as u64);
            [timed(|| kept.publish())]
        });
        let [anew] = medians(5, |_| [timed(|| publisher(&host).everything())]);
        Figure {
            name: format!("page of {NODES} nodes: an update after changes on {nodes}"),
            value: update / 1e3,
            unit: "ms",
            reference: Some(("everything computed anew", anew / 1e3)),
            aim: "<= 5 ms",
        }
        .tell();
    }
}

criterion_group!(benches, page);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    // Not when the benches only run once each, to see that they work (`cargo test --benches`).
    if std::env::args().any(|arg| arg == "--bench") {
        tell_updates();
    }
}
