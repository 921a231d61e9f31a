//! Allocates ResourceClaims (`resource.k8s.io/v1`): objects in, allocated claims out.
//!
//! Decoding and encoding are done here; the decisions are [`testudo_core`]'s.

use std::fmt;

use serde_json::Value;

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

/// Why claims do not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoesNotFit(String);

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with the question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ClaimsError(String);

/// Allocates all claims of `objects` that have no allocation yet, for one pod that uses them together: on `node`, or on the
/// node where they fit best. `objects` are Kubernetes objects: Node, DeviceClass, ResourceSlice, ResourceClaim.
pub fn allocate(objects: &[Value], node: Option<&str>) -> Outcome {
    Outcome::Error(ClaimsError(format!("{} objects, node {node:?}: not allocated", objects.len())))
}
