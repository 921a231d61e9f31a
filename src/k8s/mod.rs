//! Kubernetes at the edge: objects in, bindings out.

pub mod object;
