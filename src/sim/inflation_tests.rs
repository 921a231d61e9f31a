use super::super::openb::WHOLE_GPU;
use super::super::placer::{TieBreak, Ties};
use super::super::policy::Policy;
use super::super::result::key;
use super::super::testing::{node, pod, world};
use super::*;

/// Ten GPUs, and four pods that ask for one each.
fn small() -> World {
    let nodes: Vec<_> = (0..5).map(|at| node(&format!("n{at}"), 64_000, 2)).collect();
    let pods: Vec<_> = (0..4).map(|at| pod(&format!("p{at}"), 1000, WHOLE_GPU)).collect();
    world(&nodes, &pods)
}

#[test]
fn the_workload_comes_first_and_then_more_of_the_same() {
    let world = small();
    let arrivals = arrivals(&world, 1.3, &mut Rng::new(7));
    assert_eq!(arrivals.len(), 13);
    let mut first: Vec<usize> = arrivals[..4].to_vec();
    first.sort_unstable();
    assert_eq!(first, [0, 1, 2, 3]);
}

#[test]
fn a_workload_that_asks_for_too_much_loses_pods() {
    assert_eq!(arrivals(&small(), 0.2, &mut Rng::new(7)).len(), 2);
}

#[test]
fn the_allocation_is_read_where_the_load_is_reached() {
    let world = small();
    let mut placer = Policy::BestFit.placer(&world, TieBreak::new(Ties::Random, 5, &mut Rng::new(1)));
    let outcome = run(&world, &mut *placer, 1.3, 1);
    let allocated: Vec<(&str, f64)> =
        outcome.measures.allocated_percent.iter().map(|(load, value)| (load.as_str(), *value)).collect();
    // Up to a load of 95 % nine of ten GPUs are asked for.
    let expected = [("95", 90.0), ("100", 100.0), ("105", 100.0), ("110", 100.0), ("120", 100.0), ("130", 100.0)];
    assert_eq!(allocated, expected);
    assert_eq!(outcome.measures.get(key::ACCEPTED).map(f64::round), Some(77.0), "10 of 13");
    assert_eq!(outcome.measures.get(key::REJECTED_BY_FRAGMENTATION), Some(0.0), "nothing was free for the others");
    assert!(outcome.series.len() <= POINTS && outcome.series.iter().is_sorted_by(|a, b| a.at <= b.at));
    assert_eq!(outcome.series.last().map(|point| point.allocated_percent), Some(100.0));
}

#[test]
fn loads_that_do_not_arrive_are_left_out() {
    let world = small();
    let mut placer = Policy::FirstFit.placer(&world, TieBreak::Random);
    let outcome = run(&world, &mut *placer, 1.0, 1);
    assert_eq!(outcome.measures.allocated_percent.len(), 2);
}

#[test]
fn refused_though_enough_is_free_is_fragmentation() {
    // Two nodes with one core too few for the second pod of each: 2 of 4 GPUs stay free.
    let nodes = [node("a", 1000, 2), node("b", 1000, 2)];
    let world = world(&nodes, &[pod("p", 1000, WHOLE_GPU)]);
    let mut placer = Policy::Spread.placer(&world, TieBreak::Random);
    let outcome = run(&world, &mut *placer, 1.0, 1);
    assert_eq!(outcome.measures.get(key::REJECTED_BY_FRAGMENTATION), Some(50.0));
    assert_eq!(outcome.measures.allocated_at("100"), Some(50.0));
}
