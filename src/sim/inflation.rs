//! Inflation: the experiment of the FGD paper. Pods only arrive, in any order and beyond what the cluster can take; who
//! does not fit is dropped and still counts as arrived.

use super::books::Books;
use super::gangs::Party;
use super::placer::Placer;
use super::result::{Outcome, POINTS, key};
use super::rng::Rng;
use super::world::World;

/// The loads, in percent of what there is, at which the allocation is read.
pub const LOADS: [u32; 6] = [95, 100, 105, 110, 120, 130];

/// Which units arrive, in which order: all of the workload, shuffled, then any of them again until they ask for `load`
/// times the accelerators that there are; or, where the workload asks for more, without some of them.
pub fn arrivals(world: &World, load: f64, rng: &mut Rng) -> Vec<usize> {
    let target = load * world.gpu_milli as f64;
    let asks = |unit: usize| world.unit_milli(unit) as f64;
    let mut order: Vec<usize> = (0..world.units.len()).collect();
    rng.shuffle(&mut order);
    let mut total: f64 = order.iter().map(|unit| asks(*unit)).sum();
    while total > target {
        let unit = order.swap_remove(rng.below(order.len()));
        total -= asks(unit);
    }
    while order.len() < MAX_ARRIVALS {
        let unit = rng.below(world.units.len());
        if total + asks(unit) > target {
            break;
        }
        total += asks(unit);
        order.push(unit);
    }
    order
}

/// Where a workload asks for next to nothing, its load is not reached.
const MAX_ARRIVALS: usize = 10_000_000;

/// Runs it.
pub fn run(world: &World, placer: &mut dyn Placer, load: f64, seed: u64) -> Outcome {
    let mut rng = Rng::new(seed);
    let arrivals = arrivals(world, load, &mut rng);
    let mut ties = rng.branch();
    let mut books = Books::new(world);
    let capacity = world.gpu_milli as f64;
    let mut loads = LOADS.iter().copied().filter(|at| f64::from(*at) <= load * 100.0 + 1e-9).peekable();
    let mut allocated = vec![];
    let mut series = vec![];
    let step = load * 100.0 / POINTS as f64;
    let mut id = 0;
    for unit in arrivals {
        let next = 100.0 * (books.asked() + world.unit_milli(unit)) as f64 / capacity;
        while let Some(at) = loads.next_if(|at| f64::from(*at) < next) {
            allocated.push((at.to_string(), books.allocated_percent()));
        }
        if next >= step * (series.len() + 1) as f64 && series.len() + 1 < POINTS {
            let at = 100.0 * books.asked() as f64 / capacity;
            series.push(books.point(at, placer, 0));
        }
        let mut party = Party::new(world, unit, id);
        id += party.members.len();
        party.place(placer, &mut ties);
        books.party_arrived(&party);
    }
    allocated.extend(loads.map(|at| (at.to_string(), books.allocated_percent())));
    series.push(books.point(100.0 * books.asked() as f64 / capacity, placer, 0));
    let mut measures = books.measures(allocated, placer.fragmentation());
    measures.values.extend(books.held_in_vain_percent().map(|percent| (key::HELD_IN_VAIN, percent)));
    Outcome { seed, measures, series }
}

#[cfg(test)]
#[path = "inflation_tests.rs"]
mod tests;
