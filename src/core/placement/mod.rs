//! Decisions: does a pod fit on a node, why not, and how good is the place.

mod explain;
mod feasibility;
pub mod fragmentation;
pub mod gang;
mod locality;
mod rank;
mod reason;
pub mod slices;

pub use explain::{Criterion, deciding};
pub use feasibility::check;
pub use locality::{
    CapacityPolicy, MAX_IN_RACK, MAX_IN_ZONE, MAX_MISFIT, MAX_ON_NODE, MAX_ZONE_DISTANCE, Peers, Surroundings,
};
pub use rank::{MAX_LEVEL, Rank, levels, rank};
pub use reason::Reason;
