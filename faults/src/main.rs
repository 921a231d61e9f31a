//! Plays seeds, and tells the shortest history of the first that fails.

use std::process::ExitCode;

use clap::Parser;
use testudo_faults::many::{self, Failure};
use testudo_faults::script::Script;
use testudo_faults::story::Story;
use testudo_faults::world::play;

/// Testudo in a simulated cluster in which everything goes wrong, the same way for the same seed.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// At the same time, by default one on each core.
    #[arg(long)]
    threads: Option<usize>,
    /// Do not look for the shortest history of a seed that fails.
    #[arg(long)]
    brief: bool,
    /// Tell the whole history of the first seed, as it is.
    #[arg(long)]
    tell: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.tell {
        let (outcome, story) = play(&Script::of(args.first), Story::written());
        story.lines().iter().for_each(|line| println!("{line}"));
        println!("{outcome:?}");
        return ExitCode::from(u8::from(outcome.violation.is_some()));
    }
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let report = many::play(args.first..args.first + args.seeds, threads);
    println!("{report}");
    match report.failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            if !args.brief {
                print!("{}", Failure::history(&failure));
            }
            ExitCode::FAILURE
        }
    }
}
