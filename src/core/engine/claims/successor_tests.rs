//! Claims that are deleted while their gang starts, and those that are made in their place.

use std::sync::Arc;

use super::tests::{World, devices_of, gang_of_two, one_of_two_runs, pod};
use super::*;
use crate::engine::{Change, GangPolicy, Policy};
use crate::model::pod::PodClaim;

/// A gang of two on a node with so many devices: `g-0` runs with the first, and the claim of `g-1`, which was given the second, is
/// deleted.
fn one_lost(devices: usize) -> World {
    let mut world = one_of_two_runs(devices);
    world.apply(Change::ClaimDeleted(world.claims["c1"].claim.uid.to_string()));
    world
}

/// A pod without a gang wants a device, too.
fn another_comes(world: &mut World) {
    world.claim("other", 1);
    world.set(pod("other", &["other"]));
}

/// A claim for so many devices is made in place of the one that is gone: `g-1` calls it the same.
fn make_anew(world: &mut World, devices: u64) {
    world.claim("c1-x7k2p", devices);
    let claims = vec![PodClaim { alias: "c1".into(), name: Some("c1-x7k2p".into()), from_template: true }];
    world.set(Pod { claims, ..world.pods["g-1"].clone() });
}

fn planned(world: &mut World) -> Vec<(String, Vec<String>)> {
    world.plan();
    let of = |order: &ClaimOrder| match order {
        ClaimOrder::Allocate { claim, .. } => Some((claim.name.to_string(), devices_of(order))),
        ClaimOrder::Release { .. } => None,
    };
    world.claim_orders().iter().filter_map(of).collect()
}

#[test]
fn what_it_was_given_is_kept_for_the_one_that_is_made_in_its_place() {
    let mut world = one_lost(2);
    another_comes(&mut world);
    assert_eq!(planned(&mut world), [], "the others of a gang that runs must follow");
    assert!(world.filter("g-1").is_err(), "kube-scheduler would choose devices for it");
    let GangPolicy { bind_window_ms, .. } = Policy::default().gangs;
    world.wait(bind_window_ms - 1);
    make_anew(&mut world, 1);
    let order = world.claim_orders().remove(0);
    assert_eq!(devices_of(&order), ["a/gpu-1"]);
    world.carry_out(&order);
    world.wait(bind_window_ms - 1);
    world.bind("g-1", "a");
    assert_eq!(planned(&mut world), []);
    world.wait(1_000_000);
    assert!(world.engine.gangs.claims.plans.is_empty(), "nothing is left of it");
}

#[test]
fn it_is_kept_though_the_new_one_has_the_same_name_and_nobody_saw_the_old_one_go() {
    let mut world = one_lost(2);
    another_comes(&mut world);
    world.claim("c1", 1);
    world.show("c1", |seen| Arc::make_mut(&mut seen.claim).uid = "the second".into());
    assert_eq!(planned(&mut world), [("c1".to_owned(), vec!["a/gpu-1".to_owned()])]);
    world.show("c1", |seen| Arc::make_mut(&mut seen.claim).uid = "the third".into());
    assert_eq!(planned(&mut world), [("c1".to_owned(), vec!["a/gpu-1".to_owned()])]);
    let order = world.claim_orders();
    assert_eq!(order, [], "once");
}

#[test]
fn one_that_asks_for_something_else_gets_other_devices() {
    let mut world = one_lost(3);
    make_anew(&mut world, 2);
    another_comes(&mut world);
    let expected = vec!["a/gpu-1".to_owned(), "a/gpu-2".to_owned()];
    assert_eq!(planned(&mut world), [("c1-x7k2p".to_owned(), expected)]);
}

#[test]
fn what_another_has_taken_meanwhile_is_not_given_to_it() {
    let mut world = one_lost(3);
    world.claim("theirs", 1);
    world.give("theirs", "a", &["gpu-1"], false);
    make_anew(&mut world, 1);
    world.wait(5_000);
    assert_eq!(planned(&mut world), [("c1-x7k2p".to_owned(), vec!["a/gpu-2".to_owned()])]);
}

#[test]
fn it_is_not_kept_for_longer_than_its_member_has_to_come_to_bind() {
    let mut world = one_lost(2);
    another_comes(&mut world);
    let GangPolicy { bind_window_ms, .. } = Policy::default().gangs;
    world.wait(bind_window_ms - 1);
    assert_eq!(planned(&mut world), []);
    world.wait(1);
    assert_eq!(planned(&mut world), [("other".to_owned(), vec!["a/gpu-1".to_owned()])]);
}

#[test]
fn it_is_free_when_its_member_goes_too() {
    let mut world = one_lost(2);
    another_comes(&mut world);
    world.apply(Change::PodDeleted(world.pods["g-1"].uid.clone()));
    assert_eq!(planned(&mut world), [("other".to_owned(), vec!["a/gpu-1".to_owned()])]);
}

#[test]
fn of_a_gang_of_which_nothing_runs_the_plan_is_given_up() {
    let mut world = gang_of_two(2);
    assert_eq!(planned(&mut world).len(), 2);
    world.apply(Change::ClaimDeleted(world.claims["c1"].claim.uid.to_string()));
    let last = world.engine.take_news().pop().expect("news");
    assert_eq!(&*last.text, "its plan was given up, nothing of it has started: claim default/c1 is gone");
    another_comes(&mut world);
    assert_eq!(planned(&mut world), [("other".to_owned(), vec!["a/gpu-1".to_owned()])]);
}
