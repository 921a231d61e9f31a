//! `jobset.x-k8s.io`: Jobs of several templates that start together. Jobs that have to be complete before others begin are
//! gone by then: what is planned is what runs at the same time.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::{Made, apps, count, describe, pod, said};
use crate::k8s::object::{Metadata, null_as_default};
use crate::plan::workload::{WorkloadError, read};

const SET: &str = "jobset.sigs.k8s.io";

#[derive(Default, Deserialize)]
#[serde(default)]
struct JobSet {
    #[serde(deserialize_with = "null_as_default")]
    metadata: Metadata,
    #[serde(deserialize_with = "null_as_default")]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(deserialize_with = "null_as_default")]
    replicated_jobs: Vec<ReplicatedJob>,
}

#[derive(Default, Deserialize)]
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

#[derive(Default, Deserialize)]
#[serde(default)]
struct JobTemplate {
    #[serde(deserialize_with = "null_as_default")]
    metadata: Metadata,
    #[serde(deserialize_with = "null_as_default")]
    spec: apps::Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DependsOn {
    #[serde(deserialize_with = "null_as_default")]
    name: String,
    #[serde(deserialize_with = "null_as_default")]
    status: String,
}

pub(super) fn made(object: &Value) -> Result<Vec<Made>, WorkloadError> {
    let JobSet { mut metadata, spec } = read("JobSet", object)?;
    let name = describe("JobSet", &mut metadata);
    let jobs = &spec.replicated_jobs;
    let depended = jobs.iter().flat_map(|job| &job.depends_on);
    let earlier: BTreeSet<&str> = depended.filter(|on| on.status == "Complete").map(|on| on.name.as_str()).collect();
    let mut pods = vec![];
    for (at, job) in jobs.iter().enumerate().filter(|(_, job)| !earlier.contains(job.name.as_str())) {
        let path = format!("spec.replicatedJobs[{at}]");
        let replicas = count(&name, &format!("{path}.replicas"), job.replicas.unwrap_or(1))?;
        let parallel = count(&name, &format!("{path}.template.spec.parallelism"), job.template.spec.at_a_time())?;
        count(&name, &path, (pods.len() + replicas * parallel) as i64)?;
        for index in 0..replicas {
            pods.extend((0..parallel).map(|pod| job.pod(&metadata, index, pod)));
        }
    }
    Ok(vec![Made { name, copies: 1, pods, beside: vec![] }])
}

impl ReplicatedJob {
    fn pod(&self, set: &Metadata, job: usize, index: usize) -> crate::k8s::object::Pod {
        let suffix = format!("{}-{job}-{index}", self.name);
        let mut pod = pod(set, &self.template.spec.template, &suffix, &[]);
        let labels = [
            ("jobset-name", set.name.clone()),
            ("replicatedjob-name", self.name.clone()),
            ("job-index", job.to_string()),
        ];
        pod.metadata.labels.extend(labels.map(|(key, value)| (format!("{SET}/{key}"), value)));
        pod.metadata.annotations.extend(said(&set.annotations, SET));
        pod.metadata.annotations.extend(said(&self.template.metadata.annotations, SET));
        pod.metadata.annotations.insert("batch.kubernetes.io/job-completion-index".into(), index.to_string());
        pod
    }
}
