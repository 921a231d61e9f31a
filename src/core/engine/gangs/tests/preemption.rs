//! Who makes way for a gang.

use super::*;

fn preempting(nodes: usize) -> World {
    let mut world = World::new(nodes);
    let gangs = GangPolicy { preempting: BTreeSet::from(["default".into()]), ..GangPolicy::default() };
    world.engine.policy = Arc::new(Policy { gangs, ..Policy::default() });
    world
}

/// The pods whose eviction is asked for, by name.
fn evicted(world: &mut World) -> Vec<String> {
    let orders = world.engine.orders(world.now_ms);
    let evicted = orders.into_iter().filter_map(|order| match order {
        Order::Evict { pod, .. } => Some(pod.key.name.clone()),
        _ => None,
    });
    let mut names: Vec<String> = evicted.collect();
    names.sort();
    names
}

#[test]
fn a_plan_gives_way_to_a_gang_of_higher_priority() {
    let mut world = World::new(3);
    gang(&mut world, "low", 2);
    world.plan();
    for index in 0..2 {
        world.set(important(member(&format!("high-{index}"), "high", index, of(2)).build(), 10));
    }
    world.plan();
    world.bind_all(&["high-0", "high-1"]);
    assert!(world.filter("low-0").is_err());
    assert_eq!(world.gpus_in_use(), 16);
}

#[test]
fn nobody_is_evicted_where_the_policy_does_not_say_so() {
    let mut world = World::new(1);
    world.set(pod("low").gpus(8).on("n0").build());
    for index in 0..2 {
        let half = pod(&format!("g-{index}")).gpus(4).member_of("g", "", index, of(2));
        world.set(important(half.build(), 10));
    }
    world.plan();
    assert!(evicted(&mut world).is_empty());
    assert!(world.filter("g-0").is_err());
}

#[test]
fn the_fewest_and_least_important_make_way() {
    let mut world = preempting(3);
    world.set(important(pod("a").gpus(4).on("n0").build(), 1));
    world.set(important(pod("b").gpus(4).on("n0").build(), 1));
    world.set(important(pod("c").gpus(8).on("n1").build(), 1));
    world.set(important(pod("d").gpus(8).on("n2").build(), 5));
    for index in 0..2 {
        world.set(important(member(&format!("g-{index}"), "g", index, of(2)).build(), 10));
    }
    world.plan();
    assert_eq!(evicted(&mut world), ["a", "b", "c"], "d is more important");
    assert!(evicted(&mut world).is_empty(), "asked once");
    world.set(important(pod("other").gpus(1).build(), 20));
    assert!(world.filter("other").is_err(), "what they leave is kept for the gang");
    for name in ["a", "b", "c"] {
        assert!(world.filter("g-0").is_err(), "not before all have gone");
        world.delete(name);
    }
    world.bind_all(&["g-0", "g-1"]);
    assert_eq!(world.gpus_in_use(), 24);
}

/// A gang of 4 GPUs a member, one member a node: two do not have the CPUs.
fn one_a_node(world: &mut World, members: u32) -> Vec<String> {
    let names: Vec<String> = (0..members).map(|index| format!("g-{index}")).collect();
    for (index, name) in (0..).zip(&names) {
        let half = pod(name).gpus(4).asks("cpu", 60_000).member_of("g", "", index, of(members));
        world.set(important(half.build(), 10));
    }
    names
}

#[test]
fn who_fits_beside_the_gang_stays_however_many_they_are() {
    let mut world = preempting(40);
    for node in 0..40 {
        for at in 0..8 {
            world.set(important(pod(&format!("low-{node}-{at}")).gpus(1).on(&format!("n{node}")).build(), 1));
        }
    }
    let gang = one_a_node(&mut world, 40);
    world.plan();
    let evicted = evicted(&mut world);
    for node in 0..40 {
        let there = evicted.iter().filter(|name| name.starts_with(&format!("low-{node}-"))).count();
        assert_eq!(there, 4, "n{node} has room for a member when four have gone");
    }
    evicted.iter().for_each(|name| world.delete(name));
    world.bind_all(&gang.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(world.gpus_in_use(), 320);
}

#[test]
fn of_many_in_the_way_the_most_important_stay_and_gangs_stay_or_go_as_one() {
    let mut world = preempting(74);
    // More than are tried one by one: all of these have to go.
    for node in 0..70 {
        world.set(important(pod(&format!("whole-{node}")).gpus(8).on(&format!("n{node}")).build(), 5));
    }
    for (gang, gpus, nodes) in [("fits", [4, 4], ["n70", "n71"]), ("large", [4, 8], ["n72", "n73"])] {
        for (index, (gpus, node)) in (0..).zip(gpus.into_iter().zip(nodes)) {
            let member = pod(&format!("{gang}-{index}")).gpus(gpus).member_of(gang, "", index, of(2)).on(node);
            world.set(important(member.build(), 2));
        }
    }
    for node in ["n70", "n71", "n72"] {
        world.set(important(pod(&format!("single-{node}")).gpus(4).on(node).build(), 1));
    }
    one_a_node(&mut world, 74);
    world.plan();
    let mut expected: Vec<String> = (0..70).map(|node| format!("whole-{node}")).collect();
    expected.extend(["large-0", "large-1", "single-n70", "single-n71"].map(String::from));
    expected.sort();
    assert_eq!(
        evicted(&mut world),
        expected,
        "where a gang goes that fits on one of its nodes only, a single pod stays"
    );
}

#[test]
fn who_fits_by_sums_but_not_on_single_gpus_has_to_go() {
    const MILLI: &str = "alibabacloud.com/gpu-milli";
    let mut world = preempting(0);
    world.apply(Change::NodeApplied(Box::new(node("n0").has(MILLI, 3_000).build())));
    // Each is given a GPU of its own: no two fit on one.
    for name in ["a", "b", "c"] {
        world.set(important(pod(name).asks(MILLI, 600).on("n0").build(), 1));
    }
    for index in 0..2 {
        let part = pod(&format!("g-{index}")).asks(MILLI, 800).member_of("g", "", index, of(2));
        world.set(important(part.build(), 10));
    }
    world.plan();
    assert_eq!(evicted(&mut world), ["b", "c"], "1200 are left when only one goes, but not on two GPUs");
    world.delete("b");
    world.delete("c");
    world.bind_all(&["g-0", "g-1"]);
}

#[test]
fn who_fits_beside_each_name_of_the_same_hardware_but_not_beside_both_has_to_go() {
    const DEVICE: &str = "aws.amazon.com/neuron";
    const CORE: &str = "aws.amazon.com/neuroncore";
    let mut world = preempting(0);
    let trainium = node("n0").instance("trn1.32xlarge").has(DEVICE, 16).has(CORE, 32);
    world.apply(Change::NodeApplied(Box::new(trainium.build())));
    world.set(important(pod("a").asks(CORE, 2).on("n0").build(), 1));
    world.set(important(pod("g-0").asks(DEVICE, 8).member_of("g", "", 0, of(2)).build(), 10));
    world.set(important(pod("g-1").asks(CORE, 16).member_of("g", "", 1, of(2)).build(), 10));
    world.plan();
    assert_eq!(evicted(&mut world), ["a"]);
    world.delete("a");
    world.bind_all(&["g-0", "g-1"]);
}

#[test]
fn who_has_no_devices_is_not_evicted_for_some() {
    let mut world = preempting(1);
    world.set(important(pod("serves").gpus(8).on("n0").build(), 1));
    for at in 0..100 {
        let agent = pod(&format!("agent-{at}")).asks("cpu", 10).on("n0");
        world.set(important(agent.build(), 0));
    }
    for index in 0..2 {
        let half = pod(&format!("g-{index}")).gpus(4).member_of("g", "", index, of(2));
        world.set(important(half.build(), 10));
    }
    world.plan();
    assert_eq!(evicted(&mut world), ["serves"]);
}

#[test]
fn who_takes_long_to_end_is_waited_for_and_nobody_is_evicted_instead() {
    let mut world = preempting(2);
    let clearing_ms = GangPolicy::default().clearing_ms;
    world.set(important(pod("a").gpus(8).on("n0").build(), 1));
    world.set(important(pod("b").gpus(8).on("n1").build(), 2));
    for index in 0..2 {
        let half = pod(&format!("g-{index}")).gpus(4).member_of("g", "", index, of(2));
        world.set(important(half.build(), 10));
    }
    world.plan();
    assert_eq!(evicted(&mut world), ["a"]);
    let grace_ms = 3 * clearing_ms;
    let ends_s = Some(((world.now_ms + grace_ms) / 1000) as i64);
    world.set(Pod { leaving: true, ends_s, ..world.pods["a"].clone() });
    world.wait(2 * clearing_ms);
    world.wait(60_000);
    world.plan();
    assert!(evicted(&mut world).is_empty(), "it has until its grace period is over");
    world.wait(2 * clearing_ms);
    world.wait(60_000);
    world.plan();
    assert_eq!(evicted(&mut world), ["b"], "it seems never to end");
    world.delete("b");
    world.bind_all(&["g-0", "g-1"]);
}

#[test]
fn places_of_members_yet_to_be_made_last_as_long_as_if_nobody_had_to_make_way() {
    let mut world = preempting(2);
    let GangPolicy { clearing_ms, hold_timeout_ms, .. } = GangPolicy::default();
    world.set(important(pod("a").gpus(8).on("n0").build(), 1));
    world.set(important(pod("b").gpus(8).on("n1").build(), 1));
    let leader = member("leader", "g", 0, Terms { total: Some(2), ..Terms::default() }).build();
    world.set(important(in_stages(leader), 10));
    world.plan();
    assert_eq!(evicted(&mut world), ["a", "b"]);
    let ends_s = Some(((world.now_ms + hold_timeout_ms + clearing_ms) / 1000) as i64);
    for name in ["a", "b"] {
        world.set(Pod { leaving: true, ends_s, ..world.pods[name].clone() });
    }
    world.wait(hold_timeout_ms + 1);
    world.delete("a");
    world.delete("b");
    world.wait(1);
    assert_eq!(world.gpus_in_use(), 16, "the worker has its place");
    world.bind_all(&["leader"]);
    world.wait(hold_timeout_ms);
    assert_eq!(world.gpus_in_use(), 8, "nobody came");
}

#[test]
fn a_gang_is_evicted_as_a_whole_or_not_at_all() {
    let mut world = preempting(3);
    gang(&mut world, "low", 2);
    world.plan();
    world.bind_all(&["low-0", "low-1"]);
    world.set(important(pod("single").gpus(8).on("n2").build(), 0));
    for index in 0..2 {
        world.set(important(pod(&format!("g-{index}")).gpus(4).member_of("g", "", index, of(2)).build(), 10));
    }
    world.plan();
    assert_eq!(evicted(&mut world), ["single"], "one pod is less than a gang");
    world.delete("single");
    world.bind_all(&["g-0", "g-1"]);
    for index in 0..2 {
        world.set(important(pod(&format!("h-{index}")).gpus(4).member_of("h", "", index, of(2)).build(), 10));
    }
    world.plan();
    assert_eq!(evicted(&mut world), ["low-0", "low-1"], "also the one that is not in the way");
}

#[test]
fn a_gang_that_does_not_fit_evicts_nobody() {
    let mut world = preempting(2);
    world.set(important(pod("low").gpus(8).on("n0").build(), 1));
    world.set(important(pod("high").gpus(8).on("n1").build(), 50));
    for index in 0..2 {
        world.set(important(member(&format!("g-{index}"), "g", index, of(2)).build(), 10));
    }
    world.plan();
    assert!(evicted(&mut world).is_empty());
    let mut modest = important(member("m-0", "m", 0, of(2)).build(), 10);
    modest.preempts = false;
    world.delete("g-0");
    world.delete("g-1");
    world.delete("high");
    world.set(modest);
    world.set(important(member("m-1", "m", 1, of(2)).build(), 10));
    world.plan();
    assert!(evicted(&mut world).is_empty(), "preemptionPolicy: Never");
}
