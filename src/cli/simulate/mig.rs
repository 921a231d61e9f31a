//! `--gpus`: instances of MIG GPUs come and go.

use anyhow::{Context, bail, ensure};
use testudo_core::model::catalogue::Catalogue;

use super::args::{Args, ModeName};
use super::policies;
use crate::sim::mig::{Churn, Experiment, Mix, known, product};

/// What was asked for.
pub fn experiment(args: &Args, gpus: u16) -> anyhow::Result<Experiment> {
    if let Some(mode @ (ModeName::Inflation | ModeName::Replay)) = args.mode {
        bail!("--mode {mode} is for nodes and pods; the instances of --gpus come and go: --mode churn");
    }
    let catalogue = Catalogue::builtin();
    let Some(name) = &args.product else {
        bail!("which GPUs? Give --product; there are {}", known(&catalogue));
    };
    let geometry = product(&catalogue, name).context("--product")?;
    let Some(mix) = &args.mix else {
        let profiles: Vec<String> = geometry.profiles().map(|(_, profile)| profile.kind.to_string()).collect();
        let (product, profiles) = (geometry.name(), profiles.join(", "));
        bail!("which instances come? Give --mix, such as 1g=.5,2g=.5; {product} has {profiles}");
    };
    let mut churn = Churn::new(&geometry, Mix::parse(mix, &geometry).context("--mix")?)?;
    churn.gpus = usize::from(gpus);
    churn.load = args.load.unwrap_or(churn.load);
    (churn.horizon, churn.warmup) = args.times()?;
    let looks = churn.arrivals() * f64::from(gpus);
    ensure!(
        looks <= MAX_LOOKS,
        "this churn makes {:.0} instances arrive in each run, and looks at {gpus} GPUs for each: lower --gpus, --load or --horizon",
        churn.arrivals()
    );
    let policies = policies::of_mig(&args.policy)?;
    Ok(Experiment { churn, policies, seeds: args.seeds.0.clone(), threads: args.threads()? })
}

/// How many GPUs a run looks at. More would run for hours.
const MAX_LOOKS: f64 = 1e11;
