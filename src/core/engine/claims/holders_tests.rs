//! What was given out more than once.

use std::sync::Arc;

use super::tests::{World, pod};
use super::{ClaimNewsKind, ClaimOrder};
use crate::claims::testing::a30s;
use crate::engine::Change;
use crate::model::pod::Pod;

#[test]
fn a_device_given_twice_is_told_and_ours_gives_way_unless_it_has_started() {
    let mut world = World::new(&[("a", 4)]);
    for name in ["ours", "theirs"] {
        world.claim(name, 1);
    }
    world.give("ours", "a", &["gpu-0"], true);
    world.give("theirs", "a", &["gpu-0"], false);
    let told = world.news();
    assert_eq!(told, [(ClaimNewsKind::GivenTwice, "ours".into()), (ClaimNewsKind::GivenTwice, "theirs".into())]);
    world.show("theirs", |seen| seen.is_reserved = true);
    assert_eq!(world.news(), [], "once");
    assert_eq!(world.engine.devices_given_twice(), 1);
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { claim, .. }] if &*claim.name == "ours"), "{orders:?}");
    world.carry_out(&orders[0]);
    assert_eq!(world.engine.devices_given_twice(), 0);
    world.give("ours", "a", &["gpu-1"], true);
    world.show("ours", |seen| seen.is_reserved = true);
    world.claim("late", 1);
    world.give("late", "a", &["gpu-1"], false);
    assert_eq!(world.claim_orders(), [], "who has started keeps it");
    world.show("ours", |seen| seen.is_reserved = false);
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { claim, .. }] if &*claim.name == "ours"), "{orders:?}");
}

#[test]
fn who_waits_for_us_gives_way_whoever_gave_it_its_devices() {
    let mut world = World::asked_by(&["gpu-scheduler"], &[("a", 4)]);
    for (name, scheduler) in [("ours", "gpu-scheduler"), ("theirs", "default-scheduler"), ("unused", "")] {
        world.claim(name, 1);
        if name != "unused" {
            world.set(Pod { scheduler: scheduler.into(), ..pod(name, &[name]) });
        }
        world.give(name, "a", &["gpu-0"], false);
    }
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { claim, .. }] if &*claim.name == "ours"), "{orders:?}");
    world.carry_out(&orders[0]);
    assert_eq!(world.plan(), 1, "it is given another");
    let order = world.claim_orders().remove(0);
    world.carry_out(&order);
    let ours = world.claims["ours"].claim.key.clone();
    assert_eq!(world.engine.conflict_of(&[ours]), None, "it is out of that");
    assert_eq!(world.claim_orders(), [], "and keeps what it was given then");
    assert_eq!(world.engine.devices_given_twice(), 1, "it is not for us to say which of the others keeps it");
}

#[test]
fn instances_that_overlap_are_told_and_ours_gives_way_as_far_as_it_takes() {
    let mut world = World::new(&[]);
    let claims = ["large", "ours", "small"];
    claims.iter().for_each(|name| world.claim(name, 1));
    let cut = |profile: &str| format!("gpu-0-mig-{profile}");
    world.give("small", "a", &[&cut("1g6gb-14-0")], true);
    world.give("ours", "a", &[&cut("1g6gb-14-3")], true);
    world.give("large", "a", &[&cut("2g12gb-5-2")], false);
    world.wait(0);
    assert_eq!(world.claim_orders(), []);
    assert_eq!(world.news(), [], "nobody has said yet what they are");
    for slice in a30s("a", 1) {
        world.apply(Change::SliceApplied(Arc::new(slice)));
    }
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { claim, .. }] if &*claim.name == "ours"), "{orders:?}");
    let told = world.news();
    assert_eq!(told, [(ClaimNewsKind::GivenTwice, "large".into()), (ClaimNewsKind::GivenTwice, "ours".into())]);
    assert_eq!(world.engine.devices_given_twice(), 1);
    world.carry_out(&orders[0]);
    assert_eq!(world.engine.devices_given_twice(), 0);
    world.show("large", |seen| seen.is_reserved = true);
    world.news();
    world.give("ours", "a", &[&cut("1g6gb-14-1")], true);
    assert_eq!(world.claim_orders(), [], "beside each other");
    world.show("ours", |seen| seen.is_reserved = true);
    world.claim("whole", 1);
    world.give("whole", "a", &[&cut("4g24gb-0-0")], false);
    assert_eq!(world.news().len(), 4, "all that overlap are told");
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { claim, .. }] if &*claim.name == "small"), "{orders:?}");
}
