//! `testudo uninstall`: what has to happen before testudo is taken away.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use super::{Outcome, output};
use crate::k8s::client::{self, Access, Retries};
use crate::k8s::gates::{self, CLOSER};
use crate::k8s::protect::Protector;

/// Flags of `testudo uninstall`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The cluster. Default: the one we run in, else $KUBECONFIG or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long)]
    context: Option<String>,
    /// Say what would be changed, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// The API server takes a moment to forget a policy or a webhook, in which gates of new pods are still closed.
const CLOSER_IS_FORGOTTEN: Duration = Duration::from_secs(3);

/// Opens all gates, and lets autoscalers remove all nodes again.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    runtime.block_on(uninstall(args))
}

async fn uninstall(args: Args) -> anyhow::Result<Outcome> {
    let client =
        client::connect(&Access { kubeconfig: args.kubeconfig, context: args.context }, Retries::ByClient).await?;
    let protector = Protector::new(client.clone());
    if args.dry_run {
        let pass = gates::open_all(&client, true).await.context("cannot list pods")?;
        tell("would open the gate of", &pass.opened, "pods");
        let protected = protector.unprotect_all(true).await.context("cannot list nodes")?;
        tell("would no longer protect", &protected, "nodes");
        return Ok(Outcome::Done);
    }
    let closed_gates =
        gates::stop_closing(&client).await.with_context(|| format!("cannot delete what closes gates, {CLOSER}"))?;
    if !closed_gates.is_empty() {
        closed_gates.iter().for_each(|kind| say(format_args!("deleted the {kind} {CLOSER}")));
        tokio::time::sleep(CLOSER_IS_FORGOTTEN).await;
    }
    let pass = gates::open_all(&client, false).await.context("cannot list pods")?;
    tell("opened the gate of", &pass.opened, "pods");
    let protected = protector.unprotect_all(false).await.context("cannot take the protection from all nodes")?;
    tell("no longer protects", &protected, "nodes");
    if !pass.failed.is_empty() {
        bail!("{} pods still have their gate, run this again: {}", pass.failed.len(), pass.failed.join("; "));
    }
    Ok(Outcome::Done)
}

fn tell(what: &str, names: &[String], kind: &str) {
    for name in names {
        say(format_args!("{what} {name}"));
    }
    say(format_args!("{what} {} {kind}", names.len()));
}

/// Nobody may read it any more: the work goes on.
fn say(what: fmt::Arguments<'_>) {
    let _ = writeln!(output::stdout(), "{what}");
}
