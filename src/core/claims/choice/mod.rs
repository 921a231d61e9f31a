//! Which of the devices that fit are taken.
//!
//! A [`Scorer`] says what a choice costs; the search looks at cheap choices first and keeps the cheapest set that it
//! finds. It decides nothing about what fits. [`Thrifty`] takes what is least missed: MIG instances where they cost least
//! of what the fleet can still take ([`slices`](crate::placement::slices)), sets of GPUs that are linked best
//! ([`fabric`](crate::model::fabric)), and of everything else the smallest that suffices.

pub(super) mod nvidia;
mod sets;
mod slices;
mod thrifty;

pub use super::trial::Trial;
pub use super::view::Seat;
pub use thrifty::Thrifty;

/// Says what choices cost. Less is better, less than nothing is possible.
pub trait Scorer {
    /// What is lost when each of these devices is chosen next for an ask.
    fn costs(&mut self, trial: &Trial, ask: usize, seats: &[Seat]) -> Vec<i64>;

    /// Devices that belong together, of those that are free for an ask of which `count` more are needed. They are tried
    /// before all others.
    fn favoured(&mut self, trial: &Trial, ask: usize, free: &[Seat], count: usize) -> Vec<Seat>;

    /// What is lost besides because these devices were chosen together.
    fn set_cost(&mut self, trial: &Trial) -> i64;
}

/// Takes the first devices that fit, as drivers publish them: what upstream does.
#[derive(Debug, Clone, Copy, Default)]
pub struct FirstFit;

impl Scorer for FirstFit {
    fn costs(&mut self, _: &Trial, _: usize, seats: &[Seat]) -> Vec<i64> {
        vec![0; seats.len()]
    }

    fn favoured(&mut self, _: &Trial, _: usize, _: &[Seat], _: usize) -> Vec<Seat> {
        vec![]
    }

    fn set_cost(&mut self, _: &Trial) -> i64 {
        0
    }
}
