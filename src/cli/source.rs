//! Where a command's cluster comes from: files, or a real one.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context;
use prometheus_client::registry::Registry;
use testudo_core::engine::{PlacementPolicy, Policy};
use testudo_core::model::catalogue::Catalogue;

use super::progress::while_working;
use crate::config::Mode;
use crate::host::{Bindings, Host};
use crate::k8s::client::{self, Access, Retries};
use crate::k8s::manifests::{self, Limits, Manifests};

/// Flags that say which cluster is meant.
#[derive(Debug, Clone, clap::Args)]
pub struct Source {
    /// Take these files as the cluster, instead of a real one: snapshots, Lists or several documents, YAML or
    /// JSON, `-` for the standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE", conflicts_with_all = ["kubeconfig", "context"])]
    pub files: Vec<PathBuf>,
    /// The cluster. Default: the one we run in, else $KUBECONFIG or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long)]
    pub context: Option<String>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.files.as_slice() {
            [] => f.write_str("the cluster"),
            files => {
                write!(f, "{}", files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl Source {
    /// What the files say; none when a real cluster is meant.
    pub fn manifests(&self) -> anyhow::Result<Option<Manifests>> {
        if self.files.is_empty() {
            return Ok(None);
        }
        Ok(Some(while_working("reading", || manifests::read(&self.files, &Limits::default()))?))
    }

    /// Is the real cluster the one that we run in?
    pub fn is_own_cluster(&self) -> bool {
        self.files.is_empty() && self.access().is_own_cluster()
    }

    /// Is a real cluster meant that we do not run in?
    pub fn is_foreign_cluster(&self) -> bool {
        self.files.is_empty() && !self.access().is_own_cluster()
    }

    fn access(&self) -> Access {
        Access { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }

    /// A client for the real cluster.
    pub async fn connect(&self, retries: Retries) -> anyhow::Result<kube::Client> {
        Ok(client::connect(&self.access(), retries).await?)
    }

    /// Everything that a snapshot takes of the cluster or the files, as manifests.
    pub fn listed_manifests(&self) -> anyhow::Result<Manifests> {
        match self.manifests()? {
            Some(manifests) => Ok(manifests),
            None => Ok(super::snapshot::take(self)?.manifests()),
        }
    }

    /// The cluster as it is at this moment, in a host that only looks, and places by this policy.
    pub fn look(&self, placement: PlacementPolicy) -> anyhow::Result<Host> {
        let manifests = self.listed_manifests()?;
        while_working("taking in the cluster", || host_of(manifests, placement))
    }
}

/// A host that only looks, with gangs planned as far as they can be.
pub fn host_of(manifests: Manifests, placement: PlacementPolicy) -> anyhow::Result<Host> {
    let (policy, catalogue) = (Policy { placement, ..Policy::default() }, Catalogue::builtin());
    let host = Host::new(policy, Mode::Enforce, catalogue, Bindings::OwnCopy, &mut Registry::default());
    host.take_manifests(manifests);
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("cannot start a runtime")?;
    runtime.block_on(host.settle_gangs());
    Ok(host)
}
