//! Decisions: does a pod fit on a node, why not, and how good is the place.

mod explain;
mod feasibility;
pub mod fragmentation;
mod rank;
mod reason;

pub use explain::{Criterion, deciding};
pub use feasibility::check;
pub use rank::{MAX_LEVEL, Rank, levels, rank};
pub use reason::Reason;
