//! Situations that have to occur, so that it means something that nothing goes wrong in them: they are counted.

use std::collections::{BTreeMap, BTreeSet};

use super::Seen;
use crate::facts::Pod;

/// What has to be remembered for that.
#[derive(Debug, Default)]
pub(super) struct Situations {
    /// After what time a gang has waited long.
    patience_ms: Option<u64>,
    /// Gangs that are over quota, since when, and whether they are counted.
    over_quota: BTreeMap<String, (u64, bool)>,
    /// Pods that were kept away from a node.
    kept_away: BTreeSet<String>,
}

impl Situations {
    pub fn new(patience_ms: Option<u64>) -> Self {
        Self { patience_ms, ..Self::default() }
    }

    /// A pod has come or changed; `pods` are all there are, with it.
    pub fn see(&mut self, pod: &Pod, before: Option<&Pod>, pods: &BTreeMap<String, Pod>, now_ms: u64, seen: &mut Seen) {
        self.count_long_over_quota(pod, now_ms, seen);
        if pod.message.contains(KEPT_FREE) && self.kept_away.insert(pod.uid.clone()) {
            seen.kept_away += 1;
        }
        let Some((gang, together)) = &pod.gang else { return };
        let others = || pods.values().filter(move |other| other.uid != pod.uid);
        let mates = || others().filter(move |other| other.gang.as_ref().is_some_and(|(name, _)| name == gang));
        let is_former = |other: &Pod| other.workload == pod.workload && other.generation < pod.generation;
        let stands_beside = || others().any(|other| is_former(other) && other.node.is_some());
        if before.is_none() {
            seen.beside_former += u64::from(stands_beside());
            let came_before = |other: &Pod| other.node.is_some() && !other.leaving;
            seen.staged += u64::from(pod.staged && mates().any(came_before));
            seen.staged_after += u64::from(pod.staged && mates().any(|other| other.succeeded && !other.leaving));
        }
        if pod.node.is_some() && before.is_none_or(|before| before.node.is_none()) {
            let runs = mates().filter(|other| other.node.is_some() && !other.ended && !other.leaving).count();
            seen.started_beside += u64::from(runs == 0 && stands_beside());
            if runs >= *together && !pod.role.is_empty() {
                let waits = |other: &Pod| other.is_pending() && other.role != pod.role && other.created <= pod.created;
                seen.extras += 1;
                seen.passed += u64::from(mates().any(waits));
            }
        }
        if !pod.queued && before.is_some_and(|before| before.queued) {
            seen.admitted += 1;
            seen.admitted_in_part += u64::from(mates().any(|other| other.queued));
        }
    }

    /// Gangs in whose conditions it stands for longer than their profile lets them wait.
    fn count_long_over_quota(&mut self, pod: &Pod, now_ms: u64, seen: &mut Seen) {
        let Some(patience_ms) = self.patience_ms else { return };
        for (since_ms, is_counted) in self.over_quota.values_mut() {
            if now_ms >= *since_ms + patience_ms && !std::mem::replace(is_counted, true) {
                seen.over_quota_long += 1;
            }
        }
        let Some((gang, _)) = &pod.gang else { return };
        if pod.node.is_some() || pod.leaving {
            self.over_quota.remove(gang);
        } else if pod.message.contains(OVER_QUOTA) {
            self.over_quota.entry(gang.clone()).or_insert((now_ms, false));
        }
    }
}

/// What testudo tells pods.
const OVER_QUOTA: &str = "over quota";
const KEPT_FREE: &str = "kept free for gang";
