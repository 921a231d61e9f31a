//! The time line: what has been, in memory only and bounded.

use std::collections::VecDeque;

use serde::ser::{Serialize, Serializer};

/// One point of the time line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When, in seconds since 1970.
    pub at_s: u64,
    /// The share of devices that is held, in thousandths.
    pub allocated_permille: i64,
    /// The share of what is free that typical pods could not use, in thousandths.
    pub unusable_permille: i64,
    /// Gangs that wait for places.
    pub waiting_gangs: usize,
    /// Pods that wait for accelerators.
    pub waiting_pods: usize,
}

/// `[at, allocated, unusable, gangs, pods]`.
impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { at_s, allocated_permille, unusable_permille, waiting_gangs, waiting_pods } = self;
        (at_s, allocated_permille, unusable_permille, waiting_gangs, waiting_pods).serialize(serializer)
    }
}

/// A quarter of an hour second by second, and a day minute by minute.
#[derive(Debug, Default)]
pub struct History {
    seconds: VecDeque<Sample>,
    minutes: VecDeque<Sample>,
}

const SECONDS: usize = 900;
const MINUTES: usize = 1440;

impl History {
    /// Takes in what is so now; false when nothing is to be kept of it, since there is one of this second.
    pub fn push(&mut self, sample: Sample) -> bool {
        if self.seconds.back().is_some_and(|last| last.at_s >= sample.at_s) {
            return false;
        }
        if self.minutes.back().is_none_or(|last| sample.at_s >= last.at_s + 60) {
            keep(&mut self.minutes, MINUTES, sample);
        }
        keep(&mut self.seconds, SECONDS, sample);
        true
    }

    /// All that is kept, oldest first: minutes, and seconds where there are any.
    pub fn samples(&self) -> Vec<Sample> {
        let from_s = self.seconds.front().map_or(u64::MAX, |first| first.at_s);
        let before = self.minutes.iter().filter(|sample| sample.at_s < from_s);
        before.chain(&self.seconds).copied().collect()
    }
}

fn keep(samples: &mut VecDeque<Sample>, limit: usize, sample: Sample) {
    if samples.len() == limit {
        samples.pop_front();
    }
    samples.push_back(sample);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_minutes_and_end_after_a_day() {
        let mut history = History::default();
        let at = |at_s| Sample { at_s, allocated_permille: 0, unusable_permille: 0, waiting_gangs: 0, waiting_pods: 0 };
        for at_s in 0..2 * 24 * 3600 {
            assert!(history.push(at(at_s)));
            assert!(!history.push(at(at_s)), "one a second");
        }
        let samples = history.samples();
        assert!(samples.len() <= SECONDS + MINUTES);
        assert!(samples.is_sorted_by_key(|sample| sample.at_s));
        let last = samples.len() - 1;
        assert_eq!(samples[last].at_s - samples[last - 1].at_s, 1);
        assert_eq!(samples[1].at_s - samples[0].at_s, 60);
        let kept_s = samples[last].at_s - samples[0].at_s;
        assert!((23 * 3600..=24 * 3600).contains(&kept_s), "{kept_s}");
    }
}
