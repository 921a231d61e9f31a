//! `scheduling.x-k8s.io`: the coscheduling plugin of scheduler-plugins, its first API, and its still older form without an
//! object.

use testudo_core::model::gang::Terms;

use super::limits::MEMBERS;
use super::reading::{Reading, Said};

const POD_GROUP: &str = "scheduling.x-k8s.io/pod-group";
/// Of the API group `scheduling.sigs.k8s.io`.
const OLDER: &str = "pod-group.scheduling.sigs.k8s.io";
/// "Lightweight coscheduling": no object, the size beside the name.
const LIGHTWEIGHT: &str = "pod-group.scheduling.sigs.k8s.io/name";
const LIGHTWEIGHT_MIN: &str = "pod-group.scheduling.sigs.k8s.io/min-available";

/// Where the pod names its group, the newest form first.
pub(super) fn groups<'a>(reading: &Reading<'a, '_>) -> impl Iterator<Item = Said<'a>> {
    [POD_GROUP, OLDER, LIGHTWEIGHT].map(|key| reading.label(key)).into_iter().flatten()
}

pub(super) fn terms(reading: &mut Reading<'_, '_>) -> Terms {
    Terms { min_member: reading.number(reading.label(LIGHTWEIGHT_MIN), MEMBERS), ..Terms::default() }
}
