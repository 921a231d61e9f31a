//! Kubernetes at the edge: objects in, bindings out.

mod affinity;
mod amounts;
pub mod bind;
pub mod claims;
pub mod client;
pub(crate) mod devices;
pub mod events;
pub mod fence;
pub mod gang;
pub mod gates;
pub mod group_status;
pub mod leader_label;
pub mod lease;
pub mod manifests;
#[cfg(test)]
pub(crate) mod mock;
pub mod node;
pub mod object;
mod pages;
pub mod pod;
pub mod problem;
pub mod protect;
pub mod provisioning;
pub mod pulse;
mod resize;
pub mod reviews;
pub mod steer;
pub mod steering;
pub mod watch;
mod watched;
