//! A cluster that is not there: an embedded fleet and workload, and a driver that does to the extender over HTTP what
//! kube-scheduler does.
//!
//! [`run::Simulation`] plays the API server's part (it tells the host what a watch would tell it) and lets pods come and
//! go; [`scheduler`] plays kube-scheduler's. Only the durations depend on anything but the seed.

pub mod client;
pub mod fleet;
pub mod mig;
pub mod rng;
pub mod run;
pub mod scheduler;
pub mod summary;
mod why;
pub mod workload;
