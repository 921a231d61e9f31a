//! The engine's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Milliseconds since 1970 when the process began, and from then on as time passes, whatever is done to the system's clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began_ms: u64,
    began: Instant,
}

impl Clock {
    /// By the system's clock of this moment.
    pub(super) fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::starting_at(u64::try_from(since_1970.as_millis()).unwrap_or(0))
    }

    /// By which it is now so many milliseconds since 1970.
    pub fn starting_at(began_ms: u64) -> Self {
        Self { began_ms, began: Instant::now() }
    }

    /// The time.
    pub(super) fn now_ms(&self) -> u64 {
        self.began_ms.saturating_add(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
