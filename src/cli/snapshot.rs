//! `testudo snapshot`: a cluster saved to one file.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use indicatif::ProgressDrawTarget;
use tokio::time::timeout;

use super::Outcome;
use super::progress::{PATIENCE, bar, while_working};
use super::source::Source;
use crate::claims::with_large_stack;
use crate::k8s::manifests::{self, Limits};
use crate::snapshot::{self, Snapshot};

/// Flags of `testudo snapshot`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the snapshot goes; `-` is the standard output.
    #[arg(default_value = "cluster.json.gz", value_name = "TO")]
    to: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Replace all names by numbers, and selectors of devices by what they say of each.
    #[arg(long)]
    anonymise: bool,
    /// Print which fields of which kinds a snapshot has, and take none. Nothing else gets into one.
    #[arg(long)]
    fields: bool,
}

/// How long a cluster may take to list everything.
const LIST_TIMEOUT: Duration = Duration::from_secs(300);

/// Takes a snapshot.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    if args.fields {
        let mut out = std::io::stdout().lock();
        snapshot::listed().iter().try_for_each(|line| writeln!(out, "{line}"))?;
        return Ok(Outcome::Done);
    }
    let to_stdout = args.to == Path::new("-");
    ensure!(
        !(to_stdout && std::io::stdout().is_terminal()),
        "a snapshot is no text: name a file, or send the standard output to one"
    );
    let mut snapshot = take(&args.source)?;
    if args.anonymise {
        snapshot = while_working("taking names out", || with_large_stack(|| Ok(snapshot.anonymised())))?;
    }
    let taken_at = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    if to_stdout {
        snapshot.write(std::io::stdout().lock(), &taken_at)?;
    } else {
        // In one piece, so that what cannot be written leaves no half of a file in place of an older one.
        let mut bytes = vec![];
        while_working("packing", || snapshot.write(&mut bytes, &taken_at))?;
        std::fs::write(&args.to, bytes).with_context(|| format!("cannot write {}", args.to.display()))?;
    }
    tell(&args, &snapshot);
    Ok(Outcome::Done)
}

/// Takes a snapshot of the files or the cluster.
pub(super) fn take(source: &Source) -> anyhow::Result<Snapshot> {
    if !source.files.is_empty() {
        let objects = while_working("reading", || manifests::objects(&source.files, &Limits::default()))?;
        return Ok(Snapshot::of(&objects));
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    runtime.block_on(async {
        let client = source.connect().await?;
        let bar = bar(ProgressDrawTarget::stderr(), 0, "objects");
        let begun = std::time::Instant::now();
        let show = |listed: usize, remaining: usize| {
            if begun.elapsed() > PATIENCE {
                bar.set_length((listed + remaining) as u64);
                bar.set_position(listed as u64);
            }
        };
        let listing = timeout(LIST_TIMEOUT, snapshot::list(&client, show)).await;
        bar.finish_and_clear();
        let snapshot = listing.context("the cluster has not listed its objects in 5 minutes")?;
        snapshot.context("the cluster cannot be listed: may this user list nodes and pods in all namespaces?")
    })
}

/// Says on the standard error what was done: the standard output may be the snapshot.
fn tell(args: &Args, snapshot: &Snapshot) {
    let counts: Vec<String> = snapshot.counts().iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let what = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
    eprintln!("took {what} from {}", args.source);
    for (kind, why) in &snapshot.left_out {
        eprintln!("left out {kind}: {why}");
    }
    if args.to != Path::new("-") {
        eprintln!("wrote {0}; every command takes it: testudo explain pod NAME -f {0}", args.to.display());
    }
}
