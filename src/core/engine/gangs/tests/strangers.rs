//! What the members of one namespace can say, and cannot take from the others by that.

use super::*;

fn world(policy: GangPolicy) -> World {
    let mut world = World::new(4);
    world.engine = Engine::new(Policy { gangs: policy, ..Policy::default() });
    for at in 0..4 {
        let gpus = node(&format!("n{at}")).instance("p5.48xlarge").product("NVIDIA-H100-80GB-HBM3");
        world.apply(Change::NodeApplied(Box::new(gpus.has("nvidia.com/gpu", 8).build())));
    }
    world
}

/// The first member of a gang whose controller makes the others later, with what it says of them.
fn leader(gang: &str, terms: Terms) -> Pod {
    in_stages(member(&format!("{gang}-0"), gang, 0, terms).build())
}

fn in_namespace(namespace: &str, mut pod: Pod) -> Pod {
    pod.uid = PodUid::from(format!("{namespace}-{}", pod.uid).as_str());
    pod.key.namespace = namespace.into();
    pod.membership = pod.membership.map(|membership| {
        let gang = GangKey { namespace: namespace.into(), ..membership.gang.clone() };
        Arc::new(Membership { gang, ..(*membership).clone() })
    });
    pod
}

#[test]
fn places_for_members_that_do_not_exist_are_limited_in_each_namespace() {
    let mut world = world(GangPolicy { max_expected: 1, ..GangPolicy::default() });
    world.set(leader("large", of(10_000)));
    assert_eq!(world.plan(), 0);
    let told = "gang default/large: 9999 members do not exist yet, places are kept for 1 at most in a namespace";
    assert_eq!(world.filter("large-0"), Err(told.into()));
    assert_eq!(world.news(), [(NewsKind::Invalid, told.replacen("gang default/large: ", "", 1))]);

    world.set(leader("a", of(2)));
    world.set(leader("b", of(2)));
    assert_eq!(world.plan(), 1);
    assert_eq!(world.gpus_in_use(), 16, "the leader of a, and its worker to come");
    let told = "gang default/b: places are kept for 1 members at most that do not exist yet, and others of the namespace have them";
    assert_eq!(world.filter("b-0"), Err(told.into()));
    world.set(in_namespace("other", leader("c", of(2))));
    assert_eq!(world.plan(), 1, "another namespace has its own");
    assert_eq!(world.gpus_in_use(), 32);

    world.delete("c-0");
    world.plan();
    world.bind_all(&["a-0"]);
    // No node has changed on which b would fit.
    world.set(member("a-1", "a", 1, of(2)).build());
    assert_eq!(world.plan(), 1, "the worker has come: there is room for that of b");
    world.place("b-0");
}

#[test]
fn nobody_keeps_places_for_longer_than_the_policy_allows() {
    for asked_ms in [7 * 24 * 3_600_000, u64::MAX] {
        let mut world = world(GangPolicy::default());
        world.set(leader("g", Terms { hold_timeout_ms: Some(asked_ms), ..of(4) }));
        assert_eq!(world.plan(), 1);
        world.bind_all(&["g-0"]);
        world.wait(GangPolicy::default().max_hold_timeout_ms - 1);
        assert_eq!(world.gpus_in_use(), 32);
        world.wait(1);
        assert_eq!(world.gpus_in_use(), 8, "asked for {asked_ms} ms");
    }
}

#[test]
fn gangs_of_two_namespaces_are_two_whatever_they_are_called() {
    let mut world = World::new(4);
    world.set(member("g-0", "g", 0, of(2)).build());
    world.set(in_namespace("other", member("x-1", "g", 1, of(2)).build()));
    assert_eq!(world.plan(), 0);
    world.wait(TEXT_STAYS_MS);
    assert_eq!(world.filter("g-0"), Err("gang default/g: 1 of 2 members exist".into()));
    assert_eq!(world.filter("x-1"), Err("gang other/g: 1 of 2 members exist".into()));
}

#[test]
fn who_waits_for_ten_thousand_holds_nothing() {
    let mut world = World::new(4);
    world.set(member("g-0", "g", 0, of(10_000)).build());
    assert_eq!(world.plan(), 0);
    assert_eq!(world.gpus_in_use(), 0);
    world.set(pod("single").gpus(8).build());
    assert_eq!(world.filter("single").map(|nodes| nodes.len()), Ok(4));
}

#[test]
fn one_important_member_lifts_no_gang() {
    let mut world = World::new(2);
    gang(&mut world, "first", 2);
    for index in 0..2 {
        let pod = member(&format!("second-{index}"), "second", index, of(2)).build();
        world.set(important(pod, if index == 0 { 1_000 } else { 0 }));
    }
    assert_eq!(world.plan(), 2);
    world.place("first-0");
    assert!(world.filter("second-0").is_err(), "a gang is as important as its least important member");
}

#[test]
fn a_promise_that_nobody_gave_takes_nothing_from_others() {
    let mut world = World::new(2);
    world.set(pod("running").gpus(8).on("n0").build());
    let forged = |index: u32, node: &str| {
        let mut pod = member(&format!("g-{index}"), "g", index, of(2)).build();
        pod.steering.promise = Some(Promise { plan: "999-1".into(), node: node.into(), until_s: i64::MAX });
        pod
    };
    for pod in [forged(0, "n0"), forged(1, "n1")] {
        world.engine.apply(Change::PodApplied(Box::new(pod.clone())), world.now_ms);
        world.pods.insert(pod.key.name.clone(), pod);
    }
    world.engine.lead(8);
    world.engine.keep_gangs(world.now_ms);
    assert_eq!(world.gpus_in_use(), 8, "the place is taken, and so neither is theirs");
    assert_eq!(world.plan(), 1);
    assert!(world.filter("g-0").is_err());
    world.set(pod("single").gpus(8).build());
    assert_eq!(world.filter("single"), Ok(vec!["n1".into()]));
}
