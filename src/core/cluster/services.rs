//! Where the replicas of each service are.
//!
//! The index counts what the ledger holds: it grows with the pods that the state has anyway, with at most one entry for
//! each, and is a pure function of them. A limit on the number of services would make it depend on which came first.
//! Pods are counted by node, and by each [domain](super::Domains) that the node is in, so that a question of where a
//! service is costs nothing that grows with the service.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::{DomainId, Slot};
use crate::model::service::{Replica, ServiceKey};

/// Pods by what they are in. Looked up, and summed up: in which order it is gone through must not matter.
type Count<K> = IndexMap<K, u32, FxBuildHasher>;

/// Pods by domain. Looked up, never iterated.
pub type ByDomain = Count<DomainId>;

/// The pods of a service. Nodes are told by their slots, which they keep as long as a pod is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sites {
    by_node: Count<Slot>,
    by_domain: ByDomain,
    /// Where several pods are one replica: the pods of each.
    groups: BTreeMap<String, Count<Slot>>,
}

impl Sites {
    /// Nodes with pods of the service, and how many; in no order.
    pub fn nodes(&self) -> impl Iterator<Item = (Slot, u32)> {
        self.by_node.iter().map(|(node, pods)| (*node, *pods))
    }

    /// Pods of the service on a node.
    pub fn on(&self, node: Slot) -> u32 {
        self.by_node.get(&node).copied().unwrap_or(0)
    }

    /// Pods of the service in a domain.
    pub fn within(&self, domain: DomainId) -> u32 {
        self.by_domain.get(&domain).copied().unwrap_or(0)
    }

    /// Nodes with pods of a group, and how many; in no order.
    pub fn group(&self, group: &str) -> impl Iterator<Item = (Slot, u32)> {
        self.groups.get(group).into_iter().flatten().map(|(node, pods)| (*node, *pods))
    }

    /// Pods of a group on a node.
    pub fn of_group_on(&self, group: &str, node: Slot) -> u32 {
        self.groups.get(group).and_then(|nodes| nodes.get(&node)).copied().unwrap_or(0)
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

    /// All services, and where they are.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceKey, &Sites)> {
        self.0.iter().map(|(key, sites)| (&**key, &**sites))
    }

    /// Number of services.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A pod is on a node now, which is in these domains.
    pub fn add(&mut self, replica: &Replica, node: Slot, domains: impl IntoIterator<Item = DomainId>) {
        if !self.0.contains_key(&replica.service) {
            self.0.insert(Arc::new(replica.service.clone()), Arc::default());
        }
        let sites = Arc::make_mut(self.0.get_mut(&replica.service).expect("it has just been made"));
        *sites.by_node.entry(node).or_default() += 1;
        domains.into_iter().for_each(|domain| *sites.by_domain.entry(domain).or_default() += 1);
        if let Some(group) = &replica.group {
            *sites.groups.entry(group.clone()).or_default().entry(node).or_default() += 1;
        }
    }

    /// A pod is not there any more.
    pub fn remove(&mut self, replica: &Replica, node: Slot, domains: impl IntoIterator<Item = DomainId>) {
        let Some(sites) = self.0.get_mut(&replica.service) else { return };
        let sites = Arc::make_mut(sites);
        take_one(&mut sites.by_node, &node);
        domains.into_iter().for_each(|domain| take_one(&mut sites.by_domain, &domain));
        if let Some(group) = &replica.group
            && let Some(nodes) = sites.groups.get_mut(group)
        {
            take_one(nodes, &node);
            if nodes.is_empty() {
                sites.groups.remove(group);
            }
        }
        if sites.by_node.is_empty() {
            self.0.remove(&replica.service);
        }
    }

    /// The node of a pod is in other domains now.
    pub fn relocate(&mut self, service: &ServiceKey, from: &[DomainId], to: &[DomainId]) {
        let Some(sites) = self.0.get_mut(service) else { return };
        let by_domain = &mut Arc::make_mut(sites).by_domain;
        from.iter().for_each(|domain| take_one(by_domain, domain));
        to.iter().for_each(|domain| *by_domain.entry(*domain).or_default() += 1);
    }
}

fn take_one<K: Hash + Eq>(count: &mut Count<K>, of: &K) {
    if let Some(pods) = count.get_mut(of) {
        *pods -= 1;
        if *pods == 0 {
            count.swap_remove(of);
        }
    }
}
