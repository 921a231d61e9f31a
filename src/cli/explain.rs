//! `testudo explain`: where a pod, gang or claim fits and why not elsewhere, what a node is taken for, what counts as
//! typical.

mod claim;
mod gang;
mod mix;
mod node;
mod pod;
mod pod_claims;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Subcommand;
use testudo_core::model::pod::Pod;

use super::Outcome;
use super::output::Output;
use super::progress::while_working;
use super::source::Source;
use crate::host::Host;
use crate::k8s::manifests::{self, Limits};
use crate::policy;
use claim::ClaimExplanation;
use gang::GangExplanation;
use mix::MixExplanation;
use node::NodeExplanation;
use pod::PodExplanation;

/// Flags of `testudo explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Where a pod fits; what stands against it elsewhere, who would have to go, what to do. Exit 1 when it fits nowhere.
    Pod {
        /// The pod, as NAME or NAMESPACE/NAME.
        name: String,
        /// The namespace, when the name has none.
        #[arg(short, long, default_value = "default")]
        namespace: String,
        /// One row per node, instead of one per reason.
        #[arg(long)]
        all_nodes: bool,
        #[command(flatten)]
        common: Common,
    },
    /// How far a gang has come, why not further, how near it is, and where its members are. Exit 1 when it waits.
    Gang {
        /// The gang, as NAME or NAMESPACE/NAME. The group of a LeaderWorkerSet is named NAME/INDEX: give its namespace with
        /// --namespace.
        name: String,
        /// The namespace, when the name has none.
        #[arg(short, long)]
        namespace: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Which devices a ResourceClaim has, or could get, and what stands against it. Exit 1 when it could get none.
    Claim {
        /// The claim, as NAME or NAMESPACE/NAME.
        name: String,
        /// The namespace, when the name has none.
        #[arg(short, long, default_value = "default")]
        namespace: String,
        /// One row per node, instead of one per reason.
        #[arg(long)]
        all_nodes: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Which demands count as typical, and how much: places are chosen so that these lose least.
    Mix {
        #[command(flatten)]
        common: Common,
    },
    /// What a node is taken for: accelerators, fabric, what is in use, what could not be understood.
    Node {
        /// The node.
        name: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    source: Source,
    /// The policy file by which places are chosen. Without it profiles and quotas are not known.
    #[arg(long, value_name = "FILE")]
    policy_file: Option<PathBuf>,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

impl Common {
    /// The cluster, and what places in it are chosen for.
    fn look(&self) -> anyhow::Result<Host> {
        let placement = self.policy_file.as_deref().map(policy::load).transpose()?;
        self.source.look(placement.map(|read| read.policy).unwrap_or_default())
    }
}

/// Explains.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    match args.subject {
        Subject::Pod { name, namespace, all_nodes, common } => {
            let (namespace, name) = name.split_once('/').unwrap_or((&namespace, &name));
            let host = common.look()?;
            let Some(pod) = host.pod(namespace, name) else {
                bail!("there is no pod {namespace}/{name} in {}{}", common.source, elsewhere(&host, name));
            };
            let explanation = while_working("asking all nodes", || PodExplanation::new(&host, &pod));
            common.output.write(&explanation, |out| explanation.table(out, all_nodes))?;
            Ok(if explanation.has_place() { Outcome::Done } else { Outcome::No })
        }
        Subject::Gang { name, namespace, common } => {
            let (namespace, name) = match (&namespace, name.split_once('/')) {
                (Some(namespace), _) => (namespace.as_str(), name.as_str()),
                (None, Some((namespace, name))) => (namespace, name),
                (None, None) => ("default", name.as_str()),
            };
            let host = common.look()?;
            let gangs = host.gangs_named(namespace, name);
            if gangs.is_empty() {
                bail!(
                    "there is no gang {namespace}/{name} in {}: no pod names it, or its members start each for itself",
                    common.source
                );
            }
            let explain = || gangs.iter().map(|gang| GangExplanation::new(gang, &host)).collect();
            let explanations: Vec<GangExplanation> = while_working("looking for room", explain);
            common.output.write(&explanations, |out| explanations.iter().try_for_each(|gang| gang.table(out)))?;
            Ok(if explanations.iter().all(GangExplanation::has_places) { Outcome::Done } else { Outcome::No })
        }
        Subject::Claim { name, namespace, all_nodes, common } => {
            let (namespace, name) = name.split_once('/').unwrap_or((&namespace, &name));
            let objects = match common.source.files.as_slice() {
                [] => super::snapshot::take(&common.source)?.into_objects(),
                files => while_working("reading", || manifests::objects(files, &Limits::default()))?,
            };
            let explain = || ClaimExplanation::new(&objects, namespace, name);
            let Some(explanation) = while_working("asking all nodes", explain)? else {
                bail!("there is no ResourceClaim {namespace}/{name} in {}", common.source);
            };
            common.output.write(&explanation, |out| explanation.table(out, all_nodes))?;
            Ok(if explanation.has_devices() { Outcome::Done } else { Outcome::No })
        }
        Subject::Mix { common } => {
            let explanation = MixExplanation::new(common.look()?.snapshot().mix());
            common.output.write(&explanation, |out| explanation.table(out))?;
            Ok(Outcome::Done)
        }
        Subject::Node { name, common } => {
            let host = common.look()?;
            let snapshot = host.snapshot();
            let Some(state) = snapshot.node(&name).filter(|state| state.node().is_some()) else {
                bail!("there is no node {name} in {}", common.source);
            };
            let gpus = snapshot.gpus().get(name.as_str()).map(|gpus| gpus.as_slice()).unwrap_or_default();
            let explanation = NodeExplanation::new(state, gpus, host.node_problems(&name));
            common.output.write(&explanation, |out| explanation.table(out))?;
            Ok(Outcome::Done)
        }
    }
}

/// Where there are pods of this name, for somebody who has mistaken the namespace.
fn elsewhere(host: &Host, name: &str) -> String {
    let is_named = |pod: &&Arc<Pod>| pod.key.name == name;
    match host.pods().iter().find(is_named) {
        Some(pod) => format!("; there is {}", pod.key),
        None => String::new(),
    }
}
