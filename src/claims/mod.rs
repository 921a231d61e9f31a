//! Allocates ResourceClaims (`resource.k8s.io/v1`): objects in, allocated claims out.
//!
//! Decoding and encoding are done here; the decisions are those of [`testudo_core::claims`]. `allocationTimestamp` is not
//! set: what comes out depends on what goes in only. Who writes an allocation to a cluster has to add it, since
//! kube-scheduler cannot do so later.

mod decode;
mod encode;
mod template;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::thread;

use serde_json::Value;
use testudo_core::claims::choice::Thrifty;
use testudo_core::claims::{
    AllocationError, Allocator, Answer, AskRefusal, BestFit, Claim, Fit, Inventory, NodeRefusal, Verdict,
};

use decode::ClaimState;
pub use decode::{class, seen_claim, slice, template};
pub use encode::allocated;
pub use template::Template;

/// The annotation of a claim that says which devices testudo has given it, as their
/// [`fingerprint`](testudo_core::claims::fingerprint): by it an allocation is known to be ours after a restart.
pub const DEVICES_ANNOTATION: &str = "testudo.dev/devices";

/// What came of an attempt to allocate.
#[derive(Debug)]
pub enum Outcome {
    /// Everything fits.
    Allocated {
        /// The node that the claims were allocated for.
        node: String,
        /// Every ResourceClaim of the input, in its order; the allocated ones with `status.allocation`.
        claims: Vec<Value>,
        /// How many steps the search took.
        steps: u64,
    },
    /// It does not fit.
    DoesNotFit {
        /// Why not.
        reason: DoesNotFit,
        /// Whether that is proven; otherwise the search gave up at its limit.
        complete: bool,
        /// How many steps the search took.
        steps: u64,
    },
    /// The question itself is wrong: a bad expression, a class that is not there, an invalid pool.
    Error(ClaimsError),
}

/// Why claims do not fit: what stands against it, node by node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoesNotFit(pub Vec<NodeRefusal>);

/// What is wrong with the question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// An object is not what its kind says.
    #[error(transparent)]
    Malformed(#[from] MalformedObject),
    /// The objects are well-formed, but ask for what cannot be judged.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    /// There is no room for the search.
    #[error("cannot start a thread: {0}")]
    Thread(String),
}

/// An object that is not what its kind says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("object #{at}, {object}: {field}: {what}")]
pub struct MalformedObject {
    /// Its place among the objects, from 0.
    pub at: usize,
    /// Kind and name, as far as they are there.
    pub object: String,
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
}

/// Stack of the thread that compiles expressions: the parser and all that walks an expression recurse.
/// [`MAX_DEPTH`](testudo_core::claims::cel::MAX_DEPTH) bounds how deep; this leaves room to spare without optimisation.
const STACK_BYTES: usize = 256 << 20;

/// Allocates all claims of `objects` that have no allocation yet, for one pod that uses them together: on `node`, or on the
/// node where they fit best. `objects` are Kubernetes objects: Node, DeviceClass, ResourceSlice, ResourceClaim.
pub fn allocate(objects: &[Value], node: Option<&str>) -> Outcome {
    with_large_stack(|| answer(objects, node)).unwrap_or_else(Outcome::Error)
}

/// Runs what compiles expressions. A stack overflow would end the process.
pub fn with_large_stack<T: Send>(work: impl FnOnce() -> Result<T, ClaimsError> + Send) -> Result<T, ClaimsError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("claims".into()).stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| ClaimsError::Thread(error.to_string()))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn answer(objects: &[Value], node: Option<&str>) -> Result<Outcome, ClaimsError> {
    let mut cluster = Cluster::read(objects)?;
    let Answer { verdict, steps } = cluster.place(node)?;
    Ok(match verdict {
        BestFit::Fits(fit) => {
            Outcome::Allocated { node: fit.node.to_string(), claims: cluster.write(objects, &fit), steps }
        }
        BestFit::Refused(refusals) => {
            let complete = refusals.iter().all(|refusal| refusal.complete);
            Outcome::DoesNotFit { reason: DoesNotFit(refusals), complete, steps }
        }
    })
}

/// What objects say: devices, what is in use of them, and claims that wait for some.
#[derive(Debug)]
pub struct Cluster {
    allocator: Allocator,
    scorer: Thrifty,
    waiting: Vec<Claim>,
    /// Where each claim stands among the objects, and among those that wait.
    places: Vec<(usize, Option<usize>)>,
}

impl Cluster {
    /// Reads objects; kinds that are not concerned are passed over.
    ///
    /// # Errors
    /// When one is not what its kind says.
    pub fn read(objects: &[Value]) -> Result<Cluster, MalformedObject> {
        let read = decode::objects(objects)?;
        let mut allocator = Allocator::new(Inventory::new(read.nodes, read.classes, read.slices));
        let (mut waiting, mut places) = (vec![], vec![]);
        for (at, claim) in read.claims {
            places.push((at, matches!(claim, ClaimState::Unallocated(_)).then_some(waiting.len())));
            match claim {
                ClaimState::Allocated(holdings) => allocator.take(holdings),
                ClaimState::Unallocated(claim) => waiting.push(claim),
            }
        }
        let scorer = Thrifty::new(&allocator);
        Ok(Cluster { allocator, scorer, waiting, places })
    }

    /// Looks for devices for all claims that wait, on a node or on the best. Nothing is taken. New expressions are
    /// compiled: see [`with_large_stack`].
    ///
    /// # Errors
    /// When the question cannot be answered.
    pub fn place(&mut self, node: Option<&str>) -> Result<Answer<BestFit>, AllocationError> {
        let Some(node) = node else { return self.allocator.allocate(&self.waiting, &mut self.scorer) };
        let Answer { verdict, steps } = self.allocator.allocate_on(node, &self.waiting, &mut self.scorer)?;
        let verdict = match verdict {
            Verdict::Fits(fit) => BestFit::Fits(fit),
            Verdict::Refused(refusal) => BestFit::Refused(vec![refusal]),
        };
        Ok(Answer { verdict, steps })
    }

    /// The same on each of these nodes in turn, as for one pod that could go to any of them.
    ///
    /// # Errors
    /// When the question cannot be answered.
    pub fn place_on_each<'n>(&mut self, nodes: impl Iterator<Item = &'n str>) -> Result<Vec<Verdict>, AllocationError> {
        let mut inquiry = self.allocator.ask(&self.waiting)?;
        nodes.map(|node| Ok(inquiry.on(node, &mut self.scorer)?.verdict)).collect()
    }

    /// The claims among the objects that this was read from, those that waited with their devices.
    fn write(&self, objects: &[Value], fit: &Fit) -> Vec<Value> {
        let text = |object: &Value, at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let class = |name: &str| {
            let is_it =
                |object: &&Value| text(object, "/kind") == "DeviceClass" && text(object, "/metadata/name") == name;
            objects.iter().find(is_it)
        };
        let claim = |(at, place): &(usize, Option<usize>)| match place {
            Some(place) => encode::allocated(&objects[*at], &fit.allocations[*place], class),
            None => objects[*at].clone(),
        };
        self.places.iter().map(claim).collect()
    }
}

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("there are no nodes"),
            [refusal] => write!(f, "node {}: {refusal}", refusal.node),
            refusals => {
                // Nodes of which the same is to be said are said it once.
                let mut groups: BTreeMap<(bool, &str, &[AskRefusal], usize), Vec<&NodeRefusal>> = BTreeMap::new();
                for refusal in refusals {
                    let key = (!refusal.complete, refusal.claim.as_str(), &*refusal.asks, refusal.unusable_pools);
                    groups.entry(key).or_default().push(refusal);
                }
                let mut groups: Vec<Vec<&NodeRefusal>> = groups.into_values().collect();
                groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
                write!(f, "0 of {} nodes fit", refusals.len())?;
                for group in groups {
                    let names: Vec<&str> = group.iter().take(3).map(|refusal| &*refusal.node).collect();
                    let more = if group.len() > names.len() { ", ..." } else { "" };
                    write!(f, "; {} ({}{more}): {}", group.len(), names.join(", "), group[0])?;
                }
                Ok(())
            }
        }
    }
}
