//! `testudo simulate`.

mod args;
mod files;
mod mig;
mod policies;
mod show;
mod versus;

use anyhow::{bail, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget};

use super::Outcome;
use super::output::write_json;
use super::progress;
use crate::sim::churn::Churn;
use crate::sim::experiment::{Experiment, Mode};
use crate::sim::fleet::fleet;
use crate::sim::gang_workload::Gangs;
use crate::sim::input::{Input, Limits};
use crate::sim::result::Report;
use crate::sim::rng::Rng;
use crate::sim::workload::{PODS_PER_NODE, workload};
use crate::sim::world::World;

pub use args::Args;
use args::{ModeName, Output};

/// Simulates, and says how it went.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let report = simulate(&args)?;
    files::write(&args, &report)?;
    match args.output {
        Output::Json => write_json(&if args.series { report } else { report.without_series() })?,
        Output::Table => show::tables(&report)?,
    }
    Ok(Outcome::Done)
}

fn simulate(args: &Args) -> anyhow::Result<Report> {
    if let Some(gpus) = args.gpus {
        let experiment = mig::experiment(args, gpus)?;
        files::ready(args)?;
        let bar = runs_bar(experiment.runs());
        let report = experiment.run(|| bar.inc(1));
        bar.finish_and_clear();
        return Ok(report);
    }
    ensure!(
        args.product.is_none() && args.mix.is_none(),
        "--product and --mix belong to --gpus: give --gpus N, no nodes"
    );
    let experiment = experiment(args)?;
    let world = World::new(input(args)?)?;
    if let Mode::Churn(churn) = &experiment.mode {
        let arrivals = churn.arrivals(&world);
        ensure!(
            arrivals <= MAX_ARRIVALS,
            "this churn makes {arrivals:.0} pods arrive in each run, more than {MAX_ARRIVALS:.0}: lower --load or --horizon"
        );
    }
    files::ready(args)?;
    let bar = runs_bar(experiment.runs());
    let report = experiment.run(&world, || bar.inc(1));
    bar.finish_and_clear();
    Ok(report?)
}

/// More would run for days.
const MAX_ARRIVALS: f64 = 20e6;

fn input(args: &Args) -> anyhow::Result<Input> {
    if let Some(nodes) = args.fleet.map(usize::from) {
        let seed = args.seeds.0.first().copied().unwrap_or_default();
        let mut rng = Rng::new(seed);
        let mut pods = workload(nodes * PODS_PER_NODE, &mut rng);
        if let Some(share) = args.gangs {
            let gangs = Gangs { share, sizes: args.gang_sizes.clone(), tensor_parallel: args.gang_tp };
            pods.extend(gangs.pods(pods.len(), &mut rng));
        }
        return Ok(Input::of(&fleet(nodes), &pods)?);
    }
    ensure!(args.gangs.is_none(), "--gangs adds gangs to a generated fleet: give --fleet N instead of --nodes");
    if args.nodes.is_empty() {
        bail!(
            "which nodes? Give --nodes FILE (manifests or openb CSV) or --fleet N; or --gpus N for MIG instances alone"
        );
    }
    let pods = if args.pods.is_empty() { &args.nodes } else { &args.pods };
    let csv = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "csv");
    ensure!(!(args.pods.is_empty() && pods.iter().any(csv)), "which pods? Give --pods FILE (manifests or openb CSV)");
    Ok(Input::read(&args.nodes, pods, &Limits::default())?)
}

fn experiment(args: &Args) -> anyhow::Result<Experiment> {
    let policies = policies::of_pods(&args.policy)?;
    let mode = match args.mode.unwrap_or(ModeName::Inflation) {
        ModeName::Inflation => Mode::Inflation { load: args.load.unwrap_or(1.3) },
        ModeName::Churn => {
            let (horizon, warmup) = args.times()?;
            Mode::Churn(Churn { load: args.load.unwrap_or(1.0), horizon, warmup })
        }
        ModeName::Replay => {
            ensure!(args.load.is_none(), "--mode replay takes the load from the time stamps; leave --load out");
            Mode::Replay
        }
    };
    Ok(Experiment { mode, policies, ties: args.ties, seeds: args.seeds.0.clone(), threads: args.threads()? })
}

/// On the standard error, and only where that is a terminal.
fn runs_bar(runs: usize) -> ProgressBar {
    let bar = progress::bar(ProgressDrawTarget::stderr(), runs as u64, "runs");
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}
