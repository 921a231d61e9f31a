//! What quotas keep from starting, on small fleets.

use super::*;
use crate::engine::{Change, Engine, Offered, PlacementPolicy, Policy, Verdict};
use crate::model::quota::Item;
use crate::testing::{PodBuilder, node, pod};

const NOW: u64 = 1_000;

fn engine(quotas: Quotas) -> Engine {
    let placement = PlacementPolicy { quotas, ..PlacementPolicy::default() };
    let mut engine = Engine::new(Policy { placement, ..Policy::default() });
    for name in ["a", "b"] {
        engine.apply(Change::NodeApplied(Box::new(node(name).has("nvidia.com/gpu", 8).build())), NOW);
    }
    engine
}

fn gpus(limit: u32) -> Quota {
    Quota::default().limited(Item::Gpus, limit)
}

fn of(namespace: &str, quota: Quota) -> Quotas {
    Quotas::new([(namespace.into(), quota)], None)
}

fn set(engine: &mut Engine, pod: PodBuilder) {
    engine.apply(Change::PodApplied(Box::new(pod.build())), NOW);
}

/// Where a pod may go, or what it is told.
fn filter(engine: &mut Engine, pod: &Pod) -> Result<String, String> {
    let snapshot = engine.snapshot();
    let judgement = snapshot.judge(pod);
    match (judgement.of(Offered::Named("a")), judgement.best()) {
        (Verdict::Fits(_), Some(best)) => Ok(best.to_string()),
        (Verdict::No(refusal), None) => {
            assert_eq!((refusal.label, refusal.preemption_can_help), ("over_quota", false));
            Err(refusal.text.to_string())
        }
        other => panic!("filter and the best place disagree: {other:?}"),
    }
}

#[test]
fn a_pod_over_quota_is_refused_on_all_nodes_with_the_numbers_of_the_quota() {
    let mut engine = engine(of("team", gpus(4)));
    set(&mut engine, pod("running").namespace("team").gpus(3).on("b"));
    let two = pod("two").namespace("team").gpus(2).build();
    let refused = "over quota: needs 2 GPUs, namespace team may have 4";
    assert_eq!(filter(&mut engine, &two), Err(refused.into()));
    assert!(filter(&mut engine, &pod("one").namespace("team").gpus(1).build()).is_ok());
    assert!(filter(&mut engine, &pod("other").namespace("others").gpus(8).build()).is_ok(), "it has no quota");
    // The text stays while what is in use changes: one that changes wakes the pod.
    set(&mut engine, pod("more").namespace("team").gpus(1).on("b"));
    assert_eq!(filter(&mut engine, &two), Err(refused.into()));
    engine.apply(Change::PodDeleted("uid-running".into()), NOW);
    assert!(filter(&mut engine, &two).is_ok(), "there is room again");
}

#[test]
fn what_another_scheduler_has_placed_counts_and_what_has_ended_does_not() {
    let mut engine = engine(of("team", gpus(4)));
    let one = pod("one").namespace("team").gpus(1).build();
    // More than there may be: it runs, nobody evicts it.
    set(&mut engine, pod("strangers").namespace("team").gpus(6).on("b"));
    assert!(filter(&mut engine, &one).is_err());
    set(&mut engine, pod("strangers").namespace("team").gpus(6).finished());
    assert!(filter(&mut engine, &one).is_ok());
}

#[test]
fn of_two_that_were_told_yes_at_once_the_second_is_stopped_at_bind() {
    let mut engine = engine(of("team", gpus(4)));
    let [first, second] = ["first", "second"].map(|name| pod(name).namespace("team").gpus(3).build());
    assert!(filter(&mut engine, &first).is_ok() && filter(&mut engine, &second).is_ok());
    engine.assume(&first, &"a".into(), NOW + 60_000).expect("there is room");
    let error = engine.assume(&second, &"b".into(), NOW + 60_000).expect_err("the quota is used up").to_string();
    assert!(error.ends_with("over quota: needs 3 GPUs, namespace team may have 4"), "{error}");
    assert!(filter(&mut engine, &first).is_ok(), "it does not stand in its own way");
    engine.roll_back(&first.uid);
    assert!(engine.assume(&second, &"b".into(), NOW + 60_000).is_ok());
}

#[test]
fn each_namespace_without_a_name_has_the_quota_of_the_others_for_itself() {
    let quotas = Quotas::new([("free".into(), gpus(100))], Some(gpus(2)));
    let mut engine = engine(quotas);
    set(&mut engine, pod("a").namespace("x").gpus(2).on("a"));
    let asks = |namespace: &str| pod("p").namespace(namespace).gpus(1).build();
    assert!(filter(&mut engine, &asks("x")).is_err());
    assert!(filter(&mut engine, &asks("y")).is_ok() && filter(&mut engine, &asks("free")).is_ok());
    let rows: Vec<_> =
        engine.snapshot().quotas().into_iter().map(|(ns, _, used, limit)| (ns.to_owned(), used, limit)).collect();
    assert_eq!(rows, [("free".to_owned(), 0, 100_000), ("x".to_owned(), 2000, 2000)]);
}

#[test]
fn a_raised_quota_lets_pods_in_at_once_and_a_lowered_one_evicts_nobody() {
    let mut engine = engine(of("team", gpus(0)));
    let asks = pod("p").namespace("team").gpus(8).build();
    assert!(filter(&mut engine, &asks).is_err());
    let before = engine.snapshot();
    engine.set_placement(PlacementPolicy { quotas: of("team", gpus(8)), ..PlacementPolicy::default() });
    assert!(engine.has_moved_on(&before), "who asks the newest snapshot is told of it");
    assert!(filter(&mut engine, &asks).is_ok());
    engine.assume(&asks, &"a".into(), NOW + 60_000).expect("there is room");
    engine.set_placement(PlacementPolicy { quotas: of("team", gpus(1)), ..PlacementPolicy::default() });
    assert_eq!(engine.cluster().usage().of("team").milli(Item::Gpus), 8000);
}
