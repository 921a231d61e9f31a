//! What is promised to whom.

use std::sync::Arc;

use crate::model::exclusive::Exclusivity;
use crate::model::fabric::DeviceSet;
use crate::model::gang::GangKey;
use crate::model::node::NodeName;
use crate::model::pod::{Demand, Pod, PodKey};
use crate::model::service::Replica;

/// How sure it is that a pod holds what the ledger says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A plan keeps the place for it, until it takes it away again.
    Planned,
    /// We are about to bind it, or do not know whether the binding succeeded. Void after this time (milliseconds of the
    /// engine's clock), unless the pod is seen on its node before.
    Assumed {
        /// When it becomes void.
        until_ms: u64,
    },
    /// The API server has accepted our binding; the watch has yet to show it.
    Committed,
    /// The pod was seen with its node.
    Observed,
}

/// What one pod holds on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Who holds it.
    pub pod: PodKey,
    /// Where.
    pub node: NodeName,
    /// How much.
    pub demand: Arc<Demand>,
    /// Of which shareable GPUs, where that was said.
    pub gpus: Option<DeviceSet>,
    /// What it is a replica of.
    pub replica: Option<Replica>,
    /// The gang that it is a member of.
    pub gang: Option<Arc<GangKey>>,
    /// Whether it has a domain to itself, and from whom it stays away.
    pub exclusivity: Option<Exclusivity>,
    /// When the pod was made, in seconds since 1970; 0 where that is not known.
    pub created_s: i64,
}

impl Holding {
    /// What `pod` holds once it is on `node`.
    pub fn of(pod: &Pod, node: &NodeName) -> Self {
        Self {
            pod: pod.key.clone(),
            node: node.clone(),
            demand: Arc::clone(&pod.demand),
            gpus: pod.gpus,
            replica: Replica::of(pod),
            gang: pod.membership.as_ref().map(|membership| Arc::new(membership.gang.clone())),
            exclusivity: pod.membership.as_ref().and_then(|membership| membership.exclusivity.clone()),
            created_s: pod.created_s,
        }
    }

    /// What is kept on `node` for a member of a gang that does not exist yet.
    pub fn of_nobody(gang: &GangKey, demand: &Arc<Demand>, node: &NodeName) -> Self {
        let name = format!("({}: a member yet to be made)", gang.name);
        Self {
            pod: PodKey { namespace: gang.namespace.clone(), name },
            node: node.clone(),
            demand: Arc::clone(demand),
            gpus: None,
            replica: None,
            gang: Some(Arc::new(gang.clone())),
            exclusivity: None,
            created_s: 0,
        }
    }
}

/// A holding, and how sure it is. Only the holding counts on the node: that it becomes surer changes no verdict.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What is held.
    pub holding: Arc<Holding>,
    /// How sure that is.
    pub standing: Standing,
}
