//! Testudo: a kube-scheduler extender for GPU clusters. The decisions are taken in [`testudo_core`]; this crate holds the
//! adapters around it.

pub mod extender;
pub mod k8s;
