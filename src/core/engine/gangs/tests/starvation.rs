//! Nodes that are kept free for a gang that has waited long.

use super::*;
use crate::engine::{PlacementPolicy, Quotas, Starvation};
use crate::model::quota::{Item, Quota};

/// A policy in which nodes are kept free for every gang that has waited long.
fn impatient() -> Policy {
    let profile = Profile { starvation: Some(Starvation::default()), ..Profile::default() };
    Policy { placement: profile.into(), ..Policy::default() }
}

#[test]
fn for_a_gang_that_has_waited_long_nodes_are_kept_free() {
    let mut world = World::new(3);
    let Starvation { after_ms: after, keep_free_ms, .. } = Starvation::default();
    world.engine.policy = Arc::new(impatient());
    let made = |name: &str, at: i64| Pod { created_s: at, ..pod(name).gpus(4).build() };
    for (name, node) in [("a", "n0"), ("b", "n1"), ("c", "n2")] {
        world.set(Pod { stage: Stage::Bound(node.into()), ..made(name, 1) });
    }
    for index in 0..3 {
        world.set(Pod { created_s: 2, ..member(&format!("g-{index}"), "g", index, of(3)).build() });
    }
    world.plan();
    world.set(made("later", 3));
    assert!(world.filter("later").is_ok(), "smaller ones may pass");
    world.wait(after);
    assert_eq!(world.plan(), 1);
    let kept = "kept free for gang default/g, which has waited long";
    assert_eq!(world.filter("later"), Err(kept.into()));
    assert!(world.is_forbidden("later", "n0"), "also when others are to make way for it");
    world.set(made("earlier", 1));
    assert!(world.filter("earlier").is_ok(), "it comes first");
    world.set(important(made("important", 9), 1));
    assert!(world.filter("important").is_ok() && !world.is_forbidden("important", "n0"));
    for name in ["a", "b", "c"] {
        world.delete(name);
    }
    assert_eq!(world.plan(), 1);
    world.bind_all(&["g-0", "g-1", "g-2"]);
    world.delete("g-0");
    world.wait(1);
    assert!(world.filter("later").is_ok(), "the reserve has ended");

    // One for which nothing ends gets its nodes kept free for a limited time.
    let mut world = World::new(1);
    world.engine.policy = Arc::new(impatient());
    world.set(Pod { stage: Stage::Bound("n0".into()), ..made("a", 1) });
    for index in 0..2 {
        let half = pod(&format!("g-{index}")).gpus(4).member_of("g", "", index, of(2));
        world.set(Pod { created_s: 2, ..half.build() });
    }
    world.plan();
    world.wait(after);
    world.plan();
    world.set(made("later", 3));
    assert_eq!(world.filter("later"), Err(kept.into()));
    world.wait(keep_free_ms);
    assert!(world.filter("later").is_ok());
    world.wait(after);
    world.plan();
    assert!(world.filter("later").is_ok(), "not again for a while");
}

#[test]
fn who_was_kept_off_a_node_is_planned_when_that_ends() {
    let mut world = World::new(1);
    world.engine.policy = Arc::new(impatient());
    world.set(pod("a").gpus(4).on("n0").build());
    let runner = |index: u32| {
        let runner = pod(&format!("r-{index}")).gpus(1).member_of("r", "", index, of(2));
        Pod { created_s: 3, ..runner.build() }
    };
    (0..2).for_each(|index| world.set(runner(index)));
    world.plan();
    world.bind_all(&["r-0", "r-1"]);
    for index in 0..2 {
        let half = pod(&format!("g-{index}")).gpus(4).member_of("g", "", index, of(2));
        world.set(Pod { created_s: 2, ..half.build() });
    }
    world.plan();
    world.wait(Starvation::default().after_ms);
    world.plan();
    world.set(runner(2));
    world.plan();
    assert!(world.filter("r-2").is_err(), "the node is kept free for the other gang");
    world.wait(Starvation::default().keep_free_ms);
    world.plan();
    assert_eq!(world.place("r-2"), "n0");
}

#[test]
fn one_that_its_quota_keeps_waiting_for_long_is_not_looked_at_for_ever() {
    let mut world = World::new(2);
    let quota = Quota::default().limited(Item::Gpus, 8);
    let quotas = Quotas::new([("default".into(), quota)], None);
    let placement = PlacementPolicy { quotas, ..impatient().placement };
    world.engine.policy = Arc::new(Policy { placement, ..Policy::default() });
    gang(&mut world, "g", 2);
    assert_eq!(world.plan(), 0);
    for _ in 0..3 {
        world.wait(Starvation::default().after_ms);
        assert_eq!(world.plan(), 0);
    }
    let text = "gang default/g: over quota: needs 16 GPUs, namespace default may have 8";
    assert_eq!(world.filter("g-0"), Err(text.into()));
}

#[test]
fn no_node_is_kept_free_for_a_gang_that_would_never_fit() {
    let mut world = World::new(1);
    let after = Starvation::default().after_ms;
    world.engine.policy = Arc::new(impatient());
    gang(&mut world, "g", 2);
    world.plan();
    world.wait(after);
    assert_eq!(world.plan(), 1);
    world.set(pod("later").gpus(1).build());
    assert!(world.filter("later").is_ok());
    assert_eq!(world.plan(), 0, "not at once again");
}
