//! Which nodes autoscalers are to be kept from while places on them are held for gangs.
//!
//! A node whose places are held for members that are yet to come is idle to everybody else, and so are those that are kept
//! free for a gang that has waited long. Level-based, as what is written on pods: what nodes show is compared with what they
//! should show, so that what an earlier leader has left on a node goes with the next one, unless that has a use for it.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::{Batch, Place};
use super::steering::Order;
use super::{GangKeeper, Kept};
use crate::engine::Policy;
use crate::model::gang::GangKey;
use crate::model::node::NodeName;
use crate::model::pod::PodUid;

/// So long it takes, as a rule, until a member is bound that nobody has to wait for any more. Where others of the gang run, it
/// would go on in part without the node.
const BOUND_WITHIN_MS: u64 = 300;

/// A node that is not to be removed.
struct Need {
    /// For which gang.
    gang: GangKey,
    /// It is worth writing that on the node by now. Nodes that show it already go on doing so in any case.
    is_due: bool,
}

/// Which nodes show that we protect them.
#[derive(Debug, Clone, Default)]
pub struct Protection {
    shown: BTreeSet<NodeName>,
    /// Nodes of which something was to be written lately, and when.
    written: BTreeMap<NodeName, u64>,
}

impl Protection {
    /// A node was seen that shows it, or does not.
    pub fn see(&mut self, node: &NodeName, is_protected: bool) {
        let is_news = match is_protected {
            true => self.shown.insert(node.clone()),
            false => self.shown.remove(node),
        };
        if is_news {
            self.written.remove(node);
        }
    }

    /// The nodes that show it.
    pub fn shown(&self) -> &BTreeSet<NodeName> {
        &self.shown
    }

    /// A node is gone.
    pub fn forget(&mut self, node: &NodeName) {
        self.shown.remove(node);
        self.written.remove(node);
    }

    /// All nodes but these are gone.
    pub fn retain(&mut self, listed: &BTreeSet<NodeName>) {
        self.shown.retain(|node| listed.contains(node));
        self.written.retain(|node, _| listed.contains(node));
    }

    /// What is to be written so that these nodes show it, and no others.
    fn orders(&mut self, needed: &BTreeMap<NodeName, Need>, now_ms: u64, again_ms: u64) -> Vec<Order> {
        self.written.retain(|_, written_ms| now_ms < *written_ms + again_ms);
        let missing = needed.iter().filter(|(node, need)| need.is_due && !self.shown.contains(*node));
        let protect = missing.map(|(node, need)| Order::Protect { node: node.clone(), gang: need.gang.clone() });
        let left = self.shown.iter().filter(|node| !needed.contains_key(*node));
        let orders = protect.chain(left.map(|node| Order::Unprotect { node: node.clone() }));
        let (written, mut due) = (&mut self.written, vec![]);
        for order in orders {
            let (Order::Protect { node, .. } | Order::Unprotect { node }) = &order else { continue };
            if !written.contains_key(node) {
                written.insert(node.clone(), now_ms);
                due.push(order);
            }
        }
        due
    }
}

impl GangKeeper {
    /// What is to be written on nodes now.
    pub(super) fn protections(&mut self, policy: &Policy, now_ms: u64) -> Vec<Order> {
        let needed = self.needed_nodes(policy, now_ms);
        self.protection.orders(&needed, now_ms, policy.gangs.steer_again_ms)
    }

    /// The nodes that plans need, and those that are kept free.
    fn needed_nodes(&self, policy: &Policy, now_ms: u64) -> BTreeMap<NodeName, Need> {
        let Some(policy) = policy.autoscaling.as_ref().filter(|policy| policy.protect_nodes) else {
            return BTreeMap::new();
        };
        let mut needed: BTreeMap<NodeName, Need> = BTreeMap::new();
        for (key, kept) in &self.kept {
            let places = kept.batches.iter().flat_map(|batch| batch.places.iter().map(move |place| (batch, place)));
            let planned = places.map(|(batch, (uid, place))| {
                let is_due =
                    now_ms >= batch.made_ms + policy.protect_after_ms || kept.is_short_of(batch, uid, place, now_ms);
                (&place.node, is_due)
            });
            for (node, is_due) in planned.chain(kept.patience.nodes_kept_free().map(|node| (node, true))) {
                let need = needed.entry(node.clone()).or_insert_with(|| Need { gang: key.clone(), is_due });
                need.is_due |= is_due;
            }
        }
        needed
    }
}

impl Kept {
    /// Does the gang run without somebody who must run with it, and whose place this is?
    fn is_short_of(&self, batch: &Batch, uid: &PodUid, place: &Place, now_ms: u64) -> bool {
        let is_overdue = || now_ms >= batch.going_since_ms.unwrap_or(batch.made_ms) + BOUND_WITHIN_MS;
        let is_required = || match &self.roster {
            Ok(roster) => place.pod.is_none() || roster.seats.iter().any(|seat| seat.uid() == Some(uid)),
            Err(_) => true,
        };
        place.is_left_behind || (self.runs && is_overdue() && is_required())
    }
}
