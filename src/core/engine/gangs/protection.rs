//! Which nodes autoscalers are to be kept from while places on them are held for gangs.
//!
//! A node whose places are held for members that are yet to come is idle to everybody else, and so are those that are kept
//! free for a gang that has waited long. Level-based, as what is written on pods: what nodes show is compared with what they
//! should show, so that what an earlier leader has left on a node goes with the next one.

use std::collections::{BTreeMap, BTreeSet};

use super::GangKeeper;
use super::steering::Order;
use crate::engine::Policy;
use crate::model::gang::GangKey;
use crate::model::node::NodeName;

/// So long it takes at most, as a rule, until members are bound that were at bind together. Whose binding failed does not run
/// while others do: without its node the gang would go on in part.
const BOUND_WITHIN_MS: u64 = 300;

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
    fn orders(&mut self, needed: &BTreeMap<NodeName, GangKey>, now_ms: u64, again_ms: u64) -> Vec<Order> {
        self.written.retain(|_, written_ms| now_ms < *written_ms + again_ms);
        let missing = needed.iter().filter(|(node, _)| !self.shown.contains(*node));
        let protect = missing.map(|(node, gang)| Order::Protect { node: node.clone(), gang: gang.clone() });
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

    /// The nodes that plans need which have stood for a while, or of which a part may run already, and those that are kept
    /// free; each with one of the gangs.
    fn needed_nodes(&self, policy: &Policy, now_ms: u64) -> BTreeMap<NodeName, GangKey> {
        let Some(policy) = policy.autoscaling.as_ref().filter(|policy| policy.protect_nodes) else {
            return BTreeMap::new();
        };
        let mut needed = BTreeMap::new();
        for (key, kept) in &self.kept {
            let standing = kept.batches.iter().filter(|batch| {
                let is_overdue = |since_ms| now_ms >= since_ms + BOUND_WITHIN_MS;
                now_ms >= batch.made_ms + policy.protect_after_ms || batch.going_since_ms.is_some_and(is_overdue)
            });
            let planned = standing.flat_map(|batch| batch.places.values()).map(|place| &place.node);
            needed.extend(planned.chain(kept.patience.nodes_kept_free()).map(|node| (node.clone(), key.clone())));
        }
        needed
    }
}
