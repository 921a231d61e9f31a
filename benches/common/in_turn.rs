//! Several things measured in turn, so that whatever else the machine does falls on all of them.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// The median of each of them, in microseconds; `round` makes each once and is told which round it is.
pub fn medians<const N: usize>(rounds: usize, mut round: impl FnMut(usize) -> [Duration; N]) -> [f64; N] {
    let all: Vec<[Duration; N]> = (0..rounds).map(&mut round).collect();
    std::array::from_fn(|which| {
        let mut times: Vec<Duration> = all.iter().map(|times| times[which]).collect();
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6
    })
}

/// How long something takes.
pub fn timed<R>(what: impl FnOnce() -> R) -> Duration {
    let start = Instant::now();
    black_box(what());
    start.elapsed()
}
