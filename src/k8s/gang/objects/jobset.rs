//! JobSets: one gang. Its replicated jobs are roles, and each job is a part of its role.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use testudo_core::model::gang::{RoleTerms, Slices, Terms};

use super::super::super::object::{Metadata, null_as_default};
use super::super::jobset::{EXCLUSIVE_TOPOLOGY, NODE_SELECTOR};
use super::super::levels;
use super::super::limits::ROLES;
use super::Saying;
use super::described::{Described, PodTemplate};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(deserialize_with = "null_as_default")]
    replicated_jobs: Vec<ReplicatedJob>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReplicatedJob {
    #[serde(deserialize_with = "null_as_default")]
    name: String,
    replicas: Option<i64>,
    #[serde(deserialize_with = "null_as_default")]
    template: JobTemplate,
    #[serde(deserialize_with = "null_as_default")]
    depends_on: Vec<DependsOn>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DependsOn {
    #[serde(deserialize_with = "null_as_default")]
    name: String,
    #[serde(deserialize_with = "null_as_default")]
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JobTemplate {
    #[serde(deserialize_with = "null_as_default")]
    metadata: Metadata,
    #[serde(deserialize_with = "null_as_default")]
    spec: JobSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JobSpec {
    parallelism: Option<i64>,
    completions: Option<i64>,
    #[serde(deserialize_with = "null_as_default")]
    template: PodTemplate,
}

pub(super) fn jobset(set: &mut Described<'_>, spec: &Value) -> Result<Vec<Saying>, String> {
    let spec: Spec = set.spec(spec)?;
    if spec.replicated_jobs.len() > ROLES {
        set.refuse("spec.replicatedJobs", format_args!("has more than {ROLES} replicated jobs"));
    }
    let jobs = &spec.replicated_jobs;
    // What has to be complete before others begin does not run together with them.
    let before: BTreeSet<&str> = jobs
        .iter()
        .flat_map(|job| &job.depends_on)
        .filter(|on| on.status == "Complete")
        .map(|on| on.name.as_str())
        .collect();
    let mut terms = Terms::default();
    let (mut needed, mut total) = (0, 0);
    for (at, job) in jobs.iter().take(ROLES).enumerate() {
        let path = format!("spec.replicatedJobs[{at}]");
        let parallelism = job.template.spec.parallelism.unwrap_or(1);
        let parallelism = job.template.spec.completions.map_or(parallelism, |completions| parallelism.min(completions));
        let part = set.members(format_args!("{path}.template.spec.parallelism"), parallelism);
        let replicas = set.members(format_args!("{path}.replicas"), job.replicas.unwrap_or(1));
        let pods = set.members(&path, i64::from(part) * i64::from(replicas));
        let together = !before.contains(job.name.as_str());
        needed += if together { i64::from(pods) } else { 0 };
        total += i64::from(pods);
        let annotation = |key: &str| {
            let places = [set.metadata, &job.template.metadata];
            places.into_iter().filter_map(|metadata| metadata.annotations.get(key)).find(|text| !text.is_empty())
        };
        let topology = annotation(EXCLUSIVE_TOPOLOGY).filter(|_| part > 0);
        // Where nodes are labelled for each job the labels keep jobs apart.
        let (slices, exclusive) = match annotation(NODE_SELECTOR) {
            Some(_) => (topology.map(|key| Slices { members: part, within: levels::of_label(key) }), None),
            None => (None, topology.map(|key| key.as_str().into())),
        };
        let template_path = format!("{path}.template.spec.template");
        let (demand, renamed) = set.template(&template_path, &job.template.spec.template, &mut terms);
        let role = RoleTerms {
            min_member: Some(if together { pods } else { 0 }),
            total: Some(pods),
            part_size: Some(part),
            slices,
            exclusive,
            precedes: !together,
            template: Some(demand),
            ..RoleTerms::default()
        };
        super::add_role(&mut terms, renamed.unwrap_or_else(|| job.name.as_str().into()), role);
    }
    terms.min_member = terms.min_member.or(Some(set.members("spec.replicatedJobs", needed)));
    terms.total = Some(set.members("spec.replicatedJobs", total));
    Ok(vec![Saying { name: set.metadata.name.clone(), priority: None, terms }])
}
