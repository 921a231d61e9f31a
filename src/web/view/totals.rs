//! The fleet in a few numbers.

use serde::Serialize;
use testudo_core::engine::Devices;

use super::fleet::FleetView;
use crate::overview::{Cost, Prices};

/// The fleet in a few numbers. Devices are counted in thousandths, so that slices and shares add up with whole ones.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
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
    /// What the devices cost in an hour that do no work.
    pub cost: Cost,
    /// Of these numbers, those that the time line has.
    #[serde(skip)]
    pub permille: Permille,
}

/// Shares, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permille {
    /// Of all devices, those that are given to somebody or kept for somebody.
    pub taken: i64,
    /// Of what is free, what is of no use to typical pods.
    pub fragmentation: i64,
}

/// The fleet in a few numbers.
pub fn totals(fleet: &FleetView, prices: Option<&Prices>) -> Totals {
    let (mut nodes, mut sum) = (0, Devices::default());
    for pool in fleet.pools() {
        nodes += pool.nodes;
        sum += pool.devices;
    }
    Totals {
        nodes,
        other_nodes: fleet.others(),
        total_milli: sum.capacity_milli,
        used_milli: sum.taken_milli(),
        failed_milli: sum.failed_milli,
        free_milli: sum.free_milli(),
        usable_milli: sum.idle_milli,
        cost: Cost::of(fleet.pools().map(|pool| (&pool.key, pool.nodes, &pool.devices)), prices),
        permille: Permille { taken: sum.taken_permille(), fragmentation: sum.fragmentation_permille() },
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fleet, gpus};
    use super::*;

    fn of(fleet: &Fleet, view: &mut FleetView) -> Totals {
        view.keep_up(&fleet.host.snapshot_to_show());
        totals(view, None)
    }

    #[test]
    fn devices_add_up_whatever_comes_and_goes() {
        let fleet = Fleet::of(2);
        let mut view = FleetView::default();
        fleet.run(gpus("p", 3), "node-0");
        let running = of(&fleet, &mut view);
        let Totals { nodes, total_milli, used_milli, free_milli, usable_milli, .. } = running;
        assert_eq!((nodes, total_milli, used_milli, free_milli), (2, 16_000, 3_000, 13_000));
        assert!(usable_milli <= free_milli);
        assert_eq!((running.cost.unit.as_str(), running.cost.sum()), ("GPU-hours", 13.0));
        fleet.remove("node-0");
        fleet.run(gpus("q", 8), "node-1");
        let Totals { nodes, total_milli, used_milli, free_milli, .. } = of(&fleet, &mut view);
        assert_eq!((nodes, total_milli, used_milli, free_milli), (1, 8_000, 8_000, 0));
    }

    #[test]
    fn the_page_and_top_say_the_same() {
        let fleet = Fleet::of(3);
        fleet.run(gpus("p", 5), "node-0");
        let of_page = of(&fleet, &mut FleetView::default());
        let (snapshot, gangs) = fleet.host.gangs();
        let overview = crate::overview::Overview::of(&snapshot, gangs);
        assert_eq!(of_page.permille.fragmentation, overview.devices().fragmentation_permille());
        assert_eq!(of_page.cost, overview.cost(None));
    }
}
