//! One leader after the other: what the next finds on the pods, and what it makes of it.

use super::*;

/// The first member of a gang of two, or the second, with what a plan has written on it.
fn promised(index: u32, plan: &str, node: &str, until_s: i64) -> Pod {
    let mut pod = member(&format!("g-{index}"), "g", index, of(2)).build();
    pod.steering.promise = Some(Promise { plan: plan.into(), node: node.into(), until_s });
    pod
}

/// Three nodes, and pods that were there before the leader was.
fn found(pods: impl IntoIterator<Item = Pod>) -> World {
    let mut world = World::new(3);
    for pod in pods {
        world.engine.apply(Change::PodApplied(Box::new(pod.clone())), world.now_ms);
        world.pods.insert(pod.key.name.clone(), pod);
    }
    lead(&mut world, 8);
    world
}

fn lead(world: &mut World, epoch: u64) {
    world.engine.lead(epoch);
    world.engine.keep_gangs(world.now_ms);
}

/// The plans that are written on pods now, by the pod's name. The pods show them from then on.
fn write_orders(world: &mut World) -> BTreeMap<String, String> {
    let mut written = BTreeMap::new();
    for order in world.engine.orders(world.now_ms) {
        let Order::Steer { pod, promise, .. } = order else { continue };
        written.insert(pod.key.name.clone(), promise.plan.to_string());
        let nominated = Some(promise.node.clone());
        let steering = Steering { promise: Some(promise), nominated, ..pod.steering.clone() };
        world.set(Pod { steering, ..Pod::clone(&pod) });
    }
    written
}

fn both(plan: &str) -> BTreeMap<String, String> {
    ["g-0", "g-1"].into_iter().map(|name| (name.to_owned(), plan.to_owned())).collect()
}

#[test]
fn a_new_leader_takes_up_the_promises_of_the_last() {
    let mut world = found([promised(0, "7-1", "n2", 1_010), promised(1, "7-1", "n1", 1_010)]);
    assert_eq!((world.place("g-0"), world.place("g-1")), ("n2".into(), "n1".into()));
    assert_eq!(world.plan(), 0);
    assert_eq!(write_orders(&mut world), both("8-1"), "and puts its own name on them");

    let mut world = found([promised(0, "7-1", "n2", 1_010), promised(1, "7-1", "n1", 999)]);
    assert_eq!(world.gpus_in_use(), 0, "one promise has run out: all are planned anew");
    assert_eq!(world.plan(), 1);
}

#[test]
fn parts_of_two_plans_are_no_plan() {
    let mut world = found([promised(0, "7-1", "n2", 1_010), promised(1, "6-4", "n1", 1_010)]);
    assert_eq!(world.gpus_in_use(), 0, "nobody has found these two places to go together");
    assert_eq!(world.plan(), 1);
    assert_eq!(world.gpus_in_use(), 16);
}

#[test]
fn what_an_earlier_leader_writes_late_is_written_over() {
    let mut world = World::new(3);
    gang(&mut world, "g", 2);
    lead(&mut world, 8);
    world.plan();
    assert_eq!(write_orders(&mut world), both("8-1"));
    let place = world.place("g-0");
    let late = promised(0, "7-3", "n0", 1_030);
    world.set(late);
    assert_eq!(world.place("g-0"), place, "the place is what this leader has planned");
    world.wait(GangPolicy::default().steer_again_ms);
    assert_eq!(write_orders(&mut world).get("g-0").map(String::as_str), Some("8-1"));
}

#[test]
fn who_does_not_lead_plans_nothing_and_keeps_nothing() {
    let mut world = World::new(3);
    lead(&mut world, 8);
    gang(&mut world, "g", 2);
    world.plan();
    assert_eq!(world.gpus_in_use(), 16);
    world.engine.stand_by();
    assert_eq!(world.gpus_in_use(), 0, "the ledger shows what another leads to");
    assert_eq!(world.plan(), 0);
    assert_eq!(world.engine.orders(world.now_ms), []);
    assert!(world.engine.gangs.kept.is_empty() && world.engine.gangs.gang_of.is_empty());
    let changed = member("other-0", "other", 0, of(2)).build();
    world.set(changed);
    assert_eq!(world.plan(), 0);
    assert!(world.engine.cluster.take_changed_gangs().is_empty(), "nothing piles up meanwhile");
    lead(&mut world, 9);
    assert_eq!(world.plan(), 1, "as the leader again it looks at all gangs");
    assert_eq!(write_orders(&mut world), both("9-1"));
}

#[test]
fn a_gang_that_was_bound_in_part_is_finished_by_the_next_leader() {
    let mut world = World::new(3);
    lead(&mut world, 8);
    gang(&mut world, "g", 2);
    world.plan();
    write_orders(&mut world);
    world.arrive("g-0");
    assert_eq!(world.arrive("g-1"), Arrival::Go);
    let place = world.place("g-1");
    world.bind("g-0");
    lead(&mut world, 9);
    assert_eq!(world.place("g-1"), place);
    assert_eq!(world.plan(), 0);
    assert_eq!(world.arrive("g-1"), Arrival::Go);
    world.bind("g-1");
    assert_eq!(world.gpus_in_use(), 16);
}

/// Found by the model of the protocol (tests/gang_protocol): the promises of a plan that was given up were still on its pods
/// when the leader that had given the same places to another gang, and bound a part of that, was gone.
#[test]
fn an_old_promise_takes_nothing_from_a_gang_of_which_a_part_runs() {
    let old = |index: u32, node: &str| {
        let mut pod = member(&format!("a-{index}"), "a", index, of(2)).build();
        pod.steering.promise = Some(Promise { plan: "7-1".into(), node: node.into(), until_s: 1_010 });
        pod
    };
    let half = |index: u32| member(&format!("g-{index}"), "g", index, of(2));
    let mut world = found([old(0, "n1"), old(1, "n2"), half(0).on("n0").build(), half(1).build()]);
    assert_eq!(world.gpus_in_use(), 8, "only what runs");
    world.plan();
    assert!(world.filter("g-1").is_ok(), "{:?}", world.filter("g-1"));
    assert!(world.filter("a-0").is_err());
}
