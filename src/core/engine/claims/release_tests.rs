//! What was given and is used by nobody is taken back.

use super::tests::{World, member, pod};
use super::{ClaimNewsKind, ClaimOrder};
use crate::claims::fingerprint;
use crate::engine::{Arrival, ClaimPolicy, GangPolicy};
use crate::model::pod::{End, Pod, Stage};

#[test]
fn what_was_given_and_is_used_by_nobody_is_taken_back_after_a_while() {
    let mut world = World::new(&[("a", 4)]);
    for name in ["ours", "used", "theirs"] {
        world.claim(name, 1);
    }
    world.give("ours", "a", &["gpu-0"], true);
    world.give("used", "a", &["gpu-1"], true);
    world.show("used", |seen| seen.is_reserved = true);
    world.give("theirs", "a", &["gpu-2"], false);
    world.wait(ClaimPolicy::default().unused_ms - 1);
    assert_eq!(world.claim_orders(), []);
    world.wait(1);
    let orders = world.claim_orders();
    let devices = fingerprint(world.claims["ours"].holdings());
    let key = world.claims["ours"].claim.key.clone();
    assert_eq!(orders, [ClaimOrder::Release { claim: key, uid: "uid-ours".into(), devices }]);
    world.carry_out(&orders[0]);
    assert_eq!(world.news(), [(ClaimNewsKind::Released, "ours".into())]);
    world.wait(1_000_000);
    assert_eq!(world.claim_orders(), []);
}

#[test]
fn what_a_pod_runs_with_is_not_taken_back_though_nobody_has_reserved_it() {
    let mut world = World::new(&[("a", 1)]);
    world.claim("c", 1);
    world.give("c", "a", &["gpu-0"], true);
    let bound = Pod { stage: Stage::Bound("a".into()), ..pod("p", &["c"]) };
    world.set(bound.clone());
    world.wait(2 * ClaimPolicy::default().unused_ms);
    assert_eq!(world.claim_orders(), []);
    world.set(Pod { stage: Stage::Finished(End::Succeeded), ..bound });
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { .. }]), "{orders:?}");
}

#[test]
fn what_kube_scheduler_gave_to_a_pod_that_waits_is_taken_back() {
    let mut world = World::new(&[("a", 1)]);
    world.claim("c", 1);
    world.give("c", "a", &["gpu-0"], false);
    world.wait(ClaimPolicy::default().unused_ms);
    assert_eq!(world.claim_orders(), [], "whoever gave it may know why");
    // Its other members have no devices.
    world.claim("d", 1);
    world.set(member("g-0", "g", 0, 2, &["c"]));
    world.set(member("g-1", "g", 1, 2, &["d"]));
    world.plan();
    assert_eq!(world.claim_orders(), []);
    world.wait(ClaimPolicy::default().unused_ms);
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { claim, .. }] if &*claim.name == "c"), "{orders:?}");
}

#[test]
fn what_was_given_to_a_pod_that_does_not_come_is_taken_back_whatever_ends_its_plan() {
    let mut world = World::new(&[("a", 1), ("b", 1), ("c", 1)]);
    for at in 0..3 {
        world.claim(&format!("c{at}"), 1);
        world.set(member(&format!("g-{at}"), "g", at, 2, &[&format!("c{at}")]));
    }
    world.plan();
    world.claim_orders().iter().for_each(|order| world.carry_out(order));
    for at in 0..2 {
        let name = format!("g-{at}");
        let nodes = world.filter(&name).expect("it has a place");
        world.set(Pod { stage: Stage::Bound(nodes[0].as_str().into()), ..world.pods[&name].clone() });
        world.show(&format!("c{at}"), |seen| seen.is_reserved = true);
    }
    world.plan();
    world.claim_orders().iter().for_each(|order| world.carry_out(order));
    assert!(world.filter("g-2").is_ok(), "the third goes beside the others, when it comes");
    world.wait(GangPolicy::default().bind_window_ms);
    assert_eq!(world.claim_orders(), []);
    world.wait(ClaimPolicy::default().unused_ms);
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { claim, .. }] if &*claim.name == "c2"), "{orders:?}");
}

#[test]
fn devices_that_a_pod_on_its_node_has_lost_are_there_for_others() {
    let mut world = World::new(&[("n1", 1)]);
    for name in ["first", "second"] {
        world.claim(name, 1);
        world.set(member(name, name, 0, 1, &[name]));
    }
    world.plan();
    world.claim_orders().iter().for_each(|order| world.carry_out(order));
    // kube-scheduler takes them, and the pod was already about to be bound.
    let first = world.pods["first"].clone();
    assert_eq!(world.engine.arrive(&first, &"n1".into(), world.now_ms), Arrival::Go);
    world.show("first", |seen| seen.allocation = None);
    world.set(Pod { stage: Stage::Bound("n1".into()), ..first });
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { claim, .. }] if &*claim.name == "first"), "{orders:?}");
    world.carry_out(&orders[0]);
    world.plan();
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Allocate { claim, .. }] if &*claim.name == "second"), "{orders:?}");
}

#[test]
fn a_leader_that_leads_again_takes_back_what_it_gave_before() {
    let mut world = World::new(&[("n1", 1)]);
    world.claim("c", 1);
    world.set(member("g-0", "g", 0, 1, &["c"]));
    world.plan();
    world.claim_orders().iter().for_each(|order| world.carry_out(order));
    world.engine.stand_by();
    world.engine.lead(2);
    world.wait(0);
    assert_eq!(world.claim_orders(), []);
    world.wait(ClaimPolicy::default().unused_ms);
    let orders = world.claim_orders();
    assert!(matches!(orders[..], [ClaimOrder::Release { .. }]), "{orders:?}");
}

#[test]
fn who_takes_over_lets_the_pods_of_the_last_leader_come() {
    let mut world = World::new(&[("n1", 1)]);
    world.claim("c", 1);
    world.give("c", "n1", &["gpu-0"], true);
    world.engine.stand_by();
    let unused_ms = ClaimPolicy::default().unused_ms;
    world.wait(10 * unused_ms);
    world.engine.lead(2);
    world.wait(0);
    assert_eq!(world.claim_orders(), [], "it may have been given a moment ago");
    world.wait(unused_ms);
    assert!(matches!(world.claim_orders()[..], [ClaimOrder::Release { .. }]));
}
