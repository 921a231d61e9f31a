//! RayClusters: one gang of a head and groups of workers. A replica of several hosts is a part of its group.

use serde::Deserialize;
use serde_json::Value;
use testudo_core::model::gang::{RoleTerms, Terms};

use super::super::super::object::null_as_default;
use super::super::kuberay::HEAD_GROUP;
use super::super::limits::ROLES;
use super::Saying;
use super::described::{Described, PodTemplate};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(deserialize_with = "null_as_default")]
    enable_in_tree_autoscaling: bool,
    #[serde(deserialize_with = "null_as_default")]
    head_group_spec: HeadGroup,
    #[serde(deserialize_with = "null_as_default")]
    worker_group_specs: Vec<WorkerGroup>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HeadGroup {
    #[serde(deserialize_with = "null_as_default")]
    template: PodTemplate,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WorkerGroup {
    #[serde(deserialize_with = "null_as_default")]
    suspend: bool,
    #[serde(deserialize_with = "null_as_default")]
    group_name: String,
    replicas: Option<i64>,
    min_replicas: Option<i64>,
    max_replicas: Option<i64>,
    num_of_hosts: Option<i64>,
    #[serde(deserialize_with = "null_as_default")]
    template: PodTemplate,
}

impl WorkerGroup {
    /// How many replicas there must be, and will be: as KubeRay counts, and with its autoscaler from the least on.
    fn replicas(&self, autoscaled: bool) -> (i64, i64) {
        if self.suspend {
            return (0, 0);
        }
        let least = self.min_replicas.unwrap_or(0);
        let wanted = self.replicas.unwrap_or(least).max(least).min(self.max_replicas.unwrap_or(i64::MAX));
        (if autoscaled { least.min(wanted) } else { wanted }, wanted)
    }
}

pub(super) fn ray_cluster(cluster: &mut Described<'_>, spec: &Value) -> Result<Vec<Saying>, String> {
    let spec: Spec = cluster.spec(spec)?;
    if spec.worker_group_specs.len() >= ROLES {
        cluster.refuse("spec.workerGroupSpecs", format_args!("has {ROLES} groups or more"));
    }
    let mut terms = Terms::default();
    let head = &spec.head_group_spec.template;
    let (demand, renamed) = cluster.template("spec.headGroupSpec.template", head, &mut terms);
    let role = RoleTerms { min_member: Some(1), total: Some(1), template: Some(demand), ..RoleTerms::default() };
    super::add_role(&mut terms, renamed.unwrap_or_else(|| HEAD_GROUP.into()), role);
    let (mut needed, mut total) = (1, 1);
    for (at, group) in spec.worker_group_specs.iter().take(ROLES).enumerate() {
        let path = format!("spec.workerGroupSpecs[{at}]");
        let hosts = cluster.members(format_args!("{path}.numOfHosts"), group.num_of_hosts.unwrap_or(1)).max(1);
        let (least, wanted) = group.replicas(spec.enable_in_tree_autoscaling);
        let mut pods = |replicas: i64| cluster.members(&path, replicas.saturating_mul(i64::from(hosts)));
        let (least, wanted) = (pods(least), pods(wanted));
        needed += i64::from(least);
        total += i64::from(wanted);
        let (demand, renamed) = cluster.template(&format!("{path}.template"), &group.template, &mut terms);
        let role = RoleTerms {
            min_member: Some(least),
            total: Some(wanted),
            part_size: (hosts > 1).then_some(hosts),
            template: Some(demand),
            ..RoleTerms::default()
        };
        super::add_role(&mut terms, renamed.unwrap_or_else(|| group.group_name.as_str().into()), role);
    }
    terms.min_member = terms.min_member.or(Some(cluster.members("spec.workerGroupSpecs", needed)));
    terms.total = Some(cluster.members("spec.workerGroupSpecs", total));
    Ok(vec![Saying { name: cluster.metadata.name.clone(), priority: None, terms }])
}
