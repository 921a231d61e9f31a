//! Devices of claims count against the quota of their namespace.

use super::tests::{World, pod};
use crate::claims::testing::ask;
use crate::claims::{Alternative, Ask, Count, Wish};
use crate::engine::{PlacementPolicy, Quotas};
use crate::model::pod::Pod;
use crate::model::quota::{Item, Quota};
use crate::testing::{self, PodBuilder};

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
fn what_a_pod_asks_for_by_resource_does_not_count_once_more_by_the_claim_made_for_it() {
    let made_for = |owner: &str, pod: Pod, limit: u32| {
        let mut world = world(limit);
        world.claim("made", 2);
        world.show("made", |seen| seen.made_for = Some(owner.into()));
        world.give("made", "a", &["gpu-0", "gpu-1"], false);
        world.set(pod);
        world.claim("c", 2);
        world.set(self::pod("q", &["c"]));
        world.plan()
    };
    let made = |pod: Pod, limit: u32| made_for("uid-asks", pod, limit);
    let asks = testing::pod("asks").on("a");
    let with_status = |pod: PodBuilder| Pod { claim_made: Some("made".into()), ..pod.build() };
    assert_eq!(made(with_status(asks.clone().gpus(2)), 4), 1);
    assert_eq!(made(with_status(asks.clone().gpus(2)), 3), 0, "but once it does");
    assert_eq!(made(with_status(asks.clone()), 4), 1);
    assert_eq!(made(with_status(asks.clone()), 3), 0, "asked for by the name of the class");
    assert_eq!(made(asks.clone().gpus(2).build(), 5), 0, "what its owner writes on a claim makes no difference");
    assert_eq!(made_for("uid-other", with_status(asks.gpus(2)), 5), 0, "nor one of this name that is another's");
}

#[test]
fn the_most_that_a_claim_may_get_counts() {
    let alternatives = |counts: &[Count]| {
        let ask = |count: &Count| Ask { count: *count, ..ask("any", 1) };
        let named = |(at, count): (usize, &Count)| Alternative { name: format!("s{at}").into(), ask: ask(count) };
        Wish::FirstAvailable(counts.iter().enumerate().map(named).collect())
    };
    let planned = |wish: Wish, limit: u32| {
        let mut world = world(limit);
        world.claim_wishing("c", wish);
        world.set(pod("q", &["c"]));
        world.plan()
    };
    let one_or_eight = alternatives(&[Count::Exactly(1), Count::Exactly(8)]);
    assert_eq!((planned(one_or_eight.clone(), 7), planned(one_or_eight, 8)), (0, 1));
    let all = Wish::Exactly(Ask { count: Count::All, ..ask("any", 1) });
    assert_eq!((planned(all.clone(), 31), planned(all, 32)), (0, 1));
}
