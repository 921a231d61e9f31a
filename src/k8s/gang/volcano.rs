//! `scheduling.volcano.sh`: PodGroups of Volcano, made by people, by its jobs, or for the pods of other controllers.

use testudo_core::model::gang::Terms;

use super::limits::MEMBERS;
use super::reading::{Reading, Said};

const GROUP_NAMES: [&str; 2] = ["scheduling.volcano.sh/group-name", "scheduling.k8s.io/group-name"];
const GROUP_MIN_MEMBER: &str = "scheduling.volcano.sh/group-min-member";

/// The task of a Volcano job that the pod belongs to.
pub(super) const TASK: &str = "volcano.sh/task-spec";
/// Its number in the task.
pub(super) const TASK_INDEX: &str = "volcano.sh/task-index";

/// Where the pod names its group.
pub(super) fn groups<'a>(reading: &Reading<'a, '_>) -> impl Iterator<Item = Said<'a>> {
    GROUP_NAMES.map(|key| reading.annotation(key)).into_iter().flatten()
}

pub(super) fn terms(reading: &mut Reading<'_, '_>) -> Terms {
    Terms { min_member: reading.number(reading.annotation(GROUP_MIN_MEMBER), MEMBERS), ..Terms::default() }
}
