//! Devices of members that are yet to be made.

use std::sync::Arc;

use super::tests::{World, devices_of, pod};
use crate::engine::{GangPolicy, Policy};
use crate::model::gang::{Membership, Terms};
use crate::model::pod::{Pod, PodClaim};
use crate::testing;

/// A member of the gang `g` whose controller makes the others later. Its claim is made from a template; none as yet where it
/// has no name.
fn member(name: &str, index: u32, size: u32, claim: Option<&str>) -> Pod {
    let terms = Terms { min_member: Some(size), ..Terms::default() };
    let pod = testing::pod(name).member_of("g", "", index, terms).build();
    let membership = pod.membership.as_deref().cloned().expect("a member");
    let claim = PodClaim { alias: "gpus".into(), name: claim.map(Into::into), from_template: true };
    Pod { membership: Some(Arc::new(Membership { staged: true, ..membership })), claims: vec![claim], ..pod }
}

#[test]
fn a_gang_gets_devices_for_all_or_none() {
    let mut world = World::new(&[("a", 4), ("b", 4)]);
    world.claim("l-gpus", 4);
    world.set(member("l", 0, 3, Some("l-gpus")));
    world.plan();
    assert_eq!(world.claim_orders(), [], "there is room for two of three");
    world.add("c", 4);
    world.plan();
    let orders = world.claim_orders();
    assert_eq!(orders.len(), 1, "the others have no claims yet: {orders:?}");
    world.carry_out(&orders[0]);
    world.claim("late", 1);
    world.set(pod("late", &["late"]));
    world.plan();
    assert_eq!(world.claim_orders(), [], "what is kept is in use");
}

#[test]
fn one_that_comes_is_given_what_was_kept_for_it() {
    let mut world = World::new(&[("a", 4), ("b", 4)]);
    world.claim("l-gpus", 4);
    world.set(member("l", 0, 2, Some("l-gpus")));
    world.plan();
    let orders = world.claim_orders();
    assert_eq!(devices_of(&orders[0])[0], "a/gpu-0");
    world.carry_out(&orders[0]);
    assert_eq!(world.steered(), [("l".into(), "a".into())]);
    world.set(member("w", 1, 2, None));
    world.wait(1);
    assert_eq!((world.plan(), world.claim_orders()), (0, vec![]), "its claim is being made");
    world.set(member("w", 1, 2, Some("w-gpus")));
    world.claim("w-gpus", 4);
    let orders = world.claim_orders();
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!(devices_of(&orders[0]), ["b/gpu-0", "b/gpu-1", "b/gpu-2", "b/gpu-3"]);
    world.carry_out(&orders[0]);
    assert_eq!(world.steered(), [("w".into(), "b".into())]);
}

#[test]
fn one_that_asks_for_something_else_is_not_given_it() {
    let mut world = World::new(&[("a", 4), ("b", 4)]);
    world.claim("l-gpus", 4);
    world.set(member("l", 0, 2, Some("l-gpus")));
    world.plan();
    let orders = world.claim_orders();
    world.carry_out(&orders[0]);
    world.steered();
    world.bind("l", "a");
    world.claim("w-gpus", 2);
    world.set(member("w", 1, 2, Some("w-gpus")));
    world.plan();
    let orders = world.claim_orders();
    assert_eq!(devices_of(&orders[0]), ["b/gpu-0", "b/gpu-1"], "it is planned anew");
}

#[test]
fn what_nobody_comes_for_is_free_again() {
    let mut world = World::new(&[("a", 4), ("b", 4)]);
    world.claim("l-gpus", 4);
    world.set(member("l", 0, 2, Some("l-gpus")));
    world.plan();
    let orders = world.claim_orders();
    world.carry_out(&orders[0]);
    world.steered();
    world.bind("l", "a");
    world.claim("late", 4);
    world.set(pod("late", &["late"]));
    world.plan();
    assert_eq!(world.claim_orders(), []);
    let GangPolicy { hold_timeout_ms, .. } = Policy::default().gangs;
    world.wait(hold_timeout_ms);
    world.plan();
    let orders = world.claim_orders();
    assert_eq!(devices_of(&orders[0])[0], "b/gpu-0");
}
