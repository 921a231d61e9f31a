//! The engine of this program asked as in a cluster: filter, prioritize and bind over HTTP, by what plays kube-scheduler.
//!
//! What [`TestudoPlacer`](super::testudo::TestudoPlacer) leaves out is all here: the server, the wire, the scheduler's own
//! filters and the ties that it breaks. The host learns of a pod when filter is asked about it, and of its place from
//! bind; of one that fits nowhere nothing stays, as in the experiments.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use testudo_core::engine::Policy;
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::gang::{GangKey, Group};
use tokio::runtime::{Builder, Runtime};

use super::gangs::Gang;
use super::occupancy::Free;
use super::openb::WHOLE_GPU;
use super::placer::{Arrival, Placer, TieBreak};
use super::policy::TypicalPods;
use super::rng::Rng;
use super::testudo::free_of;
use super::world::World;
use crate::config::Mode;
use crate::extender::metrics::Metrics;
use crate::extender::{self, Running, ServerOptions};
use crate::host::{Bindings, Host};
use crate::k8s::manifests::Manifests;
use crate::k8s::object::{Pod, PodStatus};
use crate::k8s::pod;
use crate::k8s::watch::ClusterEvent;
use crate::kube_scheduler::client::{Client, OfferForm};
use crate::kube_scheduler::scheduler::{Outcome, Scheduler};

/// The extender's server with a cluster of its own, and its only client.
pub struct ExtenderPlacer<'w> {
    world: &'w World,
    host: Arc<Host>,
    scheduler: Scheduler,
    ties: TieBreak,
    /// Where each arrival was placed.
    placed: BTreeMap<usize, usize>,
    /// The group objects of gangs that were placed, by the number of their first member.
    groups: BTreeMap<usize, Vec<GangKey>>,
    typical: TypicalPods,
    server: Option<Running>,
    runtime: Runtime,
}

/// On a busy machine a request may take its time: nobody is kept waiting but the experiment.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

impl<'w> ExtenderPlacer<'w> {
    /// An empty cluster behind a server on a free port of this machine.
    ///
    /// # Errors
    /// When the system gives no threads or no port.
    pub fn new(world: &'w World, ties: TieBreak) -> anyhow::Result<Self> {
        let mut registry = Registry::default();
        let (policy, catalogue) = (Policy::default(), Catalogue::builtin());
        let host = Arc::new(Host::new(policy, Mode::Enforce, catalogue, Bindings::OwnCopy, &mut registry));
        host.take_manifests(Manifests { nodes: world.node_objects.clone(), ..Manifests::default() });
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let options = ServerOptions {
            bind_address: SocketAddr::from(([127, 0, 0, 1], 0)),
            workers: 1,
            max_nodes: world.machines.len(),
            request_timeout: REQUEST_TIMEOUT,
            ..ServerOptions::default()
        };
        let metrics = Metrics::register(&mut registry);
        let server =
            runtime.block_on(async { extender::start(Arc::clone(&host), options, metrics, Arc::new(registry)) })?;
        let client = Client::new(server.address(), OfferForm::Names)?;
        let scheduler = Scheduler::new(client, &world.node_objects);
        let (placed, groups, typical) = (BTreeMap::new(), BTreeMap::new(), TypicalPods::of(world));
        Ok(Self { world, host, scheduler, ties, placed, groups, typical, server: Some(server), runtime })
    }

    /// The pod as the API server would show it before it has a node.
    fn pod(&self, arrival: Arrival) -> Pod {
        as_it_arrives(Pod::clone(&self.world.pods[arrival.pod].object), arrival)
    }

    /// The same as a member of its gang; `number` is that of the first member.
    fn member(&self, gang: &Gang, arrival: Arrival, number: usize) -> Pod {
        as_it_arrives(gang.member(self.world, arrival, number), arrival)
    }
}

fn as_it_arrives(mut pod: Pod, arrival: Arrival) -> Pod {
    pod.metadata.uid = uid(arrival);
    pod.metadata.name = format!("{}-{}", pod.metadata.name, arrival.id);
    pod.metadata.deletion_timestamp = None;
    pod.spec.node_name = None;
    pod.status = PodStatus { phase: Some("Pending".into()), ..PodStatus::default() };
    pod
}

fn uid(arrival: Arrival) -> String {
    format!("simulated-{}", arrival.id)
}

impl Placer for ExtenderPlacer<'_> {
    /// # Panics
    /// When the extender fails: it has no reason to, and an experiment without its answer would mislead.
    fn place(&mut self, arrival: Arrival, rng: &mut Rng) -> Option<usize> {
        let pod = self.pod(arrival);
        // Who names a gang is held until it has been seen, also where each of its members starts for itself.
        let names_gang = pod::decode(&pod).0.membership.is_some();
        if names_gang {
            self.host.take([ClusterEvent::PodApplied(Box::new(pod.clone()))]);
        }
        let Self { scheduler, ties, runtime, .. } = self;
        let break_tie = |equals: &[usize]| ties.choose(equals, rng).expect("there is a highest score");
        let placed = runtime.block_on(async {
            let Outcome::Chosen(choice) = scheduler.schedule(&pod, break_tie).await? else { return Ok(None) };
            scheduler.bind(&[(&pod, choice.node)]).await?;
            anyhow::Ok(Some(choice.node))
        });
        let node = placed.unwrap_or_else(|error| panic!("the extender failed on {}: {error:#}", pod.metadata.name));
        match node {
            Some(node) => drop(self.placed.insert(arrival.id, node)),
            None if names_gang => self.host.take([ClusterEvent::PodDeleted(uid(arrival))]),
            None => {}
        }
        node
    }

    /// The members are made known as a watch would tell of them, each is scheduled by itself, and all are bound at once: no
    /// call of bind returns before all have come.
    ///
    /// # Panics
    /// As [`Self::place`].
    fn place_gang(&mut self, unit: usize, members: &[Arrival], rng: &mut Rng) -> Vec<Option<usize>> {
        let (Some(gang), Some(first)) = (&self.world.units[unit].gang, members.first()) else { return vec![] };
        let groups: Vec<Group> = gang.groups(first.id).collect();
        self.groups.insert(first.id, groups.iter().map(|group| group.key.clone()).collect());
        let pods: Vec<Pod> = members.iter().map(|member| self.member(gang, *member, first.id)).collect();
        self.host.take(groups.into_iter().map(|group| ClusterEvent::GroupApplied(Box::new(group))));
        self.host.take(pods.iter().map(|pod| ClusterEvent::PodApplied(Box::new(pod.clone()))));
        let mut nodes: Vec<Option<usize>> = vec![None; pods.len()];
        // Members beyond the minimum get places once the others have started.
        loop {
            let waiting: Vec<usize> = (0..pods.len()).filter(|at| nodes[*at].is_none()).collect();
            let placed = self.bind_waiting(&pods, &waiting, rng);
            let placed = placed.unwrap_or_else(|error| panic!("the extender failed on gang {}: {error:#}", gang.key));
            placed.iter().for_each(|(at, node)| nodes[*at] = Some(*node));
            if placed.is_empty() || nodes.iter().all(Option::is_some) {
                break;
            }
        }
        for (member, node) in members.iter().zip(&nodes) {
            node.map(|node| self.placed.insert(member.id, node));
        }
        if nodes.iter().any(Option::is_none) {
            self.forget(members.iter().zip(&pods).map(|(member, pod)| (*member, pod.clone())).collect());
            return vec![None; members.len()];
        }
        nodes
    }

    fn remove(&mut self, arrival: Arrival) {
        if self.placed.contains_key(&arrival.id) {
            let pod = self.pod(arrival);
            self.forget(vec![(arrival, pod)]);
        }
    }

    fn fragmentation(&self) -> Option<f64> {
        Some(self.typical.fragmentation(&self.free()))
    }

    fn free_gpus(&self) -> Option<Vec<usize>> {
        Some(self.free().iter().map(|free| free.gpus_with(WHOLE_GPU)).collect())
    }
}

impl ExtenderPlacer<'_> {
    /// Schedules those of these pods that wait, and binds those that have a place together. Nothing where not all that must
    /// start together have one.
    fn bind_waiting(&mut self, pods: &[Pod], waiting: &[usize], rng: &mut Rng) -> anyhow::Result<Vec<(usize, usize)>> {
        let Self { host, scheduler, ties, runtime, .. } = self;
        runtime.block_on(async {
            host.settle_gangs().await;
            let mut chosen = vec![];
            for at in waiting {
                let break_tie = |equals: &[usize]| ties.choose(equals, rng).expect("there is a highest score");
                if let Outcome::Chosen(choice) = scheduler.schedule(&pods[*at], break_tie).await? {
                    chosen.push((*at, choice.node));
                }
            }
            let bindings: Vec<(&Pod, usize)> = chosen.iter().map(|(at, node)| (&pods[*at], *node)).collect();
            scheduler.bind(&bindings).await?;
            Ok(chosen)
        })
    }

    /// These are gone, with the group objects of their gang.
    fn forget(&mut self, gone: Vec<(Arrival, Pod)>) {
        for (arrival, pod) in gone {
            if let Some(node) = self.placed.remove(&arrival.id) {
                self.scheduler.forget(&pod, node);
            }
            self.host.take([ClusterEvent::PodDeleted(uid(arrival))]);
            let groups = self.groups.remove(&arrival.id).into_iter().flatten();
            self.host.take(groups.map(ClusterEvent::GroupDeleted));
        }
    }

    fn free(&self) -> Vec<Free> {
        let snapshot = self.host.snapshot();
        free_of(self.world, |name| snapshot.node(name).map(Arc::as_ref))
    }
}

impl Drop for ExtenderPlacer<'_> {
    /// The server would go on without.
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop(false));
        }
    }
}

#[cfg(test)]
#[path = "extender_tests.rs"]
mod tests;
