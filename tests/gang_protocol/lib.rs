//! A model of how gangs start, to be checked exhaustively: `cargo test -p gang-protocol -- --nocapture`.
//!
//! The engine itself runs in the fault simulation, by seeds; this is what it is meant to do, in so few words that every
//! order of events can be tried. What is found here is turned into a test of the engine.

pub mod liveness;
pub mod protocol;
