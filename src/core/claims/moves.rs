//! What has changed since somebody last asked: whoever keeps answers throws away those that may be others by now.

use std::collections::BTreeSet;

use super::inventory::Reach;
use super::slice::PoolId;

/// What has changed of what can be allocated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// Something of every node may be different.
    pub everywhere: bool,
    /// Something of these nodes may be different.
    pub nodes: BTreeSet<Box<str>>,
    /// These pools have other devices, or something of them was taken or given back.
    pub pools: BTreeSet<PoolId>,
}

impl Moves {
    /// A pool moves for the nodes that have to look at it.
    pub(super) fn add(&mut self, pool: &PoolId, reach: Reach) {
        match reach {
            Reach::Nowhere => {}
            Reach::Node(node) => self.add_node(node),
            Reach::Everywhere => self.everywhere = true,
        }
        if !self.pools.contains(pool) {
            self.pools.insert(pool.clone());
        }
    }

    pub(super) fn add_node(&mut self, node: &str) {
        if !self.nodes.contains(node) {
            self.nodes.insert(node.into());
        }
    }
}
