use super::super::openb::WHOLE_GPU;
use super::super::placer::TieBreak;
use super::super::policy::Policy;
use super::super::testing::{from_to, node, pod, world};
use super::*;
use crate::k8s::object;

fn replay(nodes: &[object::Node], pods: &[object::Pod]) -> Outcome {
    let world = world(nodes, pods);
    let mut placer = Policy::FirstFit.placer(&world, TieBreak::Random);
    run(&world, &Schedule::of(&world).unwrap(), &mut *placer, 1)
}

fn one_gpu(name: &str, created: u64, deleted: u64) -> object::Pod {
    from_to(pod(name, 1000, WHOLE_GPU), created, deleted)
}

#[test]
fn who_finds_no_place_waits_for_one() {
    // One GPU. The first pod has it from 100 to 200, the second wants it from 150 on for 100 s, the third from 160 on.
    let pods = [one_gpu("a", 100, 200), one_gpu("b", 150, 250), one_gpu("c", 160, 170)];
    let outcome = replay(&[node("n", 64_000, 1)], &pods);
    let get = |name| outcome.measures.get(name).unwrap();
    assert_eq!(get(key::WAITED).round(), 67.0, "two of three");
    // The second from 150 to 200, then it runs until 300; the third from 160 to 300.
    assert_eq!((get(key::MEAN_WAIT), get(key::LONGEST_WAIT)), (95.0, 140.0));
    assert_eq!(get(key::NEVER_PLACED), 0.0);
    assert_eq!(get(key::REJECTED_BY_FRAGMENTATION), 0.0);
    // Over the time of the trace, 100 to 250.
    assert_eq!(outcome.measures.allocated_at("mean"), Some(100.0));
}

#[test]
fn who_never_fits_never_runs() {
    let pods = [one_gpu("a", 0, 100), from_to(pod("b", 1000, 2 * WHOLE_GPU), 50, 60)];
    let outcome = replay(&[node("n", 64_000, 1), node("m", 64_000, 1)], &pods);
    assert_eq!(outcome.measures.get(key::NEVER_PLACED), Some(50.0));
    assert_eq!(outcome.measures.get(key::REJECTED_BY_FRAGMENTATION), Some(0.0), "one GPU was free, not two");
    assert_eq!(outcome.measures.allocated_at("mean"), Some(50.0));
}

#[test]
fn the_course_says_who_waits() {
    let pods = [one_gpu("a", 0, 200), one_gpu("b", 100, 200)];
    let outcome = replay(&[node("n", 64_000, 1)], &pods);
    assert_eq!(outcome.series.len(), POINTS);
    let waiting = |at: f64| outcome.series.iter().find(|point| point.at == at).map(|point| point.waiting);
    assert_eq!((waiting(50.0), waiting(150.0)), (Some(0), Some(1)));
}

#[test]
fn a_pod_without_time_is_named() {
    let world = world(&[node("n", 64_000, 1)], &[pod("timeless", 1000, WHOLE_GPU)]);
    let error = Schedule::of(&world).unwrap_err().to_string();
    assert!(error.starts_with("Pod test/timeless has no creation time"), "{error}");
}
