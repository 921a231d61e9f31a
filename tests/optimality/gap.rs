//! Distances to the optimum, over many instances.

use std::fmt;
use std::io::Write;

/// How far below the optimum a rule stayed on each of many instances, in percent of the optimum.
#[derive(Debug, Default)]
pub struct Gaps(Vec<f64>);

impl Gaps {
    /// Notes one instance. That nothing is ever above the optimum is what makes it one.
    pub fn note(&mut self, reached: i64, optimum: i64, what: &dyn fmt::Debug) {
        assert!(reached <= optimum, "{reached} is above the optimum {optimum} of {what:?}");
        self.0.push(if optimum == 0 { 0.0 } else { (optimum - reached) as f64 * 100.0 / optimum as f64 });
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }

    /// The largest.
    pub fn worst(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    /// On how many instances the optimum was reached.
    fn reached(&self) -> usize {
        self.0.iter().filter(|gap| **gap == 0.0).count()
    }
}

impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mean, worst, reached, all) = (self.mean(), self.worst(), self.reached(), self.0.len());
        write!(f, "{mean:.2} % (worst {worst:.1} %, optimal on {reached} of {all})")
    }
}

/// Shows the gaps of several rules: past the test harness, which keeps back what a test that passes prints.
pub fn show(title: &str, rules: &[(&str, Gaps)]) {
    let rules: Vec<String> = rules.iter().map(|(name, gaps)| format!("{name} {gaps}")).collect();
    let line = format!("mean gap to optimum, {title}: {}\n", rules.join("; "));
    std::io::stdout().write_all(line.as_bytes()).expect("stdout takes a line");
}
