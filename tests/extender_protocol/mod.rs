//! A fake extender behind the real server, and what the tests share.

mod arbitrary;
mod lifecycle;
mod limits;
mod reference;
mod refusals;
mod tls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use prometheus_client::registry::Registry;
use testudo::extender::answer::{Answer, Answers};
use testudo::extender::metrics::{Metrics, Verb};
use testudo::extender::{
    Binding, Candidate, Extender, NodeVerdict, Offer, Refusal, Running, ServerOptions, Verdicts, start,
};
use testudo::k8s::object::Pod;
use tokio::sync::Semaphore;

/// Decides by the names of nodes and pods.
struct Fake {
    bound: Mutex<Vec<Binding>>,
    /// Binds of the pod `waits` take one of these.
    permits: Semaphore,
    /// One for each filter of the pod `takes-long` that has begun.
    begun: Semaphore,
    not_ready: Mutex<Option<String>>,
}

impl Default for Fake {
    fn default() -> Self {
        let [permits, begun] = [(); 2].map(|()| Semaphore::new(0));
        Self { bound: Mutex::default(), permits, begun, not_ready: Mutex::default() }
    }
}

/// Some pods bring trouble.
fn trouble(pod: &str) -> Result<(), Refusal> {
    match pod {
        "panics" => panic!("as asked"),
        "refused" => Err(Refusal::Error("testudo: not this one".into())),
        "unavailable" => Err(Refusal::Unavailable("testudo: not the leader".into())),
        _ => Ok(()),
    }
}

impl Extender for Fake {
    fn filter(&self, pod: &Pod, offer: &Offer<'_>) -> Result<Verdicts, Refusal> {
        trouble(&pod.metadata.name)?;
        if pod.metadata.name == "takes-long" {
            self.begun.add_permits(1);
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        let verdict = |name: &str| match name.split('-').next() {
            Some("full") => NodeVerdict::Fails("no free GPU".into()),
            Some("never") => NodeVerdict::Unresolvable("no \"GPU\" at all".into()),
            _ => NodeVerdict::Fits,
        };
        let mut verdicts: Vec<_> = offer.names().map(verdict).collect();
        if pod.metadata.name == "short" {
            verdicts.pop();
        }
        Ok(verdicts.into_iter().collect())
    }

    fn prioritize(&self, pod: &Pod, offer: &Offer<'_>) -> Result<Vec<u8>, Refusal> {
        trouble(&pod.metadata.name)?;
        Ok(match offer {
            Offer::Names(names) => names.iter().map(|_| if pod.metadata.name == "eager" { 200 } else { 7 }).collect(),
            Offer::Nodes(nodes) => {
                nodes.iter().map(|n| n.node.status.allocatable["nvidia.com/gpu"].0.parse().unwrap()).collect()
            }
        })
    }

    async fn bind(&self, binding: Binding) -> Result<(), Refusal> {
        trouble(&binding.pod_name)?;
        if binding.pod_name == "waits" {
            self.permits.acquire().await.unwrap().forget();
        }
        self.bound.lock().unwrap().push(binding);
        Ok(())
    }

    fn preempt(
        &self,
        pod: &Pod,
        mut candidates: BTreeMap<String, Candidate>,
    ) -> Result<BTreeMap<String, Candidate>, Refusal> {
        trouble(&pod.metadata.name)?;
        candidates.remove("keep-none");
        Ok(candidates)
    }

    fn ready(&self) -> Result<(), String> {
        self.not_ready.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

/// A server on a free port, with a client.
struct Served {
    running: Running,
    fake: Arc<Fake>,
    client: reqwest::Client,
}

/// Small limits and a free port.
fn options() -> ServerOptions {
    ServerOptions { bind_address: ([127, 0, 0, 1], 0).into(), workers: 1, ..ServerOptions::default() }
}

fn serve(options: ServerOptions) -> Served {
    let fake = Arc::new(Fake::default());
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let running = start(Arc::clone(&fake), options, metrics, Arc::new(registry)).unwrap();
    let client = reqwest::Client::builder().timeout(std::time::Duration::from_secs(30)).build().unwrap();
    Served { running, fake, client }
}

impl Served {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.address())
    }

    async fn post(&self, verb: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let answer = self.client.post(self.url(&format!("/v1/{verb}"))).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.client.get(self.url(path)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The value of the series that starts so.
    async fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").await;
        value(&text, series)
    }
}

fn value(exposition: &str, series: &str) -> Option<f64> {
    exposition.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

/// The answers without a network.
fn answers() -> Answers<Fake> {
    let metrics = Metrics::register(&mut Registry::default());
    Answers { extender: Arc::default(), max_nodes: 1_000, metrics }
}

fn answer(answers: &Answers<Fake>, verb: Verb, body: &[u8]) -> Answer {
    match verb {
        Verb::Filter => answers.filter(body),
        Verb::Prioritize => answers.prioritize(body),
        Verb::Preempt => answers.preempt(body),
        Verb::Bind => answers.binding(body).map_or_else(|answer| answer, |_| answers.bound(Ok(()))),
    }
}

fn fixture(name: &str) -> String {
    let path = format!("{}/tests/fixtures/extender/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Arguments of filter and prioritize for a pod of this name.
fn args(pod: &str, nodes: &[&str]) -> String {
    serde_json::json!({ "Pod": { "metadata": { "name": pod } }, "Nodes": null, "NodeNames": nodes }).to_string()
}

fn binding(pod: &str) -> String {
    serde_json::json!({ "PodName": pod, "PodNamespace": "default", "PodUID": "u-1", "Node": "gpu-a" }).to_string()
}
