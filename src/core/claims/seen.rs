//! A claim as the cluster shows it: what it asks for, and what it has been given.

use std::sync::Arc;

use super::claim::Claim;
use super::nodes::NodeSelector;
use super::usage::Holding;
use crate::model::pod::PodUid;

/// A ResourceClaim as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenClaim {
    /// What it asks for.
    pub claim: Arc<Claim>,
    /// `metadata.resourceVersion`: of two sights of one claim the larger is the later.
    pub version: u64,
    /// What it has been given.
    pub allocation: Option<SeenAllocation>,
    /// Somebody is entitled to use what it has: `status.reservedFor` is not empty.
    pub is_reserved: bool,
    /// It is being deleted.
    pub leaving: bool,
    /// The pod for which kube-scheduler has made it, since that asks for an extended resource; if the pod says so, too, see
    /// [`Pod::claim_made`](crate::model::pod::Pod::claim_made).
    pub made_for: Option<PodUid>,
    /// It was made for a group of pods, which all use it.
    pub is_of_group: bool,
}

/// `status.allocation` of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenAllocation {
    /// The devices.
    pub holdings: Vec<Holding>,
    /// The nodes on which they can be used; none means all.
    pub nodes: Option<NodeSelector>,
    /// It was written by testudo.
    pub is_ours: bool,
}

impl SeenClaim {
    /// What it holds.
    pub fn holdings(&self) -> &[Holding] {
        self.allocation.as_ref().map_or(&[], |allocation| &allocation.holdings)
    }
}
