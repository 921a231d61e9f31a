//! Who waits, who is given places, and who takes them.

use super::*;
use crate::model::quota::{Item, Quota};

/// Three nodes, on two of which the gang `g` of two members runs.
fn with_a_gang_that_runs() -> World {
    let mut world = World::new(3);
    gang(&mut world, "g", 2);
    world.plan();
    world.bind_all(&["g-0", "g-1"]);
    world
}

#[test]
fn nobody_is_placed_before_all_are_there() {
    let mut world = World::new(4);
    world.set(member("g-0", "g", 0, of(3)).build());
    world.set(member("g-1", "g", 1, of(3)).build());
    assert_eq!(world.plan(), 0);
    assert_eq!(world.filter("g-0"), Err("gang default/g: 1 of 3 members exist".into()), "a number may lag");
    world.wait(TEXT_STAYS_MS);
    assert_eq!(world.filter("g-0"), Err("gang default/g: 2 of 3 members exist".into()));
    assert_eq!(world.gpus_in_use(), 0, "who waits holds nothing");
    world.set(member("g-2", "g", 2, of(3)).build());
    assert_eq!(world.plan(), 1);
    let places: BTreeSet<String> = ["g-0", "g-1", "g-2"].into_iter().map(|name| world.place(name)).collect();
    assert_eq!(places.len(), 3);
    assert_eq!(world.gpus_in_use(), 24, "the ledger shows the plan to everybody");
}

#[test]
fn of_two_gangs_that_do_not_fit_together_one_waits_whole() {
    let mut world = World::new(5);
    for index in 0..3 {
        for name in ["a", "b"] {
            world.set(member(&format!("{name}-{index}"), name, index, of(3)).build());
        }
    }
    assert_eq!(world.plan(), 2);
    world.bind_all(&["a-0", "a-1", "a-2"]);
    for index in 0..3 {
        assert!(world.filter(&format!("b-{index}")).is_err());
    }
    assert_eq!(world.plan(), 0, "nothing has become free");
    for index in 0..3 {
        world.delete(&format!("a-{index}"));
    }
    assert_eq!(world.plan(), 1);
    world.bind_all(&["b-0", "b-1", "b-2"]);
    assert_eq!(world.gpus_in_use(), 24);
}

#[test]
fn a_plan_that_is_not_used_in_time_is_given_up() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    world.wait(GangPolicy::default().bind_window_ms);
    assert_eq!(world.gpus_in_use(), 0);
    assert!(world.filter("g-0").is_err());
}

#[test]
fn a_member_that_goes_away_takes_the_plan_with_it() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    world.delete("g-1");
    assert_eq!(world.gpus_in_use(), 0);
    assert_eq!(world.filter("g-0"), Err("gang default/g: 1 of 2 members exist".into()));
    world.delete("g-0");
    assert!(world.engine.gangs.kept.is_empty() && world.engine.gangs.gang_of.is_empty());
}

#[test]
fn one_that_takes_the_place_of_another_joins_the_others() {
    let mut world = with_a_gang_that_runs();
    world.delete("g-1");
    world.set(member("g-1b", "g", 1, of(2)).build());
    assert_eq!(world.plan(), 1);
    assert_eq!(world.arrive("g-1b"), Arrival::Go, "the others run already");
    world.bind("g-1b");
    assert_eq!(world.gpus_in_use(), 16);
}

#[test]
fn members_beyond_what_must_start_at_once_start_when_there_is_room() {
    let mut world = World::new(3);
    for index in 0..4 {
        world.set(member(&format!("g-{index}"), "g", index, of(2)).build());
    }
    assert_eq!(world.plan(), 1);
    assert!(world.filter("g-2").is_err(), "first those that must");
    world.bind_all(&["g-0", "g-1"]);
    world.plan();
    assert_eq!(world.arrive("g-2"), Arrival::Go);
    world.bind("g-2");
    assert!(world.filter("g-3").is_err(), "no room");
    assert_eq!(world.gpus_in_use(), 24);
}

#[test]
fn members_of_other_roles_do_not_wait_for_one_that_finds_no_room() {
    let mut world = World::new(3);
    world.set(pod("blocker").gpus(4).on("n2").build());
    gang(&mut world, "g", 2);
    for (index, role, gpus) in [(2, "big", 8), (3, "bigger", 16), (4, "small", 2)] {
        world.set(pod(role).gpus(gpus).member_of("g", role, index, of(2)).build());
    }
    world.plan();
    world.bind_all(&["g-0", "g-1"]);
    world.plan();
    assert_eq!(world.place("small"), "n2");
    assert!(world.filter("big").is_err());
    world.bind("small");
    assert!(world.plan() <= 2, "each role once more");
    assert_eq!(world.plan(), 0);
    world.delete("small");
    world.delete("blocker");
    world.plan();
    assert_eq!(world.place("big"), "n2");
}

#[test]
fn members_of_other_roles_do_not_wait_for_one_beyond_the_quota() {
    let mut world = World::new(4);
    world.engine.policy = Arc::new(quotas::with(Quota::default().limited(Item::Gpus, 24)));
    world.set(pod("blocker").namespace("others").gpus(4).on("n2").build());
    world.set(pod("other-blocker").namespace("others").gpus(4).on("n3").build());
    gang(&mut world, "g", 2);
    for (index, role, gpus) in [(2, "fits-later", 8), (3, "over-quota", 16)] {
        world.set(pod(role).gpus(gpus).member_of("g", role, index, of(2)).build());
    }
    world.plan();
    world.bind_all(&["g-0", "g-1"]);
    world.plan();
    assert!(world.filter("fits-later").is_err() && world.filter("over-quota").is_err());
    world.delete("blocker");
    world.plan();
    assert_eq!(world.place("fits-later"), "n2");
}

#[test]
fn each_role_beyond_what_must_start_waits_for_what_it_lacks_itself() {
    let mut world = World::new(4);
    world.engine.policy = Arc::new(quotas::with(Quota::default().limited(Item::Gpus, 20)));
    for (name, gpus, node) in [("blocker", 4, "n2"), ("other-blocker", 6, "n3")] {
        world.set(pod(name).namespace("others").gpus(gpus).on(node).build());
    }
    world.set(pod("own").gpus(2).on("n3").build());
    gang(&mut world, "g", 2);
    world.plan();
    world.bind_all(&["g-0", "g-1"]);
    let nowhere = pod("no-room").gpus(1).selects("pool", "none");
    world.set(nowhere.member_of("g", "no-room", 2, of(2)).build());
    world.set(pod("over-quota").gpus(4).member_of("g", "over-quota", 3, of(2)).build());
    world.plan();
    assert!(world.filter("no-room").is_err() && world.filter("over-quota").is_err());
    assert_eq!(world.plan(), 0);
    // Where it was nobody would fit, and still it makes the quota suffice.
    world.delete("own");
    assert_eq!(world.plan(), 1, "the other has nothing to hope for");
    assert_eq!(world.place("over-quota"), "n2");
    assert_eq!(world.plan(), 0);
}

#[test]
fn one_beyond_what_must_start_that_loses_its_place_does_not_wait_for_other_roles() {
    let mut world = with_a_gang_that_runs();
    world.set(pod("late").gpus(1).member_of("g", "late", 2, of(2)).build());
    world.set(pod("no-room").gpus(1).selects("pool", "none").member_of("g", "no-room", 3, of(2)).build());
    world.plan();
    assert_eq!(world.place("late"), "n2");
    world.wait(GangPolicy::default().bind_window_ms);
    assert!(world.filter("late").is_err(), "it did not come");
    world.plan();
    assert_eq!(world.place("late"), "n2");
}

#[test]
fn a_role_without_room_is_not_looked_at_whenever_another_starts() {
    let mut world = with_a_gang_that_runs();
    world.set(pod("no-room").gpus(1).selects("pool", "none").member_of("g", "a", 2, of(2)).build());
    for index in 3..6 {
        world.set(pod(&format!("worker-{index}")).gpus(1).member_of("g", "worker", index, of(2)).build());
    }
    world.plan();
    for index in 3..6 {
        assert!(world.plan() <= 1, "one look for each that starts, in {index}");
        world.bind(&format!("worker-{index}"));
    }
    assert!(world.plan() <= 1, "and one when it is the only one left");
    assert_eq!(world.plan(), 0);
}

#[test]
fn what_comes_free_is_looked_at_until_somebody_has_it() {
    let mut world = World::new(1);
    world.set(pod("blocker").gpus(8).on("n0").build());
    for name in ["a", "b", "c"] {
        for index in 0..2 {
            world.set(pod(&format!("{name}-{index}")).gpus(4).member_of(name, "", index, of(2)).build());
        }
    }
    assert_eq!(world.plan(), 3);
    world.delete("blocker");
    assert_eq!(world.plan(), 1, "there is nothing left for the others");
}

#[test]
fn a_set_of_several_roles_is_not_planned_for_ever() {
    let mut world = World::new(1);
    let terms = || Terms { tensor_parallel: Some(2), ..of(2) };
    let member = |role: &str, index| pod(&format!("{role}{index}")).gpus(1).member_of("g", role, index, terms());
    for (role, index) in [("a", 0), ("a", 1)] {
        world.set(member(role, index).build());
    }
    world.plan();
    world.bind_all(&["a0", "a1"]);
    for (role, index) in [("a", 5), ("b", 3), ("c", 0), ("c", 4)] {
        world.set(member(role, index).selects("pool", "none").build());
    }
    world.plan();
    assert_eq!(world.plan(), 0);
}

#[test]
fn members_beyond_what_must_start_come_after_more_important_gangs() {
    let mut world = World::new(4);
    for (name, node) in [("a", "n2"), ("b", "n3")] {
        world.set(pod(name).gpus(8).on(node).build());
    }
    for index in 0..4 {
        world.set(member(&format!("g-{index}"), "g", index, of(2)).build());
    }
    world.plan();
    world.bind_all(&["g-0", "g-1"]);
    for index in 0..2 {
        world.set(important(member(&format!("urgent-{index}"), "urgent", index, of(2)).build(), 1000));
    }
    world.plan();
    world.delete("a");
    world.delete("b");
    world.plan();
    world.bind_all(&["urgent-0", "urgent-1"]);
    assert!(world.filter("g-2").is_err());
}

#[test]
fn places_are_kept_for_members_yet_to_be_made() {
    let mut world = World::new(3);
    world.set(staged("leader", 0));
    assert_eq!(world.plan(), 1);
    assert_eq!(world.gpus_in_use(), 24, "also for the workers");
    world.bind_all(&["leader"]);
    world.set(pod("other").gpus(1).build());
    assert!(world.filter("other").is_err(), "their places are taken");
    for (name, index) in [("w1", 1), ("w2", 2)] {
        world.wait(GangPolicy::default().bind_window_ms);
        world.set(staged(name, index));
        world.wait(1);
        assert_eq!(world.plan(), 0, "they have places");
        world.bind_all(&[name]);
    }
    assert_eq!(world.gpus_in_use(), 24);
    for name in ["w1", "w2"] {
        world.delete(name);
    }
    world.set(staged("w1", 1));
    world.plan();
    world.wait(GangPolicy::default().hold_timeout_ms);
    assert_eq!(world.gpus_in_use(), 8, "neither came: nothing is kept any more");
}

#[test]
fn no_place_is_kept_on_a_node_that_is_gone_though_a_part_of_the_gang_runs() {
    let mut world = World::new(4);
    world.set(staged("leader", 0));
    world.plan();
    world.bind_all(&["leader"]);
    world.set(staged("w1", 1));
    let (held, others) = (world.place("w1"), world.gpus_in_use());
    assert_eq!(others, 24);
    let of_the_last = |world: &World| {
        let slots = world.engine.cluster().slots().iter().flatten();
        let mut held =
            slots.filter(|state| state.holders().values().any(|holding| holding.pod.name.contains("yet to")));
        held.next().map(|state| state.name().to_string())
    };
    let expected = of_the_last(&world).expect("a place for the last");
    world.news();
    for gone in [held, expected] {
        world.apply(Change::NodeDeleted(gone.as_str().into()));
        let what = format!("members that have not started get other places: node {gone} does not do any more");
        assert!(world.news().iter().any(|(_, text)| text.starts_with(&what)), "{gone}");
        assert_ne!(of_the_last(&world), Some(gone));
    }
    assert_eq!(world.gpus_in_use(), 8);
    for name in ["n8", "n9"] {
        let gpus = node(name).instance("p5.48xlarge").product("NVIDIA-H100-80GB-HBM3").has("nvidia.com/gpu", 8);
        world.apply(Change::NodeApplied(Box::new(gpus.build())));
    }
    world.wait(1_000);
    world.plan();
    assert_eq!(world.gpus_in_use(), 24, "the last is still waited for");
}

#[test]
fn members_are_spread_anew_when_a_domain_does_not_count_any_more() {
    let mut world = World::new(0);
    let zoned = |name: &str, zone: &str, gpus: i64| {
        let node = node(name).instance("p5.48xlarge").product("NVIDIA-H100-80GB-HBM3").has("nvidia.com/gpu", gpus);
        Change::NodeApplied(Box::new(node.label("topology.kubernetes.io/zone", zone).build()))
    };
    for (name, zone, gpus) in [("a", "a", 8), ("a2", "a", 8), ("b", "b", 8), ("b2", "b", 8), ("c", "c", 1)] {
        world.apply(zoned(name, zone, gpus));
    }
    for index in 0..4 {
        let mut pod = member(&format!("g-{index}"), "g", index, of(4)).build();
        let spread = Relation::Spread(SpreadRule::new("topology.kubernetes.io/zone", 1));
        pod.membership = pod.membership.map(|m| Arc::new(Membership { relations: [spread].into(), ..(*m).clone() }));
        world.set(pod);
    }
    world.plan();
    assert!(world.filter("g-0").is_err(), "zone c counts, and takes nobody");
    world.apply(Change::NodeDeleted("c".into()));
    assert_eq!(world.plan(), 1);
    world.place("g-0");
}

#[test]
fn each_role_has_what_it_needs() {
    let mut world = World::new(4);
    let need = |min| RoleTerms { min_member: Some(min), ..RoleTerms::default() };
    let roles = BTreeMap::from([("decode".into(), need(2)), ("prefill".into(), need(1))]);
    let terms = Terms { roles, ..Terms::default() };
    let of_role = |name: &str, role: &str, index| pod(name).gpus(8).member_of("g", role, index, terms.clone()).build();
    for index in 0..3 {
        world.set(of_role(&format!("d{index}"), "decode", index));
    }
    assert_eq!(world.filter("d0"), Err("gang default/g: 0 of 1 members exist in role prefill".into()));
    world.set(of_role("p0", "prefill", 0));
    assert_eq!(world.plan(), 1);
    let placed = ["d0", "d1", "d2", "p0"].into_iter().filter(|name| world.filter(name).is_ok()).count();
    assert_eq!(placed, 3);
    world.place("p0");
}

#[test]
fn a_node_that_changes_under_a_plan_ends_it() {
    let mut world = World::new(3);
    gang(&mut world, "g", 2);
    world.plan();
    let place = world.place("g-0");
    let gpus = node(&place).instance("p5.48xlarge").product("NVIDIA-H100-80GB-HBM3").has("nvidia.com/gpu", 8);
    world.apply(Change::NodeApplied(Box::new(gpus.cordoned().build())));
    assert_eq!(world.gpus_in_use(), 0);
    world.wait(1_000);
    assert_eq!(world.plan(), 1);
    assert_ne!(world.place("g-0"), place);
}

#[test]
fn a_single_pod_that_was_faster_makes_the_plan_void() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    let task = world.engine.next_plan(world.now_ms).expect("a gang to plan");
    world.set(pod("other").gpus(1).on("n1").build());
    world.engine.adopt(task.solve(), world.now_ms);
    assert_eq!(world.gpus_in_use(), 1, "all or nothing");
    assert_eq!(world.plan(), 1, "a no this time");
    assert!(world.filter("g-0").is_err());
}

#[test]
fn the_next_members_of_one_that_has_gone_are_held_again() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    world.bind_all(&["g-0", "g-1"]);
    for index in 0..2 {
        let leaving = Pod { leaving: true, ..world.pods[&format!("g-{index}")].clone() };
        world.set(leaving);
    }
    let next = member("next", "g", 0, of(2)).build();
    world.pods.insert("next".into(), next);
    assert_eq!(
        world.filter("next"),
        Err("gang default/g: not seen by testudo yet".into()),
        "the watch has not shown it"
    );
}

#[test]
fn what_no_member_would_fit_on_is_no_reason_to_plan_again() {
    let mut world = World::new(2);
    for (name, node) in [("a", "n0"), ("b", "n0"), ("c", "n1")] {
        world.set(pod(name).gpus(4).on(node).build());
    }
    gang(&mut world, "g", 2);
    assert_eq!(world.plan(), 1);
    world.delete("a");
    assert_eq!(world.plan(), 0, "n0 is half free only");
    world.delete("b");
    assert_eq!(world.plan(), 1, "n0 takes one");
    world.delete("c");
    assert_eq!(world.plan(), 1);
    world.place("g-0");
}

#[test]
fn a_gang_whose_planning_fails_does_not_hold_up_others() {
    let mut world = World::new(1);
    for name in ["a", "b"] {
        for index in 0..2 {
            let half = pod(&format!("{name}-{index}")).gpus(4).member_of(name, "", index, of(2));
            world.set(half.build());
        }
    }
    let first = world.engine.next_plan(world.now_ms).expect("a gang to plan").gang().clone();
    world.engine.set_aside(&first, "looking for its places ended in a panic", world.now_ms);
    let next = world.engine.next_plan(world.now_ms).expect("the other");
    assert_ne!(*next.gang(), first);
    world.wait(1_000);
    assert_eq!(*world.engine.next_plan(world.now_ms).expect("again").gang(), first);
}
