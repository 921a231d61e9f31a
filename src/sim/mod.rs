//! Clusters that are not there: generated fleets and recorded traces, policies to compare with, and experiments.
//!
//! [`input`] reads nodes and pods from any known file, [`world`] lays them out flat, a [`placer::Placer`] is a policy
//! with its cluster, and [`inflation`], [`churn`] and [`replay`] are what it is put through. The same seed gives the same
//! numbers on any number of threads.

pub mod books;
pub mod churn;
pub mod experiment;
pub mod extender;
pub mod flat;
pub mod fleet;
pub mod gang_workload;
pub mod gangs;
pub mod inflation;
pub mod input;
pub mod jobs;
pub mod mig;
pub mod occupancy;
pub mod openb;
pub mod placer;
pub mod policy;
pub mod replay;
pub mod report;
pub mod result;
pub mod rng;
pub mod student;
#[cfg(test)]
mod testing;
pub mod testudo;
pub mod versus;
pub mod workload;
pub mod world;
