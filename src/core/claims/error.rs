//! What makes an allocation impossible to judge: the question is wrong, not the answer no.

use thiserror::Error;

/// A question that cannot be answered. Upstream's allocator fails in the same cases.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AllocationError {
    /// The node is not known.
    #[error("there is no node {0}")]
    UnknownNode(String),
    /// A class is not there.
    #[error("claim {claim}, request {request}: there is no device class {class}")]
    UnknownClass {
        /// The claim.
        claim: String,
        /// The request.
        request: String,
        /// The class.
        class: String,
    },
    /// A kind of selector or constraint that is not known.
    #[error("claim {claim}, {part}: is of a kind that is not known")]
    UnknownKind {
        /// The claim.
        claim: String,
        /// What of it.
        part: String,
    },
    /// A request for more devices than a claim can have.
    #[error("claim {claim}: asks for {devices} devices, a claim can have {most}")]
    TooManyDevices {
        /// The claim.
        claim: String,
        /// How many it asks for at least.
        devices: u64,
        /// How many it can have.
        most: usize,
    },
    /// A selector that is no valid expression.
    #[error("{owner}, selector #{selector}: {what}")]
    Expression {
        /// Whose selector.
        owner: String,
        /// Counted from 0.
        selector: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A selector that failed on a device.
    #[error("{owner}, selector #{selector}, on device {device}: {what}")]
    Evaluation {
        /// Whose selector.
        owner: String,
        /// Counted from 0.
        selector: usize,
        /// The device.
        device: String,
        /// What went wrong.
        what: String,
    },
    /// A slice that selects nodes in a way that is not understood.
    #[error("ResourceSlice {slice}: node selector: {what}")]
    NodeSelector {
        /// The slice.
        slice: String,
        /// What is wrong.
        what: String,
    },
    /// All devices are asked for, and it is not known which these are.
    #[error("claim {claim}, request {request}: asks for all devices, but pool {pool} {what}")]
    UncertainPool {
        /// The claim.
        claim: String,
        /// The request.
        request: String,
        /// The pool.
        pool: String,
        /// What is the matter with it.
        what: String,
    },
    /// All devices are asked for, and a constraint forbids that.
    #[error("claim {claim}, request {request}: asks for all devices, but a constraint of the claim forbids {device}")]
    ConstrainedAll {
        /// The claim.
        claim: String,
        /// The request.
        request: String,
        /// The device.
        device: String,
    },
    /// Nothing fits, and there are pools that contradict themselves.
    #[error("pool {pool} is invalid: {what}")]
    InvalidPool {
        /// The pool.
        pool: String,
        /// Why.
        what: String,
    },
}
