//! The pure core of Testudo: what a cluster is, and where a pod should go.
//!
//! Layers, arrows point down only: [`engine`] owns the state and answers questions about it, [`placement`] takes the
//! decisions, [`claims`] those about claimed devices (DRA), [`cluster`] keeps nodes, pods and what is promised to whom,
//! [`model`] holds the values they speak of.
//!
//! Nothing here does IO, reads a clock, draws a random number or depends on hash order: the same changes in the same
//! order give the same decisions. Wire types stay outside; Kubernetes objects are decoded at the edge into values of
//! [`model`].

pub mod claims;
pub mod cluster;
pub mod engine;
pub mod model;
pub mod placement;
pub mod yaml;

#[cfg(test)]
mod testing;
