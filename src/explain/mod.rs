//! What is decided, explained: the facts that `testudo explain` writes as tables and the page shows.
//!
//! The engine says "no" with the first reason it finds, which is enough to decide. People want to know all that stands against a
//! place ([`miss`]), how near a gang is ([`nearness`]), and what to do ([`remedy`]): that is worked out here, from the same
//! checks.

pub mod gang;
pub mod miss;
pub mod nearness;
pub mod node;
pub mod pod;
pub mod remedy;

#[cfg(test)]
mod tests;
