//! Claims and devices as people are shown them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ClaimKeeper;
use crate::claims::{Claim, ClaimKey, Count, DeviceId, Gpu, PoolId, SeenClaim, Taker, gpus};
use crate::engine::policy::ClaimPolicy;
use crate::model::gang::GangKey;
use crate::model::node::NodeName;
use crate::model::pod::PodUid;

/// The GPUs of nodes that drivers publish, and who has what of them.
pub type GpusByNode = Arc<BTreeMap<NodeName, Arc<Vec<Gpu>>>>;

/// A claim as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimView {
    /// Which.
    pub key: ClaimKey,
    /// How far it has come.
    pub stage: ClaimStage,
    /// What it asks for, in words.
    pub asks: String,
    /// Its devices, those that it is being given included.
    pub devices: Vec<DeviceId>,
    /// The node that these are of.
    pub node: Option<NodeName>,
    /// Is it ours to allocate?
    pub is_ours: bool,
    /// The pods that use it, as far as they are planned by us.
    pub pods: Vec<PodUid>,
    /// Their gang; of a pod that is planned by itself its own.
    pub gang: Option<GangKey>,
    /// Why it has no devices.
    pub why: Option<Arc<str>>,
    /// When its gang was made, in seconds since 1970; 0 where that is not known.
    pub created_s: i64,
}

/// How far a claim has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClaimStage {
    /// It has no devices.
    Waiting,
    /// Devices are being written on it.
    Promised,
    /// It has its devices.
    Allocated,
    /// It is being deleted.
    Leaving,
}

/// The GPUs of nodes, made anew where something has moved.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    gpus: GpusByNode,
    stale: BTreeSet<NodeName>,
    /// Who has a device, or is being given it.
    takers: BTreeMap<DeviceId, BTreeSet<ClaimKey>>,
}

impl Shown {
    /// Something of the pools of a node has moved.
    pub fn touch(&mut self, node: NodeName) {
        self.stale.insert(node);
    }

    /// A claim has a device, or has it no longer.
    pub fn note(&mut self, device: &DeviceId, claim: &ClaimKey, has: bool) {
        if has {
            self.takers.entry(device.clone()).or_default().insert(claim.clone());
        } else if let Some(takers) = self.takers.get_mut(device) {
            takers.remove(claim);
            if takers.is_empty() {
                self.takers.remove(device);
            }
        }
    }
}

impl ClaimKeeper {
    /// The GPUs of nodes that drivers publish, as they are now.
    pub fn gpus(&mut self) -> GpusByNode {
        let stale = std::mem::take(&mut self.shown.stale);
        if stale.is_empty() {
            return Arc::clone(&self.shown.gpus);
        }
        let (takers, users) = (&self.shown.takers, &self.users);
        let taker = |claim: &ClaimKey| {
            let pod = users.get(claim).and_then(|users| users.keys().next().cloned());
            Taker { claim: claim.clone(), pod }
        };
        let taken = |id: &DeviceId| takers.get(id).into_iter().flatten().map(taker).collect();
        let by_node = Arc::make_mut(&mut self.shown.gpus);
        for node in stale {
            let own = gpus(self.fleet.slices_of(&node), taken);
            if own.is_empty() {
                by_node.remove(&node);
            } else {
                by_node.insert(node, Arc::new(own));
            }
        }
        Arc::clone(&self.shown.gpus)
    }

    /// The claims that have no devices, or not for sure, by key; and how many have theirs.
    pub fn views(&self, policy: &ClaimPolicy) -> (Vec<ClaimView>, usize) {
        let is_open = |key: &&ClaimKey| self.stage(key).is_some_and(|stage| stage != ClaimStage::Allocated);
        let open: Vec<&ClaimKey> = self.claims.keys().filter(is_open).collect();
        let allocated = self.claims.len() - open.len();
        (open.into_iter().filter_map(|key| self.view(key, policy)).collect(), allocated)
    }

    /// A claim.
    pub fn view(&self, key: &ClaimKey, policy: &ClaimPolicy) -> Option<ClaimView> {
        let seen = self.claims.get(key)?;
        let planned = self.plans.get(key).map(|plan| plan.holdings.as_slice()).unwrap_or_default();
        let holdings = if seen.allocation.is_some() { seen.holdings() } else { planned };
        let users = self.users.get(key);
        let node = holdings.first().and_then(|holding| self.fleet.home(&holding.device.pool));
        Some(ClaimView {
            key: key.clone(),
            stage: self.stage(key)?,
            asks: in_words(&seen.claim),
            devices: holdings.iter().map(|holding| holding.device.clone()).collect(),
            node,
            is_ours: policy.is_ours(&seen.claim),
            pods: users.into_iter().flat_map(BTreeMap::keys).cloned().collect(),
            gang: users.and_then(|users| users.values().next().cloned()),
            why: None,
            created_s: 0,
        })
    }

    fn stage(&self, key: &ClaimKey) -> Option<ClaimStage> {
        let seen = self.claims.get(key)?;
        Some(match (&seen.allocation, self.plans.get(key)) {
            _ if seen.leaving => ClaimStage::Leaving,
            (Some(_), _) => ClaimStage::Allocated,
            (None, Some(plan)) if !plan.is_withdrawn() => ClaimStage::Promised,
            (None, _) => ClaimStage::Waiting,
        })
    }

    /// All claims, and whether they have devices.
    pub fn names(&self) -> impl Iterator<Item = (&ClaimKey, bool)> {
        self.claims.iter().map(|(key, seen)| (key, seen.allocation.is_some()))
    }

    /// A claim, as it was last seen.
    pub fn seen(&self, key: &ClaimKey) -> Option<&SeenClaim> {
        self.claims.get(key)
    }

    /// Something of these pools is to be shown anew.
    pub(super) fn show_anew<'p>(&mut self, pools: impl IntoIterator<Item = &'p PoolId>) {
        let nodes: Vec<NodeName> = pools.into_iter().filter_map(|pool| self.fleet.home(pool)).collect();
        nodes.into_iter().for_each(|node| self.shown.touch(node));
    }
}

/// `2 gpu.nvidia.com, 1 of mig.nvidia.com or gpu.nvidia.com`.
fn in_words(claim: &Claim) -> String {
    let request = |request: &crate::claims::Request| {
        let asks: Vec<String> = request
            .asks()
            .map(|ask| match ask.count {
                Count::Exactly(count) => format!("{count} {}", ask.class),
                Count::All => format!("all {}", ask.class),
            })
            .collect();
        asks.join(" or ")
    };
    claim.requests.iter().map(request).collect::<Vec<_>>().join(", ")
}
