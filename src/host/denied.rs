//! What the API server forbids: asked for again after pauses that grow, and told of now and then.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long something is left alone once it was forbidden, each time for twice as long as the last.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// So often it is told of one kind of write that it is forbidden.
const TELL_AGAIN: Duration = Duration::from_secs(600);

/// What is forbidden.
#[derive(Default)]
pub(super) struct Denied {
    /// By the name of a node, or the unique id of a pod.
    pauses: BTreeMap<String, Pause>,
    /// By kind of write.
    told: BTreeMap<&'static str, Instant>,
}

struct Pause {
    until: Instant,
    length: Duration,
}

impl Denied {
    /// Is this left alone at the moment?
    pub fn is_paused(&self, target: &str, now: Instant) -> bool {
        self.pauses.get(target).is_some_and(|pause| now < pause.until)
    }

    /// Writing this was forbidden once more.
    pub fn note(&mut self, target: &str, now: Instant) {
        // What is gone, or is not to be written any more, is not asked for.
        self.pauses.retain(|_, pause| now < pause.until + LONGEST_PAUSE);
        let length = self.pauses.get(target).map_or(FIRST_PAUSE, |pause| (2 * pause.length).min(LONGEST_PAUSE));
        self.pauses.insert(target.to_owned(), Pause { until: now + length, length });
    }

    /// Writing this was not forbidden.
    pub fn forget(&mut self, target: &str) {
        self.pauses.remove(target);
    }

    /// Is it time to tell that this kind of write is forbidden? Whoever asks tells it.
    pub fn is_news(&mut self, write: &'static str, now: Instant) -> bool {
        if self.told.get(write).is_some_and(|at| now < *at + TELL_AGAIN) {
            return false;
        }
        self.told.insert(write, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_it_is_allowed() {
        let (mut denied, mut now) = (Denied::default(), Instant::now());
        assert!(!denied.is_paused("a", now));
        for length in [5, 10, 20, 40, 80, 160, 300, 300] {
            denied.note("a", now);
            now += Duration::from_secs(length);
            assert!(denied.is_paused("a", now - Duration::from_secs(1)), "{length}");
            assert!(!denied.is_paused("a", now) && !denied.is_paused("b", now), "{length}");
        }
        denied.note("a", now);
        denied.forget("a");
        assert!(!denied.is_paused("a", now));
        denied.note("a", now);
        assert!(!denied.is_paused("a", now + FIRST_PAUSE), "it has begun anew");
        denied.note("b", now + FIRST_PAUSE + LONGEST_PAUSE);
        assert_eq!(denied.pauses.len(), 1, "nobody has asked for the other");
    }

    #[test]
    fn each_kind_of_write_is_told_of_now_and_then() {
        let (mut denied, now) = (Denied::default(), Instant::now());
        assert_eq!(["show", "show", "protect"].map(|write| denied.is_news(write, now)), [true, false, true]);
        assert!(denied.is_news("show", now + TELL_AGAIN));
    }
}
