//! `testudo claims`: the allocator of ResourceClaims by itself, on files.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::Outcome;
use crate::claims::{self, Outcome as Allocation};
use crate::k8s::manifests::{self, Limits};

/// Flags of `testudo claims`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Allocate all ResourceClaims that have no devices yet, for one pod that uses them together. Exit 1 when they do not
    /// fit.
    Allocate {
        /// Nodes, DeviceClasses, ResourceSlices and ResourceClaims: a List or several documents, YAML or JSON, `-` for the
        /// standard input. Claims that are allocated already count as in use.
        #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Only on this node. Default: where they fit best.
        #[arg(long)]
        node: Option<String>,
        /// How the answer is written. JSON and YAML: a List of the ResourceClaims.
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Yaml,
}

/// Allocates.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let Action::Allocate { files, node, output } = args.action;
    let objects = manifests::objects(&files, &Limits::default())?;
    match claims::allocate(&objects, node.as_deref()) {
        Allocation::Allocated { node, claims, .. } => {
            output.write(&node, claims)?;
            Ok(Outcome::Done)
        }
        Allocation::DoesNotFit { reason, complete, steps } => {
            let certain = if complete { "" } else { " (not proven: the search gave up)" };
            eprintln!("does not fit{certain}, {steps} steps: {reason}");
            Ok(Outcome::No)
        }
        Allocation::Error(error) => Err(error.into()),
    }
}

impl Output {
    fn write(self, node: &str, claims: Vec<Value>) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self == Self::Table {
            writeln!(out, "Node {node}")?;
            writeln!(out, "{}", table(&claims))?;
            return Ok(());
        }
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": claims });
        match self {
            Self::Json => writeln!(out, "{}", serde_json::to_string_pretty(&list)?)?,
            _ => write!(out, "{}", serde_saphyr::to_string(&list).context("cannot write YAML")?)?,
        }
        Ok(())
    }
}

/// A device a line.
fn table(claims: &[Value]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["CLAIM", "REQUEST", "DRIVER", "POOL", "DEVICE", "SHARE"]);
    for claim in claims {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = text(claim.pointer("/metadata/name"));
        let results = claim.pointer("/status/allocation/devices/results").and_then(Value::as_array);
        for result in results.into_iter().flatten() {
            let field = |field: &str| text(result.get(field));
            let share = result.get("consumedCapacity").and_then(Value::as_object);
            let share = share.into_iter().flatten().map(|(name, amount)| format!("{name}={}", text(Some(amount))));
            table.add_row([
                name.clone(),
                field("request"),
                field("driver"),
                field("pool"),
                field("device"),
                share.collect::<Vec<_>>().join(","),
            ]);
        }
    }
    table
}
