//! The fault simulation: the real testudo in a simulated cluster in which everything goes wrong, the same way for the same
//! seed. What is real in it, what is a model, and what must hold: `docs/simulation.md`.

pub mod actors;
pub mod api;
pub mod facts;
pub mod invariants;
pub mod many;
pub mod mutations;
pub mod network;
pub mod panics;
pub mod replica;
pub mod scheduler;
pub mod script;
pub mod service;
pub mod shrink;
pub mod story;
pub mod world;
