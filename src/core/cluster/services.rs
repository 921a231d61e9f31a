//! Where the replicas of each service are.
//!
//! The index counts what the ledger holds: it grows with the pods that the state has anyway, with at most one entry for
//! each, and is a pure function of them. A limit on the number of services would make it depend on which came first.
//! Nodes stand in it by name only, so that a node whose labels change costs nothing here: which rack or zone that is,
//! is the [domain tree](super::Domains)'s matter, and is asked when a pod is placed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::node::NodeName;
use crate::model::service::{Replica, ServiceKey};

/// The pods of a service, by node and group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sites(BTreeMap<(NodeName, Option<String>), u32>);

impl Sites {
    /// Node, group (where several pods are one replica) and number of pods, by node and group.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeName, Option<&str>, u32)> {
        self.0.iter().map(|((node, group), pods)| (node, group.as_deref(), *pods))
    }
}

/// Where the replicas of each service are. Copies share what they have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Services(BTreeMap<Arc<ServiceKey>, Arc<Sites>>);

impl Services {
    /// Where a service is, if it is anywhere.
    pub fn sites(&self, service: &ServiceKey) -> Option<&Sites> {
        self.0.get(service).map(|sites| &**sites)
    }

    /// Number of services.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A pod is on a node now.
    pub fn add(&mut self, replica: &Replica, node: &NodeName) {
        if !self.0.contains_key(&replica.service) {
            self.0.insert(Arc::new(replica.service.clone()), Arc::default());
        }
        let sites = self.0.get_mut(&replica.service).expect("it has just been made");
        *Arc::make_mut(sites).0.entry((node.clone(), replica.group.clone())).or_default() += 1;
    }

    /// A pod is not there any more.
    pub fn remove(&mut self, replica: &Replica, node: &NodeName) {
        let Some(sites) = self.0.get_mut(&replica.service) else { return };
        let pods = &mut Arc::make_mut(sites).0;
        let site = (node.clone(), replica.group.clone());
        if let Some(count) = pods.get_mut(&site) {
            *count -= 1;
            if *count == 0 {
                pods.remove(&site);
            }
        }
        if pods.is_empty() {
            self.0.remove(&replica.service);
        }
    }
}
