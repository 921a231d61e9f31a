//! Nodes that are shown to kube-scheduler before it comes to a pod.

use serde::Deserialize;
use testudo_core::engine::AheadPolicy;

/// Nodes that are shown to kube-scheduler before it comes to a pod (`status.nominatedNodeName`), where many wait that are no
/// gang: it then looks at that one node instead of all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NominationsSection {
    /// `true` by default. Each costs one write on a pod, so without it a busy API server has less to do and kube-scheduler more.
    pub enabled: bool,
    /// How many pods have to wait, 32 by default.
    pub min_waiting: u32,
}

impl Default for NominationsSection {
    fn default() -> Self {
        Self { enabled: true, min_waiting: 32 }
    }
}

impl NominationsSection {
    pub(super) fn policy(&self) -> AheadPolicy {
        let min_waiting = if self.enabled { self.min_waiting as usize } else { usize::MAX };
        AheadPolicy { min_waiting, ..AheadPolicy::default() }
    }
}
