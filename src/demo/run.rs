//! Pods come, are placed or wait, and go again.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use super::arrival::{Arrival, Running};
use super::prefill::prefill;
use super::summary::{Summary, Waiting};
use super::why;
use crate::host::Host;
use crate::k8s::manifests::Manifests;
use crate::k8s::object::Pod;
use crate::k8s::pod;
use crate::k8s::watch::ClusterEvent;
use crate::kube_scheduler::client::{Client, OfferForm};
use crate::kube_scheduler::scheduler::{Choice, Outcome, Scheduler};
use crate::sim::fleet::fleet;
use crate::sim::gang_workload::gangs;
use crate::sim::rng::Rng;
use crate::sim::workload::{uid, workload};

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many nodes.
    pub nodes: usize,
    /// How many pods.
    pub pods: usize,
    /// How many gangs beside them.
    pub gangs: usize,
    /// How much of the fleet is in use from the beginning, in percent.
    pub filled: u8,
    /// Decides the order of the pods, who finishes when, and ties.
    pub seed: u64,
    /// How nodes are offered.
    pub form: OfferForm,
}

/// What happened to a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The pod.
    pub pod: String,
    /// What it asks for, in short.
    pub asks: String,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened to a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum EventKind {
    /// It was bound.
    Placed {
        /// To this node.
        node: String,
        /// Why there.
        why: String,
        /// Whether it had to wait for it.
        waited: bool,
    },
    /// No node will do now.
    Waits {
        /// The message of the pod's condition.
        message: String,
    },
    /// It finished.
    Finished {
        /// On this node.
        node: String,
    },
}

/// The simulated cluster and its scheduler.
pub struct Simulation {
    host: Arc<Host>,
    scheduler: Scheduler,
    ties: Rng,
    arriving: VecDeque<Arrival>,
    waiting: Vec<(Arrival, String)>,
    running: Vec<Running>,
    /// Who finished, and may come again.
    gone: VecDeque<Arrival>,
    arrived: usize,
    placed: usize,
    rng: Rng,
}

/// Every so many arrivals a pod finishes.
const FINISH_EVERY: usize = 12;

/// While it goes on, one of so many is away at a time.
const AWAY_OF: usize = 24;

/// While it goes on, so many of those that wait are tried again at a time.
const RETRIED: usize = 24;

impl Simulation {
    /// Makes the fleet and shows it to `host`, whose extender is served at `address`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(plan: &Plan, host: Arc<Host>, address: SocketAddr) -> anyhow::Result<Self> {
        let mut rng = Rng::new(plan.seed);
        let nodes = fleet(plan.nodes);
        let pods = workload(plan.pods, &mut rng);
        let mut scheduler = Scheduler::new(Client::new(address, plan.form)?, &nodes);
        let ties = rng.branch();
        let mut arriving: VecDeque<Arrival> = pods.into_iter().map(|pod| Arrival::of(vec![pod])).collect();
        for members in gangs(plan.gangs, &mut rng) {
            // Early, so that some find room and others wait.
            arriving.insert(rng.below(arriving.len() / 2 + 1), Arrival::of(members));
        }
        let running = prefill(plan.filled, &nodes, &mut arriving, &mut rng);
        let mut there = vec![];
        for Running { arrival, nodes: at } in &running {
            for (pod, node) in arrival.pods.iter().zip(at) {
                scheduler.count(pod, *node);
                let mut pod = pod.clone();
                pod.spec.node_name = Some(scheduler.name(*node).to_owned());
                pod.status.phase = Some("Running".into());
                there.push(pod);
            }
        }
        host.take_manifests(Manifests { nodes, pods: there, ..Manifests::default() });
        let (waiting, gone) = (vec![], VecDeque::new());
        Ok(Self { host, scheduler, ties, arriving, waiting, placed: running.len(), running, gone, arrived: 0, rng })
    }

    /// How many are still to come.
    pub fn to_come(&self) -> usize {
        self.arriving.len()
    }

    /// Lets the next one come, and now and then another one finish. `None` when all have come.
    ///
    /// # Errors
    /// When the extender fails.
    pub async fn step(&mut self) -> anyhow::Result<Option<Vec<Event>>> {
        let Some(arrival) = self.arriving.pop_front() else { return Ok(None) };
        self.arrived += 1;
        let mut events = self.come(arrival).await?;
        if self.arrived.is_multiple_of(FINISH_EVERY)
            && let Some(event) = self.finish_one()
        {
            events.push(event);
            events.extend(self.retry(usize::MAX).await?);
        }
        Ok(Some(events))
    }

    /// Goes on when all have come: one finishes, or one that has finished comes again.
    ///
    /// # Errors
    /// When the extender fails.
    pub async fn go_on(&mut self) -> anyhow::Result<Vec<Event>> {
        let away = self.running.len() / AWAY_OF;
        if self.gone.len() > away
            && let Some(mut arrival) = self.gone.pop_front()
        {
            arrival.pods.iter_mut().for_each(|pod| pod.metadata.uid = uid(&mut self.rng));
            return self.come(arrival).await;
        }
        let mut events: Vec<Event> = self.finish_one().into_iter().collect();
        events.extend(self.retry(RETRIED).await?);
        Ok(events)
    }

    async fn come(&mut self, mut arrival: Arrival) -> anyhow::Result<Vec<Event>> {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        arrival.pods.iter_mut().for_each(|pod| pod.metadata.creation_timestamp = Some(now.clone()));
        self.host.take(arrival.pods.iter().map(|pod| ClusterEvent::PodApplied(Box::new(pod.clone()))));
        let (event, waiting) = self.try_to_place(arrival, None).await?;
        self.waiting.extend(waiting);
        Ok(event.into_iter().collect())
    }

    /// What has come of it.
    pub fn summary(&self) -> Summary {
        let waiting = self.waiting.iter().map(|(arrival, message)| Waiting {
            pod: arrival.name(),
            asks: arrival.asks(),
            message: message.clone(),
        });
        let finished = self.placed - self.running.len();
        let latencies = self.scheduler.client().latencies();
        Summary::new(&self.host.snapshot(), self.placed, finished, waiting.collect(), latencies)
    }

    /// Tries to place a pod, or all of a gang. An event if something new came out, and the arrival if it (still) waits.
    async fn try_to_place(
        &mut self,
        arrival: Arrival,
        before: Option<String>,
    ) -> anyhow::Result<(Option<Event>, Option<(Arrival, String)>)> {
        let event = |arrival: &Arrival, kind| Some(Event { pod: arrival.name(), asks: arrival.asks(), kind });
        if arrival.is_gang() {
            self.host.settle_gangs().await;
        }
        let mut choices: Vec<Choice> = vec![];
        for pod in &arrival.pods {
            let ties = &mut self.ties;
            match self.scheduler.schedule(pod, |equals| equals[ties.below(equals.len())]).await? {
                Outcome::Chosen(choice) => choices.push(choice),
                Outcome::Unschedulable(message) => {
                    let is_news = before.is_none();
                    let news = is_news.then(|| event(&arrival, EventKind::Waits { message: message.clone() }));
                    return Ok((news.flatten(), Some((arrival, message))));
                }
            }
        }
        let why = match (arrival.pods.as_slice(), choices.as_slice()) {
            ([pod], [choice]) => why::explain(&self.host.snapshot(), &pod::decode(pod).0, &self.scheduler, choice),
            (members, _) => format!("{} members start together", members.len()),
        };
        let nodes: Vec<usize> = choices.iter().map(|choice| choice.node).collect();
        let bindings: Vec<(&Pod, usize)> = arrival.pods.iter().zip(nodes.iter().copied()).collect();
        self.scheduler.bind(&bindings).await?;
        let node = self.names(&nodes);
        let event = event(&arrival, EventKind::Placed { node, why, waited: before.is_some() });
        self.placed += 1;
        self.running.push(Running { arrival, nodes });
        Ok((event, None))
    }

    /// The nodes as one text: the first, and how many more.
    fn names(&self, nodes: &[usize]) -> String {
        let distinct: BTreeSet<&str> = nodes.iter().map(|node| self.scheduler.name(*node)).collect();
        let first = distinct.first().copied().unwrap_or_default();
        if distinct.len() > 1 { format!("{first} +{}", distinct.len() - 1) } else { first.to_owned() }
    }

    /// One of those that run finishes: of those that hold what others wait for, if there are any. Pods without
    /// accelerators serve for ever.
    fn finish_one(&mut self) -> Option<Event> {
        let wanted: BTreeSet<&String> = self.waiting.iter().flat_map(|(arrival, _)| arrival.extended()).collect();
        let holders = |which: &dyn Fn(&String) -> bool| -> Vec<usize> {
            (0..self.running.len()).filter(|at| self.running[*at].arrival.extended().any(which)).collect()
        };
        let mut candidates = holders(&|name| wanted.contains(name));
        if candidates.is_empty() {
            candidates = holders(&|_| true);
        }
        // Now and then nodes that a gang waits for are vacated one after the other.
        let gang = self.waiting.iter().find_map(|(arrival, _)| arrival.pods.first().filter(|_| arrival.is_gang()));
        if let Some(member) = gang.filter(|_| self.rng.below(2) == 0) {
            let in_the_way = |at: &&usize| self.scheduler.would_take(self.running[**at].nodes[0], member);
            let first = candidates.iter().filter(in_the_way).min_by_key(|at| self.running[**at].nodes[0]);
            candidates = first.map_or(candidates.clone(), |at| vec![*at]);
        }
        let at = *candidates.get(self.rng.below(candidates.len().max(1)))?;
        let Running { arrival, nodes } = self.running.remove(at);
        for (pod, node) in arrival.pods.iter().zip(&nodes) {
            self.scheduler.forget(pod, *node);
        }
        self.host.take(arrival.pods.iter().map(|pod| ClusterEvent::PodDeleted(pod.metadata.uid.clone())));
        let kind = EventKind::Finished { node: self.names(&nodes) };
        let event = Event { asks: arrival.asks(), pod: arrival.name(), kind };
        self.gone.push_back(arrival);
        Some(event)
    }

    /// Something was freed: kube-scheduler moves the waiting pods back into its queue; so many of them.
    async fn retry(&mut self, most: usize) -> anyhow::Result<Vec<Event>> {
        let mut events = vec![];
        let rest = self.waiting.split_off(most.min(self.waiting.len()));
        let tried = std::mem::replace(&mut self.waiting, rest);
        for (arrival, message) in tried {
            let (event, waiting) = self.try_to_place(arrival, Some(message)).await?;
            events.extend(event);
            self.waiting.extend(waiting);
        }
        Ok(events)
    }
}

/// A resource name without its domain.
pub fn short(resource: &str) -> &str {
    resource.rsplit_once('/').map_or(resource, |(_, name)| name)
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
