//! Keeping nodes free for a gang that has waited too long.
//!
//! Smaller work may pass a gang that does not fit, and where there is always some it would pass for ever. A gang's profile can
//! end that: nodes on which the gang would fit once what runs there has ended take no more pods of lower
//! priority, or of the same and younger. Nobody is evicted. It lasts for a limited time, and then not again for a while, so
//! that a gang for which nothing ends does not keep nodes idle for ever. A node is kept for one gang at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::board::KeptFree;
use super::preemption::{self, Yielder};
use super::task::PlanTask;
use super::{GangKeeper, Kept, NewsKind};
use crate::cluster::Cluster;
use crate::engine::Starvation;
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
    /// Nodes are kept free for a gang from now on, save those that are for another.
    pub(super) fn reserve(&mut self, key: &GangKey, nodes: BTreeSet<NodeName>, cluster: &mut Cluster, now_ms: u64) {
        let taken = self
            .kept
            .values()
            .filter_map(|kept| kept.patience.reserve.as_ref())
            .any(|(others, _)| !others.is_disjoint(&nodes));
        let Some(kept) = self.kept.get_mut(key).filter(|_| !taken) else { return };
        let Some(Starvation { keep_free_ms, .. }) = kept.profile.starvation else { return };
        let count = nodes.len();
        kept.patience.reserve = Some((nodes, now_ms + keep_free_ms));
        self.tell(
            key,
            NewsKind::Waiting,
            format_args!("has waited long: {count} nodes take no later pods until it fits"),
        );
        self.post_reserves(cluster);
    }

    /// Reserves end in time, or when their gang has places.
    pub(super) fn end_reserves(&mut self, cluster: &mut Cluster, now_ms: u64) {
        let mut ended = false;
        let is_concerned = |kept: &&mut Kept| kept.patience.reserve.is_some() || kept.profile.starvation.is_some();
        for kept in self.kept.values_mut().filter(is_concerned) {
            let still_waits = kept.lacks_places();
            ended |= kept.patience.pass(still_waits, kept.profile.starvation, now_ms);
        }
        if ended {
            self.post_reserves(cluster);
        }
    }

    /// Writes down which nodes are kept free for whom. What the others kept away may fit now.
    pub(super) fn post_reserves(&mut self, cluster: &mut Cluster) {
        let reserves = self.kept.iter().filter_map(|(key, kept)| Some((key, kept, kept.patience.reserve.as_ref()?)));
        let nodes = reserves.flat_map(|(key, kept, (nodes, _))| {
            let for_whom = Arc::new(KeptFree::new(key, kept.order()));
            nodes.iter().map(move |node| (node.clone(), Arc::clone(&for_whom)))
        });
        let nodes = nodes.collect();
        for node in Arc::make_mut(&mut self.board).keep_free(nodes) {
            cluster.reopen(&node);
            self.freed_places = true;
        }
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

    /// Lets time pass; says whether a reserve has ended, which it also does when the profile allows none any more.
    fn pass(&mut self, still_waits: bool, allowed: Option<Starvation>, now_ms: u64) -> bool {
        match still_waits {
            true => drop(self.waiting_since_ms.get_or_insert(now_ms)),
            false => self.waiting_since_ms = None,
        }
        let is_due = |until_ms| !still_waits || now_ms >= until_ms || allowed.is_none();
        let is_over = self.reserve.as_ref().is_some_and(|(_, until_ms)| is_due(*until_ms));
        if is_over {
            self.reserve = None;
            self.not_before_ms = now_ms + allowed.map_or(0, |starvation| starvation.pause_ms);
        }
        is_over
    }
}

impl Kept {
    /// Is it time to keep nodes free for it?
    pub(super) fn is_starving(&self, now_ms: u64) -> bool {
        let Some(Starvation { after_ms, .. }) = self.profile.starvation else { return false };
        let patience = &self.patience;
        let has_waited = patience.waiting_since_ms.is_some_and(|since| now_ms >= since + after_ms);
        has_waited && patience.reserve.is_none() && now_ms >= patience.not_before_ms && self.lacks_places()
    }

    /// Priority and age: who comes before whom.
    fn order(&self) -> (i32, i64) {
        self.roster.as_ref().map_or((i32::MIN, i64::MAX), |roster| (roster.priority, roster.created_s))
    }
}
