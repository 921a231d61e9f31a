//! `ray.io`: a RayCluster is one gang of a head and groups of workers. A replica of several hosts is a part of its group.

use super::reading::{Reading, Said};

const CLUSTER: &str = "ray.io/cluster";
const NODE_TYPE: &str = "ray.io/node-type";

/// The pod's group: that of the head, or one of workers.
pub(super) const GROUP: &str = "ray.io/group";
/// How KubeRay calls the group of the head.
pub(super) const HEAD_GROUP: &str = "headgroup";
/// Which replica of the group.
pub(super) const REPLICA_INDEX: &str = "ray.io/worker-group-replica-index";
/// Which host of a replica of several.
pub(super) const HOST_INDEX: &str = "ray.io/replica-host-index";

/// Where the pod names its cluster. Pods that only talk to a cluster name it, too: those have no node type.
pub(super) fn group<'a>(reading: &Reading<'a, '_>) -> Option<Said<'a>> {
    let node_type = reading.label(NODE_TYPE)?.text;
    matches!(node_type, "head" | "worker").then(|| reading.label(CLUSTER)).flatten()
}
