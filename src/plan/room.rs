//! A copy of a cluster in which workloads are tried out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use testudo_core::claims::{BestFit, ClaimKey, Slice};
use testudo_core::engine::{Change, ClaimPolicy, Engine, GangStage, GangView, Offered, Policy};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::gang::GangKey;
use testudo_core::model::node::{Node, NodeName};
use testudo_core::model::pod::{Pod, Stage};
use testudo_core::placement;

use super::claims::PodClaim;
use super::workload::{Copy, Workload, WorkloadError};
use crate::claims::{ClaimsError, with_large_stack};
use crate::host::offline::{self, NOW_MS};
use crate::k8s::manifests::Manifests;
use crate::k8s::pod;

/// A copy of a cluster.
#[derive(Debug)]
pub struct Room {
    engine: Engine,
    /// Which claims are the cluster's testudo's own: its fence is for these.
    ours: ClaimPolicy,
    /// Could it be that there are devices of which nothing is known?
    may_have_others: bool,
    /// Devices are asked for by claims, and by extended resources.
    by_claims: bool,
    by_resource: bool,
    /// How many copies of workloads have been tried.
    tried: usize,
}

/// Nodes that a cluster does not have.
#[derive(Debug, Clone, Default)]
pub struct More {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What devices their drivers publish.
    pub slices: Vec<Slice>,
}

/// Where the pods of a copy go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The nodes, in the order of the pods.
    pub nodes: Vec<NodeName>,
}

/// Why a copy does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In one sentence.
    pub reason: String,
    /// What nodes say, and how many say it: the reason that most share first. Empty for gangs, which are refused as a whole.
    pub nodes: Vec<(String, usize)>,
}

impl Room {
    /// The cluster that manifests describe, and `more` nodes.
    ///
    /// # Errors
    /// When its devices cannot be counted.
    pub fn new(manifests: &Manifests, catalogue: &Catalogue, more: More) -> Result<Self, ClaimsError> {
        // Who waits already would compete for the room: that is for `explain` to tell.
        let mut engine = offline::engine_of(manifests, catalogue, Policy::default(), |pod| pod.stage != Stage::Pending);
        let More { nodes, slices } = more;
        nodes.into_iter().for_each(|node| engine.apply(Change::NodeApplied(Box::new(node)), NOW_MS));
        slices.into_iter().for_each(|slice| engine.apply(Change::SliceApplied(Arc::new(slice)), NOW_MS));
        offline::count_devices(&mut engine, catalogue)?;
        Ok(Self::with(engine, ClaimPolicy::default(), false))
    }

    /// The cluster that an engine knows: one that nobody else decides with.
    pub fn on(mut engine: Engine) -> Self {
        if engine.stands_by() {
            engine.lead(0);
        }
        let ours = engine.claim_policy().clone();
        let may_have_others = !ours.is_on() && !engine.knows_devices();
        Self::with(engine, ours, may_have_others)
    }

    fn with(engine: Engine, ours: ClaimPolicy, may_have_others: bool) -> Self {
        Self { engine, ours, may_have_others, by_claims: false, by_resource: false, tried: 0 }
    }

    /// All nodes, by name.
    pub fn nodes(&mut self) -> Vec<Arc<Node>> {
        let snapshot = self.engine.snapshot();
        snapshot.nodes().into_iter().filter_map(|state| state.node().cloned()).collect()
    }

    /// Can it be said whether a workload fits, beside those of which this was asked before?
    ///
    /// # Errors
    /// When it cannot: it needs devices of which nothing is known here, or which others may get in another way.
    pub fn can_judge(&mut self, workload: &Workload) -> Result<(), WorkloadError> {
        let uses_claims = workload.uses_claims();
        if uses_claims && self.may_have_others {
            return Err(WorkloadError::UnknownDevices(workload.name.clone()));
        }
        self.by_claims |= uses_claims;
        self.by_resource |= workload.asks_for(&self.engine.extended_resources());
        if self.by_claims && self.by_resource {
            return Err(WorkloadError::TwoWays(workload.name.clone()));
        }
        Ok(())
    }

    /// Finds places for a copy, and devices for its claims, and takes them.
    ///
    /// # Errors
    /// When it does not fit; then nothing is taken.
    pub fn place(&mut self, workload: &Workload) -> Result<Placed, Refusal> {
        let Copy { pods, groups, claims } = workload.copy(self.tried);
        self.tried += 1;
        let pods: Vec<Pod> = pods.iter().map(|object| pod::decode(object).0).collect();
        groups.into_iter().for_each(|group| self.engine.apply(Change::GroupApplied(Box::new(group)), NOW_MS));
        let made = self.know(&pods, &claims);
        let placed = self.place_all(workload, &pods);
        placed.map_err(|refusal| {
            let refusal = in_words_of_pods(refusal, &claims);
            pods.iter().for_each(|pod| self.engine.apply(Change::PodDeleted(pod.uid.clone()), NOW_MS));
            made.into_iter().for_each(|uid| self.engine.apply(Change::ClaimDeleted(uid), NOW_MS));
            refusal
        })
    }

    /// Makes the claims of a copy known that are not, and all that its pods use ours to allocate. The unique ids of those that
    /// go with it.
    fn know(&mut self, pods: &[Pod], claims: &[PodClaim]) -> Vec<String> {
        let mut made = vec![];
        for PodClaim { seen, is_made, .. } in claims {
            if self.engine.claim(&seen.claim.key).is_none() {
                self.engine.apply(Change::ClaimApplied(Box::new(seen.clone())), NOW_MS);
                made.extend(is_made.then(|| seen.claim.uid.to_string()));
            }
        }
        let used: Vec<_> =
            pods.iter().flat_map(claims_of).filter_map(|key| self.engine.asked_by(&key)).cloned().collect();
        let classes: BTreeSet<String> = used.iter().flat_map(|claim| claim.classes()).map(str::to_owned).collect();
        // The fence is there for claims that testudo allocates: others may be given devices outside.
        let fence = self.ours.fence.clone().filter(|_| used.iter().all(|claim| self.ours.is_ours(claim)));
        // Those of earlier copies stay ours: they have been given devices.
        let classes = classes.union(&self.engine.claim_policy().classes).cloned().collect();
        self.engine.try_with_claims(ClaimPolicy { classes, fence, ..self.ours.clone() });
        made
    }

    /// Pods that wait for others or for devices are planned, the others are placed one by one.
    fn place_all(&mut self, workload: &Workload, pods: &[Pod]) -> Result<Placed, Refusal> {
        let unknown = pods.iter().flat_map(claims_of).find(|claim| self.engine.asked_by(claim).is_none());
        if let Some(claim) = unknown {
            return Err(Refusal { reason: format!("claim {claim} does not exist"), nodes: vec![] });
        }
        let snapshot = self.engine.snapshot();
        let pods: Vec<Pod> = pods.iter().map(|pod| snapshot.as_planned(pod.clone())).collect();
        let planned: Vec<Pod> = pods.iter().filter(|pod| pod.membership.is_some()).cloned().collect();
        let found = offline::place_gang(&mut self.engine, &planned);
        let found = planned.iter().zip(found).filter_map(|(pod, node)| Some((pod.uid.as_str(), node?)));
        let mut nodes: BTreeMap<&str, NodeName> = found.collect();
        let count = nodes.len();
        for pod in &pods {
            if nodes.contains_key(pod.uid.as_str()) {
                continue;
            }
            if let Some(view) = gang_of(pod).and_then(|gang| self.engine.gang(&gang)) {
                return Err(match workload.is_gang() {
                    true => gang_refusal(view, planned.len(), count),
                    false => Refusal { nodes: self.said_by_nodes(pod), ..gang_refusal(view, 1, 0) },
                });
            }
            let Some(node) = self.best_for(pod) else { return Err(self.refusal(pod)) };
            let bound = offline::bind(&mut self.engine, pod, &node);
            bound.map_err(|error| Refusal { reason: error.to_string(), nodes: vec![] })?;
            nodes.insert(pod.uid.as_str(), node);
        }
        Ok(Placed { nodes: pods.iter().filter_map(|pod| nodes.remove(pod.uid.as_str())).collect() })
    }

    /// The best node for a pod that starts for itself, and whose claims have their devices.
    fn best_for(&mut self, pod: &Pod) -> Option<NodeName> {
        let snapshot = self.engine.snapshot();
        let judgement = snapshot.judge(pod);
        let claims: Vec<ClaimKey> = claims_of(pod).collect();
        if claims.is_empty() {
            return judgement.best().cloned();
        }
        let nodes = snapshot.nodes().into_iter().filter_map(|state| state.node());
        let usable = nodes.filter(|node| claims.iter().all(|claim| self.engine.is_usable_on(claim, node)));
        let ranked = usable.filter_map(|node| {
            let rank = judgement.of(Offered::Named(node.name().as_str())).rank()?;
            Some((rank.packed(), node.name()))
        });
        ranked.min().map(|(_, node)| node.clone())
    }

    fn refusal(&mut self, pod: &Pod) -> Refusal {
        let nodes = self.said_by_nodes(pod);
        let most = nodes.first().map_or("there are no nodes", |(reason, _)| reason);
        Refusal { reason: format!("none of {} nodes has a place: {most}", self.nodes().len()), nodes }
    }

    /// What stands against a pod on each node: of the node, else of the devices that its claims would get there.
    fn said_by_nodes(&mut self, pod: &Pod) -> Vec<(String, usize)> {
        let of_claims = self.said_of_claims(pod);
        let snapshot = self.engine.snapshot();
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for state in snapshot.nodes() {
            let of_node = placement::check(&pod.demand, state).err().map(|reason| reason.to_string());
            let reason = of_node.or_else(|| of_claims.get(state.name().as_str()).cloned());
            let reason = reason.or_else(|| {
                let elsewhere =
                    |claim: &ClaimKey| state.node().is_some_and(|node| !self.engine.is_usable_on(claim, node));
                claims_of(pod).find(elsewhere).map(|claim| format!("the devices of claim {claim} are elsewhere"))
            });
            reason.into_iter().for_each(|reason| *reasons.entry(reason).or_default() += 1);
        }
        let mut reasons: Vec<(String, usize)> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    }

    /// What stands against one of a pod's claims, by node, where it gets devices on none.
    fn said_of_claims(&self, pod: &Pod) -> BTreeMap<String, String> {
        let refused = |key: &ClaimKey| {
            let mut branch = self.engine.branch();
            match with_large_stack(|| Ok(branch.try_claim(key).transpose()?)) {
                Ok(Some(BestFit::Refused(refusals))) => Some(refusals),
                // What makes a claim one that cannot be judged is the reason of the whole.
                Ok(Some(BestFit::Fits(_)) | None) | Err(_) => None,
            }
        };
        let refusals = claims_of(pod).find_map(|key| refused(&key)).unwrap_or_default();
        refusals.iter().map(|refusal| (refusal.node.to_string(), refusal.to_string())).collect()
    }
}

fn gang_of(pod: &Pod) -> Option<GangKey> {
    pod.membership.as_ref().map(|membership| membership.gang.clone())
}

/// Why not all members of a gang have places, of which `found` have one.
fn gang_refusal(view: GangView, members: usize, found: usize) -> Refusal {
    let reason = match view.why {
        Some(why) if view.stage < GangStage::Planned => why.to_string(),
        None if view.stage < GangStage::Planned => "the gang waits".to_owned(),
        _ => format!("{found} of {members} members have places, the others have none"),
    };
    Refusal { reason, nodes: vec![] }
}

/// The claims that a pod uses and that have names.
fn claims_of(pod: &Pod) -> impl Iterator<Item = ClaimKey> {
    let named = pod.claims.iter().filter_map(|claim| claim.name.clone());
    named.map(|name| ClaimKey { namespace: pod.key.namespace.as_str().into(), name })
}

/// Nobody knows the names of claims that would be made: they are called what the pods call them.
fn in_words_of_pods(refusal: Refusal, claims: &[PodClaim]) -> Refusal {
    let mut made: Vec<&PodClaim> = claims.iter().filter(|claim| claim.is_made).collect();
    // A name may begin with another.
    made.sort_by_key(|claim| std::cmp::Reverse(claim.seen.claim.key.name.len()));
    let rename = |text: String| {
        made.iter().fold(text, |text, claim| text.replace(&claim.seen.claim.key.to_string(), &claim.alias))
    };
    let nodes = refusal.nodes.into_iter().map(|(text, count)| (rename(text), count)).collect();
    Refusal { reason: rename(refusal.reason), nodes }
}
