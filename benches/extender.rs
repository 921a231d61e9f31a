//! filter + prioritize over HTTP, beside an extender that decides nothing, in the same run.
//!
//! Both are behind the same server, parser and connection; what testudo takes longer is what its decision costs. After
//! criterion's figures come the medians and slowest hundredths of calls made in turn, and their ratios. Absolute times mean little: the
//! ratio counts.

#[path = "common/figures.rs"]
mod figures;
#[path = "common/fleet.rs"]
mod fleet;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group};
use figures::Figure;
use prometheus_client::registry::Registry;
use testudo::extender::metrics::Metrics;
use testudo::extender::{self, Binding, Candidate, Extender, Null, Offer, Refusal, ServerOptions, Verdicts};
use testudo::host::Host;
use testudo::k8s::object::Pod;
use testudo::k8s::watch::ClusterEvent;
use tokio::runtime::Runtime;

const SIZES: [usize; 3] = [100, 1_000, 5_000];

/// Decides nothing, or as testudo does, whichever it is told. With a server each, one would be waited for on another core
/// than the other, which takes longer than small answers do.
struct Either {
    host: Host,
    decides: AtomicBool,
}

impl Either {
    fn decides(&self) -> bool {
        self.decides.load(Ordering::Relaxed)
    }
}

impl Extender for Either {
    fn filter(&self, pod: &Pod, offer: &Offer<'_>) -> Result<Verdicts, Refusal> {
        if self.decides() { self.host.filter(pod, offer) } else { Null.filter(pod, offer) }
    }

    fn prioritize(&self, pod: &Pod, offer: &Offer<'_>) -> Result<Vec<u8>, Refusal> {
        if self.decides() { self.host.prioritize(pod, offer) } else { Null.prioritize(pod, offer) }
    }

    async fn bind(&self, binding: Binding) -> Result<(), Refusal> {
        Null.bind(binding).await
    }

    fn preempt(
        &self,
        pod: &Pod,
        candidates: BTreeMap<String, Candidate>,
    ) -> Result<BTreeMap<String, Candidate>, Refusal> {
        Null.preempt(pod, candidates)
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

/// A client that speaks to a server over one connection, as kube-scheduler does.
struct Client {
    stream: BufReader<TcpStream>,
    filter: Vec<u8>,
    prioritize: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    fn new(server: SocketAddr, nodes: usize) -> Self {
        let body = fleet::question(nodes);
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

fn serve(runtime: &Runtime, extender: Arc<Either>) -> SocketAddr {
    let _inside = runtime.enter();
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let options = ServerOptions {
        bind_address: SocketAddr::from(([127, 0, 0, 1], 0)),
        workers: 1,
        request_timeout: Duration::from_secs(5),
        ..ServerOptions::default()
    };
    extender::start(extender, options, metrics, Arc::new(registry)).expect("a free port").address()
}

/// A client of a server, and what decides there.
fn client(runtime: &Runtime, nodes: usize) -> (Client, Arc<Either>) {
    let extender = Arc::new(Either { host: fleet::testudo(nodes), decides: AtomicBool::new(true) });
    (Client::new(serve(runtime, Arc::clone(&extender)), nodes), extender)
}

fn filter_and_prioritize(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("filter+prioritize over HTTP");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4)).sample_size(30);
    for nodes in SIZES {
        let (mut client, extender) = client(&runtime, nodes);
        for (name, decides) in [("null extender", false), ("testudo", true)] {
            extender.decides.store(decides, Ordering::Relaxed);
            group.bench_function(BenchmarkId::new(name, nodes), |b| b.iter(|| client.decide()));
        }
    }
    group.finish();
}

/// Calls all in turn, so that whatever else the machine does falls on all of them, and tells medians and the slowest
/// hundredth. Once nothing changes between calls, as when a gang's members are asked for one after the other, and once a
/// pod has got a node before each, as when pods are placed.
fn tell_ratios() {
    const CALLS: usize = 400;
    let runtime = Runtime::new().expect("a runtime");
    println!("\n{CALLS} calls made in turn");
    for nodes in SIZES {
        let (mut client, extender) = client(&runtime, nodes);
        let mut timed = |decides| {
            extender.decides.store(decides, Ordering::Relaxed);
            let start = Instant::now();
            client.decide();
            start.elapsed()
        };
        let mut times: [Vec<Duration>; 3] = Default::default();
        for call in 0..CALLS {
            times[0].push(timed(false));
            times[1].push(timed(true));
            let bound = fleet::read(fleet::pod(&format!("bound-{call}"), 1, Some(4 * call % nodes)));
            extender.host.take([ClusterEvent::PodApplied(Box::new(bound))]);
            times[2].push(timed(true));
        }
        let [null, same, changed] = times.map(|mut times| {
            times.sort_unstable();
            [times[times.len() / 2], times[times.len() * 99 / 100]]
        });
        let aims = if nodes == 5_000 { ["<= 1.5 x", "<= 2 x"] } else { ["", ""] };
        for (when, times) in [("nothing changed", same), ("after a binding", changed)] {
            for (at, part) in ["median", "slowest hundredth"].into_iter().enumerate() {
                Figure {
                    name: format!("filter+prioritize over HTTP, {nodes} nodes, {when}: {part}"),
                    value: times[at].as_secs_f64() * 1e3,
                    unit: "ms",
                    reference: Some(("null extender", null[at].as_secs_f64() * 1e3)),
                    aim: aims[at],
                }
                .tell();
            }
        }
    }
}

criterion_group!(benches, filter_and_prioritize);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    // Not when the benches only run once each, to see that they work (`cargo test --benches`).
    if std::env::args().any(|arg| arg == "--bench") {
        tell_ratios();
    }
}
