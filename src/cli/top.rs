//! `testudo top`: the fleet, what becomes of its devices, and the gangs that wait; live, or once.

mod answer;
mod screen;
mod scroll;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::registry::Registry;
use testudo_core::engine::{PlacementPolicy, Policy};
use testudo_core::model::catalogue::Catalogue;
use tokio::sync::mpsc;

use super::Outcome;
use super::output::Output;
use super::source::{Source, host_of};
use crate::config::Mode;
use crate::host::{Bindings, Host};
use crate::k8s::watch::watch_cluster;
use crate::overview::{Overview, Prices};
use answer::Answer;

/// Flags of `testudo top`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Print one table and end, also on a terminal.
    #[arg(long)]
    once: bool,
    /// What nodes cost: a YAML file with `currency`, and `prices`, a list of `instanceType`, `perHour` of one node, and
    /// maybe `capacityType` (on-demand, spot or reserved). Without it, cost is told in GPU-hours.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// How often the live view is drawn anew.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = interval)]
    interval: Duration,
    /// How the answer is written; JSON is written once.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Events taken in at once, at most.
const BATCH: usize = 4096;

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    if range.contains(&interval) { Ok(interval) } else { Err("give a time from 100ms to 1h".into()) }
}

/// Shows the fleet.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let prices = args.prices.as_deref().map(Prices::load).transpose()?;
    let answer = |host: &Host| {
        let (snapshot, gangs) = host.gangs();
        Answer::new(&Overview::of(&snapshot, gangs), prices.as_ref())
    };
    let is_live = std::io::stdout().is_terminal() && !args.once && args.output == Output::Table;
    if !is_live {
        let answer = answer(&host_of(args.source.listed_manifests()?, PlacementPolicy::default())?);
        args.output.write(&answer, |out| answer.table(out))?;
        return Ok(Outcome::Done);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("cannot start threads")?;
    let host = match args.source.manifests()? {
        Some(manifests) => Arc::new(host_of(manifests, PlacementPolicy::default())?),
        None => runtime.block_on(followed(&args.source))?,
    };
    screen::show(&args.source.to_string(), args.interval, || {
        runtime.block_on(host.settle_gangs());
        answer(&host)
    })?;
    // The watch goes on as long as the program does.
    runtime.shutdown_background();
    Ok(Outcome::Done)
}

/// A host that follows the cluster.
async fn followed(source: &Source) -> anyhow::Result<Arc<Host>> {
    let client = source.connect().await?;
    let mut registry = Registry::default();
    let host = Host::new(Policy::default(), Mode::Enforce, Catalogue::builtin(), Bindings::OwnCopy, &mut registry);
    let host = Arc::new(host);
    let (events, mut incoming) = mpsc::channel(BATCH);
    tokio::spawn(watch_cluster(client, events, false));
    let following = Arc::clone(&host);
    tokio::spawn(async move {
        let mut batch = Vec::with_capacity(BATCH);
        while incoming.recv_many(&mut batch, BATCH).await > 0 {
            following.take(batch.drain(..));
        }
    });
    Ok(host)
}
