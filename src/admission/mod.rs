//! An admission webhook for clusters that have no MutatingAdmissionPolicy: members of gangs get our scheduler and our gate.
//!
//! What the policy of `policies/gangs` does from Kubernetes 1.36 on, for those below; both are tried on the same pods. Any
//! replica answers: nothing is decided here. [`review`] goes from a body to an answer without any network, [`server`] puts HTTP,
//! TLS and limits around it.

pub mod review;
pub mod server;

pub use review::Given;
pub use server::{Running, WebhookOptions, start};
