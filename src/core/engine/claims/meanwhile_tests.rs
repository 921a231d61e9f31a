//! What happens while devices are looked for, or while another leads.

use super::*;
use crate::claims::testing::a30s;

#[test]
fn what_others_are_given_meanwhile_is_seen_when_the_plan_comes_back() {
    let mut world = World::new(&[("a", 1), ("b", 1)]);
    world.claim("c", 1);
    world.claim("theirs", 1);
    world.set(pod("p", &["c"]));
    let task = world.engine.next_plan(world.now_ms).expect("a task");
    world.give("theirs", "a", &["gpu-0"], false);
    world.engine.adopt(task.solve(), world.now_ms);
    assert_eq!(world.claim_orders(), [], "the device has gone to another");
    world.plan();
    assert_eq!(devices_of(&world.claim_orders()[0]), ["b/gpu-0"]);
}

#[test]
fn who_was_promised_what_another_took_is_given_other_devices() {
    let mut world = World::new(&[("a", 2)]);
    world.claim("c", 1);
    world.claim("theirs", 1);
    world.set(pod("p", &["c"]));
    world.plan();
    let order = world.claim_orders().remove(0);
    assert_eq!(devices_of(&order), ["a/gpu-0"]);
    world.give("theirs", "a", &["gpu-0"], false);
    world.wait(10_000);
    let orders = world.claim_orders();
    assert!(!orders.iter().any(|order| matches!(order, ClaimOrder::Allocate { .. })), "{orders:?}");
    world.conclude(&order, ClaimOutcome::Unknown);
    // What was under way is overtaken first.
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { claim, .. }] if &*claim.name == "c"), "{orders:?}");
    world.carry_out(&orders[0]);
    world.wait(10_000);
    world.plan();
    assert_eq!(devices_of(&world.claim_orders()[0]), ["a/gpu-1"]);
}

#[test]
fn what_overlaps_with_what_another_took_is_not_given_either() {
    let mut world = World::new(&[]);
    for slice in a30s("a", 1) {
        world.apply(Change::SliceApplied(Arc::new(slice)));
    }
    world.apply(Change::NodeApplied(Box::new(node("a").build())));
    world.claim_like("c", "device.attributes['d'].profile == '2g.12gb'", 1);
    world.claim("theirs", 1);
    world.set(pod("p", &["c"]));
    world.plan();
    let order = world.claim_orders().remove(0);
    let [given] = &devices_of(&order)[..] else { panic!("{order:?}") };
    world.give("theirs", "a", &["gpu-0-mig-4g24gb-0-0"], false);
    world.conclude(&order, ClaimOutcome::Unknown);
    world.wait(10_000);
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { .. }]), "{given} overlaps with it: {orders:?}");
}

#[test]
fn of_many_that_ask_the_same_in_vain_one_is_looked_for() {
    let mut world = World::new(&[("a", 1)]);
    for at in 0..5 {
        world.claim(&format!("c{at}"), 2);
        world.set(pod(&format!("p{at}"), &[&format!("c{at}")]));
    }
    assert_eq!(world.plan(), 1);
    let wish = "no node has free devices: claim default/c4 needs 2 devices of class any for request r";
    world.wait(10_000);
    assert_eq!(world.filter("p4"), Err(format!("claims of pod default/p4: {wish}")));
    world.apply(Change::NodeApplied(Box::new(node("b").build())));
    world.apply(Change::SliceApplied(Arc::new(slice("b", (0..4).map(|at| device(&format!("gpu-{at}"))).collect()))));
    assert_eq!(world.plan(), 3, "two of them, and one more in vain");
    assert_eq!(world.claim_orders().len(), 2);
}

#[test]
fn devices_that_become_free_while_they_are_looked_for_are_looked_at() {
    let mut world = World::new(&[("a", 1)]);
    world.claim("theirs", 1);
    world.give("theirs", "a", &["gpu-0"], false);
    world.claim("c", 1);
    world.set(pod("p", &["c"]));
    let task = world.engine.next_plan(world.now_ms).expect("a task");
    let solved = task.solve();
    world.show("theirs", |seen| seen.allocation = None);
    world.engine.adopt(solved, world.now_ms);
    assert_eq!(world.plan(), 1);
    assert_eq!(world.claim_orders().len(), 1);
}

#[test]
fn a_desk_that_does_not_come_back_is_made_anew() {
    let mut world = World::new(&[("a", 2)]);
    world.claim("c", 1);
    world.claim("theirs", 1);
    world.give("theirs", "a", &["gpu-0"], false);
    world.set(pod("p", &["c"]));
    let task = world.engine.next_plan(world.now_ms).expect("a task");
    let gang = task.gang().clone();
    drop(task);
    world.engine.set_aside(&gang, "a panic", world.now_ms);
    world.wait(10_000);
    world.plan();
    assert_eq!(devices_of(&world.claim_orders()[0]), ["a/gpu-1"]);
}

#[test]
fn what_another_leader_gives_and_takes_is_left_to_it() {
    let mut world = World::new(&[("a", 2), ("b", 2)]);
    for claim in ["c", "d"] {
        world.claim(claim, 1);
        world.set(pod(&format!("p-{claim}"), &[claim]));
    }
    world.plan();
    let orders = world.claim_orders();
    assert_eq!(orders.len(), 2);
    world.accept(&orders[0]);
    world.engine.stand_by();
    // What was under way comes to an end, and begins nothing.
    world.accept(&orders[1]);
    world.wait(1_000_000);
    assert_eq!(world.plan(), 0);
    assert_eq!(world.claim_orders(), [], "nothing is taken back either");
    let ClaimOrder::Allocate { allocation, .. } = &orders[0] else { panic!() };
    world.show_given("c", allocation);
    world.engine.lead(2);
    world.wait(0);
    world.plan();
    let orders = world.claim_orders();
    assert!(
        matches!(&orders[..], [ClaimOrder::Allocate { claim, .. }] if &*claim.name == "d"),
        "devices and claims are known: {orders:?}"
    );
}

#[test]
fn parts_that_are_asked_for_at_once_are_of_one_gpu() {
    let mut world = World::new(&[]);
    world.apply(Change::NodeApplied(Box::new(node("a").build())));
    for slice in a30s("a", 4) {
        world.apply(Change::SliceApplied(Arc::new(slice)));
    }
    world.claim_like("c", "device.attributes['d'].profile == '1g.6gb'", 1);
    world.set(pod("p", &["c"]));
    world.plan();
    let first = world.claim_orders().remove(0);
    world.carry_out(&first);
    world.bind("p", "a");
    for at in 0..3 {
        world.claim_like(&format!("c{at}"), "device.attributes['d'].profile == '1g.6gb'", 1);
    }
    for at in 0..3 {
        world.set(pod(&format!("p{at}"), &[&format!("c{at}")]));
    }
    world.plan();
    let mut given = devices_of(&first);
    given.extend(world.claim_orders().iter().flat_map(devices_of));
    let instances: Vec<String> = (0..4).map(|start| format!("a/gpu-0-mig-1g6gb-14-{start}")).collect();
    given.sort();
    assert_eq!(given, instances);
}

#[test]
fn a_gang_whose_devices_are_being_taken_back_fails_once() {
    let mut world = World::new(&[("a", 4)]);
    for at in 0..2 {
        world.claim(&format!("c{at}"), 1);
        world.set(member(&format!("g-{at}"), "g", at, 2, &[&format!("c{at}")]));
    }
    world.claim("theirs", 1);
    world.plan();
    world.claim_orders().iter().for_each(|order| world.carry_out(order));
    world.give("theirs", "a", &["gpu-0"], false);
    world.show("theirs", |seen| seen.is_reserved = true);
    assert_eq!(world.claim_orders(), [], "it is found now");
    world.wait(1);
    let released = world.claim_orders();
    assert!(matches!(&released[..], [ClaimOrder::Release { .. }, ClaimOrder::Release { .. }]), "{released:?}");
    // The API server takes its time over it, and is looked at again and again.
    for _ in 0..10 {
        world.wait(100);
        assert_eq!(world.claim_orders(), []);
    }
    released.iter().for_each(|order| world.carry_out(order));
    world.wait(5_000);
    world.plan();
    let given: Vec<_> = world.claim_orders().iter().flat_map(devices_of).collect();
    assert_eq!(given, ["a/gpu-1", "a/gpu-2"]);
}
