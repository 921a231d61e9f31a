//! A cluster that is not there: generated fleets and workloads.

pub mod fleet;
pub mod rng;
pub mod workload;
