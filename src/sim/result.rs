//! What experiments find out, and how it is written down.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::versus::Versus;

/// What was measured in one run, or the mean of several. Only what the mode measures is there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measures {
    /// How much of the accelerators was allocated: at these loads (percent of what there is), or as a mean.
    pub allocated_percent: Vec<(String, f64)>,
    /// How much of what was asked for was given, by MIG profile.
    pub accepted_percent_by_profile: Vec<(String, f64)>,
    /// Everything else, by name.
    pub values: Vec<(&'static str, f64)>,
}

/// Names of values that several modes measure.
pub mod key {
    /// Share of the offered MIG memory slices that were accepted.
    pub const ACCEPTED_SLICES: &str = "accepted_slice_percent";
    /// Share of the accelerators asked for that was refused, at least at first, though in total enough was free on the
    /// nodes that the pod accepts.
    pub const REJECTED_BY_FRAGMENTATION: &str = "rejected_by_fragmentation_percent";
    /// Share of all pods that were placed.
    pub const ACCEPTED: &str = "accepted_percent";
    /// Share of the accelerators asked for that were given.
    pub const ACCEPTED_GPU: &str = "accepted_gpu_percent";
    /// Share of all accelerators that was free, but of no use to the typical next pod, at the end.
    pub const FRAGMENTATION: &str = "fragmentation_percent";
    /// The most that was allocated at any time.
    pub const PEAK: &str = "peak_allocated_percent";
    /// Share of the pods that had to wait.
    pub const WAITED: &str = "waited_percent";
    /// How long those waited in the mean, in seconds.
    pub const MEAN_WAIT: &str = "mean_wait_seconds";
    /// How long one waited at most, in seconds.
    pub const LONGEST_WAIT: &str = "longest_wait_seconds";
    /// Share of the pods that were never placed.
    pub const NEVER_PLACED: &str = "never_placed_percent";
    /// Share of all gangs of which all members were placed.
    pub const GANGS_WHOLE: &str = "gangs_whole_percent";
    /// Share of all gangs of which some members were placed and others were not, at any time.
    pub const GANGS_HALF: &str = "gangs_half_percent";
    /// Share of all accelerators that gangs held which were not whole: in the mean over time, or at the end where only
    /// arrivals are simulated.
    pub const HELD_IN_VAIN: &str = "held_by_half_gangs_percent";
}

impl Measures {
    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// How much was allocated at this load.
    pub fn allocated_at(&self, load: &str) -> Option<f64> {
        self.allocated_percent.iter().find(|(at, _)| at == load).map(|(_, value)| *value)
    }

    fn combined(runs: &[&Self], combine: impl Fn(&[f64]) -> f64) -> Self {
        let Some(first) = runs.first() else { return Self::default() };
        let of = |name: &str| runs.iter().filter_map(|run| run.get(name)).collect::<Vec<f64>>();
        let map = |map: fn(&Self) -> &[(String, f64)]| {
            let at = |key: &str| {
                let found = runs.iter().filter_map(|run| map(run).iter().find(|(known, _)| known == key));
                combine(&found.map(|(_, value)| *value).collect::<Vec<f64>>())
            };
            map(first).iter().map(|(key, _)| (key.clone(), at(key))).collect()
        };
        Self {
            allocated_percent: map(|run| &run.allocated_percent),
            accepted_percent_by_profile: map(|run| &run.accepted_percent_by_profile),
            values: first.values.iter().map(|(name, _)| (*name, combine(&of(name)))).collect(),
        }
    }

    fn fill<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        if !self.allocated_percent.is_empty() {
            map.serialize_entry("allocated_percent", &InOrder(&self.allocated_percent))?;
        }
        if !self.accepted_percent_by_profile.is_empty() {
            map.serialize_entry("accepted_percent_by_profile", &InOrder(&self.accepted_percent_by_profile))?;
        }
        self.values.iter().try_for_each(|(name, value)| map.serialize_entry(name, &rounded(*value)))
    }
}

impl Serialize for Measures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.fill(&mut map)?;
        map.end()
    }
}

/// A map in the order in which it was measured.
struct InOrder<'a>(&'a [(String, f64)]);

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, rounded(*value))))
    }
}

/// More digits would be noise.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// One moment of a run. Whatever is measured here beside `at` is plotted in reports, maps with a plot for each key.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Point {
    /// The load that has arrived, in percent (inflation), or the time.
    pub at: f64,
    /// How much of the accelerators is allocated.
    pub allocated_percent: f64,
    /// How much of them is free, but of no use to the typical next pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fragmentation_percent: Option<f64>,
    /// Share of the accelerators asked for so far that was refused though in total enough was free.
    pub rejected_by_fragmentation_percent: f64,
    /// How many pods wait.
    pub waiting: usize,
    /// How much of the accelerators gangs hold that are not whole; none where there are no gangs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by_half_gangs_percent: Option<f64>,
    /// How much is free, but of no use to a pod with this MIG profile.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fragmentation_by_profile: BTreeMap<String, f64>,
    /// How many sets of so many wholly free GPUs there are, each on one node; see [`SET_SIZES`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub free_sets: BTreeMap<usize, usize>,
}

/// In which sizes free sets of GPUs are counted, as far as there are such nodes.
pub const SET_SIZES: [usize; 4] = [1, 2, 4, 8];

/// How many points a series has at most.
pub const POINTS: usize = 200;

/// What one run found out.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Decides arrivals and ties.
    pub seed: u64,
    /// What was measured.
    pub measures: Measures,
    /// How it went, in at most [`POINTS`] points.
    pub series: Vec<Point>,
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("seed", &self.seed)?;
        self.measures.fill(&mut map)?;
        if !self.series.is_empty() {
            map.serialize_entry("series", &self.series)?;
        }
        map.end()
    }
}

/// All runs of one policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyReport {
    /// The policy.
    pub name: String,
    /// Its runs.
    pub seeds: Vec<Outcome>,
    /// The mean of what they measured.
    pub mean: Measures,
    /// The standard deviation of it, over the runs.
    pub sd: Measures,
    /// How it stands against the best other policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versus: Option<Versus>,
}

impl PolicyReport {
    /// Sums up the runs of a policy.
    pub fn new(name: impl Into<String>, seeds: Vec<Outcome>) -> Self {
        let runs: Vec<&Measures> = seeds.iter().map(|outcome| &outcome.measures).collect();
        let (mean, sd) = (Measures::combined(&runs, mean), Measures::combined(&runs, deviation));
        Self { name: name.into(), seeds, mean, sd, versus: None }
    }
}

/// An experiment with several policies side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Which experiment: `inflation`, `churn` or `replay`.
    pub mode: String,
    /// What it was done with, in words: nodes, pods, load.
    pub setting: BTreeMap<String, String>,
    /// The policies, in the order in which they were asked for.
    pub policies: Vec<PolicyReport>,
}

impl Report {
    /// The same without the course of each run.
    pub fn without_series(mut self) -> Self {
        self.policies.iter_mut().flat_map(|policy| &mut policy.seeds).for_each(|outcome| outcome.series.clear());
        self
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Of a sample; 0 for a single value.
fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// `part` in percent of `all`; 0 of nothing.
pub fn percent(part: f64, all: f64) -> f64 {
    if all > 0.0 { 100.0 * part / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(seed: u64, at_95: f64, rejected: f64) -> Outcome {
        let measures = Measures {
            allocated_percent: vec![("95".into(), at_95), ("100".into(), 90.0)],
            values: vec![(key::REJECTED_BY_FRAGMENTATION, rejected)],
            ..Measures::default()
        };
        Outcome { seed, measures, series: vec![] }
    }

    #[test]
    fn scripts_find_what_they_look_for() {
        let report = PolicyReport::new("fgd", vec![outcome(42, 80.0, 1.0), outcome(43, 81.0, 2.00049)]);
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"name":"fgd","seeds":[{"seed":42,"allocated_percent":{"95":80.0,"100":90.0},"rejected_by_fragmentation_percent":1.0},{"seed":43,"allocated_percent":{"95":81.0,"100":90.0},"rejected_by_fragmentation_percent":2.0}],"mean":{"allocated_percent":{"95":80.5,"100":90.0},"rejected_by_fragmentation_percent":1.5},"sd":{"allocated_percent":{"95":0.707,"100":0.0},"rejected_by_fragmentation_percent":0.707}}"#
        );
    }

    #[test]
    fn what_is_not_measured_is_left_out() {
        let measures = Measures { values: vec![(key::ACCEPTED_SLICES, 91.3)], ..Measures::default() };
        assert_eq!(serde_json::to_string(&measures).unwrap(), r#"{"accepted_slice_percent":91.3}"#);
    }
}
