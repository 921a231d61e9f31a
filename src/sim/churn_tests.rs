use super::super::openb::WHOLE_GPU;
use super::super::placer::TieBreak;
use super::super::policy::Policy;
use super::super::testing::{node, pod, world};
use super::*;

/// So many nodes with one GPU, and pods that ask for one: what is known as the Erlang loss system.
fn servers(count: usize) -> World {
    let nodes: Vec<_> = (0..count).map(|at| node(&format!("n{at:03}"), 64_000, 1)).collect();
    world(&nodes, &[pod("p", 1000, WHOLE_GPU)])
}

/// Erlang's formula: the share of arrivals lost with so many servers and this offered traffic.
fn erlang_b(servers: usize, traffic: f64) -> f64 {
    (1..=servers).fold(1.0, |lost, server| traffic * lost / (server as f64 + traffic * lost))
}

#[test]
fn as_many_are_lost_as_erlang_says() {
    for (servers_, load) in [(10, 1.0), (40, 0.8)] {
        let world = servers(servers_);
        let churn = Churn { load, horizon: 2000.0, warmup: 10.0 };
        let mut placer = Policy::FirstFit.placer(&world, TieBreak::Random);
        let outcome = churn.run(&world, &mut *placer, 5);
        let lost = 1.0 - outcome.measures.get(key::ACCEPTED).unwrap() / 100.0;
        let expected = erlang_b(servers_, load * servers_ as f64);
        assert!((lost - expected).abs() < 0.01, "{servers_} servers: {lost} lost, not {expected}");
        let carried = outcome.measures.allocated_at("mean").unwrap() / 100.0;
        let expected = load * (1.0 - expected);
        assert!((carried - expected).abs() < 0.02, "{servers_} servers: {carried} carried, not {expected}");
        assert_eq!(outcome.measures.get(key::REJECTED_BY_FRAGMENTATION), Some(0.0));
        assert_eq!(outcome.series.len(), POINTS);
    }
}

#[test]
fn the_warm_up_does_not_count() {
    let world = servers(50);
    let run = |warmup| {
        let mut placer = Policy::FirstFit.placer(&world, TieBreak::Random);
        Churn { load: 1.0, horizon: 3.0, warmup }.run(&world, &mut *placer, 5).measures.allocated_at("mean").unwrap()
    };
    // The cluster starts empty.
    assert!(run(2.0) > run(0.0) + 5.0, "{} {}", run(2.0), run(0.0));
}

#[test]
fn all_policies_see_the_same_arrivals() {
    let world = servers(10);
    let churn = Churn { load: 1.0, horizon: 50.0, warmup: 0.0 };
    let run = |policy: Policy| churn.run(&world, &mut *policy.placer(&world, TieBreak::Random), 9);
    // With one GPU a node it does not matter where a pod goes.
    let (first, engine) = (run(Policy::FirstFit).measures, run(Policy::Testudo).measures);
    assert_eq!(first, run(Policy::Random).measures);
    assert_eq!(first.get(key::ACCEPTED), engine.get(key::ACCEPTED));
    assert_eq!(first.allocated_percent, engine.allocated_percent);
}
