//! MIG geometry: which instances a GPU can be cut into, and where each may lie.
//!
//! The placement axis is **memory slices**, as in NVML's `nvmlGpuInstancePlacement_t`, not compute slices: 3g is four
//! slices wide, and two 3g fill an 8-slice GPU although one compute slice is left over. Profiles are identified by
//! their GPU-instance profile id and placement, never by name, because drivers rename them.

mod geometry;
mod kind;
mod layout;
mod table;

pub use geometry::{Engines, GeometryError, MigGeometry, MigProfile, Occupancy, Placement, ProfileId};
pub use kind::{KindError, ProfileKind, Variant};
pub use layout::{Layout, LayoutError};
pub use table::{LayoutId, LayoutTable, Step};
