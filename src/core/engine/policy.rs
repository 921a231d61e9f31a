//! Which pods are placed by testudo, and which pass untouched.

use std::collections::BTreeSet;

use crate::model::pod::Pod;
use crate::model::selector::Requirement;
use crate::placement::{CapacityPolicy, ZonePolicy};

/// Pods that are none of our business. All conditions that are given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exclusion {
    /// One of these namespaces; none means any.
    pub namespaces: BTreeSet<String>,
    /// All of these hold for the pod's labels.
    pub labels: Vec<Requirement>,
}

impl Exclusion {
    fn covers(&self, pod: &Pod) -> bool {
        (self.namespaces.is_empty() || self.namespaces.contains(&pod.key.namespace))
            && self.labels.iter().all(|requirement| requirement.holds_for(pod.labels.get(&requirement.key)))
    }
}

/// What the operator has decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Pods that pass untouched.
    pub exclusions: Vec<Exclusion>,
    /// Which kind of capacity suits which priority.
    pub capacity: CapacityPolicy,
    /// In which zones the replicas of a service belong.
    pub zones: ZonePolicy,
}

/// How a pod is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// It asks for accelerators: filtered, ordered, checked again at bind.
    Placed,
    /// It asks for none: fits wherever kube-scheduler says, better where there are no accelerators.
    Unconcerned,
    /// The policy excludes it: every node is as good as any other.
    Excluded,
}

impl Policy {
    /// How is this pod treated?
    pub fn stance(&self, pod: &Pod) -> Stance {
        if self.exclusions.iter().any(|exclusion| exclusion.covers(pod)) {
            Stance::Excluded
        } else if pod.demand.wants_accelerators() {
            Stance::Placed
        } else {
            Stance::Unconcerned
        }
    }
}
