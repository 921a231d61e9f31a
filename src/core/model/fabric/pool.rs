//! Fabrics that nodes share: a thousand nodes of one make have one set of tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Device, Fabric, Link, Routing};

/// All that distinguishes fabrics.
type Shape = (Routing, Vec<Device>, Vec<Option<Link>>);

/// Fabrics that were read from nodes, each once. Those that nobody else has any more are forgotten in time.
#[derive(Debug, Default)]
pub struct FabricPool {
    fabrics: BTreeMap<Shape, Arc<Fabric>>,
}

impl FabricPool {
    /// More than a fleet has makes of machines.
    const TIDY_FROM: usize = 64;

    /// The fabric of the pool that is like this one; this one, if there is none.
    pub fn share(&mut self, fabric: Fabric) -> Arc<Fabric> {
        if self.fabrics.len() >= Self::TIDY_FROM {
            self.fabrics.retain(|_, shared| Arc::strong_count(shared) > 1);
        }
        Arc::clone(self.fabrics.entry(shape(&fabric)).or_insert_with(|| Arc::new(fabric)))
    }
}

fn shape(fabric: &Fabric) -> Shape {
    let pairs = (0..fabric.len()).flat_map(|a| (a + 1..fabric.len()).map(move |b| (a, b)));
    let links = pairs.map(|(a, b)| fabric.link(a, b)).collect();
    (fabric.routing, fabric.graph().node_weights().copied().collect(), links)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fabric::{Bandwidth, Slots};

    #[test]
    fn fabrics_that_are_alike_are_one() {
        let mut pool = FabricPool::default();
        let slots = Slots::new(8).expect("eight");
        let plain = pool.share(Fabric::pcie_only(slots));
        let places = slots.per_pcie_root(2).expect("even");
        let others = [
            pool.share(Fabric::pcie_only(places)),
            pool.share(Fabric::nvswitch(slots, Bandwidth(600)).expect("a switch")),
            pool.share(Fabric::ring(slots, Bandwidth(600)).expect("a ring")),
        ];
        assert!(Arc::ptr_eq(&plain, &pool.share(Fabric::pcie_only(slots))));
        assert!(others.iter().all(|other| !Arc::ptr_eq(&plain, other)));
    }

    #[test]
    fn what_nobody_has_is_forgotten() {
        let mut pool = FabricPool::default();
        let kept = pool.share(Fabric::nvswitch(Slots::new(2).expect("two"), Bandwidth(1)).expect("a switch"));
        for gbps in 2..1000 {
            pool.share(Fabric::nvswitch(Slots::new(2).expect("two"), Bandwidth(gbps)).expect("a switch"));
        }
        assert!(pool.fabrics.len() <= FabricPool::TIDY_FROM);
        assert!(pool.fabrics.values().any(|fabric| Arc::ptr_eq(fabric, &kept)));
    }
}
