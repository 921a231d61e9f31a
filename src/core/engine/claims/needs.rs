//! What a pod needs of devices before it can be placed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::{ClaimKeeper, key_of};
use crate::claims::{Ask, Claim, ClaimKey, Count, MAX_DEVICES, NodeSelector, Request};
use crate::cluster::Usage;
use crate::engine::policy::ClaimPolicy;
use crate::model::node::Node;
use crate::model::pod::{Pod, PodClaim, Stage};
use crate::model::quota::{Amounts, Item};
use crate::placement::gang::Obstacle;

/// What a pod needs of devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Claims that have no devices yet, or only those that its plan gave them.
    pub open: Vec<OpenClaim>,
    /// Claims without devices that other members of its gang use, too. The first of them has it among its open ones; all
    /// stand on one node.
    pub shared: Vec<ClaimKey>,
    /// Where claims that have devices can be used; each must allow the pod's node.
    pub within: Vec<NodeSelector>,
    /// The taint of the nodes of which devices are given, if not of all.
    pub fence: Option<Arc<str>>,
    /// A claim is for a channel of a ComputeDomain: its pods talk over NVLink from node to node.
    pub joins_nodes: bool,
    /// How many devices of classes that are ours to allocate it asks for in all, with those that it has.
    pub devices: i64,
    /// What a pod like it will need that is yet to be made, if there may be one.
    pub another: Option<Arc<Needs>>,
}

/// A claim that has no devices yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenClaim {
    /// What it asks for.
    pub claim: Arc<Claim>,
    /// It is ours to allocate; else kube-scheduler does, and we only see to it that it can.
    pub is_ours: bool,
    /// What the pod calls it.
    pub alias: Box<str>,
    /// It is yet to be made, with its pod: nobody has it under the name that it has here.
    pub is_expected: bool,
}

/// Why it cannot be said yet what a pod needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unready {
    /// A claim is yet to be made from its template.
    NotMade {
        /// What the pod calls it.
        alias: Box<str>,
    },
    /// A claim has not been seen.
    NotSeen(ClaimKey),
    /// A claim is being deleted.
    Leaving(ClaimKey),
    /// What a claim was given is being taken back.
    Returning(ClaimKey),
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMade { alias } => write!(f, "claim {alias} is yet to be made from its template"),
            Self::NotSeen(claim) => write!(f, "claim {claim} does not exist"),
            Self::Leaving(claim) => write!(f, "claim {claim} is being deleted"),
            Self::Returning(claim) => write!(f, "the devices of claim {claim} are being taken back"),
        }
    }
}

impl Needs {
    /// Has it a claim that is without devices, whether that counts among its own open ones or among those of another member?
    pub fn lack_devices(&self) -> bool {
        !(self.open.is_empty() && self.shared.is_empty())
    }

    /// Is there a claim for which the pod has to wait until we have allocated it?
    pub fn is_ours_to_fill(&self) -> bool {
        self.open.iter().any(|open| open.is_ours)
    }

    /// Do both need the same, though of other claims?
    pub fn is_like(&self, other: &Self) -> bool {
        fn asks(open: &OpenClaim) -> impl PartialEq {
            let Claim { requests, constraints, configs, .. } = &*open.claim;
            (open.is_ours, requests, constraints, configs)
        }
        (&self.within, &self.fence) == (&other.within, &other.fence)
            && self.open.len() == other.open.len()
            && self.open.iter().zip(&other.open).all(|(a, b)| asks(a) == asks(b))
    }

    /// The same of claims that are yet to be made, under names that no others have.
    #[must_use]
    pub fn numbered(&self, number: usize) -> Self {
        let mut numbered = self.clone();
        for open in numbered.open.iter_mut().filter(|open| open.is_expected) {
            let claim = Arc::make_mut(&mut open.claim);
            claim.key.name = format!("{}:{number}", open.alias).into();
        }
        numbered
    }

    /// Of claims that several use, each is left with the first.
    pub fn share<'n>(all: impl IntoIterator<Item = &'n mut Arc<Needs>>) {
        let mut all: Vec<&mut Arc<Needs>> = all.into_iter().filter(|needs| !needs.open.is_empty()).collect();
        let mut users: BTreeMap<ClaimKey, u32> = BTreeMap::new();
        for open in all.iter().flat_map(|needs| &needs.open) {
            *users.entry(open.claim.key.clone()).or_default() += 1;
        }
        users.retain(|_, count| *count > 1);
        let mut left = users.clone();
        for needs in all.iter_mut().filter(|_| !users.is_empty()) {
            let shared: Vec<ClaimKey> =
                needs.open.iter().map(|open| &open.claim.key).filter(|key| users.contains_key(*key)).cloned().collect();
            if shared.is_empty() {
                continue;
            }
            let needs = Arc::make_mut(needs);
            needs.open.retain(|open| !users.contains_key(&open.claim.key) || left.remove(&open.claim.key).is_some());
            needs.shared = shared;
        }
    }

    fn count(&mut self, claim: &Claim, policy: &ClaimPolicy) {
        self.devices = self.devices.saturating_add(policy.devices(claim));
        self.joins_nodes |= asks_for_channel(claim);
    }

    /// All claims without devices that the pod uses, whoever has them among the open ones.
    pub fn keys(&self) -> BTreeSet<&ClaimKey> {
        self.open.iter().map(|open| &open.claim.key).chain(&self.shared).collect()
    }

    /// The claims without devices.
    pub fn claims(&self) -> Vec<Claim> {
        self.open.iter().map(|open| (*open.claim).clone()).collect()
    }

    /// Are there nodes on which its claims must not be?
    pub fn restrict_nodes(&self) -> bool {
        !self.within.is_empty() || self.fence.is_some()
    }

    /// What keeps its claims off this node, if anything: those that have devices cannot be used there, or others may not be
    /// given any.
    pub fn obstacle(&self, node: &Node) -> Option<Obstacle> {
        let takes = |selector: &NodeSelector| selector.takes(node.name().as_str(), &node.parts.labels);
        if !self.within.iter().all(takes) {
            return Some(Obstacle::ClaimsElsewhere);
        }
        let is_outside = |fence: &&Arc<str>| !node.parts.taints.iter().any(|taint| taint.key == ***fence);
        self.fence.as_ref().filter(is_outside).map(|fence| Obstacle::OutsideFence(Arc::clone(fence)))
    }
}

/// The class of what joins nodes: the channels of NVIDIA's ComputeDomains. Whoever asks for one asks for no GPU by that.
const CHANNELS: &str = "compute-domain-default-channel.nvidia.com";

/// The class of MIG slices of NVIDIA's driver: what is asked for by it counts as slices, and all else as GPUs.
const SLICES: &str = "mig.nvidia.com";

fn asks_for_channel(claim: &Claim) -> bool {
    claim.classes().any(|class| class == CHANNELS)
}

impl ClaimPolicy {
    /// Is this claim ours to allocate? One allocation is for all of its requests, so one request suffices.
    pub fn is_ours(&self, claim: &Claim) -> bool {
        claim.classes().any(|class| self.classes.contains(class))
    }

    /// What of a quota a claim takes: the most devices of classes that are ours that it may get, as in Kubernetes' own quota
    /// (`pkg/quota/v1/evaluator/core/resource_claims.go`).
    pub(crate) fn amounts(&self, claim: &Claim) -> Amounts {
        let amount = |ask: &Ask| {
            let item = if &*ask.class == SLICES { Item::MigSlices } else { Item::Gpus };
            let each = if ask.count == Count::All { MAX_DEVICES as i64 } else { 1 };
            Amounts::whole(item, self.count(ask).saturating_mul(each))
        };
        let most = |request: &Request| request.asks().map(amount).fold(Amounts::default(), |a, b| a.or_more(&b));
        claim.requests.iter().map(most).fold(Amounts::default(), |sum, more| sum.plus(&more))
    }

    /// How many devices of classes that are ours a claim asks for; of alternatives the first counts.
    fn devices(&self, claim: &Claim) -> i64 {
        let first = claim.requests.iter().filter_map(|request| request.asks().next());
        first.map(|ask| self.count(ask)).fold(0, i64::saturating_add)
    }

    fn count(&self, ask: &Ask) -> i64 {
        let is_gpu = self.classes.contains(&*ask.class) && !ask.admin_access && &*ask.class != CHANNELS;
        match ask.count {
            _ if !is_gpu => 0,
            Count::Exactly(count) => i64::try_from(count).unwrap_or(i64::MAX),
            Count::All => 1,
        }
    }
}

impl ClaimKeeper {
    /// Has a claim devices, or is it being given some?
    pub fn has_devices(&self, key: &ClaimKey) -> bool {
        self.plans.contains_key(key) || self.claims.get(key).is_some_and(|seen| seen.allocation.is_some())
    }

    /// What the claims of each namespace have. Of those that kube-scheduler has made for pods, what these ask for by resource
    /// counts already.
    pub fn usage(&self, policy: &ClaimPolicy) -> Usage {
        let mut usage = Usage::default();
        for (key, seen) in self.claims.iter().filter(|(key, _)| self.has_devices(key)) {
            let amounts = policy.amounts(&seen.claim);
            let by_resource = self.asked_by_pod(key, seen).copied().unwrap_or_default();
            usage.add(&key.namespace, &amounts.beyond(&by_resource));
        }
        usage
    }

    /// What a pod needs of devices. A pod without claims of ours needs nothing of us.
    ///
    /// # Errors
    /// When that cannot be said yet.
    pub fn needs(&self, pod: &Pod, policy: &ClaimPolicy) -> Result<Needs, Unready> {
        let mut needs = Needs::default();
        if !policy.is_on() {
            return Ok(needs);
        }
        if pod.membership.as_ref().is_some_and(|membership| membership.staged) {
            needs.another = Some(Arc::new(self.needs_of_another(pod, policy)));
        }
        let waits = pod.stage == Stage::Pending;
        for claim in &pod.claims {
            match self.read(pod, claim, policy, &mut needs) {
                Err(unready) if waits => return Err(unready),
                _ => {}
            }
        }
        if !waits {
            (needs.open, needs.within, needs.fence) = (vec![], vec![], None);
        }
        Ok(needs)
    }

    /// What a pod needs that is like this one, but yet to be made: claims of its own like those of this one, and those that
    /// it will share with it.
    fn needs_of_another(&self, pod: &Pod, policy: &ClaimPolicy) -> Needs {
        let mut needs = Needs::default();
        for claim in &pod.claims {
            let seen = key_of(pod, claim).and_then(|key| self.claims.get(&key));
            match seen.filter(|seen| claim.from_template && !seen.is_of_group) {
                Some(seen) => {
                    needs.count(&seen.claim, policy);
                    needs.open.push(OpenClaim {
                        claim: Arc::clone(&seen.claim),
                        is_ours: policy.is_ours(&seen.claim),
                        alias: claim.alias.clone(),
                        is_expected: true,
                    });
                }
                // What cannot be said yet is said when it is there.
                None => drop(self.read(pod, claim, policy, &mut needs)),
            }
        }
        needs
    }

    fn read(&self, pod: &Pod, claim: &PodClaim, policy: &ClaimPolicy, needs: &mut Needs) -> Result<(), Unready> {
        let not_made = || Unready::NotMade { alias: claim.alias.clone() };
        let Some(key) = key_of(pod, claim) else { return Err(not_made()) };
        let Some(seen) = self.claims.get(&key) else {
            return Err(if claim.from_template { not_made() } else { Unready::NotSeen(key) });
        };
        needs.count(&seen.claim, policy);
        let is_ours = policy.is_ours(&seen.claim);
        match (self.plans.get(&key), &seen.allocation) {
            (Some(plan), _) if plan.is_withdrawn() => return Err(Unready::Returning(key)),
            // kube-scheduler lets nobody pass with it, whatever it has.
            _ if seen.leaving => return Err(Unready::Leaving(key)),
            (None, Some(allocation)) => needs.within.extend(allocation.nodes.clone()),
            _ => {
                let (claim, alias) = (Arc::clone(&seen.claim), claim.alias.clone());
                needs.open.push(OpenClaim { claim, is_ours, alias, is_expected: false });
                if is_ours {
                    needs.fence.clone_from(&policy.fence);
                }
            }
        }
        Ok(())
    }
}
