//! PodGroups of scheduler-plugins. Koordinator's are written alike.

use serde::Deserialize;
use serde_json::Value;
use testudo_core::model::gang::Terms;

use super::super::koordinator;
use super::Saying;
use super::described::Described;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    min_member: Option<i64>,
    schedule_timeout_seconds: Option<i64>,
}

pub(super) fn pod_group(group: &mut Described<'_>, spec: &Value) -> Result<Vec<Saying>, String> {
    let spec: Spec = group.spec(spec)?;
    if koordinator::names_others(group.metadata) {
        let advice = "names other gangs: this is read on pods only, write it there beside \
                      gang.scheduling.koordinator.sh/name, and take it off here";
        group.refuse(format_args!("metadata.annotations[{}]", koordinator::GROUPS), advice);
    }
    let min_member = spec.min_member.map(|number| group.members("spec.minMember", number));
    let seconds = spec.schedule_timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let hold_timeout_ms = seconds.filter(|seconds| *seconds > 0).map(|seconds| seconds.saturating_mul(1000));
    let terms = Terms { min_member, hold_timeout_ms, ..Terms::default() };
    Ok(vec![Saying { name: group.metadata.name.clone(), priority: None, terms }])
}
