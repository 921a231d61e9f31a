//! PodGangs of Grove. A pod group is a role.

use serde::Deserialize;
use serde::de::IgnoredAny;
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
    #[serde(rename = "podgroups", deserialize_with = "null_as_default")]
    pod_groups: Vec<PodGroup>,
    topology_constraint: Option<TopologyConstraint>,
    #[serde(deserialize_with = "null_as_default")]
    topology_constraint_group_configs: Vec<GroupConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodGroup {
    #[serde(deserialize_with = "null_as_default")]
    name: String,
    #[serde(deserialize_with = "null_as_default")]
    pod_references: Vec<IgnoredAny>,
    min_replicas: i64,
    topology_constraint: Option<TopologyConstraint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GroupConfig {
    #[serde(deserialize_with = "null_as_default")]
    pod_group_names: Vec<String>,
    topology_constraint: Option<TopologyConstraint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TopologyConstraint {
    pack_constraint: Option<PackConstraint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PackConstraint {
    required: Option<String>,
    preferred: Option<String>,
}

pub(super) fn pod_gang(gang: &mut Described<'_>, spec: &Value) -> Result<Vec<Saying>, String> {
    let spec: Spec = gang.spec(spec)?;
    if spec.pod_groups.len() > ROLES {
        gang.refuse("spec.podgroups", format_args!("has more than {ROLES} pod groups"));
    }
    let mut terms = Terms { topology: rules(spec.topology_constraint.as_ref()), ..Terms::default() };
    let (mut needed, mut total) = (0, 0);
    for (at, pod_group) in spec.pod_groups.iter().take(ROLES).enumerate() {
        let min_member = gang.members(format_args!("spec.podgroups[{at}].minReplicas"), pod_group.min_replicas);
        let pods = u32::try_from(pod_group.pod_references.len()).unwrap_or(u32::MAX).max(min_member);
        let topology = rules(pod_group.topology_constraint.as_ref());
        let role = RoleTerms { min_member: Some(min_member), total: Some(pods), topology, ..RoleTerms::default() };
        needed += i64::from(min_member);
        total += i64::from(pods);
        terms.roles.insert(pod_group.name.as_str().into(), role);
    }
    terms.min_member = Some(gang.members("spec.podgroups", needed));
    terms.total = Some(gang.members("spec.podgroups", total));
    for (at, config) in spec.topology_constraint_group_configs.iter().enumerate() {
        let rules = rules(config.topology_constraint.as_ref());
        if let [only] = &config.pod_group_names[..] {
            if let Some(role) = terms.roles.get_mut(only.as_str()) {
                role.topology.extend(rules);
            }
        } else if rules.iter().any(|rule| rule.strictness == Strictness::Required) {
            let field = format!("spec.topologyConstraintGroupConfigs[{at}]");
            gang.refuse(field, "a condition on several pod groups together cannot be kept");
        }
    }
    Ok(vec![Saying { name: gang.metadata.name.clone(), priority: None, terms }])
}

fn rules(constraint: Option<&TopologyConstraint>) -> Vec<TopologyRule> {
    let Some(pack) = constraint.and_then(|constraint| constraint.pack_constraint.as_ref()) else { return vec![] };
    let required = levels::rule(Strictness::Required, pack.required.as_deref());
    required.into_iter().chain(levels::rule(Strictness::Preferred, pack.preferred.as_deref())).collect()
}
