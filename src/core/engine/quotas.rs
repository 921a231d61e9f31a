//! Quotas: how much of what testudo lets start in a namespace.
//!
//! What a namespace has is counted from the state: what its pods hold or are promised, whoever placed them, what its claims
//! have, and which of its gangs have started. So nothing has to be given back, and a restart changes nothing. A pod is checked
//! when it is judged, and once more when it is bound; a gang when it is planned, as a whole.

use std::collections::BTreeMap;

use crate::cluster::Usage;
use crate::model::pod::{Pod, Stage};
use crate::model::quota::{Amounts, OverQuota, Quota};

/// How much each namespace may have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quotas {
    named: BTreeMap<Box<str>, Quota>,
    others: Option<Quota>,
}

impl Quotas {
    /// The quotas of namespaces by name, and that which each of the others has.
    pub fn new(named: impl IntoIterator<Item = (Box<str>, Quota)>, others: Option<Quota>) -> Self {
        Self { named: named.into_iter().collect(), others }
    }

    /// The quota of a namespace, if it has one.
    pub fn of(&self, namespace: &str) -> Option<&Quota> {
        self.named.get(namespace).or(self.others.as_ref())
    }

    /// Has no namespace a quota?
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.others.is_none()
    }

    /// The namespaces that have a quota of their own, by name.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(|namespace| &**namespace)
    }

    /// What stands against a pod that has no place yet.
    ///
    /// # Errors
    /// When its namespace would have more than it may.
    pub fn check(&self, pod: &Pod, used: &Used<'_>) -> Result<(), Box<OverQuota>> {
        if pod.stage != Stage::Pending {
            return Ok(());
        }
        let namespace = pod.key.namespace.as_str();
        self.check_amounts(namespace, used, || Amounts::of(&pod.demand))
    }

    /// What stands against so much more in a namespace.
    ///
    /// # Errors
    /// When it would have more than it may.
    pub fn check_amounts(
        &self,
        namespace: &str,
        used: &Used<'_>,
        more: impl FnOnce() -> Amounts,
    ) -> Result<(), Box<OverQuota>> {
        let Some(quota) = self.of(namespace) else { return Ok(()) };
        quota.check(namespace, &used.of(namespace), &more()).map_err(Box::new)
    }
}

/// What namespaces have.
#[derive(Debug, Clone, Copy)]
pub struct Used<'a> {
    /// What their pods hold.
    pub by_pods: &'a Usage,
    /// What their claims have, and how many of their gangs have started.
    pub beside: &'a Usage,
}

impl Used<'_> {
    /// What a namespace has.
    pub fn of(&self, namespace: &str) -> Amounts {
        self.by_pods.of(namespace).plus(&self.beside.of(namespace))
    }
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
