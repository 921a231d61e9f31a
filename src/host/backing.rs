//! Devices that stand behind extended resources: nodes do not say them, so they are added to what nodes say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use testudo_core::engine::{Census, Change, Counted, Engine};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::node::{Node, NodeName, NodeParts};
use testudo_core::model::resources::Resources;
use tracing::error;

use super::Host;
use crate::claims::{ClaimsError, with_large_stack};

/// How many devices stand behind each extended resource, by node.
#[derive(Debug, Default)]
pub struct Backing(BTreeMap<NodeName, Resources>);

impl Backing {
    /// Adds them to what a node says. What a device plugin has said counts before: so it does for kube-scheduler.
    pub fn complete(&self, parts: &mut NodeParts) {
        for (resource, count) in self.0.get(parts.name.as_str()).into_iter().flat_map(Resources::iter) {
            if count > 0 && parts.capacity.get(resource.as_str()) == 0 {
                parts.capacity.set(resource.clone(), count);
                parts.allocatable.set(resource.clone(), count);
            }
        }
    }

    /// A node is gone.
    pub fn forget(&mut self, node: &str) {
        self.0.remove(node);
    }

    /// All nodes but these are gone.
    pub fn retain(&mut self, nodes: &BTreeSet<String>) {
        self.0.retain(|name, _| nodes.contains(name.as_str()));
    }

    /// Takes in what was counted: nodes of which that says something new are others from now on.
    fn take_in(&mut self, counted: Counted, engine: &mut Engine, catalogue: &Catalogue, now_ms: u64) {
        for (name, counts) in engine.take_in_census(counted) {
            let Some(node) = engine.cluster().node(name.as_str()).and_then(|state| state.node()) else { continue };
            let mut parts = node.parts.clone();
            self.replace(&mut parts, counts);
            if parts != node.parts {
                // What is odd about the node was told when it was seen.
                let (mut node, _) = Node::new(parts, catalogue);
                node.is_protected = engine.protected_nodes().contains(&name);
                engine.apply(Change::NodeApplied(Box::new(node)), now_ms);
            }
        }
    }

    /// Takes in what was counted on a node that was completed before, and completes it anew.
    fn replace(&mut self, parts: &mut NodeParts, counts: Resources) {
        let before = self.0.remove(parts.name.as_str()).unwrap_or_default();
        for (resource, count) in before.iter() {
            if parts.capacity.get(resource.as_str()) == count {
                parts.capacity.set(resource.clone(), 0);
                parts.allocatable.set(resource.clone(), 0);
            }
        }
        self.0.insert(parts.name.clone(), counts);
        self.complete(parts);
    }
}

impl Host {
    /// Counts devices behind extended resources, as long as there are any to count.
    pub(super) async fn count_devices(self: &Arc<Self>) {
        loop {
            let Some(census) = self.engine.lock().next_census() else { return };
            let counted = self.searches.run(|| count(census)).await;
            match counted {
                Ok(Ok(counted)) => self.take_in_census(counted),
                Ok(Err(error)) => error!(%error, "devices were not counted"),
                Err(error) => error!("devices were not counted: {error}"),
            }
        }
    }

    fn take_in_census(&self, counted: Counted) {
        let mut backing = self.backing.lock();
        let mut engine = self.engine.lock();
        backing.take_in(counted, &mut engine, &self.catalogue, self.now_ms());
        self.publish(&mut engine);
    }
}

/// Counts devices behind extended resources in an engine without a process around it, and adds them to what its nodes say.
pub(super) fn count_all(engine: &mut Engine, catalogue: &Catalogue, now_ms: u64) -> Result<(), ClaimsError> {
    let mut backing = Backing::default();
    while let Some(census) = engine.next_census() {
        backing.take_in(count(census)?, engine, catalogue, now_ms);
    }
    Ok(())
}

fn count(census: Census) -> Result<Counted, ClaimsError> {
    with_large_stack(|| Ok(census.count()))
}
