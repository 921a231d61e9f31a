//! What stands against a place, how near the nearest one is, and what could be done about it.
//!
//! The engine says "no" with the first reason it finds, which is enough to decide. People want to know all that stands against a
//! node, who would have to go, and what to do: that is worked out here, from the same checks.

mod claim;
mod gang;
mod miss;
mod places;
mod remedy;
mod treatment;

pub use claim::{by_refusal, claim_remedy};
pub use gang::{DomainMiss, MemberLine, domains, stage, waiting_members};
pub use miss::{Leaver, Miss, misses};
pub use places::{PlaceLine, by_verdict, places};
pub use remedy::{amount, over_quota, remedy};
pub use treatment::treated_as;

#[cfg(test)]
mod tests;
