//! What filter tells members of gangs, written down whenever it changes: reading it costs two look-ups.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::verdicts::Refusal;
use crate::model::gang::{GangKey, Membership};
use crate::model::node::NodeName;
use crate::model::pod::{Demand, Pod, PodUid};

/// Where the members of a gang may go now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    /// Members that have a place.
    pub places: BTreeMap<PodUid, NodeName>,
    /// Members that start each for itself.
    pub free: BTreeSet<PodUid>,
    /// Members whose claims are just being given devices; with the only node on which kube-scheduler can use these once it
    /// sees them, if it is one.
    pub unsettled: BTreeMap<PodUid, Option<NodeName>>,
    /// What such a member is told on other nodes.
    pub elsewhere: Arc<Refusal>,
    /// What members without a place are told on every node.
    pub held: Arc<Refusal>,
}

/// The notices of all gangs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Board {
    /// None for a gang of which each member starts for itself.
    notices: BTreeMap<GangKey, Option<Arc<Notice>>>,
    /// Nodes that are kept free, and for whom.
    kept_free: BTreeMap<NodeName, Arc<KeptFree>>,
    /// Nodes of which devices are just being given to claims.
    contested: BTreeSet<NodeName>,
    /// The extended resources that such devices serve, too.
    served: BTreeSet<Box<str>>,
}

/// For whom a node is kept free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptFree {
    gang: GangKey,
    priority: i32,
    created_s: i64,
    refusal: Arc<Refusal>,
}

impl KeptFree {
    pub fn new(gang: &GangKey, (priority, created_s): (i32, i64)) -> Self {
        let refusal = Refusal {
            text: format!("kept free for gang {gang}, which has waited long").into(),
            label: "kept_free",
            preemption_can_help: false,
        };
        Self { gang: gang.clone(), priority, created_s, refusal: Arc::new(refusal) }
    }
}

/// Where a pod may go, as far as its gang is concerned.
#[derive(Debug, Clone)]
pub enum Fate {
    /// Wherever it fits.
    Free,
    /// Nowhere yet.
    Held(Arc<Refusal>),
    /// To be asked for again in a moment: its claims are just being given devices. Where a pod that has devices is refused
    /// on every node, kube-scheduler takes them from it. With the only node that it offers once it sees them, if it is one.
    Unsettled(Option<NodeName>, Arc<Refusal>),
    /// There, if it still fits, and nowhere else.
    Planned(NodeName, Arc<Refusal>),
}

impl Board {
    /// Is no node kept free, and none contested? Then gangs matter to their own members only.
    pub fn is_plain(&self) -> bool {
        self.kept_free.is_empty() && self.contested.is_empty()
    }

    /// Where may this pod go?
    pub fn fate(&self, pod: &Pod) -> Fate {
        let Some(membership) = &pod.membership else { return Fate::Free };
        match self.notices.get(&membership.gang) {
            Some(None) => Fate::Free,
            Some(Some(notice)) => match notice.places.get(&pod.uid) {
                Some(node) => Fate::Planned(node.clone(), Arc::clone(&notice.elsewhere)),
                None if notice.free.contains(&pod.uid) => Fate::Free,
                None => match notice.unsettled.get(&pod.uid) {
                    Some(node) => Fate::Unsettled(node.clone(), Arc::clone(&notice.held)),
                    None => Fate::Held(Arc::clone(&notice.held)),
                },
            },
            // The scheduler can hear of a pod before we do.
            None => Fate::Held(Arc::new(held(&membership.gang, "gang_unknown", "not seen by testudo yet"))),
        }
    }

    /// Is a node kept free from whoever has this priority and age, and belongs to this gang if to any?
    pub fn keeps_free(
        &self,
        node: &str,
        priority: i32,
        created_s: i64,
        gang: Option<&GangKey>,
    ) -> Option<Arc<Refusal>> {
        let kept = self.kept_free.get(node)?;
        // Who comes first is let in: the more important, then the older.
        let is_before = (Reverse(priority), created_s) < (Reverse(kept.priority), kept.created_s);
        (gang != Some(&kept.gang) && !is_before).then(|| Arc::clone(&kept.refusal))
    }

    /// Why a node is not for a pod that asks for a resource which devices serve, if some of these are just being given to
    /// claims there: kube-scheduler does not see yet which.
    pub fn contests(&self, node: &str, demand: &Demand) -> Option<Arc<Refusal>> {
        if !self.contested.contains(node) || !demand.is_served_by(&self.served) {
            return None;
        }
        let text = "its devices are just being given to claims".into();
        Some(Arc::new(Refusal { text, label: "devices_contested", preemption_can_help: false }))
    }

    /// What [`contest`](Self::contest) has written down.
    pub(super) fn contested(&self) -> (&BTreeSet<NodeName>, &BTreeSet<Box<str>>) {
        (&self.contested, &self.served)
    }

    /// Writes down of which nodes devices are just being given to claims, and which resources they serve, too.
    pub(super) fn contest(&mut self, nodes: BTreeSet<NodeName>, served: BTreeSet<Box<str>>) {
        (self.contested, self.served) = (nodes, served);
    }

    /// Writes down which nodes are kept free, and says which are that no longer.
    pub(super) fn keep_free(&mut self, nodes: BTreeMap<NodeName, Arc<KeptFree>>) -> Vec<NodeName> {
        let before = std::mem::replace(&mut self.kept_free, nodes);
        before.into_keys().filter(|node| !self.kept_free.contains_key(node)).collect()
    }

    /// Do the members of a gang start together?
    pub fn is_together(&self, gang: &GangKey) -> bool {
        self.notices.get(gang).is_some_and(Option::is_some)
    }

    /// Writes down what is so now, nothing for a gang of which each member starts for itself. Says whether that is new.
    pub(super) fn post(&mut self, gang: &GangKey, notice: Option<Notice>) -> bool {
        if self.notices.get(gang).is_some_and(|known| known.as_deref() == notice.as_ref()) {
            return false;
        }
        self.notices.insert(gang.clone(), notice.map(Arc::new));
        true
    }

    /// The gang is gone. Says whether it was there.
    pub(super) fn strike(&mut self, gang: &GangKey) -> bool {
        self.notices.remove(gang).is_some()
    }
}

/// What a member is told that comes from a scheduler of which we do not know that it asks us.
pub fn not_ours(membership: &Membership, pod: &Pod) -> Refusal {
    let why = format!("pods of scheduler {:?} are not planned, see gangs.schedulerNames", pod.scheduler);
    held(&membership.gang, "gang_not_ours", &why)
}

/// What a member is told on a node where it may not go for the sake of its gang. No eviction would help.
pub(super) fn held(gang: &GangKey, label: &'static str, why: &str) -> Refusal {
    Refusal { text: format!("{}: {why}", gang.title()).into(), label, preemption_can_help: false }
}
