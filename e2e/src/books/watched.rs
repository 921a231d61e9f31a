//! Books that are audited all the time: in every state that the API server shows, since what was wrong for a moment only is
//! seen by nobody who looks in the end.
//!
//! The API server shows the changes of one kind of objects in the order in which it took them, so what is audited here, pods by
//! themselves and claims by themselves, has been so at some time. Where the API server was killed it cannot show what it took
//! just before; the first look is then the list that it gives as soon as it is back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{Stream, TryStreamExt};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::resource::v1::ResourceClaim;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::overcommitted;
use crate::control_plane::ControlPlane;
use crate::device_books::{Holding, Inventory};
use crate::namespace::Namespace;
use crate::wait::PATIENCE;

/// How soon after a failure the watch is tried again: much can happen before an API server is seen to be back.
const RETRY: Duration = Duration::from_millis(50);

/// Watches until it is dropped.
pub struct WatchedBooks {
    record: Arc<Mutex<Record>>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug, Default)]
struct Record {
    /// How many states have been audited.
    states: usize,
    /// What was wrong in any of them.
    faults: BTreeSet<String>,
}

impl WatchedBooks {
    /// Begins to watch the pods and claims of the cluster, with the nodes of this scenario and all devices as they are now;
    /// returns when both have been audited once.
    pub async fn start(cp: &ControlPlane, ns: &Namespace) -> Result<Self> {
        let record = Arc::<Mutex<Record>>::default();
        let nodes: Vec<Node> = ns.own_nodes().await?;
        let inventory = Inventory::read(cp).await?;
        let pods = move |pods: &BTreeMap<String, Pod>| match overcommitted(&nodes, pods.values()) {
            Ok(faults) => faults,
            Err(error) => vec![format!("{error:#}")],
        };
        let claims = move |claims: &BTreeMap<String, ResourceClaim>| {
            let holdings: Vec<Holding> = claims.values().filter_map(Holding::of).collect();
            inventory.check(&holdings).err().map(|error| format!("{error:#}")).into_iter().collect()
        };
        let (pods_began, claims_began) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let tasks = [
            tokio::spawn(audit(all::<Pod>(cp), Arc::clone(&record), Arc::clone(&pods_began), pods)),
            tokio::spawn(audit(all::<ResourceClaim>(cp), Arc::clone(&record), Arc::clone(&claims_began), claims)),
        ];
        let this = Self { record, tasks };
        for began in [pods_began, claims_began] {
            tokio::time::timeout(PATIENCE, began.notified()).await.context("pods and claims cannot be watched")?;
        }
        Ok(this)
    }

    /// Fails if anything was wrong in any state; else says how many were audited.
    pub fn check(&self) -> Result<usize> {
        let record = lock(&self.record);
        let faults: Vec<&str> = record.faults.iter().map(String::as_str).collect();
        ensure!(faults.is_empty(), "at some time: {}", faults.join("; "));
        Ok(record.states)
    }
}

impl Drop for WatchedBooks {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn all<K>(cp: &ControlPlane) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + DeserializeOwned + 'static,
{
    watcher(Api::<K>::all(cp.client()), watcher::Config::default())
}

async fn audit<K: ResourceExt>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    record: Arc<Mutex<Record>>,
    began: Arc<Notify>,
    faults_of: impl Fn(&BTreeMap<String, K>) -> Vec<String>,
) {
    let mut events = pin!(events);
    let (mut listed, mut objects) = (BTreeMap::new(), BTreeMap::new());
    let uid = |object: &K| object.uid().unwrap_or_default();
    loop {
        match events.try_next().await {
            Ok(None) => return,
            Err(_) => {
                tokio::time::sleep(RETRY).await;
                continue;
            }
            Ok(Some(Event::Init)) => {
                listed.clear();
                continue;
            }
            Ok(Some(Event::InitApply(object))) => {
                listed.insert(uid(&object), object);
                continue;
            }
            Ok(Some(Event::InitDone)) => {
                objects = std::mem::take(&mut listed);
                began.notify_one();
            }
            Ok(Some(Event::Apply(object))) => drop(objects.insert(uid(&object), object)),
            Ok(Some(Event::Delete(object))) => drop(objects.remove(&uid(&object))),
        }
        let faults = faults_of(&objects);
        let mut record = lock(&record);
        record.states += 1;
        record.faults.extend(faults);
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::slice;

    use futures::stream;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn what_was_wrong_for_a_moment_only_is_found() {
        let pod = |name: &str| -> Pod {
            let container = json!({"name": "main", "resources": {"requests": {"nvidia.com/gpu": "5"}}});
            let metadata = json!({"name": name, "uid": name});
            serde_json::from_value(json!({"metadata": metadata, "spec": {"nodeName": "n", "containers": [container]}}))
                .expect("a pod")
        };
        let node: Node = serde_json::from_value(
            json!({"metadata": {"name": "n"}, "status": {"allocatable": {"nvidia.com/gpu": "8"}}}),
        )
        .expect("a node");
        let seen = async |events: Vec<Event<Pod>>| {
            let record = Arc::<Mutex<Record>>::default();
            let faults =
                |pods: &BTreeMap<String, Pod>| overcommitted(slice::from_ref(&node), pods.values()).expect("counts");
            audit(stream::iter(events.into_iter().map(Ok)), Arc::clone(&record), Arc::default(), faults).await;
            let record = lock(&record);
            (record.states, record.faults.iter().cloned().collect::<Vec<_>>())
        };
        let begin = || vec![Event::Init, Event::InitApply(pod("a")), Event::InitDone];
        let in_turn = [Event::Delete(pod("a")), Event::Apply(pod("b")), Event::Apply(pod("b"))];
        assert_eq!(seen([begin(), in_turn.into()].concat()).await, (4, vec![]));
        let at_once = [Event::Apply(pod("b")), Event::Delete(pod("b"))];
        let fault = "node n has 8 nvidia.com/gpu, its pods ask for 10".to_owned();
        assert_eq!(seen([begin(), at_once.into()].concat()).await, (3, vec![fault]));
        // A list is one state, not one for each object of it.
        let again = [Event::Init, Event::InitApply(pod("b")), Event::InitDone];
        assert_eq!(seen([begin(), again.into()].concat()).await, (2, vec![]));
    }
}
