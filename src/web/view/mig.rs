//! How the GPUs of a node are cut, as far as counts tell.
//!
//! The device plugin reports slices by the node, not by the GPU. Where all GPUs are cut alike, the counts leave few
//! arrangements on the memory slices of one GPU, often a single one.

use serde::Serialize;
use testudo_core::model::accelerator::Unit;
use testudo_core::model::inventory::{Inventory, Pool};
use testudo_core::model::mig::{Layout, MigGeometry, Placement, ProfileId};
use testudo_core::model::selector::Labels;

/// How each GPU of a node is cut.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cut {
    /// Memory slices of one GPU.
    pub width: u8,
    /// Is this the only arrangement that has these slices? Otherwise it is one of several.
    pub only: bool,
    /// The slices by their first memory slice.
    pub slices: Vec<Slice>,
}

/// One slice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Slice {
    /// Of which of the node's pools it is, by position.
    pub pool: usize,
    /// Its first memory slice.
    pub start: u8,
    /// How many memory slices it takes.
    pub size: u8,
}

/// The device manager's label that names the configuration; `all-...` cuts every GPU alike.
const MIG_CONFIG: &str = "nvidia.com/mig.config";

impl Cut {
    /// How each of the node's GPUs is cut; nothing where the counts do not say.
    pub fn of(inventory: &Inventory, labels: &Labels) -> Option<Self> {
        let geometry = inventory.product.as_ref()?.mig()?;
        let gpus = i64::try_from(inventory.fabric.as_ref()?.len()).ok()?;
        let wanted = inventory.pools.iter().enumerate().filter_map(|(at, pool)| wanted(geometry, at, pool, gpus));
        let wanted: Vec<Wanted> = wanted.collect::<Option<_>>()?;
        if wanted.is_empty() || !(is_alike(labels) || is_full(geometry, &wanted)) {
            return None;
        }
        let mut found = vec![];
        arrange(&mut Layout::new(geometry.clone()), &wanted, &mut found);
        let placements = found.first()?;
        let mut slices: Vec<Slice> = placements.iter().map(|(pool, placement)| slice(*pool, *placement)).collect();
        slices.sort_by_key(|slice| slice.start);
        Some(Self { width: geometry.memory_slices(), only: found.len() == 1, slices })
    }
}

fn slice(pool: usize, placement: Placement) -> Slice {
    Slice { pool, start: placement.start(), size: placement.size() }
}

/// So many slices of a profile on each GPU.
struct Wanted {
    pool: usize,
    profile: ProfileId,
    count: i64,
}

/// What a pool of slices means for one GPU; `Some(None)` where it does not divide evenly. Pools of other units are none.
fn wanted(geometry: &MigGeometry, at: usize, pool: &Pool, gpus: i64) -> Option<Option<Wanted>> {
    let Unit::Slice(name) = &pool.unit else { return None };
    let profile = geometry.profile_like_name(name);
    let count = (pool.capacity % gpus == 0).then_some(pool.capacity / gpus);
    Some(profile.zip(count).map(|(profile, count)| Wanted { pool: at, profile, count }))
}

/// Does the configuration cut every GPU alike?
fn is_alike(labels: &Labels) -> bool {
    labels.get(MIG_CONFIG).is_some_and(|config| config.starts_with("all-"))
}

/// Has every GPU as many of one profile as it can have? Then none can be cut otherwise.
fn is_full(geometry: &MigGeometry, wanted: &[Wanted]) -> bool {
    matches!(wanted, [only] if only.count == i64::from(geometry.profile(only.profile).max_instances))
}

/// Two are as good as many: it is only asked whether there is one.
const ENOUGH: usize = 2;

/// Finds the arrangements that have all that is wanted; the largest slices first, since they have fewest places. Slices of
/// one profile are all alike: they take their starts in ascending order.
fn arrange(layout: &mut Layout, wanted: &[Wanted], found: &mut Vec<Vec<(usize, Placement)>>) {
    let geometry = layout.geometry().clone();
    let mut order: Vec<&Wanted> = wanted.iter().flat_map(|w| (0..w.count).map(move |_| w)).collect();
    order.sort_by_key(|w| (std::cmp::Reverse(geometry.profile(w.profile).size), w.pool));
    place(layout, &order, &mut vec![], found);
}

fn place(
    layout: &mut Layout,
    rest: &[&Wanted],
    placed: &mut Vec<(usize, Placement)>,
    found: &mut Vec<Vec<(usize, Placement)>>,
) {
    let Some((next, rest)) = rest.split_first() else {
        found.push(placed.clone());
        return;
    };
    let from = placed.last().filter(|(pool, _)| *pool == next.pool).map_or(0, |(_, last)| last.start() + 1);
    let candidates: Vec<Placement> = layout.feasible_starts(next.profile).filter(|p| p.start() >= from).collect();
    for candidate in candidates {
        if found.len() >= ENOUGH || layout.insert(candidate).is_err() {
            continue;
        }
        placed.push((next.pool, candidate));
        place(layout, rest, placed, found);
        placed.pop();
        layout.remove(candidate);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::node;
    use super::*;

    fn cut(pools: &[(&str, i64)], config: &str) -> Option<Cut> {
        let labels = [("node.kubernetes.io/instance-type", "p4d.24xlarge"), (MIG_CONFIG, config)];
        let node = node("n", &[("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-40GB")], pools, &labels);
        Cut::of(&node.inventory, &node.parts.labels)
    }

    fn starts(cut: &Cut) -> Vec<(usize, u8, u8)> {
        cut.slices.iter().map(|slice| (slice.pool, slice.start, slice.size)).collect()
    }

    #[test]
    fn seven_small_slices_have_one_arrangement() {
        let cut = cut(&[("nvidia.com/mig-1g.5gb", 56)], "custom").expect("a cut");
        assert!(cut.only);
        assert_eq!(starts(&cut), (0..7).map(|start| (0, start, 1)).collect::<Vec<_>>());
    }

    #[test]
    fn the_balanced_configuration_has_the_large_slice_at_four() {
        let pools = [("nvidia.com/mig-1g.5gb", 16), ("nvidia.com/mig-2g.10gb", 8), ("nvidia.com/mig-3g.20gb", 8)];
        let balanced = cut(&pools, "all-balanced").expect("a cut");
        assert!(!balanced.only, "the others may stand either way round");
        assert_eq!(balanced.slices.last(), Some(&Slice { pool: 2, start: 4, size: 4 }));
        assert_eq!(balanced.slices.len(), 4);
        assert_eq!(cut(&pools, "custom"), None, "the GPUs may be cut differently");
    }

    #[test]
    fn counts_that_do_not_divide_say_nothing() {
        assert_eq!(cut(&[("nvidia.com/mig-1g.5gb", 15)], "all-1g.5gb"), None);
        assert_eq!(cut(&[("nvidia.com/gpu", 8)], "all-disabled"), None, "nothing is cut");
    }
}
