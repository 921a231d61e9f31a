//! `testudo policy`: policy files.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Outcome;
use super::output::stdout;
use crate::config::Configuration;
use crate::policy::scheduler::Reached;
use crate::policy::{self, reference, scheduler};

/// Flags of `testudo policy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say whether a policy file can be used, and print the KubeSchedulerConfiguration that goes with it. Exit 2 when it
    /// cannot, with line and column.
    Check {
        /// The file.
        file: PathBuf,
        /// The configuration of testudo: the names of schedulers and times are taken from it.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// How kube-scheduler reaches testudo.
        #[arg(long, value_name = "URL", default_value = "https://testudo.testudo-system.svc:8888")]
        url: String,
        /// Where kube-scheduler finds ca.crt, tls.crt and tls.key.
        #[arg(long, value_name = "FOLDER", default_value = "/etc/testudo/tls")]
        tls_folder: String,
    },
    /// Print the reference, as it stands in docs/policy.md.
    #[command(hide = true)]
    Reference,
}

/// Runs what was typed.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    match args.action {
        Action::Check { file, config, url, tls_folder } => {
            check(&file, config.as_deref(), &Reached { url, tls_folder })
        }
        Action::Reference => {
            write!(stdout(), "{}", reference::markdown())?;
            Ok(Outcome::Done)
        }
    }
}

fn check(file: &Path, config: Option<&Path>, reached: &Reached) -> anyhow::Result<Outcome> {
    let configuration = config.map(Configuration::load).transpose()?.unwrap_or_default();
    let read = policy::load(file)?;
    for warning in &read.warnings {
        eprintln!("warning: {warning}");
    }
    let profiles: Vec<&str> = read.policy.profiles.iter().map(|profile| &*profile.name).collect();
    eprintln!("{}: profiles {}", file.display(), profiles.join(", "));
    write!(stdout(), "{}", serde_saphyr::to_string(&scheduler::configuration(&configuration, reached))?)?;
    Ok(Outcome::Done)
}
