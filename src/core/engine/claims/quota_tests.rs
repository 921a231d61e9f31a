//! Devices of claims count against the quota of their namespace.

use super::tests::{World, pod};
use crate::engine::{PlacementPolicy, Quotas};
use crate::model::quota::{Item, Quota};

fn world(gpus: u32) -> World {
    let mut world = World::new(&[("a", 8)]);
    world.engine.set_placement(allowing(gpus));
    world
}

fn allowing(gpus: u32) -> PlacementPolicy {
    let quotas = Quotas::new([("default".into(), Quota::default().limited(Item::Gpus, gpus))], None);
    PlacementPolicy { quotas, ..PlacementPolicy::default() }
}

#[test]
fn a_pod_whose_claim_would_pass_the_quota_waits() {
    let mut world = world(4);
    world.claim("first", 3);
    world.claim("second", 2);
    world.set(pod("p", &["first"]));
    assert_eq!(world.plan(), 1);
    world.set(pod("q", &["second"]));
    assert_eq!(world.plan(), 0, "what is being given counts");
    let why = "claims of pod default/q: over quota: needs 2 GPUs, namespace default may have 4";
    assert_eq!(world.filter("q"), Err(why.into()));
    let order = world.claim_orders().remove(0);
    world.carry_out(&order);
    assert_eq!(world.plan(), 0, "and what has been given, once");
    world.engine.set_placement(allowing(5));
    world.engine.keep_gangs(world.now_ms);
    assert_eq!(world.plan(), 1);
}

#[test]
fn what_a_claim_loses_is_there_for_others() {
    let mut world = world(4);
    world.claim("used", 3);
    world.give("used", "a", &["gpu-0", "gpu-1", "gpu-2"], false);
    world.claim("c", 2);
    world.set(pod("q", &["c"]));
    assert_eq!(world.plan(), 0, "whoever gave them");
    world.show("used", |seen| seen.allocation = None);
    assert_eq!(world.plan(), 1);
}

#[test]
fn claims_made_for_extended_resources_count_by_their_pods_only() {
    let mut world = world(2);
    world.claim("made", 2);
    world.show("made", |seen| seen.serves_extended = true);
    world.give("made", "a", &["gpu-0", "gpu-1"], false);
    world.claim("c", 2);
    world.set(pod("q", &["c"]));
    assert_eq!(world.plan(), 1);
}
