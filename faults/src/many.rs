//! Many seeds.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::invariants::{Rule, Seen, Violation};
use crate::script::Script;
use crate::shrink::shortest;
use crate::story::Story;
use crate::world;

/// A seed takes less than a second. One that takes so long does not end: something spins in one step of it, where no rule that
/// is asked between steps can see it.
const STUCK: Duration = Duration::from_secs(90);

/// How often it is looked whether one is stuck.
const LOOKED_AT_EACH: Duration = Duration::from_millis(100);

/// What came of them.
#[derive(Debug, Clone, Default)]
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

/// What all threads share. They may outlive who waits for them: one that spins cannot be ended.
#[derive(Debug)]
struct Game {
    seeds: Range<u64>,
    next: AtomicU64,
    stop: AtomicBool,
    report: Mutex<Report>,
    /// What each thread plays, and since when.
    playing: Mutex<BTreeMap<usize, (u64, Instant)>>,
}

/// Plays seeds until one fails.
pub fn play(seeds: Range<u64>, threads: usize) -> Report {
    let began = Instant::now();
    let game = Arc::new(Game {
        next: AtomicU64::new(seeds.start),
        seeds,
        stop: AtomicBool::new(false),
        report: Mutex::default(),
        playing: Mutex::default(),
    });
    let start = |thread| {
        let game = Arc::clone(&game);
        thread::spawn(move || game.take_part(thread))
    };
    let players: Vec<JoinHandle<()>> = (0..threads).map(start).collect();
    while !players.iter().all(JoinHandle::is_finished) && !game.is_stuck() {
        thread::sleep(LOOKED_AT_EACH);
    }
    for player in players.into_iter().filter(JoinHandle::is_finished) {
        player.join().expect("what a seed panics with is caught");
    }
    let report = game.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Report { took: began.elapsed(), ..report }
}

impl Game {
    fn take_part(&self, thread: usize) {
        while !self.stop.load(Ordering::Relaxed) {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if !self.seeds.contains(&seed) {
                break;
            }
            self.note(thread, Some(seed));
            let (outcome, _) = world::play(&Script::of(seed), Story::default());
            let Ok(mut report) = self.report.lock() else { return };
            report.played += 1;
            report.steps += outcome.steps;
            report.seen += outcome.seen;
            if let Some(violation) = outcome.violation {
                self.stop.store(true, Ordering::Relaxed);
                report.fails(seed, violation);
            }
        }
        self.note(thread, None);
    }

    fn note(&self, thread: usize, seed: Option<u64>) {
        let mut playing = self.playing.lock().unwrap_or_else(PoisonError::into_inner);
        match seed {
            Some(seed) => _ = playing.insert(thread, (seed, Instant::now())),
            None => _ = playing.remove(&thread),
        }
    }

    /// Does a seed not come to its end? Then it fails.
    fn is_stuck(&self) -> bool {
        let playing = self.playing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((seed, _)) = playing.values().find(|(_, since)| since.elapsed() >= STUCK) else { return false };
        let what = format!("it goes on for {} s and does not end", STUCK.as_secs());
        self.stop.store(true, Ordering::Relaxed);
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.fails(*seed, Violation { rule: Rule::Ends, what });
        true
    }
}

impl Report {
    fn fails(&mut self, seed: u64, violation: Violation) {
        if self.failure.as_ref().is_none_or(|known| seed < known.seed) {
            self.failure = Some(Failure { seed, violation });
        }
    }
}

impl Failure {
    /// The shortest history that was found in which the same goes wrong.
    pub fn history(&self) -> String {
        let nodes = |script: &Script| {
            let nodes = (0..).zip(&script.nodes).map(|(index, it)| format!("n{index} {it:?}"));
            nodes.collect::<Vec<String>>().join(", ")
        };
        if self.violation.rule == Rule::Ends {
            // Nobody comes back from that to tell it.
            let script = Script::of(self.seed);
            let mut text = format!("What happens from outside, with nodes {}:\n\n", nodes(&script));
            for (at_ms, input) in &script.inputs {
                text += &format!("{:>9.3} s  {input}\n", *at_ms as f64 / 1000.0);
            }
            return text;
        }
        let script = shortest(&Script::of(self.seed), self.violation.rule);
        let (_, story) = world::play(&script, Story::written());
        let mut text = format!("The shortest history found, with nodes {}:\n\n", nodes(&script));
        for line in story.lines() {
            text += &format!("{line}\n");
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { played, steps, seen, took, failure } = self;
        write!(f, "{played} seeds in {:.1} s: {steps} steps, {seen}; ", took.as_secs_f64())?;
        match failure {
            None => f.write_str("nothing wrong"),
            Some(Failure { seed, violation }) => write!(f, "seed {seed} FAILS: {violation}"),
        }
    }
}
