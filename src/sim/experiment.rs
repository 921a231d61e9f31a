//! One experiment with several policies and seeds.

use std::collections::BTreeMap;

use super::churn::Churn;
use super::jobs::on_all_cores;
use super::openb::WHOLE_GPU;
use super::placer::{TieBreak, Ties};
use super::policy::Policy;
use super::replay::{NoTime, Schedule};
use super::result::{Outcome, PolicyReport, Report};
use super::rng::Rng;
use super::versus::Aim;
use super::world::World;
use super::{inflation, replay, versus};

/// What the cluster is put through.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Pods only arrive, up to this load.
    Inflation {
        /// As a share of the accelerators that there are.
        load: f64,
    },
    /// Pods come and go at random.
    Churn(Churn),
    /// Pods come and go as they did.
    Replay,
}

impl Mode {
    /// What it is called on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Inflation { .. } => "inflation",
            Self::Churn(_) => "churn",
            Self::Replay => "replay",
        }
    }

    /// What policies are compared by.
    fn aim(&self) -> Aim {
        match self {
            Self::Inflation { .. } => Aim::Allocated,
            Self::Churn(_) => versus::CHURN,
            Self::Replay => versus::REPLAY,
        }
    }
}

/// Who is compared, and how.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// What the cluster is put through.
    pub mode: Mode,
    /// The policies.
    pub policies: Vec<Policy>,
    /// How they decide between equals.
    pub ties: Ties,
    /// Each policy is run with each of these.
    pub seeds: Vec<u64>,
    /// How many runs at a time.
    pub threads: usize,
}

impl Experiment {
    /// How many runs it takes.
    pub fn runs(&self) -> usize {
        self.policies.len() * self.seeds.len()
    }

    /// Runs it; `done` is told of each run that is finished.
    ///
    /// # Errors
    /// When replay is asked for and a pod has no time stamp.
    pub fn run(&self, world: &World, done: impl Fn() + Sync) -> Result<Report, NoTime> {
        let schedule = match self.mode {
            Mode::Replay => Some(Schedule::of(world)?),
            _ => None,
        };
        let work = |policy: Policy, seed: u64| -> Outcome {
            // From the seed alone, so that all policies of a run go by the same order.
            let ties = TieBreak::new(self.ties, world.machines.len(), &mut Rng::new(seed).branch());
            let mut placer = policy.placer(world, ties);
            match (&self.mode, &schedule) {
                (Mode::Inflation { load }, _) => inflation::run(world, &mut *placer, *load, seed),
                (Mode::Churn(churn), _) => churn.run(world, &mut *placer, seed),
                (Mode::Replay, schedule) => {
                    let schedule = schedule.as_ref().expect("replay has a schedule");
                    replay::run(world, schedule, &mut *placer, seed)
                }
            }
        };
        let policies: Vec<(&str, Policy)> = self.policies.iter().map(|policy| (policy.name(), *policy)).collect();
        let mut policies = side_by_side(&policies, &self.seeds, self.threads, work, done);
        versus::compare(&mut policies, self.mode.aim(), |_| true);
        Ok(Report { mode: self.mode.name().into(), setting: self.setting(world), policies })
    }

    fn setting(&self, world: &World) -> BTreeMap<String, String> {
        let mut setting = BTreeMap::from([
            ("nodes".to_owned(), world.machines.len().to_string()),
            ("pods".to_owned(), world.pods.len().to_string()),
            ("gpus".to_owned(), (world.gpu_milli / WHOLE_GPU).to_string()),
        ]);
        let mut say = |key: &str, value: String| setting.insert(key.to_owned(), value);
        if world.gangs > 0 {
            say("gangs", world.gangs.to_string());
        }
        say("ties", if self.ties == Ties::Fixed { "fixed" } else { "random" }.to_owned());
        match &self.mode {
            Mode::Inflation { load } => {
                say("load", load.to_string());
            }
            Mode::Churn(churn) => {
                say("load", churn.load.to_string());
                say("horizon", churn.horizon.to_string());
                say("warmup", churn.warmup.to_string());
            }
            Mode::Replay => {}
        }
        setting
    }
}

/// Runs every policy with every seed, and sums up by policy; `done` is told of each run that is finished.
pub fn side_by_side<P: Copy + Sync>(
    policies: &[(&str, P)],
    seeds: &[u64],
    threads: usize,
    run: impl Fn(P, u64) -> Outcome + Sync,
    done: impl Fn() + Sync,
) -> Vec<PolicyReport> {
    let jobs: Vec<(P, u64)> =
        policies.iter().flat_map(|(_, policy)| seeds.iter().map(|seed| (*policy, *seed))).collect();
    let mut outcomes = on_all_cores(&jobs, threads, |(policy, seed)| run(*policy, *seed), done).into_iter();
    let of = |(name, _): &(&str, P)| PolicyReport::new(*name, outcomes.by_ref().take(seeds.len()).collect());
    policies.iter().map(of).collect()
}
