//! Who has which devices? Read from API objects alone, whatever an allocator believes, and audited.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::{Device, ResourceClaim, ResourceSlice};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::control_plane::ControlPlane;
use crate::namespace::Namespace;

/// A device, by driver, pool and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceId {
    driver: String,
    /// As NVIDIA's driver does it, the name of the node.
    pub pool: String,
    /// The name in the pool.
    pub name: String,
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.name)
    }
}

/// A claim that has devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// `namespace/name`.
    pub claim: String,
    /// What it has for itself.
    pub devices: BTreeSet<DeviceId>,
    /// The unique ids of those who may use them.
    pub users: BTreeSet<String>,
}

impl Holding {
    /// What a claim has, if it has been given anything.
    pub fn of(claim: &ResourceClaim) -> Option<Self> {
        let status = claim.status.as_ref()?;
        let results = status.allocation.as_ref()?.devices.as_ref()?.results.as_ref()?;
        let own = results.iter().filter(|result| result.admin_access != Some(true) && result.share_id.is_none());
        let devices = own.map(|result| DeviceId {
            driver: result.driver.clone(),
            pool: result.pool.clone(),
            name: result.device.clone(),
        });
        let users = status.reserved_for.iter().flatten().map(|user| user.uid.clone());
        let claim = format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any());
        Some(Self { claim, devices: devices.collect(), users: users.collect() })
    }
}

/// A counter that devices of a pool share: driver, pool, counter set, counter.
type Counter = (String, String, String, String);

/// A device as its driver publishes it.
#[derive(Debug)]
struct Published {
    node: Option<String>,
    /// The MIG profile.
    profile: Option<String>,
    draws: Vec<(Counter, i64)>,
}

/// All devices that are published.
#[derive(Debug, Default)]
pub struct Inventory {
    devices: BTreeMap<DeviceId, Published>,
    counters: BTreeMap<Counter, i64>,
}

impl Inventory {
    /// Reads all slices of the cluster.
    pub async fn read(cp: &ControlPlane) -> Result<Self> {
        let slices: Api<ResourceSlice> = Api::all(cp.client());
        let slices = slices.list(&ListParams::default()).await.context("cannot list slices")?;
        let mut inventory = Self::default();
        for slice in slices.items {
            inventory.add(slice)?;
        }
        Ok(inventory)
    }

    fn add(&mut self, slice: ResourceSlice) -> Result<()> {
        let spec = slice.spec;
        let (driver, pool) = (spec.driver, spec.pool.name);
        let counter = |set: &str, name: &str| (driver.clone(), pool.clone(), set.to_owned(), name.to_owned());
        for set in spec.shared_counters.into_iter().flatten() {
            for (name, amount) in set.counters {
                self.counters.insert(counter(&set.name, &name), whole(&amount.value.0)?);
            }
        }
        for device in spec.devices.into_iter().flatten() {
            let mut draws = vec![];
            for draw in device.consumes_counters.iter().flatten() {
                for (name, amount) in &draw.counters {
                    draws.push((counter(&draw.counter_set, name), whole(&amount.value.0)?));
                }
            }
            let id = DeviceId { driver: driver.clone(), pool: pool.clone(), name: device.name.clone() };
            let published = Published { node: spec.node_name.clone(), profile: profile(&device), draws };
            self.devices.insert(id, published);
        }
        Ok(())
    }

    /// Fails if anything is given that is not published, a device is given twice, or partitions draw more of a counter than there is.
    pub fn check<'h>(&self, holdings: impl IntoIterator<Item = &'h Holding>) -> Result<()> {
        let mut holders: BTreeMap<&DeviceId, &str> = BTreeMap::new();
        for holding in holdings {
            for device in &holding.devices {
                ensure!(self.devices.contains_key(device), "claim {} has {device}, which is not there", holding.claim);
                if let Some(other) = holders.insert(device, &holding.claim) {
                    anyhow::bail!("device {device} was given to claims {other} and {}", holding.claim);
                }
            }
        }
        for (counter, drawn) in self.drawn(holders.keys().copied()) {
            let has = self.counters.get(&counter).copied().unwrap_or_default();
            ensure!(drawn <= has, "partitions draw {drawn} of {counter:?}, which has {has}");
        }
        Ok(())
    }

    /// Does any of these nodes have a free partition of this profile?
    pub fn has_free<'h>(
        &self,
        profile: &str,
        nodes: &BTreeSet<String>,
        holdings: impl IntoIterator<Item = &'h Holding>,
    ) -> bool {
        let taken: BTreeSet<&DeviceId> = holdings.into_iter().flat_map(|holding| &holding.devices).collect();
        let drawn = self.drawn(taken.iter().copied());
        let left = |counter: &Counter| {
            let has = self.counters.get(counter).copied().unwrap_or_default();
            has - drawn.get(counter).copied().unwrap_or_default()
        };
        self.devices.iter().any(|(id, device)| {
            device.profile.as_deref() == Some(profile)
                && device.node.as_ref().is_some_and(|node| nodes.contains(node))
                && !taken.contains(id)
                && device.draws.iter().all(|(counter, amount)| left(counter) >= *amount)
        })
    }

    /// The pools that have devices on these nodes.
    fn pools_on(&self, nodes: &BTreeSet<String>) -> BTreeSet<&String> {
        let is_there = |device: &Published| device.node.as_ref().is_some_and(|node| nodes.contains(node));
        self.devices.iter().filter(|(_, device)| is_there(device)).map(|(id, _)| &id.pool).collect()
    }

    /// Is the device a partition of this profile?
    pub fn is_of_profile(&self, device: &DeviceId, profile: &str) -> bool {
        self.devices.get(device).is_some_and(|published| published.profile.as_deref() == Some(profile))
    }

    fn drawn<'d>(&self, devices: impl Iterator<Item = &'d DeviceId>) -> BTreeMap<Counter, i64> {
        let mut drawn: BTreeMap<Counter, i64> = BTreeMap::new();
        for (counter, amount) in devices.filter_map(|device| self.devices.get(device)).flat_map(|device| &device.draws)
        {
            *drawn.entry(counter.clone()).or_default() += amount;
        }
        drawn
    }
}

impl Namespace {
    /// The claims of this scenario that have devices.
    pub async fn holdings(&self) -> Result<Vec<Holding>> {
        Ok(self.claims().await?.iter().filter_map(Holding::of).collect())
    }

    /// All claims of this scenario.
    pub async fn claims(&self) -> Result<Vec<ResourceClaim>> {
        Ok(self.device_claims().list(&ListParams::default()).await.context("cannot list claims")?.items)
    }

    /// The books of the devices: none that a claim of this scenario could have is given twice and no counter overdrawn; who has
    /// devices here is used by pods that exist; every pod here that has a node has what it claims, on that node.
    pub async fn check_devices(&self, cp: &ControlPlane) -> Result<()> {
        let inventory = Inventory::read(cp).await?;
        let all: Api<ResourceClaim> = Api::all(cp.client());
        let all = all.list(&ListParams::default()).await.context("cannot list claims")?.items;
        let holdings: Vec<Holding> = all.iter().filter_map(Holding::of).collect();
        let own = format!("{}/", self.name());
        // Others give devices twice on purpose.
        let nodes: BTreeSet<String> = self.own_nodes().await?.iter().map(ResourceExt::name_any).collect();
        let mut pools = inventory.pools_on(&nodes);
        let ours = holdings.iter().filter(|holding| holding.claim.starts_with(&own));
        pools.extend(ours.flat_map(|holding| &holding.devices).map(|device| &device.pool));
        let touches = |holding: &&Holding| holding.devices.iter().any(|device| pools.contains(&device.pool));
        inventory.check(holdings.iter().filter(touches))?;

        let pods = self.list().await?;
        let by_uid: BTreeMap<String, &Pod> = pods.iter().filter_map(|pod| Some((pod.uid()?, pod))).collect();
        let here: BTreeMap<&str, &Holding> =
            holdings.iter().filter_map(|holding| Some((holding.claim.strip_prefix(&own)?, holding))).collect();
        for holding in here.values() {
            ensure!(!holding.users.is_empty(), "claim {} has devices, and nobody uses them", holding.claim);
            for user in &holding.users {
                let pod = by_uid.get(user).with_context(|| format!("claim {} is used by nobody", holding.claim))?;
                let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
                let mut nodes = holding.devices.iter().filter_map(|device| inventory.devices[device].node.as_ref());
                let elsewhere = nodes.find(|on| node.is_some_and(|node| node != *on));
                ensure!(
                    elsewhere.is_none(),
                    "pod {} is on {node:?}, and claim {} has a device on {elsewhere:?}",
                    pod.name_any(),
                    holding.claim
                );
            }
        }
        for pod in pods.iter().filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())) {
            for claim in claims_of(pod) {
                let used =
                    here.get(claim.as_str()).is_some_and(|it| pod.uid().is_some_and(|uid| it.users.contains(&uid)));
                ensure!(used, "pod {} is on its node without devices for claim {claim}", pod.name_any());
            }
        }
        Ok(())
    }
}

/// The names of the claims that a pod uses: its own, those from templates, and the one for its extended resources.
fn claims_of(pod: &Pod) -> BTreeSet<String> {
    let named = pod.spec.iter().flat_map(|spec| spec.resource_claims.iter().flatten());
    let named = named.filter_map(|claim| claim.resource_claim_name.clone());
    let made = pod.status.iter().flat_map(|status| status.resource_claim_statuses.iter().flatten());
    let made = made.filter_map(|claim| claim.resource_claim_name.clone());
    let extended = pod.status.iter().filter_map(|status| status.extended_resource_claim_status.as_ref());
    named.chain(made).chain(extended.map(|claim| claim.resource_claim_name.clone())).collect()
}

fn profile(device: &Device) -> Option<String> {
    device.attributes.as_ref()?.get("profile")?.string.clone()
}

/// Counters of this harness are whole numbers.
fn whole(quantity: &str) -> Result<i64> {
    quantity.parse().with_context(|| format!("{quantity} is not a whole number"))
}
