//! What the engine is asked and told of claims and their devices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::claims::claims_of;
use super::{Census, ClaimNews, ClaimOutcome, ClaimPolicy, ClaimStage, ClaimView, Counted, Engine};
use crate::claims::{AllocationError, BestFit, Claim, ClaimKey, SeenClaim, Slice};
use crate::model::node::{Node, NodeName};
use crate::model::pod::Pod;
use crate::model::resources::Resources;

impl Engine {
    /// Which claims are ours.
    pub fn claim_policy(&self) -> &ClaimPolicy {
        &self.policy.claims
    }

    /// Decides anew which claims are ours. What is known of pods that wait is not looked at again: for what is tried on a
    /// [`branch`](Self::branch).
    pub fn try_with_claims(&mut self, claims: ClaimPolicy) {
        Arc::make_mut(&mut self.policy).claims = claims;
    }

    /// Are there devices that claims could be given, as far as is known?
    pub fn knows_devices(&self) -> bool {
        self.gangs.claims.knows_devices()
    }

    /// The extended resources that classes of devices serve.
    pub fn extended_resources(&self) -> BTreeSet<Box<str>> {
        self.gangs.claims.extended_resources()
    }

    /// Devices behind extended resources that should be counted, if there are any. Count them without holding up the engine,
    /// and give the result to [`take_in_census`](Self::take_in_census).
    pub fn next_census(&mut self) -> Option<Census> {
        self.gangs.claims.next_census(&self.cluster)
    }

    /// Takes in what was counted; for each node how many devices stand behind each resource.
    pub fn take_in_census(&mut self, counted: Counted) -> Vec<(NodeName, Resources)> {
        self.gangs.claims.take_in(counted)
    }

    /// A claim order was carried out, or not.
    pub fn conclude(&mut self, claim: &ClaimKey, uid: &str, outcome: ClaimOutcome, now_ms: u64) {
        let seen = match &outcome {
            ClaimOutcome::Released { seen } | ClaimOutcome::Refused { seen, .. } => seen.clone(),
            ClaimOutcome::Reserved { seen } => Some(seen.clone()),
            ClaimOutcome::Allocated { .. } | ClaimOutcome::Unknown => None,
        };
        self.gangs.claims.conclude(claim, uid, outcome);
        seen.into_iter().for_each(|seen| self.confirm_claim(*seen, now_ms));
    }

    /// The claims that a pod names, if claims are looked at.
    pub fn claims_of(&self, pod: &Pod) -> Vec<ClaimKey> {
        if self.policy.claims.is_on() { claims_of(pod) } else { vec![] }
    }

    /// Does kube-scheduler make a claim for this pod, since it asks for an extended resource that devices serve?
    pub fn is_served_by_devices(&self, pod: &Pod) -> bool {
        self.policy.claims.is_on() && pod.demand.is_served_by(&self.extended_resources())
    }

    /// Are there claims that are ours to give devices to?
    pub fn gives_devices(&self) -> bool {
        self.policy.claims.is_on()
    }

    /// Takes in a claim as it was read beside the watch.
    pub fn confirm_claim(&mut self, seen: SeenClaim, now_ms: u64) {
        self.gangs.claims.confirm(seen, &self.policy.claims, now_ms);
    }

    /// Takes in that this very claim is not there any more, as was found beside the watch.
    pub fn confirm_gone(&mut self, uid: &str) {
        self.gangs.claims.remove(uid);
    }

    /// The claims that have, or are being given, what these were read to have, as far as is known, and their unique ids.
    pub fn rivals_of(&mut self, read: &[SeenClaim]) -> BTreeMap<ClaimKey, Box<str>> {
        let is_other = |key: &ClaimKey| read.iter().all(|seen| seen.claim.key != *key);
        let rivals = read.iter().flat_map(|seen| self.gangs.claims.rivals_of(seen));
        rivals.filter(|(key, _)| is_other(key)).collect()
    }

    /// What of the devices of these claims is seen to be given to another, too, in words.
    pub fn conflict_of(&self, claims: &[ClaimKey]) -> Option<String> {
        self.gangs.claims.conflict_of(claims)
    }

    /// What of claims has been worth telling since this was last asked.
    pub fn take_claim_news(&mut self) -> Vec<ClaimNews> {
        self.gangs.claims.take_news()
    }

    /// How many devices several claims are seen to have for themselves.
    pub fn devices_given_twice(&self) -> usize {
        self.gangs.claims.given_twice()
    }

    /// The claims that have no devices, or not for sure, by key, and how many have theirs.
    pub fn claims(&self) -> (Vec<ClaimView>, usize) {
        let (open, allocated) = self.gangs.claims.views(&self.policy.claims);
        (open.into_iter().map(|view| self.with_reason(view)).collect(), allocated)
    }

    /// All claims, and whether they have devices.
    pub fn claim_names(&self) -> impl Iterator<Item = (&ClaimKey, bool)> {
        self.gangs.claims.names()
    }

    /// The claim of this key.
    pub fn claim(&self, key: &ClaimKey) -> Option<ClaimView> {
        self.gangs.claims.view(key, &self.policy.claims).map(|view| self.with_reason(view))
    }

    /// What a claim asks for.
    pub fn asked_by(&self, key: &ClaimKey) -> Option<&Arc<Claim>> {
        self.gangs.claims.seen(key).map(|seen| &seen.claim)
    }

    /// Can what a claim has been given be used on a node? One that has nothing forbids no node.
    pub fn is_usable_on(&self, key: &ClaimKey, node: &Node) -> bool {
        let allocation = self.gangs.claims.seen(key).and_then(|seen| seen.allocation.as_ref());
        let nodes = allocation.and_then(|allocation| allocation.nodes.as_ref());
        nodes.is_none_or(|nodes| nodes.takes(node.name().as_str(), &node.parts.labels))
    }

    fn with_reason(&self, view: ClaimView) -> ClaimView {
        let gang = view.gang.as_ref().and_then(|gang| self.gangs.view(gang));
        let created_s = gang.as_ref().map_or(0, |gang| gang.created_s);
        let why = match (view.stage, gang) {
            (ClaimStage::Promised | ClaimStage::Allocated | ClaimStage::Leaving, _) => None,
            (ClaimStage::Waiting, _) if !view.is_ours => {
                Some("it is kube-scheduler's to allocate, with its pod".into())
            }
            (ClaimStage::Waiting, None) => Some("no pod uses it".into()),
            (ClaimStage::Waiting, Some(gang)) => gang.why,
        };
        ClaimView { why, created_s, ..view }
    }

    /// Looks for devices for one claim on every node, whoever is to allocate it. Expressions are evaluated on the way, which
    /// needs a large stack. Nothing comes of it, but the engine's desk is away: ask a branch.
    ///
    /// # Errors
    /// When the claim asks for what cannot be judged.
    pub fn try_claim(&mut self, key: &ClaimKey) -> Option<Result<BestFit, AllocationError>> {
        let claim = self.gangs.claims.seen(key)?.claim.clone();
        Some(self.gangs.claims.take_desk(&self.cluster).best(&claim))
    }

    /// The slices that drivers publish for one node.
    pub fn slices_of(&self, node: &NodeName) -> impl Iterator<Item = &Slice> {
        self.gangs.claims.slices_of(node)
    }
}
