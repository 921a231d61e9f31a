//! Watches of group objects, of those kinds that the cluster serves.
//!
//! Which those are is asked again and again: a kind that is installed later is found, and the objects of one that is
//! removed are gone. All that the watches see goes through one place, so that what is told is in order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::super::gang::objects::{GroupObject, Kind};
use super::super::problem::Problem;
use super::super::watched::ServedGroups;
use super::discovery::{Found, discover};
use super::known_groups::KnownGroups;
use super::{ClusterEvent, PATIENCE, Pauses, Told, Watch};

/// How often the cluster is asked what it serves.
pub(super) const DISCOVERY_PERIOD: Duration = Duration::from_secs(60);

/// How long the answer may take.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(20);

/// Messages under way from the watches. What is in them waits here, not in the API server.
const INBOX: usize = 64;

/// What watches and discovery have to say.
pub(super) enum Message {
    Found(Found),
    Seen(ServedGroups, Sight),
}

/// What a watch has seen.
pub(super) enum Sight {
    Applied(Box<GroupObject>),
    Deleted(String),
    Listed(BTreeSet<String>),
    Unreadable(Problem),
    Unseen,
}

impl Told for GroupObject {
    type Event = Message;
    fn id(meta: &ObjectMeta) -> Option<&String> {
        meta.uid.as_ref()
    }
    fn applied(self, served: &ServedGroups) -> Message {
        Message::Seen(served.clone(), Sight::Applied(Box::new(self)))
    }
    fn deleted(id: String, served: &ServedGroups) -> Message {
        Message::Seen(served.clone(), Sight::Deleted(id))
    }
    fn synced(ids: BTreeSet<String>, served: &ServedGroups) -> Message {
        Message::Seen(served.clone(), Sight::Listed(ids))
    }
    fn unreadable(problem: Problem, served: &ServedGroups) -> Message {
        Message::Seen(served.clone(), Sight::Unreadable(problem))
    }
    fn unseen(served: &ServedGroups) -> Option<Message> {
        Some(Message::Seen(served.clone(), Sight::Unseen))
    }
}

/// Watches group objects of all kinds that there are; ends when nobody receives any more.
pub(super) async fn watch_groups(client: Client, events: mpsc::Sender<ClusterEvent>, pauses: Pauses, period: Duration) {
    let (sender, mut inbox) = mpsc::channel(INBOX);
    let mut watches = Watches {
        client: client.clone(),
        pauses,
        sender: sender.clone(),
        running: BTreeMap::new(),
        started: 0,
        known: KnownGroups::default(),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(keep_discovering(client, sender, pauses, period));
    loop {
        let message = tokio::select! {
            () = events.closed() => return,
            message = inbox.recv() => message,
        };
        let Some(message) = message else { return };
        for event in watches.hear(message, &mut tasks) {
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
}

async fn keep_discovering(client: Client, sender: mpsc::Sender<Message>, pauses: Pauses, period: Duration) {
    let mut failures = 0;
    loop {
        let answer = timeout(DISCOVERY_TIMEOUT, discover(&client)).await;
        let answer = answer.unwrap_or_else(|_| Err(kube::Error::Service("no answer in time".into())));
        let (found, pause) = match answer {
            Ok(found) => {
                failures = 0;
                (Some(found), period)
            }
            Err(error) => {
                let refused = matches!(&error, kube::Error::Api(status) if status.code == 403);
                // Nobody waits any longer: nothing is found, and nothing is lost.
                let give_up = failures < PATIENCE && (refused || failures + 1 == PATIENCE);
                if failures == 0 || give_up {
                    warn!(%error, "which kinds of groups the cluster has is not known");
                }
                let pause = if refused { pauses.longest } else { pauses.after(failures) };
                failures = if give_up { PATIENCE } else { (failures + 1).min(31) };
                (give_up.then(Found::new), pause)
            }
        };
        if let Some(found) = found
            && sender.send(Message::Found(found)).await.is_err()
        {
            return;
        }
        sleep(pause).await;
    }
}

struct Watches {
    client: Client,
    pauses: Pauses,
    sender: mpsc::Sender<Message>,
    /// By resource.
    running: BTreeMap<String, Running>,
    /// How many watches were ever started.
    started: u64,
    known: KnownGroups,
}

struct Running {
    served: ServedGroups,
    task: tokio::task::AbortHandle,
}

impl Watches {
    fn hear(&mut self, message: Message, tasks: &mut JoinSet<()>) -> Vec<ClusterEvent> {
        match message {
            Message::Found(found) => self.follow(found, tasks),
            Message::Seen(served, sight) => {
                let resource = served.kind.resource();
                match self.running.get(&resource) {
                    Some(running) if running.served.watch == served.watch => self.seen(&served, sight),
                    _ => vec![],
                }
            }
        }
    }

    fn seen(&mut self, served: &ServedGroups, sight: Sight) -> Vec<ClusterEvent> {
        let resource = served.kind.resource();
        match sight {
            Sight::Applied(object) => self.known.applied(served, &object),
            Sight::Deleted(uid) => self.known.deleted(&resource, &uid),
            Sight::Listed(uids) => self.known.listed(&resource, &uids),
            Sight::Unreadable(problem) => vec![ClusterEvent::Unreadable(problem)],
            Sight::Unseen => self.known.unseen(&resource).into_iter().collect(),
        }
    }

    /// Starts and ends watches, so that what is there is watched.
    fn follow(&mut self, found: Found, tasks: &mut JoinSet<()>) -> Vec<ClusterEvent> {
        while tasks.try_join_next().is_some() {}
        let mut events = vec![];
        for (resource, (kind, version)) in found {
            let running = self.running.get(&resource).map(|running| running.served.version);
            if running == version {
                continue;
            }
            if let Some(running) = self.running.remove(&resource) {
                running.task.abort();
            }
            match version {
                Some(version) => self.start(resource, kind, version, tasks),
                None => {
                    info!(resource, "the cluster has this no more");
                    events.extend(self.known.end(&resource));
                }
            }
        }
        events.extend(self.known.discovered());
        events
    }

    fn start(&mut self, resource: String, kind: &'static Kind, version: &'static str, tasks: &mut JoinSet<()>) {
        info!(resource, version, "watching group objects");
        self.started += 1;
        let served = ServedGroups { kind, version, watch: self.started };
        let watch = Watch::<GroupObject>::new(&self.client, served.clone(), self.sender.clone(), self.pauses);
        self.known.begin(&resource);
        let task = tasks.spawn(watch.run());
        self.running.insert(resource, Running { served, task });
    }
}

#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
