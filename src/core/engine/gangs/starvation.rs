//! Keeping nodes free for a gang that has waited too long.
//!
//! Smaller work may pass a gang that does not fit, and where there is always some it would pass for ever. A policy can end
//! that, by namespace: nodes on which the gang would fit once what runs there has ended take no more pods of lower
//! priority, or of the same and younger. Nobody is evicted. It lasts for a limited time, and then not again for a while, so
//! that a gang for which nothing ends does not keep nodes idle for ever. A node is kept for one gang at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::board::KeptFree;
use super::preemption::{self, Yielder};
use super::task::PlanTask;
use super::{GangKeeper, Kept, NewsKind};
use crate::engine::GangPolicy;
use crate::model::gang::GangKey;
use crate::model::node::NodeName;

/// How long a gang has waited, and which nodes are kept free for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Patience {
    /// Since when all its members are there and find no place, in the engine's milliseconds.
    waiting_since_ms: Option<u64>,
    /// What is kept free, and until when.
    reserve: Option<(BTreeSet<NodeName>, u64)>,
    /// Not again before.
    not_before_ms: u64,
}

impl PlanTask {
    /// The nodes on which the gang would fit once everything has ended that does not come before it. Nobody is evicted for
    /// that, so that all that runs there counts alike.
    pub(super) fn nodes_to_keep_free(&self) -> Option<BTreeSet<NodeName>> {
        if self.desk.is_some() {
            return None;
        }
        let drained: BTreeSet<&Yielder> = self.drainable.as_ref()?.keys().collect();
        let nodes: BTreeSet<NodeName> =
            preemption::places(self, self.drainable.as_ref()?, &drained)?.into_iter().collect();
        (!nodes.is_empty()).then_some(nodes)
    }
}

impl GangKeeper {
    /// Is it time to keep nodes free for a gang?
    pub(super) fn is_starving(&self, key: &GangKey, policy: &GangPolicy, now_ms: u64) -> bool {
        let Some(kept) = self.kept.get(key).filter(|_| policy.reserving.contains(&key.namespace)) else { return false };
        let patience = &kept.patience;
        let has_waited = patience.waiting_since_ms.is_some_and(|since| now_ms >= since + policy.starving_after_ms);
        has_waited && patience.reserve.is_none() && now_ms >= patience.not_before_ms && kept.lacks_places()
    }

    /// Nodes are kept free for a gang from now on, save those that are for another.
    pub(super) fn reserve(&mut self, key: &GangKey, nodes: BTreeSet<NodeName>, policy: &GangPolicy, now_ms: u64) {
        let taken = self
            .kept
            .values()
            .filter_map(|kept| kept.patience.reserve.as_ref())
            .any(|(others, _)| !others.is_disjoint(&nodes));
        let Some(kept) = self.kept.get_mut(key).filter(|_| !taken) else { return };
        let count = nodes.len();
        kept.patience.reserve = Some((nodes, now_ms + policy.reserve_ms));
        self.tell(
            key,
            NewsKind::Waiting,
            format_args!("has waited long: {count} nodes take no later pods until it fits"),
        );
        self.post_reserves();
    }

    /// Reserves end in time, or when their gang has places.
    pub(super) fn end_reserves(&mut self, policy: &GangPolicy, now_ms: u64) {
        let mut ended = false;
        let is_concerned = |(key, kept): &(&GangKey, &mut Kept)| {
            kept.patience.reserve.is_some() || policy.reserving.contains(&key.namespace)
        };
        for (_, kept) in self.kept.iter_mut().filter(is_concerned) {
            let still_waits = kept.lacks_places();
            ended |= kept.patience.pass(still_waits, policy, now_ms);
        }
        if ended {
            self.post_reserves();
        }
    }

    /// Writes down which nodes are kept free for whom.
    pub(super) fn post_reserves(&mut self) {
        let reserves = self.kept.iter().filter_map(|(key, kept)| Some((key, kept, kept.patience.reserve.as_ref()?)));
        let nodes = reserves.flat_map(|(key, kept, (nodes, _))| {
            let for_whom = Arc::new(KeptFree::new(key, kept.order()));
            nodes.iter().map(move |node| (node.clone(), Arc::clone(&for_whom)))
        });
        let nodes = nodes.collect();
        // What they kept away may fit now.
        self.freed_places |= Arc::make_mut(&mut self.board).keep_free(nodes);
    }
}

/// How long to wait after it was looked for nodes to keep free, in milliseconds: it takes longer than other plans.
const TRY_AGAIN_MS: u64 = 60_000;

impl Patience {
    /// Nodes to keep free were looked for, whatever came of it.
    pub fn was_tried(&mut self, now_ms: u64) {
        self.not_before_ms = now_ms + TRY_AGAIN_MS;
    }

    /// The nodes that are kept free.
    pub fn nodes_kept_free(&self) -> impl Iterator<Item = &NodeName> {
        self.reserve.iter().flat_map(|(nodes, _)| nodes)
    }

    /// Lets time pass; says whether a reserve has ended.
    fn pass(&mut self, still_waits: bool, policy: &GangPolicy, now_ms: u64) -> bool {
        match still_waits {
            true => drop(self.waiting_since_ms.get_or_insert(now_ms)),
            false => self.waiting_since_ms = None,
        }
        let is_over = self.reserve.as_ref().is_some_and(|(_, until_ms)| !still_waits || now_ms >= *until_ms);
        if is_over {
            self.reserve = None;
            self.not_before_ms = now_ms + policy.cool_down_ms;
        }
        is_over
    }
}

impl Kept {
    /// Priority and age: who comes before whom.
    fn order(&self) -> (i32, i64) {
        self.roster.as_ref().map_or((i32::MIN, i64::MAX), |roster| (roster.priority, roster.created_s))
    }
}
