//! Kubernetes at the edge: objects in, bindings out.

mod affinity;
mod amounts;
pub mod node;
pub mod object;
pub mod pod;
pub mod problem;
