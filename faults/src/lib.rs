//! The fault simulation: the real testudo in a simulated cluster in which everything goes wrong, the same way for the same
//! seed. See the README beside this crate.

pub mod actors;
pub mod api;
pub mod facts;
pub mod invariants;
pub mod network;
pub mod replica;
pub mod scheduler;
pub mod script;
pub mod service;
pub mod story;
pub mod world;
