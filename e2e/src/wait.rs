//! Waiting for something to become true, with a deadline and without guessing how long it takes.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long most things may take. Generous: a busy machine is no reason to fail, and nobody waits longer than needed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait between looks, at least.
const PAUSE: Duration = Duration::from_millis(50);

/// How much longer than a look the wait until the next takes, at least: reading a thousand pods again and again would slow
/// down what is waited for.
const IDLE_SHARE: u32 = 4;

/// What one look has found.
#[derive(Debug)]
pub enum Look<T> {
    /// It is there.
    Done(T),
    /// Not yet; the text says what was seen instead.
    NotYet(String),
}

/// Looks until it is [`Look::Done`]; an error ends the wait at once, the deadline ends it with what was last seen.
pub async fn until<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Result<Look<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let began = Instant::now();
        match look().await? {
            Look::Done(value) => return Ok(value),
            Look::NotYet(seen) if start.elapsed() > patience => {
                bail!("waited {patience:?} for {what}; last seen: {seen}")
            }
            Look::NotYet(_) => tokio::time::sleep(PAUSE.max(IDLE_SHARE * began.elapsed())).await,
        }
    }
}
