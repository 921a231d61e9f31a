//! Pods come, are placed or wait, and go again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use testudo_core::model::resources::ResourceName;

use super::summary::{Summary, Waiting};
use super::why;
use crate::host::Host;
use crate::k8s::manifests::Manifests;
use crate::k8s::object::Pod;
use crate::k8s::pod;
use crate::k8s::watch::ClusterEvent;
use crate::kube_scheduler::client::{Client, OfferForm};
use crate::kube_scheduler::scheduler::{Outcome, Scheduler};
use crate::sim::fleet::fleet;
use crate::sim::rng::Rng;
use crate::sim::workload::workload;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many nodes.
    pub nodes: usize,
    /// How many pods.
    pub pods: usize,
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
    arriving: std::vec::IntoIter<Pod>,
    waiting: Vec<(Pod, String)>,
    /// Who runs, and on which of the nodes.
    running: Vec<(Pod, usize)>,
    arrived: usize,
    placed: usize,
    rng: Rng,
}

/// Every so many arrivals a pod finishes.
const FINISH_EVERY: usize = 12;

impl Simulation {
    /// Makes the fleet and shows it to `host`, whose extender is served at `address`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(plan: &Plan, host: Arc<Host>, address: SocketAddr) -> anyhow::Result<Self> {
        let mut rng = Rng::new(plan.seed);
        let nodes = fleet(plan.nodes);
        let pods = workload(plan.pods, &mut rng);
        host.take_manifests(Manifests { nodes: nodes.clone(), ..Manifests::default() });
        let scheduler = Scheduler::new(Client::new(address, plan.form)?, &nodes);
        let (ties, arriving) = (rng.branch(), pods.into_iter());
        Ok(Self { host, scheduler, ties, arriving, waiting: vec![], running: vec![], arrived: 0, placed: 0, rng })
    }

    /// How many pods are still to come.
    pub fn to_come(&self) -> usize {
        self.arriving.len()
    }

    /// Lets the next pod come, and now and then another one finish. `None` when all have come.
    ///
    /// # Errors
    /// When the extender fails.
    pub async fn step(&mut self) -> anyhow::Result<Option<Vec<Event>>> {
        let Some(pod) = self.arriving.next() else { return Ok(None) };
        self.arrived += 1;
        self.host.take([ClusterEvent::PodApplied(Box::new(pod.clone()))]);
        let mut events = vec![];
        let (event, waiting) = self.try_to_place(pod, None).await?;
        events.extend(event);
        self.waiting.extend(waiting);
        if self.arrived.is_multiple_of(FINISH_EVERY)
            && let Some(event) = self.finish_one()
        {
            events.push(event);
            events.extend(self.retry().await?);
        }
        Ok(Some(events))
    }

    /// What has come of it.
    pub fn summary(&self) -> Summary {
        let waiting = self.waiting.iter().map(|(pod, message)| Waiting {
            pod: pod.metadata.name.clone(),
            asks: asks(pod),
            message: message.clone(),
        });
        let finished = self.placed - self.running.len();
        let latencies = self.scheduler.client().latencies();
        Summary::new(&self.host.snapshot(), self.placed, finished, waiting.collect(), latencies)
    }

    /// Tries to place a pod. An event if something new came out, and the pod if it (still) waits.
    async fn try_to_place(
        &mut self,
        pod: Pod,
        before: Option<String>,
    ) -> anyhow::Result<(Option<Event>, Option<(Pod, String)>)> {
        let event = |kind| Some(Event { pod: pod.metadata.name.clone(), asks: asks(&pod), kind });
        let ties = &mut self.ties;
        let choice = match self.scheduler.schedule(&pod, |equals| equals[ties.below(equals.len())]).await? {
            Outcome::Chosen(choice) => choice,
            Outcome::Unschedulable(message) => {
                let news = if before.is_none() { event(EventKind::Waits { message: message.clone() }) } else { None };
                return Ok((news, Some((pod, message))));
            }
        };
        let why = why::explain(&self.host.snapshot(), &pod::decode(&pod).0, &self.scheduler, &choice);
        self.scheduler.bind(&pod, choice.node).await?;
        let node = self.scheduler.name(choice.node).to_owned();
        let event = event(EventKind::Placed { node, why, waited: before.is_some() });
        self.placed += 1;
        self.running.push((pod, choice.node));
        Ok((event, None))
    }

    /// One of the running pods finishes: of those that hold what others wait for, if there are any. Pods without
    /// accelerators serve for ever.
    fn finish_one(&mut self) -> Option<Event> {
        let wanted: BTreeSet<&String> = self.waiting.iter().flat_map(|(pod, _)| extended(pod)).collect();
        let holders = |which: &dyn Fn(&String) -> bool| -> Vec<usize> {
            (0..self.running.len()).filter(|at| extended(&self.running[*at].0).any(which)).collect()
        };
        let mut candidates = holders(&|name| wanted.contains(name));
        if candidates.is_empty() {
            candidates = holders(&|_| true);
        }
        let at = *candidates.get(self.rng.below(candidates.len().max(1)))?;
        let (pod, node) = self.running.remove(at);
        self.scheduler.forget(&pod, node);
        self.host.take([ClusterEvent::PodDeleted(pod.metadata.uid.clone())]);
        let kind = EventKind::Finished { node: self.scheduler.name(node).to_owned() };
        Some(Event { asks: asks(&pod), pod: pod.metadata.name, kind })
    }

    /// Something was freed: kube-scheduler moves the waiting pods back into its queue.
    async fn retry(&mut self) -> anyhow::Result<Vec<Event>> {
        let mut events = vec![];
        for (pod, message) in std::mem::take(&mut self.waiting) {
            let (event, waiting) = self.try_to_place(pod, Some(message)).await?;
            events.extend(event);
            self.waiting.extend(waiting);
        }
        Ok(events)
    }
}

/// The extended resources that a pod asks for.
fn extended(pod: &Pod) -> impl Iterator<Item = &String> {
    pod.spec.containers.iter().flat_map(|container| container.resources.limits.keys())
}

/// What the pod asks for, in short: its accelerators, else its CPUs.
fn asks(object: &Pod) -> String {
    let demand = pod::decode(object).0.demand;
    let accelerators: Vec<String> =
        demand.accelerators().map(|(name, _, count)| format!("{count} {}", short(name.as_str()))).collect();
    match accelerators.is_empty() {
        false => accelerators.join(", "),
        true => format!("{} cpu", demand.requests.get(ResourceName::CPU) / 1000),
    }
}

/// A resource name without its domain.
pub fn short(resource: &str) -> &str {
    resource.rsplit_once('/').map_or(resource, |(_, name)| name)
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
