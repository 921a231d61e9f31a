//! Claims: testudo gives them their devices, kube-scheduler brings their pods there.

mod churn;
mod contended;
mod crash;
mod explained;
mod extended;
mod gang;
mod single;
mod together;
mod two_schedulers;

use std::collections::BTreeSet;
use std::env;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use libtest_mimic::Trial;
use serde_json::Value;
use testudo_e2e::device_books::DeviceId;
use testudo_e2e::{ControlPlane, Namespace, NodeBuilder, PodBuilder, devices, node, pod};

use crate::deployed::{Deployed, Pair};
use crate::stage::Stage;

pub use contended::give_and_take_back;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    [
        single::scenarios(stage),
        gang::scenarios(stage),
        crash::scenarios(stage),
        contended::scenarios(stage),
        explained::scenarios(stage),
        extended::scenarios(stage),
        churn::scenarios(stage),
        two_schedulers::scenarios(stage),
        together::scenarios(stage),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A scenario's own testudo and scheduler, namespace and device classes.
struct Setting {
    cp: Arc<ControlPlane>,
    ns: Namespace,
    pair: Pair,
    scheduler: String,
    /// The class of its whole GPUs.
    gpu: String,
    /// The class of its MIG partitions.
    mig: String,
}

/// So long it may take until it is known that a device was given twice.
const FOUND_WITHIN: Duration = Duration::from_secs(2);

/// How long everything may take where much is asked for at once.
const LONG: Duration = Duration::from_secs(200);

/// A number that a variable of the environment says, or the usual one.
fn number(variable: &str, usual: u64) -> Result<u64> {
    let said = env::var(variable).ok().filter(|said| !said.is_empty());
    said.map_or(Ok(usual), |said| said.parse().with_context(|| format!("{variable}={said} is no number")))
}

impl Setting {
    async fn new(d: &Deployed, name: &str) -> Result<Self> {
        Self::behind(d, name, None).await
    }

    /// Where testudo gives only devices of nodes with this taint.
    async fn behind(d: &Deployed, name: &str, fence: Option<&str>) -> Result<Self> {
        let (gpu, mig) = (format!("{name}-gpu"), format!("{name}-mig"));
        for (class, kind) in [(&gpu, "gpu"), (&mig, "mig")] {
            d.cp.apply(devices::class(class, kind)).await?;
        }
        let scheduler = format!("{name}-scheduler");
        let pair = d.allocating_pair(&scheduler, &[&gpu, &mig], fence).await?;
        let ns = d.cp.namespace(name).await?;
        Ok(Self { cp: Arc::clone(&d.cp), ns, pair, scheduler, gpu, mig })
    }

    /// The same, where so much is asked for at once that it takes its time.
    fn patient(self) -> Self {
        let ns = self.ns.clone().with_patience(LONG);
        Self { ns, ..self }
    }

    /// A node whose devices are published in these slices.
    async fn node(&self, name: &str, slices: impl Fn(&str) -> Vec<Value>) -> Result<()> {
        self.nodes([node(&self.node_name(name))], slices).await
    }

    /// Several of them.
    async fn nodes(
        &self,
        nodes: impl IntoIterator<Item = NodeBuilder>,
        slices: impl Fn(&str) -> Vec<Value>,
    ) -> Result<()> {
        let nodes: Vec<NodeBuilder> = nodes.into_iter().collect();
        let slices: Vec<Value> = nodes.iter().flat_map(|node| slices(node.name())).collect();
        self.ns.create_nodes(nodes).await?;
        for slice in slices {
            self.cp.apply(slice).await?;
        }
        Ok(())
    }

    /// Names of nodes are shared by all scenarios.
    fn node_name(&self, name: &str) -> String {
        format!("{}-{name}", self.ns.name())
    }

    fn pod(&self, name: &str) -> PodBuilder {
        pod(name).scheduler(&self.scheduler)
    }

    /// Creates a claim.
    async fn claim(&self, name: &str, requests: Vec<Value>, constraints: Vec<Value>) -> Result<()> {
        self.cp.apply(devices::claim(self.ns.name(), name, requests, constraints)).await.map(drop)
    }

    /// The devices of a claim.
    async fn devices_of(&self, claim: &str) -> Result<BTreeSet<DeviceId>> {
        let claim = format!("{}/{claim}", self.ns.name());
        let holding = self.ns.holdings().await?.into_iter().find(|holding| holding.claim == claim);
        Ok(holding.with_context(|| format!("claim {claim} has no devices"))?.devices)
    }
}
