//! What the API server has of a kind, as a watch shows it: to wait for changes without asking again and again.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::wait::PATIENCE;

/// Objects by name. Watches until it is dropped.
pub struct Mirror<K> {
    state: watch::Receiver<State<K>>,
    task: JoinHandle<()>,
}

struct State<K> {
    is_listed: bool,
    objects: BTreeMap<String, K>,
}

impl<K> Mirror<K>
where
    K: Resource + Clone + Debug + Send + Sync + serde::de::DeserializeOwned + 'static,
{
    /// Begins to watch; returns when all that there is has been seen.
    pub async fn start(api: Api<K>) -> Result<Self> {
        let (sender, state) = watch::channel(State { is_listed: false, objects: BTreeMap::new() });
        let mirror = Self { state, task: tokio::spawn(follow(api, sender)) };
        let mut state = mirror.state.clone();
        let listed = tokio::time::timeout(PATIENCE, state.wait_for(|state| state.is_listed)).await;
        listed.context("nothing was listed in time")?.context("the watch has ended")?;
        Ok(mirror)
    }

    /// Looks at the objects as they were last seen.
    pub fn look<T>(&self, look: impl FnOnce(&BTreeMap<String, K>) -> T) -> T {
        look(&self.state.borrow().objects)
    }

    /// Looks again at each change until something is found.
    pub async fn until<T>(
        &self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut(&BTreeMap<String, K>) -> Option<T>,
    ) -> Result<T> {
        let mut state = self.state.clone();
        let found = async {
            loop {
                if let Some(found) = look(&state.borrow_and_update().objects) {
                    return anyhow::Ok(found);
                }
                state.changed().await.context("the watch has ended")?;
            }
        };
        tokio::time::timeout(patience, found).await.with_context(|| format!("waited {patience:?} for {what}"))?
    }

    /// Waits until none of these exists any more.
    pub async fn until_gone<N: AsRef<str>>(&self, names: &[N]) -> Result<()> {
        let is_gone = |objects: &BTreeMap<String, K>| names.iter().all(|name| !objects.contains_key(name.as_ref()));
        self.until("objects to be gone", PATIENCE, |objects| is_gone(objects).then_some(())).await
    }
}

impl<K> Drop for Mirror<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow<K>(api: Api<K>, state: watch::Sender<State<K>>)
where
    K: Resource + Clone + Debug + Send + Sync + serde::de::DeserializeOwned + 'static,
{
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut listed = BTreeMap::new();
    loop {
        let event = match events.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            // The API server is away; the watch begins anew with a list.
            Err(_) => continue,
        };
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(object) => drop(listed.insert(object.name_any(), object)),
            watcher::Event::InitDone => state.send_modify(|state| {
                (state.is_listed, state.objects) = (true, std::mem::take(&mut listed));
            }),
            watcher::Event::Apply(object) => {
                state.send_modify(|state| drop(state.objects.insert(object.name_any(), object)));
            }
            watcher::Event::Delete(object) => state.send_modify(|state| drop(state.objects.remove(&object.name_any()))),
        }
    }
}
