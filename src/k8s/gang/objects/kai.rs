//! PodGroups of the KAI scheduler. A subgroup is a role; levels of topology are keys of labels.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use testudo_core::model::gang::{RoleTerms, Strictness, Terms, TopologyRule};

use super::super::super::object::null_as_default;
use super::super::levels;
use super::super::limits::ROLES;
use super::Saying;
use super::described::Described;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    min_member: Option<i64>,
    min_sub_group: Option<i64>,
    #[serde(deserialize_with = "null_as_default")]
    topology_constraint: TopologyConstraint,
    #[serde(deserialize_with = "null_as_default")]
    sub_groups: Vec<SubGroup>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SubGroup {
    #[serde(deserialize_with = "null_as_default")]
    name: String,
    min_member: Option<i64>,
    min_sub_group: Option<i64>,
    parent: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    topology_constraint: TopologyConstraint,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TopologyConstraint {
    required_topology_level: Option<String>,
    preferred_topology_level: Option<String>,
}

pub(super) fn pod_group(group: &mut Described<'_>, spec: &Value) -> Result<Vec<Saying>, String> {
    let spec: Spec = group.spec(spec)?;
    let min_member = spec.min_member.map(|number| group.members("spec.minMember", number));
    let mut terms = Terms { min_member, topology: rules(&spec.topology_constraint), ..Terms::default() };
    if spec.sub_groups.len() > ROLES {
        group.refuse("spec.subGroups", format_args!("has more than {ROLES} subgroups"));
    }
    if spec.min_sub_group.is_some() || spec.sub_groups.iter().any(|subgroup| subgroup.min_sub_group.is_some()) {
        group.note("spec.minSubGroup", "all subgroups are waited for, not some of them");
    }
    let parents: BTreeSet<&str> = spec.sub_groups.iter().filter_map(|subgroup| subgroup.parent.as_deref()).collect();
    for (at, subgroup) in spec.sub_groups.iter().take(ROLES).enumerate() {
        let path = format!("spec.subGroups[{at}]");
        let topology = rules(&subgroup.topology_constraint);
        if parents.contains(subgroup.name.as_str()) {
            // Pods are in the leaves.
            if topology.iter().any(|rule| rule.strictness == Strictness::Required) {
                let what = "a condition on several subgroups together cannot be kept";
                group.refuse(format_args!("{path}.topologyConstraint"), what);
            }
            continue;
        }
        let min_member = subgroup.min_member.map(|number| group.members(format_args!("{path}.minMember"), number));
        let role = RoleTerms { min_member, topology, ..RoleTerms::default() };
        terms.roles.insert(subgroup.name.as_str().into(), role);
    }
    if terms.min_member.is_none() && !terms.roles.is_empty() {
        let needed = terms.roles.values().map(|role| role.min_member.unwrap_or(1));
        terms.min_member = Some(group.members("spec.subGroups", needed.map(i64::from).sum()));
    }
    Ok(vec![Saying { name: group.metadata.name.clone(), priority: None, terms }])
}

fn rules(constraint: &TopologyConstraint) -> Vec<TopologyRule> {
    let required = levels::rule(Strictness::Required, constraint.required_topology_level.as_deref());
    required
        .into_iter()
        .chain(levels::rule(Strictness::Preferred, constraint.preferred_topology_level.as_deref()))
        .collect()
}
