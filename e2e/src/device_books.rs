//! Who has which devices? Read from API objects alone, whatever an allocator believes, and audited.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::{Device, ResourceClaim, ResourceClaimSpec, ResourceClaimTemplate, ResourceSlice};
use kube::api::{ListParams, VersionMatch};
use kube::{Api, ResourceExt};

use crate::books::{Books, has_ended, node_of};
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

    /// How many devices each of these nodes has.
    fn count_on(&self, nodes: &BTreeSet<String>) -> BTreeMap<String, i64> {
        let mut count = BTreeMap::new();
        for node in self.devices.values().filter_map(|device| device.node.as_ref()).filter(|node| nodes.contains(*node))
        {
            *count.entry(node.clone()).or_default() += 1;
        }
        count
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
        let nodes: BTreeSet<String> = self.own_nodes().await?.iter().map(ResourceExt::name_any).collect();
        let moment = self.moment(cp).await?;
        moment.check(&inventory, &nodes)?;
        moment.check_used()
    }

    /// Reads the pods of this scenario and all claims, both of one version of the store.
    pub async fn moment(&self, cp: &ControlPlane) -> Result<Moment> {
        let pods = self.pods().list(&ListParams::default()).await.context("cannot list pods")?;
        let version = pods.metadata.resource_version.context("a list without a version")?;
        let claims: Api<ResourceClaim> = Api::all(cp.client());
        let then = ListParams::default().at(&version).matching(VersionMatch::Exact);
        let claims =
            claims.list(&then).await.with_context(|| format!("cannot list the claims of version {version}"))?;
        Ok(Moment { namespace: self.name().to_owned(), pods: pods.items, claims: claims.items })
    }

    /// What the pods of this scenario may ask for by templates.
    pub async fn templates(&self, cp: &ControlPlane) -> Result<BTreeMap<String, i64>> {
        let templates: Api<ResourceClaimTemplate> = Api::namespaced(cp.client(), self.name());
        let templates = templates.list(&ListParams::default()).await.context("cannot list templates of claims")?.items;
        Ok(templates.iter().map(|template| (template.name_any(), devices_asked(&template.spec.spec))).collect())
    }
}

/// Pods and claims as they were at one moment.
pub struct Moment {
    /// Of the scenario.
    namespace: String,
    /// Those of the namespace.
    pub pods: Vec<Pod>,
    /// All that there are.
    claims: Vec<ResourceClaim>,
}

impl Moment {
    /// What has to be so at any time: no device of these nodes is given twice and none of their counters overdrawn; who has a
    /// node has what it claims, on that node.
    pub fn check(&self, inventory: &Inventory, nodes: &BTreeSet<String>) -> Result<()> {
        let holdings: Vec<Holding> = self.claims.iter().filter_map(Holding::of).collect();
        let own: BTreeMap<&str, &Holding> =
            holdings.iter().filter_map(|holding| Some((self.own(holding)?, holding))).collect();
        // Others give devices twice on purpose.
        let mut pools = inventory.pools_on(nodes);
        pools.extend(own.values().flat_map(|holding| &holding.devices).map(|device| &device.pool));
        let touches = |holding: &&Holding| holding.devices.iter().any(|device| pools.contains(&device.pool));
        inventory.check(holdings.iter().filter(touches))?;
        for pod in self.pods.iter().filter(|pod| !has_ended(pod)) {
            let Some(node) = node_of(pod) else { continue };
            let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
            for claim in claims_of(pod)? {
                let used = own.get(claim.as_str()).filter(|holding| holding.users.contains(&uid));
                let used =
                    used.with_context(|| format!("pod {name} is on its node without devices for claim {claim}"))?;
                let mut places = used.devices.iter().filter_map(|device| inventory.devices[device].node.as_deref());
                let elsewhere = places.find(|on| *on != node);
                ensure!(
                    elsewhere.is_none(),
                    "pod {name} is on {node}, and claim {claim} has a device on {elsewhere:?}"
                );
            }
        }
        Ok(())
    }

    /// What has to be so when nothing happens any more: who has devices is used by pods that exist.
    pub fn check_used(&self) -> Result<()> {
        let pods: BTreeSet<String> = self.pods.iter().filter_map(ResourceExt::uid).collect();
        for holding in self.claims.iter().filter_map(Holding::of).filter(|holding| self.own(holding).is_some()) {
            ensure!(!holding.users.is_empty(), "claim {} has devices, and nobody uses them", holding.claim);
            ensure!(holding.users.is_subset(&pods), "claim {} is used by nobody", holding.claim);
        }
        Ok(())
    }

    /// The books in units of devices, where all that are published are alike and each claim is one pod's; `templates` says how
    /// many those claims ask for that are made from them.
    pub fn books(
        &self,
        inventory: &Inventory,
        nodes: &BTreeSet<String>,
        templates: &BTreeMap<String, i64>,
    ) -> Result<Books> {
        let own = self.claims.iter().filter(|claim| claim.namespace().as_ref() == Some(&self.namespace));
        let named: BTreeMap<String, i64> = own.map(|claim| (claim.name_any(), devices_asked(&claim.spec))).collect();
        Books::of(inventory.count_on(nodes), &self.pods, |pod| {
            let claims = pod.spec.iter().flat_map(|spec| spec.resource_claims.iter().flatten());
            let asks = claims.map(|claim| {
                let made = claim.resource_claim_template_name.as_ref().and_then(|name| templates.get(name));
                let asks = made.or_else(|| named.get(claim.resource_claim_name.as_ref()?));
                asks.copied().with_context(|| format!("pod {} asks by {claim:?}, which is not there", pod.name_any()))
            });
            asks.sum()
        })
    }

    /// The name of a claim of this scenario.
    fn own<'h>(&self, holding: &'h Holding) -> Option<&'h str> {
        holding.claim.strip_prefix(&self.namespace)?.strip_prefix('/')
    }
}

/// How many devices a claim asks for, of requests that say exactly what they ask for.
fn devices_asked(claim: &ResourceClaimSpec) -> i64 {
    let requests = claim.devices.iter().flat_map(|devices| devices.requests.iter().flatten());
    requests.filter_map(|request| request.exactly.as_ref()).map(|ask| ask.count.unwrap_or(1)).sum()
}

/// The names of the claims that a pod uses: its own, those from templates, and the one for its extended resources.
fn claims_of(pod: &Pod) -> Result<BTreeSet<String>> {
    let status = pod.status.as_ref();
    let made = status.iter().flat_map(|status| status.resource_claim_statuses.iter().flatten());
    let made: BTreeMap<&str, &String> =
        made.filter_map(|claim| Some((claim.name.as_str(), claim.resource_claim_name.as_ref()?))).collect();
    let extended = status.and_then(|status| status.extended_resource_claim_status.as_ref());
    let mut claims: BTreeSet<String> = made.values().map(|name| (*name).clone()).collect();
    claims.extend(extended.map(|claim| claim.resource_claim_name.clone()));
    for claim in pod.spec.iter().flat_map(|spec| spec.resource_claims.iter().flatten()) {
        claims.extend(claim.resource_claim_name.clone());
        let is_there = claim.resource_claim_template_name.is_none() || made.contains_key(claim.name.as_str());
        ensure!(is_there, "pod {} has no claim from its template for {}", pod.name_any(), claim.name);
    }
    Ok(claims)
}

fn profile(device: &Device) -> Option<String> {
    device.attributes.as_ref()?.get("profile")?.string.clone()
}

/// Counters of this harness are whole numbers.
fn whole(quantity: &str) -> Result<i64> {
    quantity.parse().with_context(|| format!("{quantity} is not a whole number"))
}
