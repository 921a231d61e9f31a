//! What `testudo simulate` is asked for.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, ensure};
use clap::ValueEnum;

use crate::sim::placer::Ties;

/// Flags of `testudo simulate`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The nodes: an openb node list (.csv), or manifests (YAML, JSON).
    #[arg(long, value_name = "FILE", conflicts_with = "fleet")]
    pub nodes: Vec<PathBuf>,
    /// The pods: an openb pod list (.csv), or manifests [default: those in the files of --nodes].
    #[arg(long, value_name = "FILE", conflicts_with = "fleet")]
    pub pods: Vec<PathBuf>,
    /// Instead of files: a generated fleet of so many nodes and pods for it, as in `testudo demo`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub fleet: Option<u16>,
    /// With --fleet: add gangs, so many as this share of the other pods. They are drawn with the first seed.
    #[arg(long, value_name = "SHARE", requires = "fleet", value_parser = load)]
    pub gangs: Option<f64>,
    /// With --gangs: how many members a gang has; each of these sizes comes as often.
    #[arg(long, value_name = "N,...", requires = "gangs", value_delimiter = ',', default_values_t = [2, 4])]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=1024))]
    pub gang_sizes: Vec<u32>,
    /// With --gangs: how many GPUs form one tensor-parallel set, on one NVLink fabric. Each member has 8 of them at most.
    #[arg(long, value_name = "N", requires = "gangs", default_value_t = 8)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub gang_tp: u32,
    /// Instead of nodes: so many MIG GPUs of one product, on which instances come and go (--mode churn).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    #[arg(conflicts_with_all = ["nodes", "pods", "fleet", "ties"])]
    pub gpus: Option<u16>,
    /// With --gpus: their product, as the catalogue has it (A100-40GB, A30) or as node labels do
    /// (NVIDIA-A100-SXM4-40GB).
    #[arg(long, value_name = "NAME")]
    pub product: Option<String>,
    /// With --gpus: which profiles the instances have, and how often: `1g=.2,1g+2mem=.2,3g=.6`. Shares need not
    /// add up to 1: each counts as a part of their sum.
    #[arg(long, value_name = "PROFILE=SHARE,...")]
    pub mix: Option<String>,
    /// What the cluster is put through [default: inflation; with --gpus: churn].
    #[arg(long, value_enum)]
    pub mode: Option<ModeName>,
    /// How much is asked for, as a share of the accelerators that there are [default: 1.3 for inflation, 1 for churn].
    #[arg(long, value_name = "SHARE", value_parser = load, allow_negative_numbers = true)]
    pub load: Option<f64>,
    /// Churn: when it ends, in mean durations of a pod.
    #[arg(long, value_name = "TIME", default_value_t = 60.0, value_parser = time, allow_negative_numbers = true)]
    pub horizon: f64,
    /// Churn: from when on it counts.
    #[arg(long, value_name = "TIME", default_value_t = 10.0, value_parser = time, allow_negative_numbers = true)]
    pub warmup: f64,
    /// Who is compared, side by side: testudo, testudo:PROFILE (the same where all pods have a ready-made profile, such as
    /// testudo:batch), testudo-extender (the same asked over HTTP, as kube-scheduler does), random,
    /// first-fit, best-fit, spread, most-allocated, dot-prod, gpu-clustering, gpu-packing, fgd. With --gpus: testudo, random, first-fit (or dra-first-fit), best-fit, spread, mfi,
    /// fgd, hami (or hami-like), and pool, the bound without any geometry.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "testudo,fgd,best-fit")]
    pub policy: Vec<String>,
    /// How a policy decides between equal nodes: at random, as stock kube-scheduler does, or by an order drawn once a run,
    /// as in the experiment that FGD was published with.
    #[arg(long, value_enum, default_value = "random")]
    pub ties: Ties,
    /// Each policy is run once with each of these: `42`, `42-51`, `1,5,7-9`.
    #[arg(long, value_name = "SEEDS", default_value = "42")]
    pub seeds: Seeds,
    /// How many runs at a time [default: one for each core]. Changes nothing in the results.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// How the results are written.
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
    /// With -o json: also the course of each run, in at most 200 points.
    #[arg(long)]
    pub series: bool,
    /// Beside the output: a report with tables and plots, as one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Beside the output: each plot of that report as a picture of its own, in this folder.
    #[arg(long, value_name = "FOLDER")]
    pub svg: Option<PathBuf>,
}

impl Args {
    /// When a churn ends, and from when on it counts.
    pub fn times(&self) -> anyhow::Result<(f64, f64)> {
        ensure!(self.warmup < self.horizon, "--warmup must be shorter than --horizon, or nothing counts");
        Ok((self.horizon, self.warmup))
    }

    /// How many runs at a time.
    pub fn threads(&self) -> anyhow::Result<usize> {
        match self.threads {
            Some(threads) => Ok(usize::from(threads)),
            None => Ok(std::thread::available_parallelism().context("how many cores are there?")?.get()),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  # The experiment of the FGD paper: pods arrive until they ask for 1.3 times the GPUs.
  testudo simulate --nodes nodes.csv --pods pods.csv --mode inflation --load 1.3 \\
      --policy testudo,fgd,best-fit --ties random --seeds 42-51

  # The same with pods that come and go at random, as JSON.
  testudo simulate --nodes nodes.csv --pods pods.csv --mode churn --load 1.0 --horizon 20 -o json

  # What happened, with another policy; pods wait when nothing is free.
  testudo simulate --nodes nodes.csv --pods pods.csv --mode replay --policy testudo,spread

  # A saved cluster: nodes and pods in one file.
  testudo simulate --nodes cluster.yaml --mode churn --policy testudo,most-allocated

  # The same, with a report to look at: tables, and plots of how it went.
  testudo simulate --nodes cluster.yaml --mode churn --policy testudo,most-allocated --html report.html

  # A generated fleet.
  testudo simulate --fleet 60 --policy testudo,spread

  # The same with gangs of 2 or 4 pods of 8 GPUs each: how many start, how many are placed by half?
  testudo simulate --fleet 60 --gangs 0.05 --gang-sizes 2,4 --gang-tp 8 --mode churn --policy testudo,spread

  # Instances of 100 MIG GPUs that come and go, as JSON. See docs/placement-mig.md.
  testudo simulate --gpus 100 --product A100-40GB --mode churn --load 1.0 \\
      --mix 1g=.2,1g+2mem=.2,2g=.15,3g=.15,4g=.15,7g=.15 --horizon 60 --warmup 10 \\
      --policy testudo,first-fit,best-fit,mfi,fgd --seeds 1-10 -o json";

/// What the cluster is put through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeName {
    /// Pods only arrive, in random order; who does not fit is dropped
    Inflation,
    /// Pods come and go at random; who does not fit is lost
    Churn,
    /// Pods come and go by their time stamps; who does not fit waits
    Replay,
}

impl fmt::Display for ModeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no mode is hidden").get_name())
    }
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// For scripts
    Json,
}

/// Numbers that each stand for one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(pub Vec<u64>);

/// More runs of one policy tell nothing more.
const MAX_SEEDS: usize = 10_000;

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.trim()
                .parse::<u64>()
                .map_err(|_| format!("{text:?} is no seed: write numbers and ranges, as in 42-51,60"))
        };
        let mut seeds = vec![];
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if last < first {
                return Err(format!("{part} ends before it begins; did you mean {last}-{first}?"));
            }
            if last - first >= MAX_SEEDS as u64 || seeds.len() + (last - first) as usize >= MAX_SEEDS {
                return Err(format!("these are more than {MAX_SEEDS} seeds"));
            }
            for seed in first..=last {
                if seeds.contains(&seed) {
                    return Err(format!("seed {seed} is there twice"));
                }
                seeds.push(seed);
            }
        }
        Ok(Self(seeds))
    }
}

fn load(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(load) if load > 0.0 && load <= 10.0 => Ok(load),
        Ok(_) => Err("a load is above 0 and at most 10; 1 asks for all that there is".into()),
        Err(_) => Err("is no number".into()),
    }
}

fn time(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(time) if (0.0..=1e6).contains(&time) => Ok(time),
        Ok(_) => Err("a time is 0 to 1000000 mean durations of a pod".into()),
        Err(_) => Err("is no number".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_numbers_and_ranges() {
        let seeds = |text: &str| text.parse::<Seeds>().map(|seeds| seeds.0);
        assert_eq!(seeds("42"), Ok(vec![42]));
        assert_eq!(seeds("42-45"), Ok(vec![42, 43, 44, 45]));
        assert_eq!(seeds("1,5,7-8"), Ok(vec![1, 5, 7, 8]));
        assert_eq!(seeds("9-3"), Err("9-3 ends before it begins; did you mean 3-9?".into()));
        assert_eq!(seeds("1-3,2"), Err("seed 2 is there twice".into()));
        assert!(seeds("one").is_err_and(|error| error.contains("\"one\" is no seed")));
        assert!(seeds("0-18446744073709551615").is_err_and(|error| error.contains("more than 10000 seeds")));
        assert!(seeds("").is_err() && seeds("-1").is_err() && seeds("1,,2").is_err());
    }

    #[test]
    fn loads_are_shares() {
        assert_eq!(load("1.3"), Ok(1.3));
        assert!(load("0").is_err() && load("-1").is_err() && load("NaN").is_err() && load("130%").is_err());
    }
}
