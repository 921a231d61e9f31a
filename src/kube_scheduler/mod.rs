//! kube-scheduler's part, played: what it asks of an extender over HTTP, and what it makes of the answers.
//!
//! [`filters`] are its own filters, [`client`] speaks to the extender as it does, and [`scheduler`] goes from a pod to its
//! node. As in the configuration that we ship, it looks at all nodes (`percentageOfNodesToScore: 100`).

pub mod client;
mod filters;
pub mod scheduler;
