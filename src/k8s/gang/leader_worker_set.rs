//! `leaderworkerset.x-k8s.io`: a LeaderWorkerSet has replicas, each a group of a leader and workers, and each a gang.

use std::collections::BTreeMap;

use testudo_core::model::exclusive::{Exclusivity, Peers};
use testudo_core::model::gang::{Role, RoleTerms, Slices, Strictness, Terms};

use super::super::object;
use super::levels;
use super::limits::{INDICES, MEMBERS};
use super::reading::Reading;

/// Which set; also on PodGroups that are made for its groups.
pub(super) const NAME: &str = "leaderworkerset.sigs.k8s.io/name";
const SIZE: &str = "leaderworkerset.sigs.k8s.io/size";
const SUBGROUP_SIZE: &str = "leaderworkerset.sigs.k8s.io/subgroup-size";
/// Also on the LeaderWorkerSet itself.
pub(super) const EXCLUSIVE_TOPOLOGY: &str = "leaderworkerset.sigs.k8s.io/exclusive-topology";
/// Also on the LeaderWorkerSet itself.
pub(super) const SUBGROUP_EXCLUSIVE_TOPOLOGY: &str = "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology";

/// Which replica of the set.
pub const GROUP_INDEX: &str = "leaderworkerset.sigs.k8s.io/group-index";
/// Which member of the group; the leader is 0.
pub(super) const WORKER_INDEX: &str = "leaderworkerset.sigs.k8s.io/worker-index";

pub(super) const LEADER: &str = "leader";
pub(super) const WORKER: &str = "worker";

/// The name of the pod's set and the number of its group there.
fn set_and_group<'a>(reading: &Reading<'a, '_>) -> Option<(&'a str, u32)> {
    let set = reading.label(NAME)?.text;
    Some((set, reading.label(GROUP_INDEX)?.number(INDICES).ok()?))
}

/// The name of the gang: `set/group`.
pub(super) fn group(reading: &Reading<'_, '_>) -> Option<(String, String)> {
    let (set, group) = set_and_group(reading)?;
    Some((format!("metadata.labels[{NAME}]"), format!("{set}/{group}")))
}

/// How the pod stands to those of other groups, where it is of a group of a LeaderWorkerSet.
pub(super) fn exclusivity(reading: &Reading<'_, '_>) -> Option<Exclusivity> {
    set_and_group(reading)?;
    let topology = reading.annotation(EXCLUSIVE_TOPOLOGY).map(|said| said.text).filter(|key| !key.is_empty());
    let peers = Peers::Groups(reading.pod.metadata.namespace.as_str().into());
    Some(Exclusivity { peers, topology: topology.map(Into::into) })
}

/// Was the PodGroup of this name made for the pod's group by the controller of LeaderWorkerSets? It names them
/// `set-group-revision`.
pub(super) fn has_made(reading: &Reading<'_, '_>, pod_group: &str) -> bool {
    set_and_group(reading).is_some_and(|(set, group)| pod_group.starts_with(&format!("{set}-{group}-")))
}

/// Is the pod a group of its own? Then its controller makes no others that belong to it.
pub(super) fn is_alone(pod: &object::Pod) -> bool {
    pod.metadata.labels.contains_key(WORKER_INDEX) && pod.metadata.annotations.get(SIZE).is_some_and(|size| size == "1")
}

/// Leader or worker, where the pod is of a LeaderWorkerSet.
pub(super) fn role(reading: &Reading<'_, '_>) -> Option<&'static str> {
    reading.label(NAME)?;
    Some(if reading.label(WORKER_INDEX)?.text == "0" { LEADER } else { WORKER })
}

pub(super) fn terms(reading: &mut Reading<'_, '_>) -> Terms {
    let Some(size) = reading.number(reading.annotation(SIZE), MEMBERS) else { return Terms::default() };
    let subgroup = reading.number(reading.annotation(SUBGROUP_SIZE), MEMBERS);
    let exclusive = reading.annotation(EXCLUSIVE_TOPOLOGY).map(|said| said.text);
    let subgroup_exclusive = reading.annotation(SUBGROUP_EXCLUSIVE_TOPOLOGY).map(|said| said.text);
    terms_of(size, exclusive, subgroup, subgroup_exclusive)
}

/// What a LeaderWorkerSet says of each of its groups.
pub(super) fn terms_of(
    size: u32,
    exclusive: Option<&str>,
    subgroup: Option<u32>,
    subgroup_exclusive: Option<&str>,
) -> Terms {
    let role =
        |members, first| RoleTerms { min_member: Some(members), total: Some(members), first, ..RoleTerms::default() };
    let mut roles: BTreeMap<Role, RoleTerms> = BTreeMap::from([(LEADER.into(), role(1, 0))]);
    if size > 1 {
        roles.insert(WORKER.into(), role(size - 1, 1));
    }
    let mut terms = Terms { min_member: Some(size), total: Some(size), roles, ..Terms::default() };
    terms.topology.extend(levels::rule(Strictness::Required, exclusive));
    let within = levels::rule(Strictness::Required, subgroup_exclusive).map(|rule| rule.level);
    if let (Some(members), Some(within)) = (subgroup, within) {
        // A leader too many, or one left out, makes the workers alone fill the subgroups.
        let slices = Some(Slices { members, within });
        if size.is_multiple_of(members) {
            terms.slices = slices;
        } else if let Some(workers) = terms.roles.get_mut(WORKER) {
            workers.slices = slices;
        }
    }
    terms
}
