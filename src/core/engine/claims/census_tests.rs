//! Devices behind extended resources.

use super::*;

#[test]
fn devices_behind_extended_resources_are_counted_but_for_what_claims_hold() {
    let mut world = World::new(&[("a", 4), ("b", 2)]);
    let served = DeviceClass { extended_resource: Some("nvidia.com/gpu".into()), ..class("any", None) };
    world.apply(Change::ClassApplied(Box::new(served)));
    let count = |world: &mut World| {
        let mut counts = BTreeMap::new();
        while let Some(census) = world.engine.next_census() {
            for (node, resources) in world.engine.take_in_census(census.count()) {
                counts.insert(node.to_string(), resources.get("nvidia.com/gpu"));
            }
        }
        counts
    };
    assert_eq!(count(&mut world), [("a".to_owned(), 4), ("b".to_owned(), 2)].into());
    assert_eq!(count(&mut world), BTreeMap::new(), "nothing has changed");
    world.claim("c", 3);
    world.give("c", "a", &["gpu-0", "gpu-1", "gpu-2"], true);
    assert_eq!(count(&mut world), [("a".to_owned(), 1)].into());
    world.claim("made", 1);
    world.show("made", |seen| seen.made_for = Some("uid-asks".into()));
    world.give("made", "a", &["gpu-3"], false);
    assert_eq!(count(&mut world), [("a".to_owned(), 0)].into(), "there is no such pod");
    let asks = testing::pod("asks").on("a");
    let mut shown = |pod: Pod| {
        world.set(pod);
        world.show("made", |seen| seen.allocation = None);
        world.give("made", "a", &["gpu-3"], false);
        count(&mut world)
    };
    let by_resource = asks.clone().gpus(1).build();
    assert_eq!(shown(by_resource.clone()), [("a".to_owned(), 1)].into(), "its pod's request is in the ledger");
    let names = |name: &str, pod: &Pod| Pod { claim_made: Some(name.into()), ..pod.clone() };
    assert_eq!(shown(names("another", &by_resource)), [("a".to_owned(), 0)].into(), "its pod has another");
    assert_eq!(shown(names("made", &asks.build())), [("a".to_owned(), 0)].into(), "it asks by the name of the class");
    assert_eq!(shown(names("made", &by_resource)), [("a".to_owned(), 1)].into());
    world.claim("d", 1);
    world.set(pod("p", &["d"]));
    world.plan();
    assert_eq!(devices_of(&world.claim_orders()[0]), ["b/gpu-0"], "what serves a pod's request is in use");
    world.apply(Change::SliceApplied(Arc::new(slice("late", vec![device("gpu-0")]))));
    assert_eq!(count(&mut world), [("b".to_owned(), 1), ("late".to_owned(), 0)].into(), "its node is not there yet");
    world.apply(Change::NodeApplied(Box::new(node("late").build())));
    assert_eq!(count(&mut world), [("late".to_owned(), 1)].into());
    world.apply(Change::ClassDeleted("any".into()));
    let none = [("a".to_owned(), 0), ("b".to_owned(), 0), ("late".to_owned(), 0)].into();
    assert_eq!(count(&mut world), none, "nothing serves it any more");
    assert_eq!(count(&mut world), BTreeMap::new());
}

#[test]
fn of_classes_that_serve_one_resource_the_newest_counts() {
    let mut world = World::new(&[("a", 4)]);
    let serves = |name: &str, expression: &str, created_s| {
        let extended_resource = Some("nvidia.com/gpu".into());
        Change::ClassApplied(Box::new(DeviceClass { extended_resource, created_s, ..class(name, Some(expression)) }))
    };
    let count = |world: &mut World| {
        let census = world.engine.next_census().expect("something to count");
        let counts = world.engine.take_in_census(census.count());
        counts[0].1.get("nvidia.com/gpu")
    };
    world.apply(serves("gpu-a", "false", 10));
    world.apply(serves("gpu-b", "true", 20));
    assert_eq!(count(&mut world), 4);
    world.apply(serves("gpu-0", "false", 20));
    assert_eq!(count(&mut world), 0, "of two as old as each other the first by name");
}

#[test]
fn a_pod_for_an_extended_resource_keeps_off_a_node_whose_devices_are_being_given() {
    let mut world = World::new(&[("a", 4)]);
    let served = DeviceClass { extended_resource: Some("nvidia.com/gpu".into()), ..class("any", None) };
    world.apply(Change::ClassApplied(Box::new(served)));
    world.apply(Change::NodeApplied(Box::new(node("a").has("nvidia.com/gpu", 4).build())));
    world.set(testing::pod("q").gpus(1).build());
    assert_eq!(world.filter("q"), Ok(vec!["a".into()]));
    world.claim("c", 1);
    world.set(pod("p", &["c"]));
    world.plan();
    assert_eq!(world.filter("q"), Err("its devices are just being given to claims".into()));
    let orders = world.claim_orders();
    world.carry_out(&orders[0]);
    assert_eq!(world.filter("q"), Ok(vec!["a".into()]));
}
