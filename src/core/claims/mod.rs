//! Dynamic resource allocation (`resource.k8s.io/v1`): which devices a pod's claims get.
//!
//! What fits is what upstream's allocator says fits (`k8s.io/dynamic-resource-allocation/structured`, v0.36, with all of
//! its features). Which of the devices that fit are taken is ours: see [`choice`].
//!
//! An [`Inventory`] is made of nodes, classes and slices. An [`Allocator`] answers questions about it: it turns claims into
//! a question, a node into a view of what it offers, and searches for devices.

mod allocation;
mod allocator;
mod amount;
mod attribute;
mod capacity;
pub mod cel;
pub mod choice;
mod claim;
mod constraint;
mod error;
mod features;
mod gpus;
mod inquiry;
mod inventory;
mod layout;
mod moves;
mod nodes;
mod pools;
mod question;
mod refusal;
mod search;
mod seen;
mod selectors;
mod slice;
mod symmetry;
#[cfg(test)]
pub(crate) mod testing;
mod trial;
mod usage;
mod view;

pub use allocation::{AllocatedDevice, Allocation, ConfigRef, ConfigSource, Share, fingerprint};
pub use allocator::{Allocator, Answer, BestFit, Fit, Verdict};
pub use amount::{Amount, AmountError};
pub use attribute::Attribute;
pub use capacity::Amounts;
pub use claim::{
    Alternative, Ask, Claim, ClaimKey, Constraint, ConstraintRule, Count, DeviceClass, MAX_DEVICES, Request, Selector,
    Wish,
};
pub use error::AllocationError;
pub use gpus::{Gpu, Mig, Part, Taker, gpus};
pub use inquiry::{Inquiry, Room};
pub use inventory::{DeviceNo, Inventory};
pub use moves::Moves;
pub use nodes::{Node, NodeRequirement, NodeSelector, NodeTerm, Nodes};
pub use refusal::{AskRefusal, NodeRefusal};
pub use search::Effort;
pub use seen::{SeenAllocation, SeenClaim};
pub use slice::{Capacity, CounterSet, Device, DeviceId, PoolId, RequestPolicy, Slice, Valid};
pub use usage::{Holding, HoldingKind, Usage};
pub use view::Rejection;
