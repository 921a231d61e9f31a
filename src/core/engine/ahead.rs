//! Places for pods of no gang, ahead of kube-scheduler, while many wait.
//!
//! kube-scheduler takes one pod after the other from its queue, and looks at every node for each, unless a node is
//! nominated for it: then it looks at that one, asks filter about that one, and scores nothing. What it would choose by our
//! scores is known before the pod's turn comes, so the next pods of a long queue are shown their nodes while those before
//! them are being placed. A place is kept for them as for the members of a plan, though not for long. Nothing rests on it:
//! where kube-scheduler finds something against the node, it looks at all nodes, as ever.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Engine, Order, Policy, Stance};
use crate::cluster::{Holding, Standing};
use crate::model::pod::{Gate, Pod, PodUid, Stage};

/// When nodes are shown ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AheadPolicy {
    /// So many pods have to wait: a short queue is placed sooner than nodes could be shown to it.
    pub min_waiting: usize,
    /// So many of them come next: they may be in kube-scheduler's hands before a node could be shown to them.
    pub skipped: usize,
    /// For so many places are kept at a time.
    pub max_kept: usize,
    /// So many are found at once, so that others get to the engine in between.
    pub max_at_once: usize,
    /// For how long a place is kept, in milliseconds.
    pub keep_ms: u64,
}

impl Default for AheadPolicy {
    fn default() -> Self {
        Self { min_waiting: 32, skipped: 16, max_kept: 96, max_at_once: 16, keep_ms: 30_000 }
    }
}

/// The turn of a pod in kube-scheduler's queue: the most important first, then who came first.
type Turn = (Reverse<i32>, u64);

/// Pods that kube-scheduler has not tried yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Ahead {
    queue: BTreeMap<Turn, PodUid>,
    turns: BTreeMap<PodUid, Turn>,
    arrivals: u64,
    /// For whom places are kept: until when, and of which priority they are.
    kept: BTreeMap<PodUid, (u64, i32)>,
}

impl Ahead {
    /// A pod is new, or has changed. Says whether the place that was kept for it is to be given up.
    fn see(&mut self, pod: &Pod, policy: &Policy) -> bool {
        if self.kept.contains_key(&pod.uid) {
            return !is_untried(pod, policy) && self.kept.remove(&pod.uid).is_some();
        }
        if !is_untried(pod, policy) || pod.steering.nominated.is_some() {
            self.leave_queue(&pod.uid);
        } else if !self.turns.contains_key(&pod.uid) {
            let turn = (Reverse(pod.priority), self.arrivals);
            self.arrivals += 1;
            self.turns.insert(pod.uid.clone(), turn);
            self.queue.insert(turn, pod.uid.clone());
        }
        false
    }

    fn leave_queue(&mut self, uid: &PodUid) {
        if let Some(turn) = self.turns.remove(uid) {
            self.queue.remove(&turn);
        }
    }

    /// All pods but these are gone. Says for which of them places were kept.
    fn retain(&mut self, listed: &BTreeSet<PodUid>) -> Vec<PodUid> {
        self.queue.retain(|_, uid| listed.contains(uid));
        self.turns.retain(|uid, _| listed.contains(uid));
        self.kept.extract_if(.., |uid, _| !listed.contains(uid)).map(|(uid, _)| uid).collect()
    }

    /// Those whose places are not to be kept any more: they were to be kept until then at most, or are less important.
    fn take(&mut self, until_ms: u64, below: i32) -> Vec<PodUid> {
        let is_over = |_: &PodUid, (until, priority): &mut (u64, i32)| until_ms >= *until || *priority < below;
        self.kept.extract_if(.., is_over).map(|(uid, _)| uid).collect()
    }

    /// Those who are to be shown nodes next.
    fn next(&self, policy: &AheadPolicy) -> Vec<PodUid> {
        if self.queue.len() + self.kept.len() < policy.min_waiting {
            return vec![];
        }
        let skipped = policy.skipped.saturating_sub(self.kept.len());
        let room = policy.max_kept.saturating_sub(self.kept.len()).min(policy.max_at_once);
        self.queue.values().skip(skipped).take(room).cloned().collect()
    }
}

/// Does it wait for kube-scheduler to try it for the first time, and is it ours to place alone?
fn is_untried(pod: &Pod, policy: &Policy) -> bool {
    pod.stage == Stage::Pending
        && pod.steering.gate == Gate::Open
        && pod.steering.unscheduled.is_none()
        && !pod.leaving
        && pod.membership.is_none()
        && pod.claims.is_empty()
        && is_placed_by_us(pod, policy)
}

fn is_placed_by_us(pod: &Pod, policy: &Policy) -> bool {
    policy.is_ours(pod) && policy.stance(pod) == Stance::Placed
}

impl Engine {
    /// A pod is new, or has changed. Nothing is kept from whoever is more important, as in kube-scheduler.
    pub(super) fn see_ahead(&mut self, uid: &PodUid, is_new: bool) {
        let Some(pod) = self.cluster.pod(uid).map(Arc::clone) else { return self.forget_ahead(uid) };
        if self.ahead.see(&pod, &self.policy) {
            self.cluster.release_if_planned(uid);
        }
        if is_new && pod.stage == Stage::Pending && is_placed_by_us(&pod, &self.policy) {
            self.give_up_ahead(0, pod.priority);
        }
    }

    /// A pod is gone, or is at bind.
    pub(super) fn forget_ahead(&mut self, uid: &PodUid) {
        self.ahead.leave_queue(uid);
        if self.ahead.kept.remove(uid).is_some() {
            self.cluster.release_if_planned(uid);
        }
    }

    /// All pods but these are gone.
    pub(super) fn retain_ahead(&mut self, listed: &BTreeSet<PodUid>) {
        for uid in self.ahead.retain(listed) {
            self.cluster.release_if_planned(&uid);
        }
    }

    /// Gives up places that were to be kept until then at most, and those for pods of lower priority.
    pub(super) fn give_up_ahead(&mut self, until_ms: u64, below: i32) {
        for uid in self.ahead.take(until_ms, below) {
            self.cluster.release_if_planned(&uid);
        }
    }

    /// Finds places for the next pods of a long queue, and keeps them.
    pub(super) fn look_ahead(&mut self, now_ms: u64) -> Vec<Order> {
        self.give_up_ahead(now_ms, i32::MIN);
        let mut orders = vec![];
        for uid in self.ahead.next(&self.policy.ahead) {
            let Some(pod) = self.cluster.pod(&uid).map(Arc::clone) else { continue };
            // Whether there is a place or not: it is looked for once.
            self.ahead.leave_queue(&uid);
            // The watch may show it for the first time when it is bound already, or about to be.
            if self.cluster.holding(&uid).is_some() {
                continue;
            }
            let Some(node) = self.snapshot().judge(&pod).best().cloned() else { continue };
            let gpus = self.cluster.node(node.as_str()).and_then(|state| state.choose_gpus(&pod.demand));
            self.cluster.hold(&uid, Holding { gpus, ..Holding::of(&pod, &node) }, Standing::Planned);
            self.ahead.kept.insert(uid, (now_ms + self.policy.ahead.keep_ms, pod.priority));
            orders.push(Order::Hint { pod, node });
        }
        orders
    }
}

#[cfg(test)]
#[path = "ahead_tests.rs"]
mod tests;
