//! Panics in tasks, which their runtime would swallow.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static NOTES: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on panics are noted and not printed on threads that do work which is [`caught`].
fn note() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !NOTES.get() {
                return usual(info);
            }
            let text = info.to_string();
            LAST.with(|last| *last.borrow_mut() = Some(text));
        }));
    });
}

/// What was noted on this thread since this was last asked.
pub fn take() -> Option<String> {
    LAST.with(|last| last.borrow_mut().take())
}

/// Does the work; what it panics with is an error.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    note();
    NOTES.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    NOTES.set(false);
    result.map_err(|_| take().unwrap_or_else(|| "a panic on another thread".to_owned()))
}
