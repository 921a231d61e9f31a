//! `jobset.x-k8s.io`: a JobSet is one gang, its replicated jobs are roles, and each job is a part of its role.

use super::reading::{Reading, Said};

const NAME: &str = "jobset.sigs.k8s.io/jobset-name";

/// The pod's replicated job.
pub(super) const REPLICATED_JOB: &str = "jobset.sigs.k8s.io/replicatedjob-name";
/// Which of its jobs.
pub(super) const JOB_INDEX: &str = "jobset.sigs.k8s.io/job-index";
/// Which pod of the job, where its pods have numbers.
pub(super) const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Each job in a domain of its own; on the JobSet or the template of a replicated job.
pub(super) const EXCLUSIVE_TOPOLOGY: &str = "alpha.jobset.sigs.k8s.io/exclusive-topology";

/// Where the pod names its JobSet.
pub(super) fn group<'a>(reading: &Reading<'a, '_>) -> Option<Said<'a>> {
    reading.label(NAME)
}
