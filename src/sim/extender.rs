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
use tokio::runtime::{Builder, Runtime};

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
        let (placed, typical) = (BTreeMap::new(), TypicalPods::of(world));
        Ok(Self { world, host, scheduler, ties, placed, typical, server: Some(server), runtime })
    }

    /// The pod as the API server would show it before it has a node.
    fn pod(&self, arrival: Arrival) -> Pod {
        let mut pod = Pod::clone(&self.world.pods[arrival.pod].object);
        pod.metadata.uid = uid(arrival);
        pod.metadata.name = format!("{}-{}", pod.metadata.name, arrival.id);
        pod.metadata.deletion_timestamp = None;
        pod.spec.node_name = None;
        pod.status = PodStatus { phase: Some("Pending".into()), ..PodStatus::default() };
        pod
    }
}

fn uid(arrival: Arrival) -> String {
    format!("simulated-{}", arrival.id)
}

impl Placer for ExtenderPlacer<'_> {
    /// # Panics
    /// When the extender fails: it has no reason to, and an experiment without its answer would mislead.
    fn place(&mut self, arrival: Arrival, rng: &mut Rng) -> Option<usize> {
        let pod = self.pod(arrival);
        let Self { scheduler, ties, runtime, .. } = self;
        let break_tie = |equals: &[usize]| ties.choose(equals, rng).expect("there is a highest score");
        let placed = runtime.block_on(async {
            let Outcome::Chosen(choice) = scheduler.schedule(&pod, break_tie).await? else { return Ok(None) };
            scheduler.bind(&[(&pod, choice.node)]).await?;
            anyhow::Ok(Some(choice.node))
        });
        let node = placed.unwrap_or_else(|error| panic!("the extender failed on {}: {error:#}", pod.metadata.name))?;
        self.placed.insert(arrival.id, node);
        Some(node)
    }

    fn remove(&mut self, arrival: Arrival) {
        if let Some(node) = self.placed.remove(&arrival.id) {
            self.scheduler.forget(&self.pod(arrival), node);
            self.host.take([ClusterEvent::PodDeleted(uid(arrival))]);
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
