//! A second look for pods that were refused on an older sight of the cluster.
//!
//! When something comes free the API tells the scheduler, and it tries again those whom it has put aside. It may do so before
//! we know, though, and then what it is told rests on what was: those pods would sleep until something else happens, up
//! to five minutes. So a while after something has come free here, who sleeps and would fit is woken.

/// How long the scheduler has to try by itself, in milliseconds, and the pods to show what came of it.
const PAUSE_MS: u64 = 3_000;

/// When it is time for it.
#[derive(Debug, Clone, Default)]
pub(super) struct SecondLook {
    /// What had come free, as the cluster counts it.
    freed: u64,
    due_ms: Option<u64>,
    /// More has come free since that was fixed.
    once_more: bool,
}

impl SecondLook {
    /// Somebody could not be woken: a while later there is another look.
    pub fn again(&mut self, now_ms: u64) {
        self.due_ms.get_or_insert(now_ms + PAUSE_MS);
    }

    /// Is it time? That so much has come free is noted.
    pub fn is_due(&mut self, freed: u64, now_ms: u64) -> bool {
        if std::mem::replace(&mut self.freed, freed) != freed {
            self.once_more = self.due_ms.is_some();
            self.due_ms.get_or_insert(now_ms + PAUSE_MS);
        }
        let is_due = self.due_ms.is_some_and(|due_ms| now_ms >= due_ms);
        if is_due {
            self.due_ms = std::mem::take(&mut self.once_more).then_some(now_ms + PAUSE_MS);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_a_while_after_something_came_free_and_again_for_what_came_free_meanwhile() {
        let mut look = SecondLook::default();
        assert!(!look.is_due(1, 10_000));
        assert!(!look.is_due(1, 12_999));
        assert!(look.is_due(1, 13_000));
        assert!(!look.is_due(1, 20_000), "nothing has come free since");
        assert!(!look.is_due(2, 30_000));
        assert!(!look.is_due(3, 31_000));
        assert!(look.is_due(3, 33_000));
        assert!(!look.is_due(3, 35_999));
        assert!(look.is_due(3, 36_000), "for what came free at 31,000");
        assert!(!look.is_due(3, 99_000));
        look.again(99_000);
        assert!(!look.is_due(3, 101_999) && look.is_due(3, 102_000));
    }
}
