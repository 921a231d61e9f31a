//! `testudo explain`: where a pod fits and why not elsewhere, what a node is taken for, what counts as typical.

mod gang;
mod mix;

use std::io::Write;

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use testudo_core::model::accelerator::AcceleratorResource;

use super::Outcome;
use super::source::Source;
use crate::explain::gang::GangExplanation;
use crate::explain::node::NodeExplanation;
use crate::explain::pod::PodExplanation;
use mix::MixExplanation;

/// Flags of `testudo explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Where a pod fits, and what stands against it elsewhere. Exit 1 when it fits nowhere.
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
    /// How far a gang has come, why not further, and where its members are. Exit 1 when it waits.
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
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Explains.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    match args.subject {
        Subject::Pod { name, namespace, all_nodes, common } => {
            let (namespace, name) = name.split_once('/').unwrap_or((&namespace, &name));
            let host = common.source.look()?;
            let Some(pod) = host.pod(namespace, name) else {
                bail!("there is no pod {namespace}/{name} in {}", common.source);
            };
            let explanation = PodExplanation::new(&host.snapshot(), &pod);
            common.output.write(&explanation, |out| explanation.table(out, all_nodes))?;
            Ok(if explanation.fits() { Outcome::Done } else { Outcome::No })
        }
        Subject::Gang { name, namespace, common } => {
            let (namespace, name) = match (&namespace, name.split_once('/')) {
                (Some(namespace), _) => (namespace.as_str(), name.as_str()),
                (None, Some((namespace, name))) => (namespace, name),
                (None, None) => ("default", name.as_str()),
            };
            let gangs = common.source.look()?.gangs_named(namespace, name);
            if gangs.is_empty() {
                bail!(
                    "there is no gang {namespace}/{name} in {}: no pod names it, or its members start each for itself",
                    common.source
                );
            }
            let explanations: Vec<GangExplanation> = gangs.iter().map(GangExplanation::new).collect();
            common.output.write(&explanations, |out| explanations.iter().try_for_each(|gang| gang.table(out)))?;
            Ok(if explanations.iter().all(GangExplanation::has_places) { Outcome::Done } else { Outcome::No })
        }
        Subject::Mix { common } => {
            let explanation = MixExplanation::new(common.source.look()?.snapshot().mix());
            common.output.write(&explanation, |out| explanation.table(out))?;
            Ok(Outcome::Done)
        }
        Subject::Node { name, common } => {
            let host = common.source.look()?;
            let snapshot = host.snapshot();
            let Some(state) = snapshot.node(&name).filter(|state| state.node().is_some()) else {
                bail!("there is no node {name} in {}", common.source);
            };
            let explanation = NodeExplanation::new(state, host.node_problems(&name));
            common.output.write(&explanation, |out| explanation.table(out))?;
            Ok(Outcome::Done)
        }
    }
}

impl Output {
    fn write(
        self,
        explanation: &impl Serialize,
        table: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match self {
            Self::Table => table(&mut out)?,
            Self::Json => {
                serde_json::to_writer_pretty(&mut out, explanation)?;
                writeln!(out)?;
            }
        }
        Ok(())
    }
}

impl PodExplanation {
    fn table(&self, out: &mut dyn Write, all_nodes: bool) -> std::io::Result<()> {
        let fitting = self.nodes.iter().filter(|line| line.fits).count();
        let asked: Vec<String> = self
            .requests
            .iter()
            .filter(|(name, _)| AcceleratorResource::parse(name).is_some())
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        writeln!(out, "Pod {}: {}", self.pod, self.treated_as)?;
        if !asked.is_empty() {
            writeln!(out, "Asks for {}", asked.join(", "))?;
        }
        match &self.bound_to {
            Some(node) => {
                writeln!(out, "Is on node {node}; without it, it would fit on {fitting} of {} nodes", self.nodes.len())?
            }
            None => writeln!(out, "Fits on {fitting} of {} nodes", self.nodes.len())?,
        }
        let mut table = table();
        if all_nodes {
            table.set_header(["NODE", "PLACE", "REASON", "FREE", "THE BEST IS BETTER IN"]);
            for line in &self.nodes {
                table.add_row([
                    line.node.clone(),
                    line.place.map_or_else(|| "-".into(), |place| place.to_string()),
                    line.reason.clone().unwrap_or_else(|| "fits".into()),
                    line.free.map_or_else(String::new, |free| free.to_string()),
                    line.behind.clone().unwrap_or_default(),
                ]);
            }
        } else {
            table.set_header(["NODES", "VERDICT", "FOR EXAMPLE"]);
            for (verdict, nodes) in self.by_verdict() {
                table.add_row([nodes.len().to_string(), verdict.into(), nodes[..nodes.len().min(3)].join(", ")]);
            }
        }
        writeln!(out, "{table}")
    }
}

impl NodeExplanation {
    fn table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        writeln!(out, "Node {}", self.node)?;
        writeln!(out, "  product   {}", or_unknown(&self.product))?;
        writeln!(out, "  machine   {} (instance type {})", or_unknown(&self.machine), or_unknown(&self.instance_type))?;
        writeln!(out, "  zone      {}", or_unknown(&self.zone))?;
        if let Some(clique) = &self.clique {
            writeln!(out, "  clique    {clique}")?;
        }
        let links =
            if self.link_complete { "all devices are linked" } else { "not all devices are linked and healthy" };
        writeln!(out, "  links     {links}")?;
        for taint in &self.taints {
            writeln!(out, "  taint     {taint}")?;
        }
        if self.cordoned {
            writeln!(out, "  cordoned")?;
        }
        writeln!(out, "  pods      {}", self.pods.len())?;
        let mut table = table();
        table.set_header(["RESOURCE", "UNITS ARE", "CAPACITY", "ALLOCATABLE", "FREE"]);
        for pool in &self.pools {
            let counts = [pool.capacity, pool.allocatable, pool.free].map(|count| count.to_string());
            table.add_row([vec![pool.resource.clone(), pool.unit.clone()], counts.to_vec()].concat());
        }
        writeln!(out, "{table}")?;
        for problem in &self.not_understood {
            writeln!(out, "Not understood: {problem}")?;
        }
        Ok(())
    }
}

/// Columns without lines, as kubectl writes them.
fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table
}
