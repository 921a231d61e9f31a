//! What happened, in the order in which it happened, for people to read.

use std::cell::RefCell;
use std::rc::Rc;

/// Lines with their times. Nothing is written down unless somebody will read it. Copies are of the same story: it outlives a
/// panic of those who tell it.
#[derive(Debug, Clone, Default)]
pub struct Story {
    lines: Option<Rc<RefCell<Vec<String>>>>,
}

impl Story {
    /// One that is written down.
    pub fn written() -> Self {
        Self { lines: Some(Rc::default()) }
    }

    /// Adds a line.
    pub fn tell(&mut self, now_ms: u64, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let line = format!("{:>9.3} s  {}", now_ms as f64 / 1000.0, line());
            lines.borrow_mut().push(line);
        }
    }

    /// The lines.
    pub fn lines(&self) -> Vec<String> {
        self.lines.as_ref().map(|lines| lines.borrow().clone()).unwrap_or_default()
    }
}
