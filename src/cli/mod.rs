//! The command line: what was typed becomes what is meant, and errors become exit codes.

mod check;
mod claims;
mod demo;
mod election;
mod explain;
mod follow;
mod generate;
mod output;
mod plan;
mod policy;
mod progress;
mod serve;
mod simulate;
mod snapshot;
mod source;
mod telemetry;
mod top;
mod trial;
mod uninstall;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Places GPU pods by MIG fragmentation, NVLink topology and gang, as an extender of plain kube-scheduler.
#[derive(Debug, Parser)]
#[command(name = "testudo", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the extender protocol, against a cluster or on a file.
    Serve(serve::Args),
    /// Watch it work on an embedded fleet; no cluster needed.
    Demo(demo::Args),
    /// Compare placement policies on a simulated cluster: a trace, manifests, a generated fleet or MIG GPUs.
    Simulate(Box<simulate::Args>),
    /// Allocate devices to ResourceClaims, on files.
    Claims(claims::Args),
    /// Say where a pod fits and why not elsewhere, or what a node is taken for.
    Explain(explain::Args),
    /// Show the fleet, what becomes of its devices and what that costs, and the gangs that wait.
    Top(top::Args),
    /// Say how many copies of a workload fit, and which node group has to grow for the rest.
    Plan(plan::Args),
    /// Check policy files.
    Policy(policy::Args),
    /// Save a cluster to one file that every other command takes with -f.
    Snapshot(snapshot::Args),
    /// Walk through what must be true for testudo to work in a cluster, and say what to do.
    Check(check::Args),
    /// Watch the scheduler that runs, and report what testudo would have done. Nothing is installed or written.
    Trial(trial::Args),
    /// Print completions for a shell.
    Completion(generate::CompletionArgs),
    /// Write man pages.
    Man(generate::ManArgs),
    /// Print the reference of all commands, as it stands in docs/cli.md.
    #[command(hide = true)]
    Reference,
    /// Before testudo is taken away: open the gates of waiting gangs, which nobody else would, and let nodes be removed again.
    Uninstall(uninstall::Args),
}

/// What a command that did its work has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Done, or yes: exit 0.
    Done,
    /// No: it does not fit. Exit 1.
    No,
}

/// Runs what was typed. Exit 0: done; 1: the answer is no; 2: error.
pub fn main() -> ExitCode {
    let cli = parse();
    let outcome = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Simulate(args) => simulate::run(*args),
        Command::Claims(args) => claims::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Top(args) => top::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Policy(args) => policy::run(args),
        Command::Snapshot(args) => snapshot::run(args),
        Command::Check(args) => check::run(args),
        Command::Trial(args) => trial::run(args),
        Command::Completion(args) => generate::completion(&args),
        Command::Man(args) => generate::man(&args),
        Command::Reference => generate::reference(),
        Command::Uninstall(args) => uninstall::run(args),
    };
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Err(error) if output::has_been_read(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Reads what was typed. Called as `kubectl-testudo` it is a plugin of kubectl, and its help says so.
fn parse() -> Cli {
    let called = std::env::args_os().next().unwrap_or_default();
    let is_plugin = std::path::Path::new(&called).file_stem().is_some_and(|name| name == "kubectl-testudo");
    let command = if is_plugin { Cli::command().bin_name("kubectl testudo") } else { Cli::command() };
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}
