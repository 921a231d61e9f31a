//! `scheduling.run.ai`: PodGroups of the KAI scheduler, which its pod grouper makes for every workload.

use super::reading::{Reading, Said};

const POD_GROUP: &str = "pod-group-name";

/// The subgroup that the pod belongs to.
pub(super) const SUBGROUP: &str = "kai.scheduler/subgroup-name";

/// Where the pod names its group.
pub(super) fn group<'a>(reading: &Reading<'a, '_>) -> Option<Said<'a>> {
    reading.annotation(POD_GROUP)
}
