//! Who has what another has, too, and what pods show of that: a condition, as long as it is so.
//!
//! Level-based: what a pod shows is compared with what it should show, so that a write that got lost is made again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::holders::Collision;
use super::plan::Plan;
use super::{ClaimKeeper, held};
use crate::claims::{ClaimKey, SeenClaim};
use crate::cluster::Cluster;
use crate::model::pod::{Pod, PodUid};

/// A pod that is to show, or not to show any more, that a device of it was given to another claim, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The pod.
    pub pod: Arc<Pod>,
    /// What it is to show; nothing any more if none.
    pub conflict: Option<Arc<str>>,
}

/// Which pods show something, and when that was last written.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    shown: BTreeSet<PodUid>,
    written_ms: BTreeMap<PodUid, u64>,
}

impl Marks {
    /// A pod is new, or has changed.
    pub fn see(&mut self, pod: &Pod) {
        if pod.steering.conflict.is_some() {
            self.shown.insert(pod.uid.clone());
        } else {
            self.shown.remove(&pod.uid);
        }
    }

    /// A pod is gone.
    pub fn forget(&mut self, uid: &PodUid) {
        self.shown.remove(uid);
        self.written_ms.remove(uid);
    }

    /// All pods but these are gone.
    pub fn retain(&mut self, listed: &BTreeSet<PodUid>) {
        self.shown.retain(|uid| listed.contains(uid));
        self.written_ms.retain(|uid, _| listed.contains(uid));
    }
}

/// The words for what was given to several claims.
pub(super) fn conflict(collision: &Collision, claims: &BTreeSet<ClaimKey>) -> String {
    let names: Vec<String> = claims.iter().map(ToString::to_string).collect();
    format!("{collision} to claims {}", names.join(" and "))
}

impl ClaimKeeper {
    /// What of the devices of these claims is known to be given to another, too, in words.
    pub fn conflict_of(&self, own: &[ClaimKey]) -> Option<String> {
        let told = self.holders.told().find(|(_, claims)| own.iter().any(|key| claims.contains(key)));
        let told = told.map(|(collision, claims)| conflict(collision, claims));
        told.or_else(|| own.iter().find_map(|key| self.conflict_with_given(key)))
    }

    /// The same with what we gave to another: the API server has taken that, though the watch does not show it yet.
    fn conflict_with_given(&self, key: &ClaimKey) -> Option<String> {
        let is_given = |claim: &ClaimKey| claim != key && self.plans.get(claim).is_some_and(Plan::is_given);
        let holdings = self.claims.get(key)?.holdings();
        let mut collisions = self.spoken_for.collisions_of(holdings, &self.fleet);
        let (collision, claims) = collisions.find(|(_, claims)| claims.iter().any(is_given))?;
        Some(conflict(&collision, &claims))
    }

    /// Who has, or is being given, what this claim was read to have, by unique id. They may have lost it by now.
    pub fn rivals_of(&mut self, read: &SeenClaim) -> BTreeMap<ClaimKey, Box<str>> {
        let key = &read.claim.key;
        let known = held(self.claims.get(key), self.plans.get(key));
        // As if it were seen, for the time of the question.
        self.spoken_for.replace(key, &known, read.holdings(), &self.fleet);
        let collisions = self.spoken_for.collisions_of(read.holdings(), &self.fleet);
        let rivals: BTreeSet<ClaimKey> =
            collisions.flat_map(|(_, claims)| claims).filter(|claim| claim != key).collect();
        self.spoken_for.replace(key, read.holdings(), &known, &self.fleet);
        let uid_of = |key: &ClaimKey| self.claims.get(key).map(|seen| seen.claim.uid.clone());
        rivals.into_iter().filter_map(|key| uid_of(&key).map(|uid| (key, uid))).collect()
    }

    /// The pods that show something else than they should; each again only after `again_ms`.
    pub fn marks(&mut self, cluster: &Cluster, again_ms: u64, now_ms: u64) -> Vec<Mark> {
        if self.holders.collisions() == 0 && self.marks.shown.is_empty() {
            return vec![];
        }
        let mut wanted: BTreeMap<&PodUid, Arc<str>> = BTreeMap::new();
        for (collision, claims) in self.holders.told() {
            let text: Arc<str> = conflict(collision, claims).into();
            for uid in claims.iter().filter_map(|claim| self.users.get(claim)).flat_map(BTreeMap::keys) {
                wanted.entry(uid).or_insert_with(|| Arc::clone(&text));
            }
        }
        let uids: BTreeSet<&PodUid> = wanted.keys().copied().chain(&self.marks.shown).collect();
        let mut marks = vec![];
        for pod in uids.into_iter().filter_map(|uid| cluster.pod(uid)) {
            let conflict = wanted.get(&pod.uid).cloned();
            if pod.steering.conflict == conflict {
                self.marks.written_ms.remove(&pod.uid);
            } else if self.marks.written_ms.get(&pod.uid).is_none_or(|written| now_ms >= written + again_ms) {
                self.marks.written_ms.insert(pod.uid.clone(), now_ms);
                marks.push(Mark { pod: Arc::clone(pod), conflict });
            }
        }
        marks
    }
}
