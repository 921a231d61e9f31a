//! What a process takes, as /proc says.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Clock ticks in a second, as Linux tells them to processes.
const TICKS: f64 = 100.0;

/// Memory that is in use, in MB.
pub fn resident_mb(process: u32) -> Result<f64> {
    memory_mb(process, "VmRSS:")
}

/// The most memory that has been in use at any time, in MB.
pub fn peak_mb(process: u32) -> Result<f64> {
    memory_mb(process, "VmHWM:")
}

fn memory_mb(process: u32, which: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the process is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix(which)).with_context(|| format!("no {which}"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().context("not a number of kB")?;
    Ok(kib * 1024.0 / 1e6)
}

/// Time on CPUs so far.
pub fn cpu(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).context("the process is gone")?;
    // The name may have blanks in it.
    let (_, rest) = stat.rsplit_once(')').context("no name")?;
    let ticks: f64 = rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(Duration::from_secs_f64(ticks / TICKS))
}
