//! LeaderWorkerSets: each replica is a gang, and one object describes them all.

use serde::Deserialize;
use serde_json::Value;
use testudo_core::model::gang::RoleTerms;

use super::super::super::object::null_as_default;
use super::super::leader_worker_set::{EXCLUSIVE_TOPOLOGY, LEADER, SUBGROUP_EXCLUSIVE_TOPOLOGY, WORKER, terms_of};
use super::Saying;
use super::described::{Described, PodTemplate};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(deserialize_with = "null_as_default")]
    leader_worker_template: LeaderWorkerTemplate,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeaderWorkerTemplate {
    leader_template: Option<PodTemplate>,
    #[serde(deserialize_with = "null_as_default")]
    worker_template: PodTemplate,
    size: Option<i64>,
    sub_group_policy: Option<SubGroupPolicy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SubGroupPolicy {
    sub_group_size: Option<i64>,
}

pub(super) fn leader_worker_set(set: &mut Described<'_>, spec: &Value) -> Result<Vec<Saying>, String> {
    let spec: Spec = set.spec(spec)?;
    let template = spec.leader_worker_template;
    let path = "spec.leaderWorkerTemplate";
    let size = set.members(format_args!("{path}.size"), template.size.unwrap_or(1)).max(1);
    let subgroup = template.sub_group_policy.and_then(|policy| policy.sub_group_size);
    let subgroup = subgroup.map(|size| set.members(format_args!("{path}.subGroupPolicy.subGroupSize"), size).max(1));
    let annotation = |key| set.metadata.annotations.get(key).map(String::as_str);
    let (exclusive, subgroup_exclusive) = (annotation(EXCLUSIVE_TOPOLOGY), annotation(SUBGROUP_EXCLUSIVE_TOPOLOGY));
    let mut terms = terms_of(size, exclusive, subgroup, subgroup_exclusive);
    let (leader_path, leader) = match &template.leader_template {
        Some(leader) => ("leaderTemplate", leader),
        None => ("workerTemplate", &template.worker_template),
    };
    for (role, at, template) in [(LEADER, leader_path, leader), (WORKER, "workerTemplate", &template.worker_template)] {
        if !terms.roles.contains_key(role) {
            continue;
        }
        let (demand, renamed) = set.template(&format!("{path}.{at}"), template, &mut terms);
        let of_role = terms.roles.remove(role).unwrap_or_default();
        let of_role = RoleTerms { template: Some(demand), ..of_role };
        super::add_role(&mut terms, renamed.unwrap_or_else(|| role.into()), of_role);
    }
    Ok(vec![Saying { name: set.metadata.name.clone(), priority: None, terms }])
}
