//! The fleet in a few numbers.

use serde::Serialize;

use super::fleet::FleetView;

/// The fleet in a few numbers. Devices are counted in thousandths, so that slices and shares add up with whole ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Nodes with accelerators.
    pub nodes: usize,
    /// Nodes without.
    pub other_nodes: usize,
    /// All devices.
    pub total_milli: i64,
    /// What pods hold of them, or is kept for some.
    pub used_milli: i64,
    /// What failed its health check.
    pub failed_milli: i64,
    /// What is free on nodes that take pods.
    pub free_milli: i64,
    /// How much of that typical pods would fill.
    pub usable_milli: i64,
}

/// The fleet in a few numbers.
pub fn totals(fleet: &FleetView) -> Totals {
    let mut totals = Totals { other_nodes: fleet.others(), ..Totals::default() };
    for seen in fleet.nodes() {
        totals.nodes += 1;
        let kind = &fleet.kinds()[seen.face.kind];
        for (face, pool) in kind.pools.iter().zip(&seen.cells.pools) {
            let parts: i64 = pool.runs.iter().map(|run| run.parts).sum();
            totals.total_milli += face.cells * face.milli;
            totals.used_milli += parts * face.milli / face.parts.max(1);
            totals.failed_milli += pool.failed * face.milli;
        }
        if seen.cells.flags.is_open() {
            totals.free_milli += seen.cells.free_milli;
            totals.usable_milli += seen.cells.usable_milli;
        }
    }
    totals
}

impl Totals {
    /// The share of what is free that typical pods could not use, in thousandths.
    pub fn unusable_permille(&self) -> i64 {
        if self.free_milli > 0 { (self.free_milli - self.usable_milli) * 1000 / self.free_milli } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fleet, gpus};
    use super::*;

    #[test]
    fn devices_add_up() {
        let fleet = Fleet::of(2);
        fleet.run(gpus("p", 3), "node-0");
        let mut view = FleetView::default();
        view.keep_up(&fleet.host.snapshot(), &fleet.host.unconfirmed());
        let totals = totals(&view);
        assert_eq!(
            (totals.nodes, totals.total_milli, totals.used_milli, totals.free_milli),
            (2, 16_000, 3_000, 13_000)
        );
        assert!(totals.usable_milli <= totals.free_milli);
        let half = Totals { free_milli: 8_000, usable_milli: 6_000, ..Totals::default() };
        assert_eq!(half.unusable_permille(), 250);
        assert_eq!(Totals::default().unusable_permille(), 0);
    }
}
