//! Decisions: does a pod fit on a node, why not, and how good is the place.

mod asked;
mod explain;
mod feasibility;
pub mod fragmentation;
pub mod gang;
mod locality;
mod order;
mod rank;
mod reason;
pub mod slices;

pub use asked::Asked;
pub use explain::{Criterion, deciding};
pub use feasibility::check;
pub use locality::{CapacityPolicy, Peers, Surroundings, ZonePolicy};
pub use order::{Aim, Order, OrderError};
pub use rank::{MAX_LEVEL, Rank, levels};
pub use reason::Reason;
