//! `testudo trial`: what testudo would have done, beside the scheduler that runs.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::vec::Drain;

use anyhow::Context;
use testudo_core::model::catalogue::Catalogue;
use tokio::time::sleep_until;

use super::Outcome;
use super::follow::Following;
use super::output::{Output, table};
use super::serve::stop_signal;
use crate::k8s::client::{self, Access, Retries};
use crate::k8s::watch::ClusterEvent;
use crate::trial::{Report, Trial};

/// Flags of `testudo trial`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The cluster. Default: the one we run in, else $KUBECONFIG or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long)]
    context: Option<String>,
    /// How long to watch; Ctrl-C ends it sooner, and the report comes all the same.
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    time: Duration,
    /// How the report is written.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Watches, and reports. It reads nodes, pods, group objects, claims and devices, and writes nothing.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    let report = runtime.block_on(watch(&args))?;
    args.output.write(&report, |out| show(&report, out))?;
    runtime.shutdown_background();
    Ok(Outcome::Done)
}

async fn watch(args: &Args) -> anyhow::Result<Report> {
    let access = Access { kubeconfig: args.kubeconfig.clone(), context: args.context.clone() };
    let mut following = Following::begin(client::connect(&access, Retries::ByCaller).await?).await?;
    let mut trial = Trial::new(Catalogue::builtin());
    let begun = Instant::now();
    let now_ms = || u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut take = |batch: Drain<'_, ClusterEvent>| {
        batch.for_each(|event| trial.take(event, now_ms()));
        trial.has_begun()
    };
    following.until_listed(&mut take).await?;
    if std::io::stderr().is_terminal() {
        eprintln!("watching for {}; Ctrl-C ends it and reports", humantime::format_duration(args.time));
    }
    let end = tokio::time::Instant::now() + args.time;
    let mut stop = std::pin::pin!(stop_signal()?);
    loop {
        tokio::select! {
            batch = following.next() => match batch {
                Some(batch) => _ = take(batch),
                None => break,
            },
            () = sleep_until(end) => break,
            () = &mut stop => break,
        }
    }
    Ok(trial.report(now_ms()))
}

fn show(report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    let Report { pods, gangs, is, would, without_place, examples, seconds } = report;
    writeln!(out, "watched for {}", humantime::format_duration(Duration::from_secs(*seconds)))?;
    writeln!(out, "\n{} pods that ask for accelerators got a node:", pods.placed)?;
    writeln!(out, "  {:>6} on a place as good as testudo's", pods.as_good)?;
    writeln!(out, "  {:>6} on a worse one", pods.worse)?;
    writeln!(out, "  {:>6} on a node that testudo would have refused", pods.refused)?;
    writeln!(
        out,
        "\n{} gangs were half placed, {} are now; the longest for {}; they held {:.1} device hours meanwhile",
        gangs.half_placed,
        gangs.half_placed_now,
        humantime::format_duration(Duration::from_secs(gangs.longest_seconds)),
        gangs.device_hours
    )?;
    let mut rows = table();
    rows.set_header(["", "is", "would be with testudo"]);
    rows.add_row(["devices in use".to_owned(), format!("{:.1}", is.used), format!("{:.1}", would.used)]);
    rows.add_row(["devices stranded".to_owned(), format!("{:.1}", is.stranded), format!("{:.1}", would.stranded)]);
    let percent = |value: f64| format!("{value:.1} %");
    rows.add_row(["fragmentation".to_owned(), percent(is.fragmentation_percent), percent(would.fragmentation_percent)]);
    rows.add_row(["idle nodes".to_owned(), is.idle_nodes.to_string(), would.idle_nodes.to_string()]);
    writeln!(out, "\n{rows}")?;
    if *without_place > 0 {
        writeln!(out, "\n{without_place} pods run that would find no place: others are where they would have to be")?;
    }
    if !examples.is_empty() {
        let mut rows = table();
        rows.set_header(["pod", "is on", "would be on", "why"]);
        for example in examples {
            let nowhere = || "nowhere".to_owned();
            let would_be_on = example.would_be_on.clone().unwrap_or_else(nowhere);
            rows.add_row([example.pod.clone(), example.is_on.clone(), would_be_on, example.why.clone()]);
        }
        writeln!(out, "\n{rows}")?;
    }
    Ok(())
}
