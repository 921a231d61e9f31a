//! Many seeds.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::invariants::{Seen, Violation};
use crate::script::Script;
use crate::shrink::shortest;
use crate::story::Story;
use crate::world;

/// What came of them.
#[derive(Debug)]
pub struct Report {
    /// How many were played.
    pub played: u64,
    /// In how many steps.
    pub steps: u64,
    /// What was going on.
    pub seen: Seen,
    /// How long it took.
    pub took: Duration,
    /// The lowest seed that was found to fail.
    pub failure: Option<Failure>,
}

/// A seed that fails.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// How.
    pub violation: Violation,
}

/// Plays seeds until one fails.
pub fn play(seeds: Range<u64>, threads: usize) -> Report {
    let began = Instant::now();
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let report = Mutex::new(Report { played: 0, steps: 0, seen: Seen::default(), took: Duration::ZERO, failure: None });
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            let (outcome, _) = world::play(&Script::of(seed), Story::default());
            let Ok(mut report) = report.lock() else { return };
            report.played += 1;
            report.steps += outcome.steps;
            report.seen += outcome.seen;
            if let Some(violation) = outcome.violation {
                stop.store(true, Ordering::Relaxed);
                if report.failure.as_ref().is_none_or(|known| seed < known.seed) {
                    report.failure = Some(Failure { seed, violation });
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let report = report.into_inner().expect("nobody panics while it is locked");
    Report { took: began.elapsed(), ..report }
}

impl Failure {
    /// The shortest history that was found in which the same goes wrong.
    pub fn history(&self) -> String {
        let script = shortest(&Script::of(self.seed), self.violation.rule);
        let (_, story) = world::play(&script, Story::written());
        let nodes: Vec<String> = (0..).zip(&script.nodes).map(|(index, it)| format!("n{index} {it:?}")).collect();
        let mut text = format!("The shortest history found, with nodes {}:\n\n", nodes.join(", "));
        for line in story.lines() {
            text += &format!("{line}\n");
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { bound, gangs, excused, allocated, taken_back, ledgers } = self.seen;
        write!(
            f,
            "{} seeds in {:.1} s: {} steps, {bound} pods bound, {gangs} gangs started, {excused} excused from being whole, \
             {allocated} claims allocated, {taken_back} of them taken back unused, {ledgers} ledgers read; ",
            self.played,
            self.took.as_secs_f64(),
            self.steps
        )?;
        match &self.failure {
            None => f.write_str("nothing wrong"),
            Some(Failure { seed, violation }) => write!(f, "seed {seed} FAILS: {violation}"),
        }
    }
}
