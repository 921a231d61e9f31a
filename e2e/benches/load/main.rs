//! testudo under load: a large cluster, a steady stream of questions and changes, and clients that behave badly.
//!
//!     make load
//!
//! Objects come from an API server that only stores ([`api`]), by the lists and watches that testudo follows in a cluster.
//! Clients ask as kube-scheduler does: each pod is made, filtered on all nodes, prioritized on those that fit, bound, and
//! some older pod is deleted. `LOAD_NODES` (10,000), `LOAD_PODS` (80,000), `LOAD_RATE` (500 requests/s) and `LOAD_SECONDS` (600)
//! change what is played; in 600 s there are as many changes as in hours of a real cluster of that size. Latencies count from
//! the moment at which a request was due.

mod api;
mod client;
mod usage;

use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use api::{Api, Kind};
use client::{Client, best, binding, filter_body, fitting};
use serde_json::{Value, json};
use testudo_e2e::ports::free_port;
use testudo_e2e::testudo::binary;

/// The aims: docs/performance.md.
const MOST_MB: f64 = 300.0;
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How much more memory may be in use at the end than after a quarter of the time.
const GROWTH: f64 = 1.1;

/// What is played.
#[derive(Debug, Clone, Copy)]
struct Size {
    nodes: usize,
    pods: usize,
    rate: f64,
    time: Duration,
}

impl Size {
    fn from_env(is_bench: bool) -> Self {
        let number = |name: &str, otherwise: f64| {
            let said = std::env::var(name).ok().filter(|said| !said.is_empty());
            said.map_or(otherwise, |said| said.parse().unwrap_or_else(|_| panic!("{name}={said} is no number")))
        };
        // `cargo test --benches` only asks whether it runs.
        let small = |large: f64, small: f64| if is_bench { large } else { small };
        Self {
            nodes: number("LOAD_NODES", small(10_000.0, 50.0)) as usize,
            pods: number("LOAD_PODS", small(80_000.0, 400.0)) as usize,
            rate: number("LOAD_RATE", small(500.0, 100.0)),
            time: Duration::from_secs_f64(number("LOAD_SECONDS", small(600.0, 2.0))),
        }
    }
}

fn main() -> Result<()> {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let size = Size::from_env(is_bench);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let begin = Instant::now();
    let pods = (0..size.pods).map(|at| pod(at, Some(node_name(at % size.nodes))));
    let api = runtime.block_on(Api::start((0..size.nodes).map(node), pods))?;
    println!("{} nodes of 8 GPUs, {} pods, made in {:.1?}", size.nodes, size.pods, begin.elapsed());
    let testudo = Testudo::start(api.address)?;
    let ready = testudo.until_ready()?;
    let at_rest = usage::resident_mb(testudo.id())?;
    println!("ready {ready:.1?} after the start, with {at_rest:.0} MB");

    let world = World {
        api: &api,
        size,
        next: AtomicUsize::new(size.pods),
        running: Mutex::default(),
        outrun: AtomicUsize::new(0),
    };
    // Who is placed later asks for a GPU and takes the place of one that has one: as many are in use all the time.
    world.running.lock().expect("no panic").extend((0..size.pods).filter(|at| has_gpu(*at)).map(pod_key));
    let steady = steady(&world, &testudo)?;
    steady.print("steady", size.rate);
    let rude = rude(&world, &testudo)?;
    rude.print("beside slow clients", size.rate);
    overload(&world, &testudo)?;

    println!("{} times another was bound to the node first", world.outrun.load(Ordering::Relaxed));
    let growth = steady.memory_at_end / steady.memory_early;
    println!("memory: {:.0} MB at most, {:.2} times as much at the end as after a quarter", steady.memory_most, growth);
    ensure!(steady.errors + rude.errors == 0, "{} requests failed", steady.errors + rude.errors);
    if is_bench {
        ensure!(growth <= GROWTH, "memory grows");
        let missed = [(steady.memory_most > MOST_MB, "memory"), (ready > READY_WITHIN, "start to ready")];
        for (_, aim) in missed.iter().filter(|(is_missed, _)| *is_missed) {
            println!("MISSED: {aim} (aims: {MOST_MB} MB, {READY_WITHIN:?})");
        }
    }
    Ok(())
}

fn node_name(at: usize) -> String {
    format!("ip-10-{}-{}-{}.ec2.internal", at >> 16, (at >> 8) & 255, at & 255)
}

fn node(at: usize) -> Value {
    let (instance_type, product) = [("p5.48xlarge", "NVIDIA-H100-80GB-HBM3"), ("g6e.48xlarge", "NVIDIA-L40S")][at % 2];
    let resources =
        json!({"cpu": "192", "memory": "2Ti", "pods": "110", "ephemeral-storage": "1Ti", "nvidia.com/gpu": "8"});
    json!({
        "metadata": {"name": node_name(at), "uid": format!("node-{at}"), "labels": {
            "nvidia.com/gpu.product": product,
            "nvidia.com/gpu.count": "8",
            "node.kubernetes.io/instance-type": instance_type,
            "topology.kubernetes.io/region": "us-west-2",
            "topology.kubernetes.io/zone": format!("us-west-2{}", ["a", "b", "c"][at % 3]),
            "topology.k8s.aws/network-node-layer-1": format!("nn-{}", at / 512),
            "topology.k8s.aws/network-node-layer-2": format!("nn-{}", at / 64),
        }},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]},
        "status": {"capacity": resources, "allocatable": resources, "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn pod_name(at: usize) -> String {
    format!("serve-{}-{at}", at % 200)
}

fn pod_key(at: usize) -> String {
    format!("team-{}/{}", at % 40, pod_name(at))
}

/// Of the pods that run from the beginning three of four have a GPU, which are six of the eight of each node.
fn has_gpu(at: usize) -> bool {
    at % 4 != 3
}

/// A pod that is there from the beginning, on a node, or is placed later: those all ask for a GPU.
fn pod(at: usize, on: Option<String>) -> Value {
    let mut requests = json!({"cpu": "4", "memory": "32Gi"});
    if on.is_none() || has_gpu(at) {
        requests["nvidia.com/gpu"] = json!("1");
    }
    json!({
        "metadata": {
            "name": pod_name(at), "namespace": format!("team-{}", at % 40), "uid": format!("pod-{at}"),
            "labels": {"app": format!("serve-{}", at % 200), "pod-template-hash": "5d4f8c7b9"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "nodeName": on,
            "schedulerName": "testudo-scheduler",
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [{"name": "main", "image": "registry/vllm:v1", "resources": {"requests": requests, "limits": requests},
                            "env": [{"name": "MODEL", "value": "llama"}, {"name": "PORT", "value": "8000"}]}],
        },
        "status": {"phase": if on.is_some() { "Running" } else { "Pending" }},
    })
}

/// A testudo; it ends when this is dropped.
struct Testudo {
    child: Child,
    address: SocketAddr,
    started: Instant,
}

impl Testudo {
    fn start(api: SocketAddr) -> Result<Self> {
        let kubeconfig = std::env::temp_dir().join(format!("testudo-load-{}.yaml", std::process::id()));
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
             clusters: [{{name: c, cluster: {{server: \"http://{api}\"}}}}], users: [{{name: u, user: {{}}}}]}}"
        );
        std::fs::write(&kubeconfig, text).context("cannot write a kubeconfig")?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let child = Command::new(binary()?)
            .args([
                "serve",
                "--mode=enforce",
                "--leader-elect=false",
                "--web-bind-address=127.0.0.1:0",
                "--log-level=warn",
            ])
            .arg(format!("--bind-address={address}"))
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .stdin(Stdio::null())
            .spawn()
            .context("testudo does not start")?;
        Ok(Self { child, address, started: Instant::now() })
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    /// How long it took from the start until `/readyz` said yes.
    fn until_ready(&self) -> Result<Duration> {
        while self.started.elapsed() < Duration::from_secs(300) {
            if let Ok(mut stream) = TcpStream::connect(self.address) {
                let mut answer = String::new();
                stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n")?;
                let _ = std::io::Read::read_to_string(&mut stream, &mut answer);
                if answer.starts_with("HTTP/1.1 200") {
                    return Ok(self.started.elapsed());
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("testudo is not ready after five minutes")
    }
}

impl Drop for Testudo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the clients share.
struct World<'a> {
    api: &'a Api,
    size: Size,
    /// The number of the next pod.
    next: AtomicUsize,
    /// Pods that run, oldest first.
    running: Mutex<VecDeque<String>>,
    /// How often a pod came to bind when its node had just been taken by another.
    outrun: AtomicUsize,
}

/// So often a pod is tried whose node was taken by another meanwhile.
const TRIES: usize = 5;

impl World<'_> {
    /// One pod's way; how long each answer took since it was due.
    fn place(&self, client: &mut Client, nodes: &str, due: Instant) -> Result<[Duration; 3]> {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        let pod = pod(at, None);
        self.api.put(Kind::Pods, pod.clone());
        for _ in 0..TRIES {
            if let Some(took) = self.try_to_place(client, &pod, nodes, due)? {
                self.end_another(at);
                return Ok(took);
            }
            self.outrun.fetch_add(1, Ordering::Relaxed);
        }
        bail!("{} was outrun {TRIES} times", pod_key(at))
    }

    /// Nothing where another that was looked at beside it was bound to its node first: kube-scheduler tries again then.
    fn try_to_place(
        &self,
        client: &mut Client,
        pod: &Value,
        nodes: &str,
        due: Instant,
    ) -> Result<Option<[Duration; 3]>> {
        let ask = |client: &mut Client, verb: &str, body: &[u8]| match client.post(verb, body)? {
            (200, answer) => Ok(answer),
            (status, answer) => bail!("{verb}: {status} {}", String::from_utf8_lossy(&answer)),
        };
        let filtered = ask(client, "filter", &filter_body(pod, nodes))?;
        let after_filter = due.elapsed();
        let fits = fitting(&filtered)?;
        let asked = Instant::now();
        let scored = ask(client, "prioritize", &filter_body(pod, fits))?;
        let prioritized = asked.elapsed();
        let asked = Instant::now();
        let bound = ask(client, "bind", &binding(pod, best(&scored)?))?;
        let took = asked.elapsed();
        if bound == br#"{"Error":""}"# {
            return Ok(Some([after_filter, prioritized, took]));
        }
        let why = String::from_utf8_lossy(&bound);
        ensure!(why.contains("no longer fits"), "bind: {why}");
        Ok(None)
    }

    /// As many run as before, and sometimes a kubelet says that its node is well.
    fn end_another(&self, at: usize) {
        let oldest = {
            let mut running = self.running.lock().expect("no panic");
            running.push_back(pod_key(at));
            running.pop_front()
        };
        oldest.into_iter().for_each(|key| self.api.delete(Kind::Pods, &key));
        if at.is_multiple_of(16) {
            let number = at / 16 % self.size.nodes;
            let mut node = node(number);
            node["status"]["conditions"][0]["lastHeartbeatTime"] = json!(format!("{at}"));
            self.api.put(Kind::Nodes, node);
        }
    }
}

/// What came of a time of load.
#[derive(Default)]
struct Course {
    took: [Vec<Duration>; 3],
    errors: usize,
    time: Duration,
    cpu: Duration,
    changes: u64,
    memory_early: f64,
    memory_at_end: f64,
    memory_most: f64,
}

impl Course {
    fn print(&self, name: &str, rate: f64) {
        let requests: usize = self.took.iter().map(Vec::len).sum();
        let seconds = self.time.as_secs_f64();
        println!(
            "\n{name}: {:.0} requests/s of {rate:.0}, {:.0} changes/s, {:.0} s, {} errors, CPU {:.0} % of one core",
            requests as f64 / seconds,
            self.changes as f64 / seconds,
            seconds,
            self.errors,
            100.0 * self.cpu.as_secs_f64() / seconds
        );
        for (verb, took) in ["filter", "prioritize", "bind"].iter().zip(&self.took) {
            println!("{verb:>12}  p50 {:>9.2?}  p99 {:>9.2?}", percentile(took, 50), percentile(took, 99));
        }
    }
}

fn percentile(took: &[Duration], percent: usize) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

/// Connections that place pods side by side: kube-scheduler filters one at a time and binds beside that.
const CLIENTS: usize = 2;

/// Places pods at a steady rate for a time.
fn load(world: &World<'_>, testudo: &Testudo, time: Duration) -> Result<Course> {
    let nodes = json!((0..world.size.nodes).map(node_name).collect::<Vec<_>>()).to_string();
    let interval = Duration::from_secs_f64(3.0 * CLIENTS as f64 / world.size.rate);
    let (begin, cpu, changes) = (Instant::now(), usage::cpu(testudo.id())?, world.api.changes());
    let place_all = |first: Duration| {
        let mut course = Course::default();
        let mut client = Client::of(testudo.address);
        let mut due = begin + first;
        while due < begin + time {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            match world.place(&mut client, &nodes, due) {
                Ok(took) => course.took.iter_mut().zip(took).for_each(|(all, took)| all.push(took)),
                Err(error) => {
                    eprintln!("{error:#}");
                    course.errors += 1;
                }
            }
            due += interval;
        }
        course
    };
    let mut memory = vec![];
    let mut course = thread::scope(|scope| -> Result<Course> {
        let starts = (0..CLIENTS as u32).map(|client| interval * client / CLIENTS as u32);
        let clients: Vec<_> = starts.map(|first| scope.spawn(move || place_all(first))).collect();
        while !clients.iter().all(thread::ScopedJoinHandle::is_finished) {
            memory.push(usage::resident_mb(testudo.id())?);
            thread::sleep(Duration::from_millis(250));
        }
        let mut all = Course::default();
        for client in clients {
            let one = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?;
            all.took.iter_mut().zip(one.took).for_each(|(all, one)| all.extend(one));
            all.errors += one.errors;
        }
        Ok(all)
    })?;
    course.time = begin.elapsed();
    course.cpu = usage::cpu(testudo.id())? - cpu;
    course.changes = world.api.changes() - changes;
    course.memory_most = memory.iter().copied().fold(0.0, f64::max);
    course.memory_early = memory[memory.len() / 4];
    course.memory_at_end = memory.last().copied().unwrap_or_default();
    Ok(course)
}

fn steady(world: &World<'_>, testudo: &Testudo) -> Result<Course> {
    load(world, testudo, world.size.time)
}

/// The same for a while beside connections that send nothing, heads and bodies that do not end, and bodies that are too
/// large: nobody else's request fails.
fn rude(world: &World<'_>, testudo: &Testudo) -> Result<Course> {
    let is_over = AtomicBool::new(false);
    let pester = || {
        let mut rounds = 0;
        while !is_over.load(Ordering::Relaxed) {
            let mut open = vec![];
            for beginning in [
                "",
                "POST /v1/filter HTTP/1.1\r\nHost:",
                "POST /v1/filter HTTP/1.1\r\nHost: l\r\nContent-Length: 1000\r\n\r\n{\"Pod\"",
                "POST /v1/filter HTTP/1.1\r\nHost: l\r\nContent-Length: 1000000000\r\n\r\n",
            ] {
                for _ in 0..8 {
                    let Ok(mut stream) = TcpStream::connect(testudo.address) else { continue };
                    let _ = stream.write_all(beginning.as_bytes());
                    open.push(stream);
                }
            }
            thread::sleep(Duration::from_millis(500));
            rounds += 1;
        }
        rounds
    };
    let course = thread::scope(|scope| {
        let pest = scope.spawn(pester);
        let course = load(world, testudo, (world.size.time / 10).max(Duration::from_secs(2)));
        is_over.store(true, Ordering::Relaxed);
        ensure!(pest.join().is_ok_and(|rounds| rounds > 0), "nobody was rude");
        course
    })?;
    ensure!(course.took[0].len() > 1, "nothing was asked");
    Ok(course)
}

/// Far more at a time than there may be: each is answered, or told that it is too many; and then all is as before.
fn overload(world: &World<'_>, testudo: &Testudo) -> Result<()> {
    const AT_A_TIME: usize = 150;
    let nodes = json!((0..world.size.nodes).map(node_name).collect::<Vec<_>>()).to_string();
    let body = filter_body(&pod(world.next.fetch_add(1, Ordering::Relaxed), None), &nodes);
    let end = Instant::now() + Duration::from_secs(5);
    let ask = || -> Result<[usize; 2]> {
        let (mut client, mut answers) = (Client::of(testudo.address), [0, 0]);
        while Instant::now() < end {
            match client.post("filter", &body)? {
                (200, _) => answers[0] += 1,
                (503, text) if String::from_utf8_lossy(&text).contains("overloaded") => answers[1] += 1,
                (status, text) => bail!("{status}: {}", String::from_utf8_lossy(&text)),
            }
        }
        Ok(answers)
    };
    let answers = thread::scope(|scope| -> Result<[usize; 2]> {
        let all: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(ask)).collect();
        let mut sum = [0, 0];
        for one in all {
            let one = one.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            sum = [sum[0] + one[0], sum[1] + one[1]];
        }
        Ok(sum)
    })?;
    let [answered, refused] = answers;
    println!("\noverload: {AT_A_TIME} at a time for 5 s: {answered} answered, {refused} told that it is too many");
    ensure!(answered > 0, "nothing was answered");
    let after = load(world, testudo, Duration::from_secs(2))?;
    after.print("after that", world.size.rate);
    ensure!(after.errors == 0, "it has not recovered");
    Ok(())
}
