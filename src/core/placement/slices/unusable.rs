//! Free slices that an arrival could not use.

use crate::model::mig::{LayoutId, LayoutTable, Occupancy};

/// For each profile, the part of a GPU that is free and that none of the profile's possible placements covers: the
/// fragmentation of FGD (Weng et al., ATC'23) on MIG layouts.
pub(super) fn unusable(table: &LayoutTable, id: LayoutId) -> Vec<f64> {
    let slices = f64::from(table.geometry().memory_slices());
    let unusable = table.geometry().profiles().map(|(profile, _)| {
        let open = table.arrivals_of(id, profile).iter();
        let usable = open.fold(Occupancy::EMPTY, |slices, step| slices.union(step.placement.slices()));
        f64::from(table.free(id) - usable.taken()) / slices
    });
    unusable.collect()
}
