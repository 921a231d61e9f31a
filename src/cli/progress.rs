//! What is shown to those who wait: on the standard error, where that is a terminal, and nothing of what is over soon.

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Who waits no longer than this is shown nothing.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// How often a line is drawn anew that only says that time passes.
const TICK: Duration = Duration::from_millis(120);

/// A bar of so many of these: `runs`, `objects`.
pub fn bar(target: ProgressDrawTarget, length: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), target);
    let style = ProgressStyle::with_template(&format!("{{bar:40.green/dim}} {{pos}}/{{len}} {what}  {{elapsed}}"));
    bar.set_style(style.expect("only a word of the template varies").progress_chars("━╸─"));
    bar
}

/// Does what takes an unknown time; after a while it says what, and for how long already.
pub fn while_working<T>(what: &str, work: impl FnOnce() -> T) -> T {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    thread::scope(|scope| {
        let (working, ended) = mpsc::channel::<()>();
        scope.spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                line.set_style(ProgressStyle::with_template("{spinner} {msg}  {elapsed}").expect("it is constant"));
                line.set_message(what.to_owned());
                line.enable_steady_tick(TICK);
                // Until the sender is dropped.
                let _ = ended.recv();
                line.finish_and_clear();
            }
        });
        let result = work();
        drop(working);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worked_out_comes_back() {
        assert_eq!(while_working("adding", || 1 + 1), 2);
    }
}
