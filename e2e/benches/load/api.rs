//! An API server that only stores: lists in pages, watches with their history, bindings. Enough for testudo to follow a
//! cluster as it does a real one, at a size and a rate that etcd would not bear beside it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Events that are remembered. A watch that begins before them is told that it has expired.
const HISTORY: usize = 200_000;
/// How often a watch looks for news, at most.
const PAUSE: Duration = Duration::from_millis(2);

/// What is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nodes,
    Pods,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Nodes => "Node",
            Self::Pods => "Pod",
        }
    }
}

#[derive(Default)]
struct Store {
    version: u64,
    nodes: BTreeMap<String, Value>,
    pods: BTreeMap<String, Value>,
    /// Version, kind, and the line that a watch is sent.
    events: VecDeque<(u64, Kind, Arc<str>)>,
}

impl Store {
    fn of(&mut self, kind: Kind) -> &mut BTreeMap<String, Value> {
        match kind {
            Kind::Nodes => &mut self.nodes,
            Kind::Pods => &mut self.pods,
        }
    }

    fn put(&mut self, kind: Kind, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let key = key_of(&object);
        let is_new = self.of(kind).insert(key, object.clone()).is_none();
        self.tell(kind, if is_new { "ADDED" } else { "MODIFIED" }, &object);
    }

    fn delete(&mut self, kind: Kind, key: &str) {
        let Some(mut object) = self.of(kind).remove(key) else { return };
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.tell(kind, "DELETED", &object);
    }

    fn tell(&mut self, kind: Kind, what: &str, object: &Value) {
        if self.events.len() == HISTORY {
            self.events.pop_front();
        }
        let mut object = object.clone();
        object["apiVersion"] = json!("v1");
        object["kind"] = json!(kind.name());
        let line = format!("{}\n", json!({"type": what, "object": object}));
        self.events.push_back((self.version, kind, line.into()));
    }
}

fn key_of(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

/// The API server; it ends with the runtime.
#[derive(Clone)]
pub struct Api {
    store: Arc<Mutex<Store>>,
    news: watch::Sender<u64>,
    pub address: SocketAddr,
}

impl Api {
    /// Starts one that stores these objects.
    pub async fn start(nodes: impl Iterator<Item = Value>, pods: impl Iterator<Item = Value>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let address = listener.local_addr()?;
        let mut store = Store::default();
        nodes.for_each(|node| store.put(Kind::Nodes, node));
        pods.for_each(|pod| store.put(Kind::Pods, pod));
        store.events.clear();
        let api = Self { store: Arc::new(Mutex::new(store)), news: watch::Sender::new(0), address };
        let serving = api.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let api = serving.clone();
                tokio::spawn(async move {
                    // Whoever hangs up has had enough.
                    let _ = api.serve(stream).await;
                });
            }
        });
        Ok(api)
    }

    /// Stores an object.
    pub fn put(&self, kind: Kind, object: Value) {
        let mut store = self.store();
        store.put(kind, object);
        self.news.send_replace(store.version);
    }

    /// Deletes the object of this namespace and name.
    pub fn delete(&self, kind: Kind, key: &str) {
        let mut store = self.store();
        store.delete(kind, key);
        self.news.send_replace(store.version);
    }

    /// How often anything has changed.
    pub fn changes(&self) -> u64 {
        self.store().version
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        while let Some(request) = Request::read(&mut reader).await? {
            let kind = match request.path.as_str() {
                "/api/v1/nodes" => Some(Kind::Nodes),
                "/api/v1/pods" => Some(Kind::Pods),
                _ => None,
            };
            match kind {
                Some(kind) if request.query("watch").is_some() => return self.watch(kind, &request, &mut writer).await,
                Some(kind) => answer(&mut writer, 200, &self.list(kind, &request)).await?,
                None => {
                    let (status, body) = self.other(&request);
                    answer(&mut writer, status, &body).await?;
                }
            }
        }
        Ok(())
    }

    /// A page of a list. The first page's version goes for all of them: what has changed since is told by the watch again.
    fn list(&self, kind: Kind, request: &Request) -> Value {
        let mut store = self.store();
        let version = store.version;
        let from = request.query("continue").and_then(|token| token.split_once('.'));
        let (version, from) = from.map_or((version.to_string(), ""), |(version, key)| (version.to_owned(), key));
        let limit = request.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
        let all = store.of(kind);
        let from = from.to_owned();
        let page: Vec<(&String, &Value)> = all.range(from..).take(limit.saturating_add(1)).collect();
        let next = page.get(limit).map(|(key, _)| format!("{version}.{key}"));
        let items: Vec<&Value> = page.into_iter().take(limit).map(|(_, object)| object).collect();
        json!({
            "apiVersion": "v1",
            "kind": format!("{}List", kind.name()),
            "metadata": {"resourceVersion": version, "continue": next},
            "items": items,
        })
    }

    async fn watch(&self, kind: Kind, request: &Request, writer: &mut OwnedWriteHalf) -> Result<()> {
        let mut news = self.news.subscribe();
        let mut told: u64 = request.query("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        let seconds = request.query("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
        let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        writer.write_all(head.as_bytes()).await?;
        loop {
            let lines = self.news_since(kind, &mut told);
            let Some(lines) = lines else {
                let status = json!({"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired", "message": "too old"});
                chunk(writer, format!("{}\n", json!({"type": "ERROR", "object": status})).as_bytes()).await?;
                break;
            };
            for line in lines {
                chunk(writer, line.as_bytes()).await?;
            }
            match tokio::time::timeout_at(end, news.changed()).await {
                Ok(Ok(())) => tokio::time::sleep(PAUSE).await,
                _ => break,
            }
        }
        writer.write_all(b"0\r\n\r\n").await?;
        Ok(())
    }

    /// What has happened to objects of a kind since a version; nothing where that is not remembered.
    fn news_since(&self, kind: Kind, told: &mut u64) -> Option<Vec<Arc<str>>> {
        let store = self.store();
        let oldest = store.events.front().map_or(store.version, |(version, ..)| *version);
        if *told + 1 < oldest && store.events.len() == HISTORY {
            return None;
        }
        let from = store.events.partition_point(|(version, ..)| *version <= *told);
        let news = store.events.range(from..).filter(|(_, of, _)| *of == kind);
        let news = news.map(|(.., line)| Arc::clone(line)).collect();
        *told = store.version;
        Some(news)
    }

    fn other(&self, request: &Request) -> (u16, Value) {
        let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["apis"]) => (200, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})),
            ("GET", ["version"]) => (200, json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0"})),
            ("POST", ["api", "v1", "namespaces", namespace, "pods", name, "binding"]) => {
                let binding: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                self.bind(&format!("{namespace}/{name}"), &binding)
            }
            ("POST" | "PATCH", _) => (201, serde_json::from_slice(&request.body).unwrap_or_default()),
            _ => (404, status(404, "NotFound")),
        }
    }

    fn bind(&self, key: &str, binding: &Value) -> (u16, Value) {
        let mut store = self.store();
        let Some(pod) = store.pods.get(key) else { return (404, status(404, "NotFound")) };
        if pod["spec"]["nodeName"].is_string() {
            return (409, status(409, "Conflict"));
        }
        let mut bound = pod.clone();
        bound["spec"]["nodeName"] = binding["target"]["name"].clone();
        bound["status"]["phase"] = json!("Running");
        store.put(Kind::Pods, bound);
        self.news.send_replace(store.version);
        (201, status(201, ""))
    }
}

fn status(code: u16, reason: &str) -> Value {
    let outcome = if code < 400 { "Success" } else { "Failure" };
    json!({"kind": "Status", "apiVersion": "v1", "status": outcome, "code": code, "reason": reason, "message": reason})
}

async fn chunk(writer: &mut OwnedWriteHalf, bytes: &[u8]) -> Result<()> {
    writer.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
    writer.write_all(bytes).await?;
    Ok(writer.write_all(b"\r\n").await?)
}

async fn answer(writer: &mut OwnedWriteHalf, status: u16, body: &Value) -> Result<()> {
    let body = body.to_string();
    let head =
        format!("HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    writer.write_all(head.as_bytes()).await?;
    Ok(writer.write_all(body.as_bytes()).await?)
}

struct Request {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// The next request on a connection, until that is closed.
    async fn read(reader: &mut BufReader<OwnedReadHalf>) -> Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let (method, target) = words.next().zip(words.next()).context("no request line")?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(key, value)| (key.to_owned(), value.replace("%2F", "/"))).collect();
        let (method, path) = (method.to_owned(), path.to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).await?;
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().context("no length")?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).await?;
        Ok(Some(Self { method, path, query, body }))
    }

    fn query(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}
