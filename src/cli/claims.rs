//! `testudo claims`: the allocator of ResourceClaims by itself, on files.

use std::path::PathBuf;

use clap::Subcommand;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use super::Outcome;
use super::output::{Output, table};
use super::progress::while_working;
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

/// Allocates.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let Action::Allocate { files, node, output } = args.action;
    let objects = manifests::objects(&files, &Limits::default())?;
    match while_working("looking for devices", || claims::allocate(&objects, node.as_deref())) {
        Allocation::Allocated { node, claims, .. } => {
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": claims });
            output.write(&list, |out| writeln!(out, "Node {node}\n{}", devices(&claims)))?;
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

/// A device a line.
fn devices(claims: &[Value]) -> Table {
    let mut table = table();
    // Names of devices are long, and are copied as they are.
    table.set_content_arrangement(ContentArrangement::Disabled);
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
