//! Which member of its role a pod is, from whatever label says it.

use testudo_core::model::gang::Dialect;

use super::limits::INDICES;
use super::reading::{Reading, Said};
use super::{grove, jobset, kuberay, kueue, leader_worker_set, volcano};

/// A pod's number, and that of the part of its role in which it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Number {
    pub part: Option<u32>,
    pub index: Option<u32>,
}

/// The number of a pod of a gang of this dialect. What its controller says comes before what StatefulSets and Jobs say,
/// which it is made of: a leader's number among leaders is not its number in its group.
pub(super) fn of(reading: &Reading<'_, '_>, gang: Dialect) -> Number {
    let number = |said: Option<Said<'_>>| said.and_then(|said| said.number(INDICES).ok());
    let label = |key| number(reading.label(key));
    if let Some(index) = label(leader_worker_set::WORKER_INDEX) {
        // In a gang of several groups each group is a part.
        let part = if gang == Dialect::LeaderWorkerSet { None } else { label(leader_worker_set::GROUP_INDEX) };
        return Number { part, index: Some(index) };
    }
    if let Some(host) = label(kuberay::HOST_INDEX) {
        return Number { part: label(kuberay::REPLICA_INDEX), index: Some(host) };
    }
    let completion = || number(reading.either(jobset::COMPLETION_INDEX));
    if let Some(job) = label(jobset::JOB_INDEX) {
        return Number { part: Some(job), index: completion() };
    }
    let index = label(kuberay::REPLICA_INDEX)
        .or_else(|| label(grove::POD_INDEX))
        .or_else(|| number(reading.either(volcano::TASK_INDEX)))
        .or_else(|| label("training.kubeflow.org/replica-index"))
        .or_else(|| label(kueue::POD_INDEX))
        .or_else(|| kueue::index_label(reading).and_then(label))
        .or_else(completion)
        .or_else(|| label("apps.kubernetes.io/pod-index"))
        .or_else(|| ordinal(reading));
    Number { part: None, index }
}

/// The number at the end of the name of a StatefulSet's pod: before 1.28 no label has it.
fn ordinal(reading: &Reading<'_, '_>) -> Option<u32> {
    let name = reading.label("statefulset.kubernetes.io/pod-name")?.text;
    name.rsplit_once('-')?.1.parse().ok().filter(|index| INDICES.contains(index))
}
