//! Somebody who watches all claims and pods from the start, and knows of every moment in which two claims had one device, and
//! when their pods showed it. The API server shows changes of claims in the order in which it took them, so no such moment
//! escapes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::ResourceClaim;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::control_plane::ControlPlane;
use crate::device_books::{DeviceId, Holding};
use crate::wait::PATIENCE;

/// The condition of pods of which a claim has a device that another claim has as well.
pub const CONDITION: &str = "testudo.dev/DeviceGivenTwice";

/// A device that two claims or more had for themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Double {
    /// Which.
    pub device: DeviceId,
    /// The claims, as `namespace/name`.
    pub claims: BTreeSet<String>,
    /// When that was seen first.
    pub since: Instant,
    /// When it was over.
    pub until: Option<Instant>,
}

/// Watches until it is dropped.
pub struct DoubleWatch {
    record: Arc<Mutex<Record>>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug, Default)]
struct Record {
    /// When each pod, as `namespace/name`, first showed that a device of it was given twice.
    told: BTreeMap<String, Instant>,
    /// What each claim has.
    held: BTreeMap<String, BTreeSet<DeviceId>>,
    holders: BTreeMap<DeviceId, BTreeSet<String>>,
    doubles: Vec<Double>,
}

impl DoubleWatch {
    /// Begins to watch; returns when nothing that happens from now on can escape.
    pub async fn start(cp: &ControlPlane) -> Result<Self> {
        let record = Arc::<Mutex<Record>>::default();
        let (claims_began, pods_began) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let see_claim = {
            let record = Arc::clone(&record);
            move |claim: ResourceClaim, is_gone: bool| {
                let holding = if is_gone { None } else { Holding::of(&claim) };
                lock(&record).see(&full_name(&claim), holding.map(|holding| holding.devices).unwrap_or_default());
            }
        };
        let see_pod = {
            let record = Arc::clone(&record);
            move |pod: Pod, _| {
                if shows(&pod) {
                    lock(&record).told.entry(full_name(&pod)).or_insert_with(Instant::now);
                }
            }
        };
        let tasks = [
            tokio::spawn(watch(Api::all(cp.client()), Arc::clone(&claims_began), see_claim)),
            tokio::spawn(watch(Api::all(cp.client()), Arc::clone(&pods_began), see_pod)),
        ];
        let this = Self { record, tasks };
        for began in [claims_began, pods_began] {
            tokio::time::timeout(PATIENCE, began.notified()).await.context("claims and pods cannot be watched")?;
        }
        Ok(this)
    }

    /// All that there was of the claims of these namespaces, in the order in which it began.
    pub fn of(&self, namespaces: &[&str]) -> Vec<Double> {
        let is_there = |claim: &String| claim.split_once('/').is_some_and(|(ns, _)| namespaces.contains(&ns));
        let record = lock(&self.record);
        record.doubles.iter().filter(|double| double.claims.iter().any(is_there)).cloned().collect()
    }

    /// When the pod `namespace/name` first had the [`CONDITION`].
    pub fn told(&self, pod: &str) -> Option<Instant> {
        lock(&self.record).told.get(pod).copied()
    }
}

impl Drop for DoubleWatch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Record {
    fn see(&mut self, claim: &str, devices: BTreeSet<DeviceId>) {
        let before = self.held.insert(claim.to_owned(), devices.clone()).unwrap_or_default();
        for device in before.difference(&devices) {
            if let Some(holders) = self.holders.get_mut(device) {
                holders.remove(claim);
            }
            self.compare(device);
        }
        for device in devices.difference(&before) {
            self.holders.entry(device.clone()).or_default().insert(claim.to_owned());
            self.compare(device);
        }
    }

    fn compare(&mut self, device: &DeviceId) {
        let holders = self.holders.get(device).cloned().unwrap_or_default();
        let open = self.doubles.iter_mut().find(|double| double.device == *device && double.until.is_none());
        match open {
            Some(open) if holders.len() < 2 => open.until = Some(Instant::now()),
            Some(open) => open.claims.extend(holders),
            None if holders.len() < 2 => {}
            None => {
                let (device, since) = (device.clone(), Instant::now());
                self.doubles.push(Double { device, claims: holders, since, until: None });
            }
        }
    }
}

/// Has a pod the [`CONDITION`] now?
pub fn shows(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == CONDITION && condition.status == "True")
}

async fn watch<K>(api: Api<K>, began: Arc<Notify>, see: impl Fn(K, bool))
where
    K: Resource + Clone + Debug + Send + DeserializeOwned + 'static,
{
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    loop {
        match events.try_next().await {
            Ok(Some(watcher::Event::Init)) => {}
            Ok(Some(watcher::Event::InitDone)) => began.notify_one(),
            Ok(Some(watcher::Event::InitApply(object) | watcher::Event::Apply(object))) => see(object, false),
            Ok(Some(watcher::Event::Delete(object))) => see(object, true),
            Ok(None) => return,
            // The API server is away; the watch begins anew with a list.
            Err(_) => {}
        }
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

fn full_name(object: &impl ResourceExt) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}
