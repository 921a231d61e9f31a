//! Exclusive placement: pods that have a domain of a topology to themselves.

use std::sync::Arc;

/// How a pod stands to pods of other jobs, or other groups, of its kind. JobSet and LeaderWorkerSet write it on the first pod
/// as anti-affinity to all whose job (`jobset.sigs.k8s.io/job-key`) or group (`leaderworkerset.sigs.k8s.io/group-key`) is
/// another, exclusive themselves or not; kube-scheduler keeps to that in both directions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exclusivity {
    /// Whom it may mind, and who may mind it.
    pub peers: Peers,
    /// The label of nodes of which its job or group has one domain to itself. Where none is given it minds nobody, but those
    /// that are exclusive mind it.
    pub topology: Option<Arc<str>>,
}

impl Exclusivity {
    /// The labels of nodes of which the two are never in one domain; none where neither minds the other.
    pub fn apart<'e>(&'e self, other: &'e Self) -> impl Iterator<Item = &'e Arc<str>> {
        let are_peers = self.peers == other.peers;
        [&self.topology, &other.topology].into_iter().flatten().filter(move |_| are_peers)
    }
}

/// Who can mind each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peers {
    /// The jobs of all JobSets, in all namespaces.
    Jobs,
    /// The groups of all LeaderWorkerSets in this namespace.
    Groups(Arc<str>),
}
