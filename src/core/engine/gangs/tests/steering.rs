//! Pointing the scheduler to places, refusals, and the barrier.

use super::*;

#[test]
fn a_member_waits_at_bind_for_the_others() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    let Arrival::Wait(batch) = world.arrive("g-0") else { panic!("g-1 is not there") };
    let uid = world.pods["g-0"].uid.clone();
    assert_eq!(world.engine.may_pass(&uid, &batch, world.now_ms), Arrival::Wait(Arc::clone(&batch)));
    let version = world.engine.gang_version();
    assert_eq!(world.arrive("g-1"), Arrival::Go);
    assert!(world.engine.gang_version() > version, "who waits is told");
    assert_eq!(world.engine.may_pass(&uid, &batch, world.now_ms), Arrival::Go);
    let elsewhere = world.engine.arrive(&world.pods["g-0"].clone(), &"n9".into(), world.now_ms);
    assert!(matches!(elsewhere, Arrival::No(why) if why.contains("not n9")));
}

#[test]
fn who_was_sent_away_from_the_barrier_has_to_come_again() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    assert!(matches!(world.arrive("g-0"), Arrival::Wait(_)));
    let uid = world.pods["g-0"].uid.clone();
    world.engine.turn_back(&uid);
    assert!(matches!(world.arrive("g-1"), Arrival::Wait(_)), "g-0 is not there any more");
    assert_eq!(world.arrive("g-0"), Arrival::Go);
}

#[test]
fn who_waits_for_one_that_is_bound_already_passes() {
    let mut world = World::new(3);
    gang(&mut world, "g", 3);
    world.plan();
    assert!(matches!(world.arrive("g-0"), Arrival::Wait(_)));
    let Arrival::Wait(batch) = world.arrive("g-1") else { panic!("g-2 is not there") };
    let uid = world.pods["g-1"].uid.clone();
    let version = world.engine.gang_version();
    // An earlier leader has bound it.
    let bound = Stage::Bound(NodeName::from(world.place("g-2").as_str()));
    world.set(Pod { stage: bound, ..world.pods["g-2"].clone() });
    world.engine.keep_gangs(world.now_ms);
    assert!(world.engine.gang_version() > version, "who waits is told");
    assert_eq!(world.engine.may_pass(&uid, &batch, world.now_ms), Arrival::Go);
}

#[test]
fn a_batch_that_does_not_come_together_starts_nothing_and_avoids_the_node() {
    let mut world = World::new(3);
    gang(&mut world, "g", 2);
    world.plan();
    let (first, refused) = (world.place("g-0"), world.place("g-1"));
    let Arrival::Wait(batch) = world.arrive("g-0") else { panic!("g-1 is not there") };
    let uid = world.pods["g-0"].uid.clone();
    world.engine.give_up(&uid, &batch, world.now_ms);
    assert!(matches!(world.engine.may_pass(&uid, &batch, world.now_ms), Arrival::No(_)));
    assert_eq!(world.gpus_in_use(), 0);
    assert_eq!(world.plan(), 0, "not at once");
    world.wait(1_000);
    assert_eq!(world.plan(), 1);
    let places = [world.place("g-0"), world.place("g-1")];
    assert_ne!(places[1], refused, "{first} would do for either");
}

#[test]
fn a_refusal_by_the_scheduler_is_seen_in_the_condition() {
    let mut world = World::new(3);
    gang(&mut world, "g", 2);
    world.plan();
    let refused = world.place("g-1");
    assert_eq!(world.engine.orders(world.now_ms).len(), 2);
    let says = |world: &World, message: &str| {
        let mut pod = world.pods["g-1"].clone();
        pod.steering.unscheduled = Some(message.into());
        pod
    };
    world.set(says(&world, "0/3 nodes are available: 3 gang default/g: 1 of 2 members exist."));
    assert_eq!(world.place("g-1"), refused, "an old text of our own");
    for unrelated in [
        "failed filter with extender at URL https://testudo:8888/v1/filter, code 503",
        "Post \"https://testudo:8888/v1/filter\": dial tcp 10.0.0.7:8888: connect: connection refused",
        "running PreBind plugin \"DynamicResources\": claim default/gpu got allocated elsewhere in the meantime",
    ] {
        world.set(says(&world, unrelated));
        assert_eq!(world.engine.orders(world.now_ms), [], "this says nothing of the place: {unrelated}");
    }
    world.set(says(
        &world,
        "0/3 nodes are available: 1 node(s) had volume node affinity conflict, 2 gang default/g: its place is on another node.",
    ));
    let again = world.engine.orders(world.now_ms);
    assert_eq!(again.len(), 1, "that attempt may have begun before: once more, {again:?}");
    assert_eq!(world.place("g-1"), refused);
    world.wait(GangPolicy::default().confirm_ms);
    world.engine.orders(world.now_ms);
    assert_eq!(world.gpus_in_use(), 0);
    let (kind, text) = world.news().pop().unwrap();
    assert_eq!(kind, NewsKind::Failed);
    assert!(text.contains(&format!("node {refused} was refused to pod default/g-1")), "{text}");
    world.wait(1_000);
    world.plan();
    assert_ne!(world.place("g-1"), refused);
}

#[test]
fn the_scheduler_is_pointed_to_places_until_it_comes() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    let policy = GangPolicy::default();
    let orders = world.engine.orders(world.now_ms);
    assert_eq!(orders.len(), 2);
    assert!(world.engine.orders(world.now_ms).is_empty(), "not twice at once");
    let Order::Steer { promise, pod, .. } = &orders[0] else { panic!("{orders:?}") };
    assert_eq!(promise.until_s, ((world.now_ms + policy.bind_window_ms) / 1000) as i64);
    let shown =
        Steering { promise: Some(promise.clone()), nominated: Some(promise.node.clone()), ..Steering::default() };
    world.set(Pod { steering: shown.clone(), ..Pod::clone(pod) });
    world.wait(policy.steer_again_ms);
    assert_eq!(world.engine.orders(world.now_ms).len(), 1, "the one that does not show its place");
    world.set(Pod { steering: Steering { gate: Gate::Ours, ..shown }, ..Pod::clone(pod) });
    assert_eq!(world.engine.orders(world.now_ms).len(), 1, "the gate is back: written again");
    let mut withdrawn = 0;
    for _ in 0..10 {
        world.wait(policy.steer_again_ms);
        let orders = world.engine.orders(world.now_ms);
        withdrawn += orders.iter().filter(|order| matches!(order, Order::Withdraw { .. })).count();
    }
    let (kind, text) = world.news().into_iter().find(|(kind, _)| *kind == NewsKind::Failed).expect("it gives up");
    assert!(text.contains("does not bring it there"), "{kind:?} {text}");
    assert_eq!(world.gpus_in_use(), 0);
    assert!(withdrawn > 0, "the pod that shows a place has none");
}

#[test]
fn who_could_not_be_pointed_to_his_place_was_not_refused_it() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    let policy = GangPolicy::default();
    for _ in 0..policy.bind_window_ms / policy.steer_again_ms - 1 {
        let orders = world.engine.orders(world.now_ms);
        assert_eq!(orders.len(), 2, "tried again");
        for order in &orders {
            let Order::Steer { pod, attempt: 0, .. } = order else { panic!("{order:?}") };
            world.engine.not_steered(pod);
        }
        world.wait(policy.steer_again_ms);
    }
    assert!(!world.news().iter().any(|(kind, _)| *kind == NewsKind::Failed));
    assert_eq!(world.gpus_in_use(), 16);
}

#[test]
fn who_shows_a_place_of_a_gang_that_cannot_be_planned_any_more_is_told() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    let orders = world.engine.orders(world.now_ms);
    let Some(Order::Steer { promise, pod, .. }) = orders.first() else { panic!("{orders:?}") };
    let steering =
        Steering { promise: Some(promise.clone()), nominated: Some(promise.node.clone()), ..Steering::default() };
    world.set(Pod { steering, ..Pod::clone(pod) });
    let other = if pod.key.name == "g-0" { "g-1" } else { "g-0" };
    world.delete(other);
    world.wait(GangPolicy::default().steer_again_ms);
    let orders = world.engine.orders(world.now_ms);
    assert!(matches!(&orders[..], [Order::Withdraw { pod: told }] if told.uid == pod.uid), "{orders:?}");
}

#[test]
fn members_that_refuse_each_others_nodes_change_places() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    let places = [world.place("g-0"), world.place("g-1")];
    world.engine.orders(world.now_ms);
    let mut refused = world.pods["g-1"].clone();
    refused.steering.unscheduled = Some("0/2 nodes are available: 1 node(s) had volume node affinity conflict.".into());
    world.set(refused);
    world.engine.orders(world.now_ms);
    world.wait(GangPolicy::default().confirm_ms);
    world.engine.orders(world.now_ms);
    world.wait(1_000);
    assert_eq!(world.plan(), 1);
    assert_eq!([world.place("g-1"), world.place("g-0")], places);
}

#[test]
fn a_refusal_that_ends_while_places_are_looked_for_is_not_missed() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    let policy = GangPolicy::default();
    for _ in 0..2 {
        assert_eq!(world.plan(), 1);
        world.engine.orders(world.now_ms);
        let name = if world.place("g-0") == "n1" { "g-0" } else { "g-1" };
        let mut refused = world.pods[name].clone();
        refused.steering.unscheduled =
            Some("0/2 nodes are available: 1 node(s) had volume node affinity conflict.".into());
        world.set(refused);
        world.engine.orders(world.now_ms);
        world.wait(policy.confirm_ms);
        world.engine.orders(world.now_ms);
        world.wait(10_000);
    }
    let task = world.engine.next_plan(world.now_ms).expect("a task");
    world.wait(policy.refusal_ms);
    world.engine.adopt(task.solve(), world.now_ms);
    assert!(world.filter("g-0").is_err(), "both had refused n1");
    assert_eq!(world.plan(), 1);
    world.place("g-0");
}

#[test]
fn what_a_pod_shows_is_no_reason_to_plan_again() {
    let mut world = World::new(1);
    gang(&mut world, "g", 2);
    assert_eq!(world.plan(), 1);
    let told = world.filter("g-0").unwrap_err();
    let mut shows = world.pods["g-0"].clone();
    shows.steering.unscheduled = Some(format!("0/1 nodes are available: 1 {told}.").as_str().into());
    world.set(shows);
    assert_eq!(world.plan(), 0);
    assert_eq!(world.filter("g-0").unwrap_err(), told);
}

#[test]
fn members_that_show_an_old_reason_are_woken_once() {
    let mut world = World::new(1);
    gang(&mut world, "g", 2);
    world.plan();
    let told = world.filter("g-0").unwrap_err();
    for (name, message) in [("g-0", "gang default/g: not seen by testudo yet"), ("g-1", told.as_str())] {
        let mut shows = world.pods[name].clone();
        shows.steering.unscheduled = Some(message.into());
        world.set(shows);
    }
    assert!(world.engine.orders(world.now_ms).is_empty(), "it may still be on its way");
    world.wait(1_000);
    let woken = world.engine.orders(world.now_ms);
    let [Order::Wake { pod }] = &woken[..] else { panic!("{woken:?}") };
    assert_eq!(pod.key.name, "g-0");
    assert!(world.engine.orders(world.now_ms).is_empty(), "once");
    world.engine.not_woken(pod, world.now_ms);
    assert_eq!(world.engine.orders(world.now_ms), woken, "unless that came to nothing");
    world.wait(1_000);
    assert!(world.engine.orders(world.now_ms).is_empty(), "once");
}

#[test]
fn who_may_fit_since_places_were_given_up_is_woken() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    for (name, gpus) in [("small", 1), ("large", 16)] {
        let mut pod = pod(name).gpus(gpus).build();
        pod.steering.unscheduled = Some("too few are free".into());
        world.set(pod);
    }
    world.delete("g-1");
    let woken = world.engine.orders(world.now_ms);
    assert!(matches!(&woken[..], [Order::Wake { pod }] if pod.key.name == "small"), "{woken:?}");
    assert!(world.engine.orders(world.now_ms).is_empty(), "once");
}

#[test]
fn who_was_refused_before_we_knew_that_something_came_free_is_woken_after_a_while() {
    let mut world = World::new(1);
    world.set(Pod { stage: Stage::Bound("n0".into()), ..pod("full").gpus(8).build() });
    let mut small = pod("small").gpus(1).build();
    small.steering.unscheduled = Some("too few are free".into());
    world.set(small);
    world.wait(10_000);
    assert!(world.engine.orders(world.now_ms).is_empty(), "it would not fit");
    world.delete("full");
    world.wait(1_000);
    assert!(world.engine.orders(world.now_ms).is_empty(), "the scheduler is told of that, too");
    world.wait(3_000);
    let woken = world.engine.orders(world.now_ms);
    assert!(matches!(&woken[..], [Order::Wake { pod }] if pod.key.name == "small"), "{woken:?}");
    world.wait(60_000);
    assert!(world.engine.orders(world.now_ms).is_empty(), "once");
}

#[test]
fn a_node_that_refused_a_member_is_tried_again_after_a_while() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    for _ in 0..2 {
        world.plan();
        let Arrival::Wait(batch) = world.arrive("g-0") else { panic!("g-1 is not there") };
        let uid = world.pods["g-0"].uid.clone();
        world.engine.give_up(&uid, &batch, world.now_ms);
        world.wait(5_000);
    }
    assert_eq!(world.plan(), 1);
    assert!(world.filter("g-0").is_err(), "both nodes have refused g-1");
    world.wait(GangPolicy::default().refusal_ms);
    assert_eq!(world.plan(), 1);
    world.place("g-0");
}
