//! `testudo snapshot`: a cluster saved to one file.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, ensure};
use indicatif::ProgressDrawTarget;
use tokio::time::timeout;

use super::Outcome;
use super::follow::{CANNOT_LIST, LIST_TIMEOUT};
use super::output::stdout;
use super::progress::{PATIENCE, bar, while_working};
use super::source::Source;
use crate::claims::with_large_stack;
use crate::k8s::client::Retries;
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

/// Takes a snapshot.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    if args.fields {
        let mut out = stdout();
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
        snapshot.write(stdout(), &taken_at)?;
    } else {
        let mut bytes = vec![];
        while_working("packing", || snapshot.write(&mut bytes, &taken_at))?;
        replace(&args.to, &bytes).with_context(|| format!("cannot write {}", args.to.display()))?;
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
        let client = source.connect(Retries::ByClient).await?;
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
        snapshot.context(CANNOT_LIST)
    })
}

/// Writes a file in one piece: what cannot be written leaves no half of one in place of an older one.
fn replace(to: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // What a link points to, so that it stays one.
    let to = std::fs::canonicalize(to).unwrap_or_else(|_| to.to_owned());
    let older = std::fs::metadata(&to).ok();
    if older.as_ref().is_some_and(|older| !older.is_file()) {
        // A pipe or a device takes what it is given, and nothing can be put in its place.
        return std::fs::write(&to, bytes);
    }
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let beside = to.with_file_name(name);
    let written = write_new(&beside, bytes, older.map(|older| older.permissions()));
    let replaced = written.and_then(|()| std::fs::rename(&beside, &to));
    let Err(error) = replaced else { return Ok(()) };
    // Nobody needs it, and the error is worth more than that it could not be deleted.
    let _ = std::fs::remove_file(&beside);
    // A file that is mounted, or in a folder that is not ours, can be written, but nothing can be put in its place.
    let is_fixed =
        matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ResourceBusy | ErrorKind::CrossesDevices);
    if is_fixed && to.exists() { std::fs::write(&to, bytes) } else { Err(error) }
}

/// Writes a file, down to the disk, with the permissions of the one that it is to replace.
fn write_new(path: &Path, bytes: &[u8], permissions: Option<Permissions>) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions))?;
    file.write_all(bytes)?;
    file.sync_all()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_file_is_there_until_the_new_one_is() {
        let folder = std::env::temp_dir().join(format!("testudo-replace-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (file, kept) = (folder.join("cluster.json.gz"), folder.join("kept"));
        replace(&file, b"older").unwrap();
        // Another name of the older file: it would be truncated with it.
        std::fs::hard_link(&file, &kept).unwrap();
        replace(&file, b"newer").unwrap();
        assert_eq!((std::fs::read(&file).unwrap(), std::fs::read(&kept).unwrap()), (b"newer".into(), b"older".into()));
        let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.count(), 2, "nothing is left beside it");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_links_devices_stay_devices_and_secrets_secrets() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("testudo-links-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (file, link) = (folder.join("cluster.json.gz"), folder.join("link"));
        std::fs::write(&file, b"older").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"newer").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"newer");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        replace(Path::new("/dev/null"), b"newer").unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
