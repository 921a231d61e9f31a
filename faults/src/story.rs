//! What happened, in the order in which it happened, for people to read.

/// Lines with their times. Nothing is written down unless somebody will read it.
#[derive(Debug, Default)]
pub struct Story {
    lines: Option<Vec<String>>,
}

impl Story {
    /// One that is written down.
    pub fn written() -> Self {
        Self { lines: Some(vec![]) }
    }

    /// Adds a line.
    pub fn tell(&mut self, now_ms: u64, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>9.3} s  {}", now_ms as f64 / 1000.0, line()));
        }
    }

    /// The lines.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
