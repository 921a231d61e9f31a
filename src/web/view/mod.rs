//! What the page shows: a pure view of snapshots, gangs and decisions, in a form that can be serialized.
//!
//! A fleet of thousands of nodes is looked at again several times a second, so a view keeps what it has found out about
//! each node and looks only at those that changed ([`fleet`]).

pub mod cells;
pub mod claims;
pub mod decisions;
pub mod face;
pub mod fleet;
pub mod gang;
pub mod gangs;
pub mod history;
pub mod mig;
pub mod node;
pub mod pod;
pub mod sets;
pub mod totals;
pub mod workloads;

#[cfg(test)]
pub(crate) mod testing;
