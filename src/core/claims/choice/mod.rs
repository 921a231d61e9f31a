//! Which of the devices that fit are taken.
//!
//! A [`Scorer`] says what a choice costs; the [`search`](super) looks at cheap choices first and keeps the cheapest set that
//! it finds. It decides nothing about what fits.

use super::trial::Trial;
use super::view::Seat;

mod thrifty;

pub use thrifty::Thrifty;

/// What devices have been chosen so far, for a [`Scorer`] to look at.
pub(super) type Choices<'a, 'q, 'v> = &'a Trial<'q, 'v>;

/// Says what choices cost. Less is better, less than nothing is possible.
pub trait Scorer {
    /// What is lost when a device is chosen next for an ask.
    #[doc(hidden)]
    fn cost(&mut self, trial: Choices, ask: usize, seat: Seat) -> i64;

    /// Devices that belong together, of those that are free for an ask of which `count` more are needed. They are tried
    /// before all others.
    #[doc(hidden)]
    fn favoured(&mut self, trial: Choices, ask: usize, free: &[Seat], count: usize) -> Vec<Seat>;

    /// What is lost because devices were chosen together.
    #[doc(hidden)]
    fn set_costs(&mut self, trial: Choices) -> i64;
}

/// Takes the first devices that fit, as drivers publish them: what upstream does.
#[derive(Debug, Clone, Copy, Default)]
pub struct FirstFit;

impl Scorer for FirstFit {
    fn cost(&mut self, _: Choices, _: usize, _: Seat) -> i64 {
        0
    }

    fn favoured(&mut self, _: Choices, _: usize, _: &[Seat], _: usize) -> Vec<Seat> {
        vec![]
    }

    fn set_costs(&mut self, _: Choices) -> i64 {
        0
    }
}
