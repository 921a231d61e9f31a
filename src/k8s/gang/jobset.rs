//! `jobset.x-k8s.io`: a JobSet is one gang, its replicated jobs are roles, and each job is a part of its role.

use testudo_core::model::exclusive::{Exclusivity, Peers};

use super::reading::{Reading, Said};

const NAME: &str = "jobset.sigs.k8s.io/jobset-name";

/// The pod's replicated job.
pub(super) const REPLICATED_JOB: &str = "jobset.sigs.k8s.io/replicatedjob-name";
/// Which of its jobs.
pub(super) const JOB_INDEX: &str = "jobset.sigs.k8s.io/job-index";
/// Which pod of the job, where its pods have numbers.
pub(super) const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Each job in a domain of its own; on the JobSet or the template of a replicated job, and from there on their pods.
pub(super) const EXCLUSIVE_TOPOLOGY: &str = "alpha.jobset.sigs.k8s.io/exclusive-topology";
/// Beside it: somebody has labelled the nodes of each job, and pods get selectors of these instead of affinity to each other.
pub(super) const NODE_SELECTOR: &str = "alpha.jobset.sigs.k8s.io/node-selector";

/// How the pod stands to those of other jobs, where it is of a job of a JobSet.
pub(super) fn exclusivity(reading: &Reading<'_, '_>) -> Option<Exclusivity> {
    reading.label(JOB_INDEX)?;
    let is_by_affinity = reading.annotation(NODE_SELECTOR).is_none();
    let topology = reading.annotation(EXCLUSIVE_TOPOLOGY).map(|said| said.text);
    let topology = topology.filter(|key| is_by_affinity && !key.is_empty());
    Some(Exclusivity { peers: Peers::Jobs, topology: topology.map(Into::into) })
}

/// Where the pod names its JobSet.
pub(super) fn group<'a>(reading: &Reading<'a, '_>) -> Option<Said<'a>> {
    reading.label(NAME)
}
