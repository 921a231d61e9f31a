//! Somebody who watches the pods of a namespace from the start, and can say afterwards who got a node when: what was so
//! for a moment only, nobody sees who looks now and then.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::namespace::Namespace;
use crate::wait::{self, Look, PATIENCE};

/// What became of one pod. Another pod of the same name has a life of its own.
#[derive(Debug, Clone)]
pub struct Life {
    /// Its name.
    pub name: String,
    uid: String,
    /// Where it was bound, and when that was seen.
    pub bound: Option<(String, Instant)>,
    /// When it was seen to be gone.
    pub gone: Option<Instant>,
}

/// Watches until it is dropped.
pub struct Observer {
    namespace: String,
    record: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Record {
    /// In the order in which they were first seen.
    lives: Vec<Life>,
    /// Pods that were on one node and then on another.
    moved: Vec<String>,
}

impl Observer {
    /// Begins to watch; returns when nothing that happens from now on can escape.
    pub async fn start(ns: &Namespace) -> Result<Self> {
        let record = Arc::<Mutex<Record>>::default();
        let began = Arc::new(Notify::new());
        let task = tokio::spawn(watch(ns.pods(), Arc::clone(&record), Arc::clone(&began)));
        let observer = Self { namespace: ns.name().to_owned(), record, task };
        let watched = tokio::time::timeout(PATIENCE, began.notified()).await;
        watched.with_context(|| format!("the pods of {} cannot be watched", ns.name()))?;
        Ok(observer)
    }

    /// Every pod that there was, in the order of their coming.
    pub fn lives(&self) -> Vec<Life> {
        self.record().lives.clone()
    }

    /// How many pods were seen with a node.
    pub fn bound_count(&self) -> usize {
        self.record().lives.iter().filter(|life| life.bound.is_some()).count()
    }

    /// Waits until the watch, too, has shown that all of these pods have a node, and says where each is.
    pub async fn until_bound<N: AsRef<str>>(&self, names: &[N]) -> Result<Vec<String>> {
        let bound = self.until_seen_bound(names).await?;
        Ok(bound.into_iter().map(|(node, _)| node).collect())
    }

    /// Waits until all of these pods have a node, and fails unless they got it within `window`. Says where each is.
    pub async fn until_bound_together<N: AsRef<str>>(&self, names: &[N], window: Duration) -> Result<Vec<String>> {
        let bound = self.until_seen_bound(names).await?;
        let times = || bound.iter().map(|(_, at)| *at);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { bail!("nobody to wait for") };
        let span = last - first;
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        ensure!(span <= window, "{names:?} of {} were bound within {span:?}, not {window:?}", self.namespace);
        Ok(bound.into_iter().map(|(node, _)| node).collect())
    }

    /// Fails if any pod that `is_meant` ever had a node, or if a pod had two.
    pub fn check_never_bound(&self, is_meant: impl Fn(&str) -> bool) -> Result<()> {
        let record = self.record();
        let bound: BTreeSet<&str> =
            record.lives.iter().filter(|life| life.bound.is_some()).map(|life| life.name.as_str()).collect();
        let bound: Vec<&str> = bound.into_iter().filter(|name| is_meant(name)).collect();
        ensure!(bound.is_empty(), "{bound:?} of {} were not to have a node, and had one", self.namespace);
        ensure!(record.moved.is_empty(), "pods were bound twice: {:?}", record.moved);
        Ok(())
    }

    async fn until_seen_bound<N: AsRef<str>>(&self, names: &[N]) -> Result<Vec<(String, Instant)>> {
        let what = format!("{} pods of {} to be seen with a node", names.len(), self.namespace);
        wait::until(&what, PATIENCE, async || {
            let record = self.record();
            let seen: Vec<Option<(String, Instant)>> =
                names.iter().map(|name| record.newest(name.as_ref())?.bound.clone()).collect();
            let missing: Vec<&str> =
                names.iter().zip(&seen).filter(|(_, bound)| bound.is_none()).map(|(name, _)| name.as_ref()).collect();
            Ok(match seen.iter().cloned().collect::<Option<Vec<_>>>() {
                Some(bound) => Look::Done(bound),
                None => Look::NotYet(format!("without: {missing:?}")),
            })
        })
        .await
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Record {
    fn newest(&self, name: &str) -> Option<&Life> {
        self.lives.iter().rev().find(|life| life.name == name)
    }

    fn see(&mut self, pod: Pod) {
        let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
        let at = self.lives.iter().position(|life| life.uid == uid).unwrap_or_else(|| {
            self.lives.push(Life { name, uid, bound: None, gone: None });
            self.lives.len() - 1
        });
        let life = &mut self.lives[at];
        let Some(node) = pod.spec.and_then(|spec| spec.node_name) else { return };
        match &life.bound {
            None => life.bound = Some((node, Instant::now())),
            Some((before, _)) if *before != node => {
                self.moved.push(format!("{}: on {before}, then on {node}", life.name));
            }
            Some(_) => {}
        }
    }

    fn miss(&mut self, is_there: impl Fn(&str) -> bool) {
        for life in self.lives.iter_mut().filter(|life| life.gone.is_none() && !is_there(&life.uid)) {
            life.gone = Some(Instant::now());
        }
    }
}

async fn watch(pods: Api<Pod>, record: Arc<Mutex<Record>>, began: Arc<Notify>) {
    let mut events = watcher(pods, watcher::Config::default()).default_backoff().boxed();
    let mut listed = BTreeSet::new();
    loop {
        let event = match events.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            // The API server is away; the watch begins anew with a list.
            Err(_) => continue,
        };
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(pod) => {
                listed.insert(pod.uid().unwrap_or_default());
                record.see(pod);
            }
            watcher::Event::InitDone => {
                record.miss(|uid| listed.contains(uid));
                began.notify_one();
            }
            watcher::Event::Apply(pod) => record.see(pod),
            watcher::Event::Delete(pod) => {
                let gone = pod.uid().unwrap_or_default();
                record.see(pod);
                record.miss(|uid| uid != gone);
            }
        }
    }
}
