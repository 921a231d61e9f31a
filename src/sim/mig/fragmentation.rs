//! What is free but of no use.

use testudo_core::model::mig::{LayoutId, LayoutTable, Occupancy, ProfileId};

/// Free slices of a GPU that no placement of a profile covers; all of them when none fits.
pub(super) fn unusable(table: &LayoutTable, id: LayoutId, profile: ProfileId) -> u32 {
    let open = table.arrivals_of(id, profile).iter();
    let usable = open.fold(Occupancy::EMPTY, |slices, step| slices.union(step.placement.slices()));
    table.free(id) - usable.taken()
}
