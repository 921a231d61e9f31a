//! The demo: a driver that does to the extender over HTTP what kube-scheduler does, on a simulated fleet and workload.
//!
//! [`run::Simulation`] plays the API server's part (it tells the host what a watch would tell it) and lets pods come and
//! go; [`kube_scheduler`](crate::kube_scheduler) plays kube-scheduler's. Only the durations depend on anything but the seed.

mod arrival;
mod prefill;
pub mod run;
pub mod summary;
mod why;
