//! The devices whose loss hurts least.

use super::super::allocator::Allocator;
use super::super::view::Seat;
use super::{Choices, Scorer};

/// Takes what is least missed.
#[derive(Debug)]
pub struct Thrifty;

impl Thrifty {
    /// For these devices, and what is in use of them now.
    pub fn new(_allocator: &Allocator) -> Thrifty {
        Thrifty
    }
}

impl Scorer for Thrifty {
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
