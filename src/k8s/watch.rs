//! Watches of nodes, pods and group objects: what the API server says, as one stream of events.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use testudo_core::claims::{DeviceClass, SeenClaim, Slice};
use testudo_core::model::gang::{GangKey, Group};
use tokio::sync::mpsc;
use tracing::{info, warn};

pub(crate) mod discovery;
mod groups;
mod known_groups;

use super::devices;
use super::object;
use super::problem::Problem;
use super::watched::{Kind, Watched};

/// What happened in the cluster.
///
/// Events of one kind come in order; an object may be applied again without having changed. After a gap, everything
/// that exists is applied anew, then [`NodesSynced`](Self::NodesSynced), [`PodsSynced`](Self::PodsSynced) or
/// [`GroupsSynced`](Self::GroupsSynced) says what exists: what is not named there is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterEvent {
    /// A node was added or changed.
    NodeApplied(Box<object::Node>),
    /// The node of this name is gone.
    NodeDeleted(String),
    /// All nodes have been listed; these are their names.
    NodesSynced(BTreeSet<String>),
    /// A pod was added or changed.
    PodApplied(Box<object::Pod>),
    /// The pod of this uid is gone.
    PodDeleted(String),
    /// All pods have been listed; these are their uids.
    PodsSynced(BTreeSet<String>),
    /// A group object that describes this gang was added or changed.
    GroupApplied(Box<Group>),
    /// No group object describes this gang any more.
    GroupDeleted(GangKey),
    /// The group objects of all kinds that the cluster serves have been listed; these are the gangs that they describe.
    /// Where none are served, or none may be listed, nothing is named.
    GroupsSynced(BTreeSet<GangKey>),
    /// A claim was added or changed.
    ClaimApplied(Box<SeenClaim>),
    /// The claim of this uid is gone.
    ClaimDeleted(String),
    /// All claims have been listed; these are their uids.
    ClaimsSynced(BTreeSet<String>),
    /// A slice was added or changed.
    SliceApplied(Arc<Slice>),
    /// The slice of this name is gone.
    SliceDeleted(String),
    /// All slices have been listed; these are their names.
    SlicesSynced(BTreeSet<String>),
    /// A device class was added or changed.
    ClassApplied(Box<DeviceClass>),
    /// The device class of this name is gone.
    ClassDeleted(String),
    /// All device classes have been listed; these are their names.
    ClassesSynced(BTreeSet<String>),
    /// This cannot be seen for now: the cluster does not serve it, or does not let us. What was known of it still stands.
    Unseen(DeviceList),
    /// What could not be seen is being listed: until all of it is, it is known in part only.
    Listing(DeviceList),
    /// What could not be understood about a group object, now; nothing, when all of it can be.
    GroupProblems {
        /// The object: `PodGroup team/train`.
        object: String,
        /// What is wrong with it.
        problems: Vec<Problem>,
    },
    /// An object exists that cannot be read at all. What was known of it before still stands. Said, and logged, once per
    /// object until what is wrong with it changes.
    Unreadable(Problem),
}

/// What there is of claims and devices. Clusters without any can be done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceList {
    /// ResourceClaims.
    Claims,
    /// ResourceSlices.
    Slices,
    /// DeviceClasses.
    Classes,
}

/// A watch call ends after this time and is made anew, so that a connection that has died silently is noticed.
const WATCH_SECONDS: u32 = 120;

/// Objects per page of a list.
const PAGE_SIZE: u32 = 500;

/// How long to wait after a failure: doubled with every further one. It also bounds how often failures are logged.
#[derive(Debug, Clone, Copy)]
struct Pauses {
    shortest: Duration,
    longest: Duration,
}

impl Pauses {
    fn after(self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures).unwrap_or(u32::MAX);
        self.shortest.saturating_mul(factor).min(self.longest)
    }
}

/// After many failures in a row.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);

const PAUSES: Pauses = Pauses { shortest: Duration::from_millis(500), longest: LONGEST_PAUSE };

/// How long to wait until something is asked for again that we can do without and are not allowed to see.
const PAUSE_WHEN_REFUSED: Duration = Duration::from_secs(600);

/// Refused after so many failures, which is about a minute, it is meant: an API server that has just started refuses everything
/// until it has read who may do what.
const REFUSALS: u32 = 7;

/// After so many failures nobody waits any longer for what we can do without: 15 seconds.
const PATIENCE: u32 = 5;

/// Watches nodes, pods and group objects, and claims and devices if these are wanted, and sends what happens to `events`,
/// waiting when that is full. Outlives API server restarts, expired watches and objects that cannot be read; ends when
/// nobody receives any more.
pub async fn watch_cluster(client: Client, events: mpsc::Sender<ClusterEvent>, devices: bool) {
    let watch_devices = async {
        if devices {
            let claims = Watch::<devices::Claim>::new(&client, (), events.clone(), PAUSES);
            let slices = Watch::<devices::DeviceSlice>::new(&client, (), events.clone(), PAUSES);
            let classes = Watch::<devices::Class>::new(&client, (), events.clone(), PAUSES);
            futures::join!(claims.run(), slices.run(), classes.run());
        }
    };
    let nodes = Watch::<object::Node>::new(&client, (), events.clone(), PAUSES);
    let pods = Watch::<object::Pod>::new(&client, (), events.clone(), PAUSES);
    let groups = groups::watch_groups(client.clone(), events.clone(), PAUSES, groups::DISCOVERY_PERIOD);
    futures::join!(nodes.run(), pods.run(), groups, watch_devices);
}

/// What events of a kind are called, and what names an object of it.
trait Told: Kind {
    type Event: Send + 'static;
    fn id(meta: &ObjectMeta) -> Option<&String>;
    fn applied(self, served: &Self::Served) -> Self::Event;
    fn deleted(id: String, served: &Self::Served) -> Self::Event;
    fn synced(ids: BTreeSet<String>, served: &Self::Served) -> Self::Event;
    fn unreadable(problem: Problem, served: &Self::Served) -> Self::Event;
    /// The kind cannot be seen for now, and we can go on without it.
    fn unseen(_served: &Self::Served) -> Option<Self::Event> {
        None
    }
    /// A list of it has begun for which nobody has waited.
    fn listing(_served: &Self::Served) -> Option<Self::Event> {
        None
    }
}

impl Told for object::Node {
    type Event = ClusterEvent;
    fn id(meta: &ObjectMeta) -> Option<&String> {
        meta.name.as_ref()
    }
    fn applied(self, (): &()) -> ClusterEvent {
        ClusterEvent::NodeApplied(Box::new(self))
    }
    fn deleted(id: String, (): &()) -> ClusterEvent {
        ClusterEvent::NodeDeleted(id)
    }
    fn synced(ids: BTreeSet<String>, (): &()) -> ClusterEvent {
        ClusterEvent::NodesSynced(ids)
    }
    fn unreadable(problem: Problem, (): &()) -> ClusterEvent {
        ClusterEvent::Unreadable(problem)
    }
}

impl Told for object::Pod {
    type Event = ClusterEvent;
    fn id(meta: &ObjectMeta) -> Option<&String> {
        meta.uid.as_ref()
    }
    fn applied(self, (): &()) -> ClusterEvent {
        ClusterEvent::PodApplied(Box::new(self))
    }
    fn deleted(id: String, (): &()) -> ClusterEvent {
        ClusterEvent::PodDeleted(id)
    }
    fn synced(ids: BTreeSet<String>, (): &()) -> ClusterEvent {
        ClusterEvent::PodsSynced(ids)
    }
    fn unreadable(problem: Problem, (): &()) -> ClusterEvent {
        ClusterEvent::Unreadable(problem)
    }
}

macro_rules! told_device {
    ($object:ty, $list:ident, $id:ident, $applied:expr, $deleted:ident, $synced:ident) => {
        impl Told for $object {
            type Event = ClusterEvent;
            fn id(meta: &ObjectMeta) -> Option<&String> {
                meta.$id.as_ref()
            }
            fn applied(self, (): &()) -> ClusterEvent {
                $applied(self.0)
            }
            fn deleted(id: String, (): &()) -> ClusterEvent {
                ClusterEvent::$deleted(id)
            }
            fn synced(ids: BTreeSet<String>, (): &()) -> ClusterEvent {
                ClusterEvent::$synced(ids)
            }
            fn unreadable(problem: Problem, (): &()) -> ClusterEvent {
                ClusterEvent::Unreadable(problem)
            }
            fn unseen((): &()) -> Option<ClusterEvent> {
                Some(ClusterEvent::Unseen(DeviceList::$list))
            }
            fn listing((): &()) -> Option<ClusterEvent> {
                Some(ClusterEvent::Listing(DeviceList::$list))
            }
        }
    };
}

told_device!(
    devices::Claim,
    Claims,
    uid,
    |claim| ClusterEvent::ClaimApplied(Box::new(claim)),
    ClaimDeleted,
    ClaimsSynced
);
told_device!(
    devices::DeviceSlice,
    Slices,
    name,
    |slice| ClusterEvent::SliceApplied(Arc::new(slice)),
    SliceDeleted,
    SlicesSynced
);
told_device!(
    devices::Class,
    Classes,
    name,
    |class| ClusterEvent::ClassApplied(Box::new(class)),
    ClassDeleted,
    ClassesSynced
);

/// Nobody receives any more.
struct Closed;

struct Watch<T: Told> {
    api: Api<Watched<T>>,
    served: T::Served,
    events: mpsc::Sender<T::Event>,
    pauses: Pauses,
    /// Since the last good answer.
    failures: u32,
    /// It was told that this cannot be seen.
    unseen: bool,
    /// All that there is has been listed once.
    is_whole: bool,
    /// Seen in the list that is being read.
    listed: BTreeSet<String>,
    /// What is wrong with objects that cannot be read, by id.
    unreadable: BTreeMap<String, String>,
}

impl<T: Told> Watch<T> {
    fn new(client: &Client, served: T::Served, events: mpsc::Sender<T::Event>, pauses: Pauses) -> Self {
        Self {
            api: Api::all_with(client.clone(), &served),
            served,
            events,
            pauses,
            failures: 0,
            unseen: false,
            is_whole: false,
            listed: BTreeSet::new(),
            unreadable: BTreeMap::new(),
        }
    }

    async fn run(mut self) {
        let closed = self.events.clone();
        tokio::select! {
            () = closed.closed() => {}
            Closed = self.follow() => {}
        }
    }

    async fn follow(&mut self) -> Closed {
        let config = watcher::Config::default().page_size(PAGE_SIZE).timeout(WATCH_SECONDS);
        loop {
            let mut stream = pin!(watcher(self.api.clone(), config.clone()));
            while let Some(next) = stream.next().await {
                match next {
                    Ok(event) => {
                        if let Err(closed) = self.tell(event).await {
                            return closed;
                        }
                    }
                    Err(error) => {
                        if let Err(closed) = self.pause_after(&error).await {
                            return closed;
                        }
                        if must_list_anew(&error) {
                            break;
                        }
                    }
                }
            }
        }
    }

    async fn tell(&mut self, event: Event<Watched<T>>) -> Result<(), Closed> {
        // `Init` comes before the API server was asked; everything else is an answer.
        if !matches!(event, Event::Init) {
            if std::mem::take(&mut self.unseen)
                && !self.is_whole
                && let Some(event) = T::listing(&self.served)
            {
                self.send(event).await?;
            }
            if std::mem::take(&mut self.failures) > 0 {
                info!(kind = self.kind(), "watching again");
            }
        }
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(watched) => {
                self.listed.extend(T::id(&watched.meta).cloned());
                self.apply(watched).await?;
            }
            Event::InitDone => {
                let ids = std::mem::take(&mut self.listed);
                self.unreadable.retain(|id, _| ids.contains(id));
                self.is_whole = true;
                self.send(T::synced(ids, &self.served)).await?;
            }
            Event::Apply(watched) => self.apply(watched).await?,
            Event::Delete(watched) => {
                if let Some(id) = T::id(&watched.meta) {
                    self.unreadable.remove(id);
                    self.send(T::deleted(id.clone(), &self.served)).await?;
                }
            }
        }
        Ok(())
    }

    async fn apply(&mut self, watched: Watched<T>) -> Result<(), Closed> {
        let id = T::id(&watched.meta).cloned().unwrap_or_default();
        match watched.object {
            Ok(object) => {
                self.unreadable.remove(&id);
                self.send(object.applied(&self.served)).await
            }
            Err(error) if self.unreadable.get(&id) == Some(&error) => Ok(()),
            Err(error) => {
                let problem = unreadable(self.kind(), &watched.meta, &error);
                warn!(%problem, "an object cannot be read and is left out");
                self.unreadable.insert(id, error);
                self.send(T::unreadable(problem, &self.served)).await
            }
        }
    }

    async fn send(&self, event: T::Event) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }

    fn kind(&self) -> &str {
        T::kind(&self.served)
    }

    async fn pause_after(&mut self, error: &watcher::Error) -> Result<(), Closed> {
        let refused = is_forbidden(error);
        if let Some(event) = T::unseen(&self.served).filter(|_| refused || self.failures >= PATIENCE) {
            if !std::mem::replace(&mut self.unseen, true) {
                warn!(kind = self.kind(), %error, "this cannot be watched, and we go on without it until it can");
                self.send(event).await?;
            }
            if refused && self.failures >= REFUSALS {
                tokio::time::sleep(PAUSE_WHEN_REFUSED).await;
                return Ok(());
            }
        }
        // The API server is there again and says that we have missed something: no time to lose.
        if matches!(error, watcher::Error::WatchError(status) if status.code == 410) {
            self.failures = 0;
        }
        let pause = self.pauses.after(self.failures);
        self.failures = (self.failures + 1).min(31);
        warn!(kind = self.kind(), %error, retry_in_ms = pause.as_millis(), "the watch failed");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// kube lists anew when a watch reports that its place in the history is gone, but not when the API server refuses to
/// start a watch there.
fn must_list_anew(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

fn unreadable(kind: &str, meta: &ObjectMeta, error: &str) -> Problem {
    let name = meta.name.as_deref().unwrap_or("(no name)");
    let object = match meta.namespace.as_deref() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    };
    Problem { object, field: "(whole object)".into(), what: error.into(), blocking: true }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
