//! The kube-scheduler extender protocol, as an adapter around [`Extender`].
//!
//! Nothing is decided here: a request is checked, decoded and handed to the [`Extender`], and what it says is written
//! back in the form in which it was asked. [`wire`] holds the types on the wire, [`write`] writes the long ones, [`answer`]
//! goes from a body to an answer without any network, [`server`] puts HTTP, limits, TLS ([`tls`]) and metrics ([`metrics`]) around it.

pub mod answer;
pub mod metrics;
pub mod null;
mod routes;
pub mod server;
pub mod tls;
mod verdicts;
pub mod wire;
mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

use serde_json::value::RawValue;

pub use self::null::Null;
pub use self::server::{Running, ServerOptions, StartError, TlsOptions, start};
pub use self::verdicts::{NodeRefusal, NodeVerdict, Verdicts};
use crate::k8s::object;

/// The best score that [`Extender::prioritize`] can give (`MaxExtenderPriority` of kube-scheduler).
pub const MAX_SCORE: u8 = testudo_core::placement::MAX_LEVEL;

/// What decides. Every answer is about the nodes that were offered, in the order of the offer.
///
/// `filter`, `prioritize` and `preempt` run on a worker thread of the server and must neither block nor have side
/// effects: kube-scheduler also calls filter for placements that it only simulates.
pub trait Extender: Send + Sync + 'static {
    /// Says for each offered node, in the order of the offer, whether the pod may go there.
    fn filter(&self, pod: &object::Pod, offer: &Offer<'_>) -> Result<Verdicts, Refusal>;

    /// Scores each offered node, in the order of the offer, from 0 to [`MAX_SCORE`].
    fn prioritize(&self, pod: &object::Pod, offer: &Offer<'_>) -> Result<Vec<u8>, Refusal>;

    /// Binds the pod to the node. May wait, for the other members of a gang for instance, but not longer than
    /// [`ServerOptions::bind_timeout`], at which it is dropped. It runs on even if the caller has hung up.
    fn bind(&self, binding: Binding) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Returns the candidates to keep, with the victims to keep on each: at least one per node, no node that was not
    /// given, and an empty map if nobody is to be evicted.
    fn preempt(
        &self,
        pod: &object::Pod,
        candidates: BTreeMap<String, Candidate>,
    ) -> Result<BTreeMap<String, Candidate>, Refusal>;

    /// Fails with the reason if requests cannot be answered yet, or by this replica.
    fn ready(&self) -> Result<(), String>;
}

/// The nodes that a request is about. No name occurs twice.
#[derive(Debug)]
pub enum Offer<'a> {
    /// Names only (`nodeCacheCapable: true`). A borrowed one stands in the JSON of the request as it is.
    Names(Vec<Cow<'a, str>>),
    /// Whole nodes. What they say counts, also about a node that we have never seen.
    Nodes(Vec<OfferedNode<'a>>),
}

impl Offer<'_> {
    /// How many nodes are offered.
    pub fn len(&self) -> usize {
        match self {
            Self::Names(names) => names.len(),
            Self::Nodes(nodes) => nodes.len(),
        }
    }

    /// Whether no node is offered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the node at `index`.
    ///
    /// # Panics
    /// If `index` is not below [`Self::len`].
    pub fn name(&self, index: usize) -> &str {
        match self {
            Self::Names(names) => &names[index],
            Self::Nodes(nodes) => &nodes[index].node.metadata.name,
        }
    }

    /// The names in the order of the offer.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|index| self.name(index))
    }
}

/// A node that came with the request.
#[derive(Debug)]
pub struct OfferedNode<'a> {
    /// As it came; this is what the answer repeats.
    pub raw: &'a RawValue,
    /// What testudo reads of it.
    pub node: object::Node,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request cannot be granted. Where the result has an `Error` field (filter, bind) this is its text, and
    /// kube-scheduler shows it on the pod; elsewhere it becomes a 500.
    Error(String),
    /// This replica cannot answer now: a 503.
    Unavailable(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(text) | Self::Unavailable(text) => f.write_str(text),
        }
    }
}

/// A pod to be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Name of the pod.
    pub pod_name: String,
    /// Namespace of the pod.
    pub pod_namespace: String,
    /// UID of the pod: a precondition of the binding.
    pub pod_uid: String,
    /// The node to bind it to.
    pub node: String,
}

/// What would have to go from a node that preemption considers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidate {
    /// UIDs of the victims.
    pub victim_uids: Vec<String>,
    /// How many of them would violate a PodDisruptionBudget.
    pub pdb_violations: i64,
}
