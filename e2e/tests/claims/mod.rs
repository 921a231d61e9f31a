//! Claims: testudo gives them their devices, kube-scheduler brings their pods there.

mod contended;
mod crash;
mod explained;
mod extended;
mod gang;
mod single;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use libtest_mimic::Trial;
use serde_json::Value;
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

/// What a claim was given.
struct Given {
    /// `pool/device`.
    devices: BTreeSet<String>,
    /// Somebody may use them.
    is_reserved: bool,
}

impl Setting {
    async fn new(d: &Deployed, name: &str) -> Result<Self> {
        let (gpu, mig) = (format!("{name}-gpu"), format!("{name}-mig"));
        for (class, kind) in [(&gpu, "gpu"), (&mig, "mig")] {
            d.cp.apply(devices::class(class, kind)).await?;
        }
        let scheduler = format!("{name}-scheduler");
        let pair = d.allocating_pair(&scheduler, &[&gpu, &mig]).await?;
        let ns = d.cp.namespace(name).await?;
        Ok(Self { cp: Arc::clone(&d.cp), ns, pair, scheduler, gpu, mig })
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

    fn claims(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("resource.k8s.io", "v1", "ResourceClaim");
        let resource = ApiResource::from_gvk_with_plural(&kind, "resourceclaims");
        Api::namespaced_with(self.cp.client(), self.ns.name(), &resource)
    }

    /// What each claim of the scenario has been given; nothing for one without allocation.
    async fn given(&self) -> Result<BTreeMap<String, Option<Given>>> {
        let claims = self.claims().list(&ListParams::default()).await.context("cannot list claims")?;
        let given = claims.items.into_iter().map(|claim| {
            let name = claim.metadata.name.unwrap_or_default();
            (name, given(&claim.data))
        });
        Ok(given.collect())
    }

    /// The devices of a claim.
    async fn devices_of(&self, claim: &str) -> Result<BTreeSet<String>> {
        let given = self.given().await?.remove(claim).flatten();
        Ok(given.with_context(|| format!("claim {claim} has no devices"))?.devices)
    }

    /// No device is given to two claims, and who has devices may use them.
    async fn check_books(&self) -> Result<()> {
        let mut holders: BTreeMap<String, String> = BTreeMap::new();
        for (claim, given) in self.given().await? {
            let Some(given) = given else { continue };
            ensure!(given.is_reserved, "claim {claim} has {:?}, and nobody uses it", given.devices);
            for device in given.devices {
                if let Some(other) = holders.insert(device.clone(), claim.clone()) {
                    anyhow::bail!("device {device} was given to claims {other} and {claim}");
                }
            }
        }
        Ok(())
    }
}

fn given(claim: &Value) -> Option<Given> {
    let results = claim.pointer("/status/allocation/devices/results")?.as_array()?;
    let text = |result: &Value, field: &str| result[field].as_str().unwrap_or_default().to_owned();
    let devices = results.iter().map(|result| format!("{}/{}", text(result, "pool"), text(result, "device"))).collect();
    let is_reserved =
        claim.pointer("/status/reservedFor").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    Some(Given { devices, is_reserved })
}
