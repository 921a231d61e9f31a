//! PodGroups of Volcano.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use testudo_core::model::gang::{RoleTerms, Terms};

use super::super::super::object::null_as_default;
use super::super::limits::ROLES;
use super::super::{leader_worker_set, testudo};
use super::Saying;
use super::described::Described;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    min_member: Option<i64>,
    #[serde(deserialize_with = "null_as_default")]
    min_task_member: BTreeMap<String, i64>,
    network_topology: Option<NetworkTopology>,
    #[serde(deserialize_with = "null_as_default")]
    sub_group_policy: Vec<SubGroupPolicy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SubGroupPolicy {
    network_topology: Option<NetworkTopology>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NetworkTopology {
    #[serde(deserialize_with = "null_as_default")]
    mode: String,
}

pub(super) fn pod_group(group: &mut Described<'_>, spec: &Value) -> Result<Vec<Saying>, String> {
    let spec: Spec = group.spec(spec)?;
    // For a LeaderWorkerSet that starts its leaders first, minMember is 1 so that Volcano lets a leader go. Its pods say
    // how large the group is.
    let counts = !group.metadata.labels.contains_key(leader_worker_set::NAME);
    let min_member = spec.min_member.filter(|_| counts).map(|number| group.members("spec.minMember", number));
    let mut terms = Terms { min_member, ..Terms::default() };
    for (task, number) in spec.min_task_member.iter().take(ROLES) {
        let min_member = Some(group.members(format_args!("spec.minTaskMember[{task}]"), *number));
        terms.roles.insert(task.as_str().into(), RoleTerms { min_member, ..RoleTerms::default() });
    }
    if let Some(topology) = &spec.network_topology {
        check_topology(group, "spec.networkTopology", topology);
    }
    for (at, policy) in spec.sub_group_policy.iter().enumerate() {
        let path = format!("spec.subGroupPolicy[{at}]");
        match &policy.network_topology {
            Some(topology) => check_topology(group, &format!("{path}.networkTopology"), topology),
            None => group.note(path, "subgroups are not read; ignored"),
        }
    }
    Ok(vec![Saying { name: group.metadata.name.clone(), priority: None, terms }])
}

/// Tiers are those of HyperNode objects, which are not read. What was meant can be said in our words.
fn check_topology(group: &mut Described<'_>, field: &str, topology: &NetworkTopology) {
    let instead = testudo::TOPOLOGY;
    if group.metadata.annotations.contains_key(instead) {
        return;
    }
    match topology.mode.as_str() {
        "soft" => group.note(field, format_args!("tiers of HyperNodes are not read; {instead} says it instead")),
        _ => group.refuse(field, format_args!("tiers of HyperNodes are not read; say it with {instead} instead")),
    }
}
