//! PodGroups of Kubernetes 1.36 and later, and Workloads of 1.35.

use serde::Deserialize;
use serde_json::Value;
use testudo_core::model::gang::{Strictness, Terms};

use super::super::super::object::null_as_default;
use super::super::levels;
use super::super::limits::check_name;
use super::Saying;
use super::described::Described;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodGroupSpec {
    #[serde(deserialize_with = "null_as_default")]
    scheduling_policy: Policy,
    #[serde(deserialize_with = "null_as_default")]
    scheduling_constraints: Constraints,
    priority: Option<i32>,
    parent_composite_pod_group_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WorkloadSpec {
    #[serde(rename = "podGroups", deserialize_with = "null_as_default")]
    pod_groups: Vec<WorkloadPodGroup>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WorkloadPodGroup {
    #[serde(deserialize_with = "null_as_default")]
    name: String,
    #[serde(deserialize_with = "null_as_default")]
    policy: Policy,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Policy {
    gang: Option<Gang>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Gang {
    min_count: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Constraints {
    #[serde(deserialize_with = "null_as_default")]
    topology: Vec<TopologyConstraint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TopologyConstraint {
    #[serde(deserialize_with = "null_as_default")]
    key: String,
}

/// One gang.
pub(super) fn pod_group(group: &mut Described<'_>, spec: &Value) -> Result<Vec<Saying>, String> {
    let spec: PodGroupSpec = group.spec(spec)?;
    let mut terms = terms(group, "spec.schedulingPolicy", &spec.scheduling_policy);
    let keys = spec.scheduling_constraints.topology.iter();
    terms.topology.extend(keys.filter_map(|topology| levels::rule(Strictness::Required, Some(&topology.key))));
    if let Some(parent) = spec.parent_composite_pod_group_name.filter(|parent| !parent.is_empty()) {
        group.note(
            "spec.parentCompositePodGroupName",
            format_args!("CompositePodGroups are not read: this group does not wait for the others of {parent:?}"),
        );
    }
    Ok(vec![Saying { name: group.metadata.name.clone(), priority: spec.priority, terms }])
}

/// A gang for each pod group, and for each of its replicas, of which only pods tell.
pub(super) fn workload(workload: &mut Described<'_>, spec: &Value) -> Result<Vec<Saying>, String> {
    let spec: WorkloadSpec = workload.spec(spec)?;
    let mut sayings = vec![];
    for (at, pod_group) in spec.pod_groups.iter().enumerate() {
        if let Err(what) = check_name(&pod_group.name) {
            workload.note(format_args!("spec.podGroups[{at}].name"), format_args!("{what}; ignored"));
            continue;
        }
        let terms = terms(workload, &format!("spec.podGroups[{at}].policy"), &pod_group.policy);
        let name = format!("{}/{}", workload.metadata.name, pod_group.name);
        sayings.push(Saying { name, priority: None, terms });
    }
    Ok(sayings)
}

/// Without a gang policy pods are scheduled as ever: each for itself.
fn terms(group: &mut Described<'_>, path: &str, policy: &Policy) -> Terms {
    let min_count = policy.gang.as_ref().map(|gang| gang.min_count);
    let min_member = min_count.map_or(0, |count| group.members(format_args!("{path}.gang.minCount"), count));
    Terms { min_member: Some(min_member), ..Terms::default() }
}
