//! filter + prioritize over HTTP, beside an extender that decides nothing, in the same run.
//!
//! Both are behind the same server and parser; what testudo takes longer is what its decision costs. After criterion's
//! figures a table shows the medians of calls made in turn, and their ratio. Absolute times mean little: the ratio counts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use testudo::config::Mode;
use testudo::extender::metrics::Metrics;
use testudo::extender::{self, Extender, Null, ServerOptions};
use testudo::host::{Bindings, Host};
use testudo::k8s::manifests::Manifests;
use testudo::k8s::object;
use testudo_core::engine::Policy;
use testudo_core::model::catalogue::Catalogue;
use tokio::runtime::Runtime;

const SIZES: [usize; 3] = [100, 1_000, 5_000];

/// A node of a mixed fleet: NVSwitch, PCIe, time-sliced and MIG nodes in turn.
fn node(at: usize) -> Value {
    let (instance_type, product, extended) = match at % 4 {
        0 => ("p5.48xlarge", "NVIDIA-H100-80GB-HBM3", json!({"nvidia.com/gpu": "8"})),
        1 => ("g6e.48xlarge", "NVIDIA-L40S", json!({"nvidia.com/gpu": "8"})),
        2 => ("g5.48xlarge", "NVIDIA-A10G-SHARED", json!({"nvidia.com/gpu": "32"})),
        _ => ("p4d.24xlarge", "NVIDIA-A100-SXM4-40GB", json!({"nvidia.com/mig-3g.20gb": "8", "nvidia.com/gpu": "4"})),
    };
    let mut resources = json!({"cpu": "192", "memory": "2Ti", "pods": "110", "ephemeral-storage": "1Ti"});
    resources.as_object_mut().expect("an object").extend(extended.as_object().expect("an object").clone());
    json!({
        "metadata": {"name": name(at), "labels": {
            "nvidia.com/gpu.product": product,
            "node.kubernetes.io/instance-type": instance_type,
            "topology.kubernetes.io/zone": format!("zone-{}", at % 3),
        }},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]},
        "status": {"capacity": resources, "allocatable": resources},
    })
}

fn name(at: usize) -> String {
    format!("ip-10-0-{}-{}.ec2.internal", at / 256, at % 256)
}

/// A pod that wants some GPUs; every other node has one of its own already.
fn pod(name: &str, gpus: usize, on: Option<usize>) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "labels": {"app": "vllm"}},
        "spec": {
            "nodeName": on.map(self::name),
            "schedulerName": "testudo-scheduler",
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [{"name": "main", "image": "vllm", "resources": {
                "requests": {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": gpus.to_string()},
                "limits": {"nvidia.com/gpu": gpus.to_string()},
            }}],
        },
        "status": {"phase": if on.is_some() { "Running" } else { "Pending" }},
    })
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of the fleet")
}

fn testudo(nodes: usize) -> Host {
    let mut registry = Registry::default();
    let host = Host::new(Policy::default(), Mode::Enforce, Catalogue::builtin(), Bindings::OwnCopy, &mut registry);
    let running = (0..nodes).step_by(2).map(|at| read(pod(&format!("running-{at}"), 1 + at % 7, Some(at))));
    host.take_manifests(Manifests {
        nodes: (0..nodes).map(|at| read(node(at))).collect(),
        pods: running.collect::<Vec<object::Pod>>(),
        ..Manifests::default()
    });
    host
}

/// A client that speaks to one server over one connection, as kube-scheduler does.
struct Client {
    stream: BufReader<TcpStream>,
    filter: Vec<u8>,
    prioritize: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    fn new(server: SocketAddr, nodes: usize) -> Self {
        let names: Vec<String> = (0..nodes).map(name).collect();
        let body = json!({"Pod": pod("asked", 4, None), "Nodes": null, "NodeNames": names}).to_string();
        let request = |verb: &str| {
            let length = body.len();
            format!("POST /v1/{verb} HTTP/1.1\r\nHost: bench\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
        };
        let stream = TcpStream::connect(server).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        let mut client = Self {
            stream: BufReader::with_capacity(1 << 16, stream),
            filter: request("filter"),
            prioritize: request("prioritize"),
            answer: vec![],
        };
        // A connection that says nothing at first is closed soon, one that was used is kept.
        client.decide();
        client
    }

    /// One filter and one prioritize call, both answers read to the end.
    fn decide(&mut self) {
        for verb in 0..2 {
            let request = if verb == 0 { &self.filter } else { &self.prioritize };
            self.stream.get_mut().write_all(request).expect("the server reads");
            let mut length = 0;
            let mut line = String::new();
            let mut first = true;
            loop {
                line.clear();
                self.stream.read_line(&mut line).expect("the server answers");
                if std::mem::take(&mut first) {
                    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                if line == "\r\n" {
                    break;
                }
            }
            self.answer.resize(length, 0);
            self.stream.read_exact(&mut self.answer).expect("the whole answer");
        }
    }
}

fn serve<E: Extender>(runtime: &Runtime, extender: E) -> SocketAddr {
    let _inside = runtime.enter();
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let options = ServerOptions {
        bind_address: SocketAddr::from(([127, 0, 0, 1], 0)),
        workers: 1,
        request_timeout: Duration::from_secs(5),
        ..ServerOptions::default()
    };
    extender::start(Arc::new(extender), options, metrics, Arc::new(registry)).expect("a free port").address()
}

fn clients(runtime: &Runtime, nodes: usize) -> (Client, Client) {
    let null = Client::new(serve(runtime, Null), nodes);
    (null, Client::new(serve(runtime, testudo(nodes)), nodes))
}

fn filter_and_prioritize(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("filter+prioritize over HTTP");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4)).sample_size(30);
    for nodes in SIZES {
        let (mut null, mut testudo) = clients(&runtime, nodes);
        group.bench_function(BenchmarkId::new("null extender", nodes), |b| b.iter(|| null.decide()));
        group.bench_function(BenchmarkId::new("testudo", nodes), |b| b.iter(|| testudo.decide()));
    }
    group.finish();
}

/// Calls both in turn, so that whatever else the machine does falls on both, and prints the medians.
fn print_ratios() {
    const CALLS: usize = 400;
    let runtime = Runtime::new().expect("a runtime");
    println!(
        "\n{:>6}  {:>12}  {:>12}  {:>6}   medians of {CALLS} calls made in turn",
        "nodes", "null", "testudo", "ratio"
    );
    for nodes in SIZES {
        let (mut null, mut testudo) = clients(&runtime, nodes);
        let mut times = (vec![], vec![]);
        for _ in 0..CALLS {
            times.0.push(timed(&mut null));
            times.1.push(timed(&mut testudo));
        }
        let (null, testudo) = (median(&mut times.0), median(&mut times.1));
        let ratio = testudo.as_secs_f64() / null.as_secs_f64();
        println!("{nodes:>6}  {null:>12.1?}  {testudo:>12.1?}  {ratio:>6.2}");
    }
}

fn timed(client: &mut Client) -> Duration {
    let start = Instant::now();
    client.decide();
    start.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

criterion_group!(benches, filter_and_prioritize);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    // Not when the benches only run once each, to see that they work (`cargo test --benches`).
    if std::env::args().any(|arg| arg == "--bench") {
        print_ratios();
    }
}
