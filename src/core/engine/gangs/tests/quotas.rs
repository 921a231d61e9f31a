//! Gangs whose namespace has a quota.

use super::*;
use crate::engine::{PlacementPolicy, Quotas};
use crate::model::quota::{Item, Quota};

fn world(quota: Quota) -> World {
    let mut world = World::new(4);
    world.engine.policy = Arc::new(with(quota));
    world
}

/// A policy with this quota for the namespace of the tests.
pub(super) fn with(quota: Quota) -> Policy {
    let quotas = Quotas::new([("default".into(), quota)], None);
    Policy { placement: PlacementPolicy { quotas, ..PlacementPolicy::default() }, ..Policy::default() }
}

fn gpus(limit: u32) -> Quota {
    Quota::default().limited(Item::Gpus, limit)
}

#[test]
fn a_gang_over_quota_waits_as_a_whole() {
    let mut world = world(gpus(16));
    world.set(pod("running").gpus(1).on("n3").build());
    let members = gang(&mut world, "g", 2);
    assert_eq!(world.plan(), 0, "no plan is looked for");
    let text = "gang default/g: over quota: needs 16 GPUs, namespace default may have 16";
    for member in &members {
        assert_eq!(world.filter(member), Err(text.into()));
    }
    assert_eq!(world.gpus_in_use(), 1, "it holds nothing");
    assert!(world.news().contains(&(NewsKind::Waiting, text.trim_start_matches("gang default/g: ").into())));
    // What ends is on a node where no member fits.
    world.set(Pod { stage: Stage::Bound("n3".into()), ..pod("stranger").namespace("others").gpus(1).build() });
    assert_eq!(world.plan(), 0);
    world.delete("running");
    assert_eq!(world.plan(), 1);
    let names: Vec<&str> = members.iter().map(String::as_str).collect();
    world.bind_all(&names);
    assert_eq!(world.gpus_in_use(), 17);
}

#[test]
fn places_of_a_plan_count_from_the_moment_it_is_adopted() {
    let mut world = world(gpus(16));
    gang(&mut world, "g", 2);
    world.plan();
    world.set(pod("single").gpus(1).build());
    assert_eq!(world.filter("single"), Err("over quota: needs 1 GPU, namespace default may have 16".into()));
    assert!(world.filter("g-0").is_ok(), "its own places are not in its way");
}

#[test]
fn only_so_many_gangs_of_a_namespace_run_at_a_time() {
    let mut world = world(Quota::default().limited(Item::Gangs, 1));
    gang(&mut world, "first", 1 + 1);
    world.plan();
    let second = gang(&mut world, "second", 2);
    assert_eq!(world.plan(), 0);
    let text = "gang default/second: over quota: namespace default may have 1 gang at a time";
    assert_eq!(world.filter(&second[0]), Err(text.into()));
    world.bind_all(&["first-0", "first-1"]);
    assert_eq!(world.plan(), 0, "it runs");
    // One of the first is made anew: the gang counts already.
    world.delete("first-0");
    world.set(member("first-0", "first", 0, of(2)).build());
    assert_eq!(world.plan(), 1);
    world.bind_all(&["first-0"]);
    world.delete("first-0");
    world.delete("first-1");
    assert_eq!(world.plan(), 1, "the second gets its turn");
    assert!(world.filter(&second[0]).is_ok());
}

#[test]
fn the_next_generation_of_a_gang_that_leaves_is_a_new_one() {
    let mut world = world(Quota::default().limited(Item::Gangs, 1));
    gang(&mut world, "first", 2);
    world.plan();
    world.bind_all(&["first-0", "first-1"]);
    for name in ["first-0", "first-1"] {
        world.set(Pod { leaving: true, ..world.pods[name].clone() });
    }
    gang(&mut world, "second", 2);
    assert_eq!(world.plan(), 1, "nobody of the first stays");
    for (index, name) in ["first-2", "first-3"].into_iter().enumerate() {
        world.set(member(name, "first", index as u32, of(2)).build());
    }
    assert_eq!(world.plan(), 0);
    assert!(world.filter("first-2").is_err_and(|text| text.contains("over quota")));
}

#[test]
fn a_gang_that_runs_counts_whatever_is_known_of_it() {
    let mut world = world(Quota::default().limited(Item::Gangs, 1));
    // Its size stood on an object that is gone, or not seen yet.
    world.set(member("first-0", "first", 0, Terms::default()).on("n0").build());
    let second = gang(&mut world, "second", 2);
    assert_eq!(world.plan(), 0);
    world.delete("first-0");
    assert_eq!(world.plan(), 1);
    assert!(world.filter(&second[0]).is_ok());
}

#[test]
fn a_plan_that_comes_back_late_is_not_adopted_over_quota() {
    let mut world = world(gpus(16));
    let members = gang(&mut world, "g", 2);
    let task = world.engine.next_plan(world.now_ms).expect("there is room");
    world.set(pod("quick").gpus(1).on("n3").build());
    world.engine.adopt(task.solve(), world.now_ms);
    assert_eq!(world.gpus_in_use(), 1);
    assert!(world.filter(&members[0]).is_err_and(|text| text.contains("over quota")));
}

#[test]
fn a_gang_that_waits_for_its_quota_starts_when_the_policy_allows_more() {
    let mut world = world(gpus(8));
    gang(&mut world, "g", 2);
    assert_eq!(world.plan(), 0);
    world.engine.set_placement(with(gpus(16)).placement);
    world.engine.keep_gangs(world.now_ms);
    assert_eq!(world.plan(), 1);
    world.place("g-0");
}
