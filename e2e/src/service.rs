//! What a Service is to its clients: connections go to a pod that its selector selects at the moment.
//!
//! A connection that is open stays with the pod that it went to, and one that finds no pod is refused, as with kube-proxy.
//! The pods are API objects only; their servers are processes on loopback.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::control_plane::ControlPlane;

/// Forwards connections until it is dropped; the pods stay.
pub struct Service {
    address: SocketAddr,
    selected: Arc<Mutex<BTreeSet<String>>>,
    pods: Api<Pod>,
    tasks: Vec<JoinHandle<()>>,
}

impl Service {
    /// One for these pods of `namespace`, which are made here, with the addresses of their servers. `selector` as in
    /// `app=web`.
    pub async fn start(
        cp: &ControlPlane,
        namespace: &str,
        selector: &str,
        backends: BTreeMap<String, SocketAddr>,
    ) -> Result<Self> {
        let pods: Api<Pod> = Api::namespaced(cp.client(), namespace);
        for name in backends.keys() {
            pods.create(&PostParams::default(), &pod_of(name)?).await.with_context(|| format!("the pod {name}"))?;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen")?;
        let address = listener.local_addr().context("no address")?;
        let selected = Arc::<Mutex<BTreeSet<String>>>::default();
        let watched = watcher(pods.clone(), watcher::Config::default().labels(selector));
        let tasks = vec![
            tokio::spawn(select(watched, Arc::clone(&selected))),
            tokio::spawn(forward(listener, backends, Arc::clone(&selected))),
        ];
        Ok(Self { address, selected, pods, tasks })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The pods that are selected now, by name.
    pub fn selected(&self) -> BTreeSet<String> {
        self.selected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Deletes the pods.
    pub async fn remove_pods(&self, names: impl IntoIterator<Item = &str>) -> Result<()> {
        let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        for name in names {
            self.pods.delete(name, &at_once).await.with_context(|| format!("cannot delete the pod {name}"))?;
        }
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A pod that is only there to have labels: no scheduler takes it up.
fn pod_of(name: &str) -> Result<Pod> {
    let restricted = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    let container = json!({"name": "main", "image": "example.invalid/none", "securityContext": restricted});
    let spec = json!({
        "schedulerName": "nobody", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
        "containers": [container],
    });
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).context("not a pod")
}

async fn select(
    watched: impl futures::Stream<Item = watcher::Result<watcher::Event<Pod>>> + Send,
    selected: Arc<Mutex<BTreeSet<String>>>,
) {
    let mut events = watched.default_backoff().boxed();
    let mut listed = BTreeSet::new();
    loop {
        let event = match events.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(_) => continue,
        };
        let mut selected = selected.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(pod) => drop(listed.insert(pod.name_any())),
            watcher::Event::InitDone => selected.clone_from(&listed),
            watcher::Event::Apply(pod) => drop(selected.insert(pod.name_any())),
            watcher::Event::Delete(pod) => drop(selected.remove(&pod.name_any())),
        }
    }
}

async fn forward(
    listener: TcpListener,
    backends: BTreeMap<String, SocketAddr>,
    selected: Arc<Mutex<BTreeSet<String>>>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let names = selected.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(backend) = names.iter().find_map(|name| backends.get(name)).copied() else { continue };
        tokio::spawn(async move {
            // Errors are the client's to see.
            let _: io::Result<()> = pass(client, backend).await;
        });
    }
}

async fn pass(mut client: TcpStream, backend: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(backend).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
