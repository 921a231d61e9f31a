//! Which policy is ahead, and whether that may be chance.
//!
//! The policies of an experiment see the same arrivals with the same seed, so they are compared seed by seed: what the
//! arrivals do to all of them cancels out. The test is the paired t-test. The rival of each policy is the best other one
//! by its mean over these very seeds, and there are as many tests as policies: with many policies and few seeds a `p` not
//! far below 0.05 means little.

use serde::Serialize;
use serde::ser::Serializer;

use super::result::{Measures, PolicyReport, key, rounded};
use super::student::{critical_value, two_sided_p};

/// What an experiment is about, and what its policies are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// How much is allocated at the highest load.
    Allocated,
    /// This value should be high.
    High(&'static str),
    /// This value should be low.
    Low(&'static str),
}

/// Churn of pods: the share of the accelerators asked for that were given.
pub const CHURN: Aim = Aim::High(key::ACCEPTED_GPU);
/// Replay loses nobody: the share of the pods that had to wait.
pub const REPLAY: Aim = Aim::Low(key::WAITED);
/// Churn of MIG instances: the share of the memory slices asked for that were given.
pub const MIG_CHURN: Aim = Aim::High(key::ACCEPTED_SLICES);

impl Aim {
    /// What is looked at, by the name that it has in the report.
    fn measure(self, measures: &Measures) -> Option<String> {
        match self {
            Self::Allocated => measures.allocated_percent.last().map(|(load, _)| format!("allocated_percent.{load}")),
            Self::High(name) | Self::Low(name) => Some(name.to_owned()),
        }
    }

    fn value(self, measures: &Measures) -> Option<f64> {
        match self {
            Self::Allocated => measures.allocated_percent.last().map(|(_, value)| *value),
            Self::High(name) | Self::Low(name) => measures.get(name),
        }
    }

    /// What is better is higher.
    fn worth(self, measures: &Measures) -> Option<f64> {
        let value = self.value(measures);
        if let Self::Low(_) = self { value.map(|value| -value) } else { value }
    }
}

/// How far a policy is ahead of the best other one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Versus {
    /// The best other policy by its mean.
    pub policy: String,
    /// What is compared.
    pub measure: String,
    /// This policy's mean less the other's.
    #[serde(serialize_with = "short")]
    pub difference: f64,
    /// Where the difference would be with ever more seeds, with a confidence of 95 %.
    #[serde(serialize_with = "short_pair")]
    pub ci95: [f64; 2],
    /// How likely so large a difference, to either side, would be if both were equally good.
    #[serde(serialize_with = "digits")]
    pub p: f64,
}

/// Says of each policy how it stands against the best other one that `rivals`; nothing where there are fewer than two
/// seeds, or no other policy. Who is told to be no rival is itself compared all the same.
pub fn compare(policies: &mut [PolicyReport], aim: Aim, rivals: impl Fn(&str) -> bool) {
    let stands: Vec<Option<Versus>> = (0..policies.len())
        .map(|at| {
            let others = policies.iter().enumerate().filter(|(other, policy)| *other != at && rivals(&policy.name));
            let worth = others.filter_map(|(_, policy)| Some((aim.worth(&policy.mean)?, policy)));
            // The first of equals.
            let best = worth.reduce(|best, next| if next.0 > best.0 { next } else { best });
            versus(&policies[at], best?.1, aim)
        })
        .collect();
    policies.iter_mut().zip(stands).for_each(|(policy, stand)| policy.versus = stand);
}

fn versus(policy: &PolicyReport, rival: &PolicyReport, aim: Aim) -> Option<Versus> {
    let pairs = policy.seeds.iter().zip(&rival.seeds);
    let less = pairs.map(|(ours, theirs)| Some(aim.value(&ours.measures)? - aim.value(&theirs.measures)?));
    let test = PairedTest::of(&less.collect::<Option<Vec<f64>>>()?)?;
    let measure = aim.measure(&policy.mean)?;
    Some(Versus { policy: rival.name.clone(), measure, difference: test.mean, ci95: test.ci95, p: test.p })
}

/// What differences say.
#[derive(Debug, Clone, Copy, PartialEq)]
struct PairedTest {
    mean: f64,
    ci95: [f64; 2],
    p: f64,
}

impl PairedTest {
    /// Of one difference nothing follows.
    fn of(differences: &[f64]) -> Option<Self> {
        let count = differences.len();
        if count < 2 {
            return None;
        }
        let mean = differences.iter().sum::<f64>() / count as f64;
        let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
        let error = (squares / ((count - 1) * count) as f64).sqrt();
        // Policies that decide alike differ nowhere: 0 / 0 is no number.
        let p = if mean == 0.0 { 1.0 } else { two_sided_p(mean / error, count - 1) };
        let reach = error * critical_value(0.05, count - 1);
        Some(Self { mean, ci95: [mean - reach, mean + reach], p })
    }
}

fn short<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(rounded(*value))
}

fn short_pair<S: Serializer>(values: &[f64; 2], serializer: S) -> Result<S::Ok, S::Error> {
    values.map(rounded).serialize(serializer)
}

/// Three digits wherever they begin: a probability has its meaning in its size.
fn digits<S: Serializer>(p: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(format!("{p:.2e}").parse().unwrap_or(*p))
}

#[cfg(test)]
#[path = "versus_tests.rs"]
mod tests;
