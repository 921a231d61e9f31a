//! Several policies and seeds on one fleet of MIG GPUs, as a report.

use std::collections::BTreeMap;

use super::churn::Churn;
use super::policy::PolicyKind;
use super::series::recorded;
use crate::sim::experiment::side_by_side;
use crate::sim::result::{self, Measures, Report, key};
use crate::sim::versus;

/// Who is compared, and on what.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The fleet, and what comes to it.
    pub churn: Churn,
    /// The policies, each with the name that it is to have in the report.
    pub policies: Vec<(String, PolicyKind)>,
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
    pub fn run(&self, done: impl Fn() + Sync) -> Report {
        let named: Vec<(&str, PolicyKind)> = self.policies.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        let mut policies =
            side_by_side(&named, &self.seeds, self.threads, |policy, seed| self.outcome(policy, seed), done);
        // A bound is nobody's rival: it is ahead of all that keep the hardware's rules.
        let places = |name: &str| named.iter().any(|(known, kind)| *known == name && kind.has_places());
        versus::compare(&mut policies, versus::MIG_CHURN, places);
        Report { mode: "churn".into(), setting: self.setting(), policies }
    }

    fn outcome(&self, policy: PolicyKind, seed: u64) -> result::Outcome {
        let (outcome, series) = recorded(&self.churn, policy, seed);
        let kind = |profile| self.churn.geometry().profile(profile).kind.to_string();
        let measures = Measures {
            // The mean over time, as in the other churn.
            allocated_percent: vec![("mean".into(), outcome.allocated_percent)],
            accepted_percent_by_profile: (outcome.profiles.iter())
                .map(|profile| (kind(profile.profile), profile.accepted_percent()))
                .collect(),
            values: vec![
                (key::ACCEPTED_SLICES, outcome.accepted_slice_percent()),
                (key::REJECTED_BY_FRAGMENTATION, outcome.rejected_by_fragmentation_percent()),
            ],
        };
        result::Outcome { seed, measures, series }
    }

    fn setting(&self) -> BTreeMap<String, String> {
        let churn = &self.churn;
        let setting = [
            ("product", churn.geometry().name().to_owned()),
            ("gpus", churn.gpus.to_string()),
            ("mix", churn.mix().describe(churn.geometry())),
            ("load", churn.load.to_string()),
            ("horizon", churn.horizon.to_string()),
            ("warmup", churn.warmup.to_string()),
        ];
        setting.map(|(key, value)| (key.to_owned(), value)).into()
    }
}
