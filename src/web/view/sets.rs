//! How many tensor-parallel sets of each size could start now.
//!
//! By counts, as filter counts: a set inside a node needs so many free devices there, on a machine that links so many with
//! each other. A larger one takes whole nodes of one NVLink domain. CPUs, memory and taints are not looked at; what a pod
//! with all its conditions would be told is a question for "what if".

use std::collections::BTreeMap;

use serde::Serialize;

use super::face::{Kind, Stand};
use super::fleet::{FleetView, Seen};

/// The sizes that are counted.
pub const SIZES: [i64; 7] = [1, 2, 4, 8, 16, 32, 72];

/// How many sets of each size could start on the devices of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FreeSets {
    /// The accelerator.
    pub product: String,
    /// How many there are.
    pub devices: i64,
    /// How many are free, on nodes that take pods.
    pub free: i64,
    /// For each of [`SIZES`] how many sets could start; none where no machine of the product links so many.
    pub sets: Vec<Option<i64>>,
}

/// Free slices and replicas of one sort.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FreeParts {
    /// The accelerator.
    pub product: String,
    /// What one is.
    pub unit: String,
    /// Under which name pods ask for it.
    pub resource: String,
    /// How many there are.
    pub cells: i64,
    /// How many are free, on nodes that take pods.
    pub free: i64,
}

/// What could start now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Room {
    /// The sizes of [`FreeSets::sets`].
    pub sizes: Vec<i64>,
    /// By product.
    pub sets: Vec<FreeSets>,
    /// By product and unit.
    pub parts: Vec<FreeParts>,
}

/// The nodes of an NVLink domain, by slot and pool: how many devices are free on each, and how many it has.
type Clique = BTreeMap<(usize, Option<usize>), (i64, i64)>;

#[derive(Default)]
struct Counted {
    devices: i64,
    free: i64,
    sets: [Option<i64>; SIZES.len()],
}

/// Nodes of one kind with so many whole devices, of which so many are free: there are few sorts.
type Alike = (usize, i64, i64);

/// What is free on the nodes, kept up as they change: a fleet has thousands of them.
#[derive(Debug, Default)]
pub struct Shelf {
    alike: BTreeMap<Alike, i64>,
    /// Slices and replicas of each pool of a kind: how many there are, and how many are free.
    cut: BTreeMap<(usize, usize), (i64, i64)>,
    /// By kind and place.
    cliques: BTreeMap<(usize, Stand), Clique>,
}

impl Shelf {
    /// A node is there as it was seen.
    pub fn add(&mut self, seen: &Seen, kind: &Kind) {
        self.count(seen, kind, 1);
    }

    /// It is not there, or not so, any more.
    pub fn remove(&mut self, seen: &Seen, kind: &Kind) {
        self.count(seen, kind, -1);
    }

    fn count(&mut self, seen: &Seen, kind: &Kind, by: i64) {
        let open = |free: i64| if seen.cells.flags.is_open() { free } else { 0 };
        if let Some((cells, free)) = seen.gpus_and_free() {
            self.count_whole(seen, kind, None, (cells, open(free)), by);
        }
        for (at, (face, pool)) in kind.pools.iter().zip(&seen.cells.pools).enumerate() {
            let free = open(free_cells(face.cells, face.parts, pool));
            if face.parts > 1 {
                self.count_whole(seen, kind, Some(at), (face.cells, free), by);
                continue;
            }
            let sum = self.cut.entry((seen.face.kind, at)).or_default();
            *sum = (sum.0 + by * face.cells, sum.1 + by * free);
            if sum.0 == 0 {
                self.cut.remove(&(seen.face.kind, at));
            }
        }
    }

    fn count_whole(&mut self, seen: &Seen, kind: &Kind, pool: Option<usize>, (cells, free): (i64, i64), by: i64) {
        let alike = (seen.face.kind, cells, free);
        let nodes = self.alike.entry(alike).or_default();
        *nodes += by;
        if *nodes == 0 {
            self.alike.remove(&alike);
        }
        if !kind.reaches_out || !seen.face.stand.clique {
            return;
        }
        let key = (seen.face.kind, seen.face.stand.clone());
        let clique = self.cliques.entry(key.clone()).or_default();
        if by > 0 {
            clique.insert((seen.cells.slot, pool), (free, cells));
            return;
        }
        clique.remove(&(seen.cells.slot, pool));
        if clique.is_empty() {
            self.cliques.remove(&key);
        }
    }
}

/// What could start now.
pub fn room(fleet: &FleetView) -> Room {
    let Shelf { alike, cut, cliques } = fleet.shelf();
    let mut sets: BTreeMap<&str, Counted> = BTreeMap::new();
    for ((kind, cells, free), nodes) in alike {
        let kind = &fleet.kinds()[*kind];
        let counted = sets.entry(product(kind)).or_default();
        (counted.devices, counted.free) = (counted.devices + nodes * cells, counted.free + nodes * free);
        for (size, sets) in SIZES.iter().zip(&mut counted.sets).filter(|(size, _)| **size <= kind.linked) {
            *sets = Some(sets.unwrap_or(0) + nodes * (free / size));
        }
    }
    let mut parts: BTreeMap<(&str, &str, &str), (i64, i64)> = BTreeMap::new();
    for ((kind, at), (cells, free)) in cut {
        let kind = &fleet.kinds()[*kind];
        let face = &kind.pools[*at];
        let sum = parts.entry((product(kind), &face.unit, &face.resource)).or_default();
        *sum = (sum.0 + cells, sum.1 + free);
    }
    // Machines of several kinds may share one.
    let mut domains: BTreeMap<(&str, &Stand), Vec<(i64, i64)>> = BTreeMap::new();
    for ((kind, stand), nodes) in cliques {
        domains.entry((product(&fleet.kinds()[*kind]), stand)).or_default().extend(nodes.values());
    }
    for ((product, _), nodes) in domains {
        let Some(counted) = sets.get_mut(product) else { continue };
        for (size, sets) in SIZES.iter().zip(&mut counted.sets) {
            let node = nodes.iter().map(|(_, cells)| *cells).max().unwrap_or(1).max(1);
            let has = nodes.iter().map(|(_, cells)| cells / node).sum::<i64>();
            // Smaller ones are inside of nodes, and were counted there.
            if *size > node && size % node == 0 && size / node <= has {
                let whole: i64 = nodes.iter().map(|(free, _)| free / node).sum();
                *sets = Some(sets.unwrap_or(0) + whole / (size / node));
            }
        }
    }
    Room {
        sizes: SIZES.to_vec(),
        sets: sets.into_iter().map(|(product, counted)| counted.named(product)).collect(),
        parts: parts
            .into_iter()
            .map(|((product, unit, resource), (cells, free))| FreeParts {
                product: product.into(),
                unit: unit.into(),
                resource: resource.into(),
                cells,
                free,
            })
            .collect(),
    }
}

fn product(kind: &Kind) -> &str {
    kind.product.as_deref().unwrap_or("unknown")
}

impl Counted {
    fn named(self, product: &str) -> FreeSets {
        FreeSets { product: product.into(), devices: self.devices, free: self.free, sets: self.sets.to_vec() }
    }
}

/// Whole cells of which nothing is held. Where it is not known which devices are in use, they are taken to be as few as
/// can be.
fn free_cells(cells: i64, parts: i64, pool: &super::cells::PoolCells) -> i64 {
    let known = pool.runs.iter().fold(0u32, |devices, run| devices | run.devices);
    let unknown: i64 = pool.runs.iter().filter(|run| run.devices == 0).map(|run| run.parts).sum();
    let in_use = i64::from(known.count_ones()) + (unknown + parts - 1) / parts.max(1);
    (cells - pool.failed - in_use).max(0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fleet, gpus};
    use super::*;

    fn sets(fleet: &Fleet) -> Vec<FreeSets> {
        let mut view = FleetView::default();
        view.keep_up(&fleet.host.snapshot_to_show());
        room(&view).sets
    }

    #[test]
    fn sets_are_counted_node_by_node() {
        let fleet = Fleet::of(3);
        fleet.run(gpus("p", 5), "node-0");
        fleet.run(gpus("q", 1), "node-1");
        let [h100] = sets(&fleet).try_into().expect("one product");
        assert_eq!((h100.devices, h100.free), (24, 18));
        assert_eq!(h100.sets, [Some(18), Some(8), Some(3), Some(1), None, None, None]);
    }

    #[test]
    fn what_is_kept_up_is_what_is_counted_anew() {
        for (fleet, name) in [(Fleet::of(3), "node-1"), (Fleet::of_cliques(2, 3), "nvl-1-1")] {
            let mut view = FleetView::default();
            let steps: [&dyn Fn(); 5] = [
                &|| {},
                &|| fleet.run(gpus("p", 3), name),
                &|| fleet.run(gpus("q", 1), name),
                &|| fleet.end("p"),
                &|| fleet.remove(name),
            ];
            for (at, step) in steps.iter().enumerate() {
                step();
                view.keep_up(&fleet.host.snapshot_to_show());
                let mut anew = FleetView::default();
                anew.keep_up(&fleet.host.snapshot_to_show());
                assert_eq!(room(&view), room(&anew), "{name}, step {at}");
                assert!(!room(&view).sets.is_empty());
            }
        }
    }

    #[test]
    fn sets_beyond_a_node_are_in_one_nvlink_domain() {
        let fleet = Fleet::of_cliques(2, 18);
        fleet.run(gpus("p", 1), "nvl-0-3");
        let [gb200] = sets(&fleet).try_into().expect("one product");
        assert_eq!(gb200.sets, [Some(143), Some(71), Some(35), Some(17), Some(8), Some(4), Some(1)]);
    }
}
