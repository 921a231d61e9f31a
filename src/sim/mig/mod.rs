//! Churn on MIG GPUs: instances come and go, what cannot be placed is lost, and policies differ in how much that is.
//!
//! Arrivals that only fill a fleet do not tell policies apart; departures leave gaps, and there they do. [`Churn`] is the
//! experiment, [`PolicyKind`] names what is compared, [`Outcome`] is what one seed gives, [`Experiment`] runs several policies
//! with several seeds. The same seed gives every
//! policy the same arrivals and durations, so that differences are those of the policies.

mod churn;
mod experiment;
mod fleet;
mod fragmentation;
mod mix;
mod policy;
mod product;
mod series;

pub use churn::{Arrival, Churn, ChurnError, Moment, Outcome, ProfileOutcome};
pub use experiment::Experiment;
pub use fleet::{Choice, Fleet};
pub use mix::{Mix, MixError};
pub use policy::{Policy, PolicyKind, UnknownPolicy};
pub use product::{ProductError, known, product};
