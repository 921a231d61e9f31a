//! What must be true for testudo to work in a cluster, found out one by one, each with what to do about it.
//!
//! Rules are pure: they look at what was read. [`cluster`] reads it, and what it may not read is not known instead of wrong.

mod certificates;
pub mod cluster;
mod nodes;
mod permissions;
mod pods;
mod scheduler;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::config::Configuration;
use crate::k8s::manifests::Manifests;
use cluster::Installed;
use nodes::GpuNodes;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Not known: it could not be looked at.
    Unknown,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work like this.
    Failed,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        })
    }
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub about: &'static str,
    /// How it is.
    pub status: Status,
    /// In one sentence.
    pub what: String,
    /// What to do, where something is to be done.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    fn ok(about: &'static str, what: impl Into<String>) -> Self {
        Self { about, status: Status::Ok, what: what.into(), advice: None }
    }

    fn unknown(about: &'static str, what: impl Into<String>, advice: &str) -> Self {
        Self { about, status: Status::Unknown, what: what.into(), advice: Some(advice.to_owned()) }
    }

    fn warning(about: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, status: Status::Warning, what: what.into(), advice: Some(advice.into()) }
    }

    fn failed(about: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, status: Status::Failed, what: what.into(), advice: Some(advice.into()) }
    }
}

/// How many slices of devices there are, by node.
pub type SliceNodes = BTreeMap<String, usize>;

/// What nodes say: all that can be looked at before the installation.
pub fn of_nodes(manifests: &Manifests, slices: &SliceNodes) -> Vec<Finding> {
    GpuNodes::of(manifests, slices).findings()
}

/// What nodes and pods say: all that a snapshot has.
pub fn of_objects(
    manifests: &Manifests,
    slices: &SliceNodes,
    configuration: &Configuration,
    opted_in: Option<&OptedIn>,
) -> Vec<Finding> {
    let mut findings = of_nodes(manifests, slices);
    findings.extend(pods::findings(manifests, configuration, opted_in));
    findings
}

/// The namespaces whose GPU pods are to go through testudo.
pub type OptedIn = BTreeSet<String>;

/// What an installation says, beside the version of the API server.
pub fn of_installation(installed: &Installed, server: &str) -> Vec<Finding> {
    let mut findings = vec![];
    findings.extend(scheduler::findings(installed, server));
    findings.extend(certificates::findings(installed));
    findings.extend(permissions::findings(installed));
    findings.push(installed.policy_finding());
    findings.extend(scheduler::reached(installed));
    findings
}

/// What the version of the API server says.
pub fn of_version(server: &str) -> Finding {
    versions::finding(server)
}

/// Names, the first few of them.
fn few<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    const SHOWN: usize = 5;
    let names: Vec<S> = names.into_iter().collect();
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests;
