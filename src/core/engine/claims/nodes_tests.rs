//! Nodes on which claims cannot be: outside of the fence, or where their devices cannot be used.

use super::*;

#[test]
fn behind_a_fence_only_devices_inside_are_given() {
    let mut world = World::new(&[("a", 4)]);
    let claims = ClaimPolicy { fence: Some("fence".into()), ..world.engine.policy.claims.clone() };
    world.engine.policy = Arc::new(Policy { claims, ..Policy::clone(&world.engine.policy) });
    world.claim("c", 1);
    world.set(pod("p", &["c"]));
    world.plan();
    assert_eq!(world.claim_orders(), []);
    let why = world.filter("p").expect_err("it has no devices");
    let expected = "no node takes any member; the nearest: claims are given devices on nodes with taint fence only";
    assert!(why.ends_with(expected), "{why}");
    world.apply(Change::NodeApplied(Box::new(node("b").taint("fence", Effect::PreferNoSchedule).build())));
    world.apply(Change::SliceApplied(Arc::new(slice("b", vec![device("gpu-0")]))));
    world.plan();
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Allocate { node, .. }] if node.as_str() == "b"), "{orders:?}");
}

#[test]
fn who_has_devices_where_it_does_not_fit_is_told_so() {
    let mut world = World::new(&[("a", 1), ("b", 1), ("c", 1)]);
    world.apply(Change::NodeApplied(Box::new(node("a").taint("leaving", Effect::NoSchedule).build())));
    world.claim("has", 1);
    world.give("has", "a", &["gpu-0"], false);
    world.claim("more", 1);
    world.set(pod("p", &["has", "more"]));
    world.plan();
    let why = world.filter("p").expect_err("its devices are on another node");
    assert!(why.ends_with("the nearest 2: its claims have devices that cannot be used there"), "{why}");
}

#[test]
fn who_is_on_its_way_to_where_nobody_else_may_go_does_not_keep_its_gang_from_other_nodes() {
    let mut world = World::new(&[("a", 1), ("b", 1), ("c", 0)]);
    for at in 0..2 {
        let runs = Stage::Bound("c".into());
        world.set(Pod { stage: runs, ..member(&format!("g-{at}"), "g", at, 2, &[]) });
    }
    world.claim("has", 1);
    world.give("has", "a", &["gpu-0"], false);
    let terms = Terms { min_member: Some(2), ..Terms::default() };
    world.set(using(testing::pod("router").member_of("g", "router", 0, terms), &["has"]));
    world.plan();
    assert_eq!(world.filter("router"), Ok(vec!["a".into()]));
    world.apply(Change::NodeApplied(Box::new(node("a").taint("leaving", Effect::NoSchedule).build())));
    world.claim("more", 1);
    world.set(member("g-2", "g", 2, 2, &["more"]));
    world.plan();
    let orders = world.claim_orders();
    let [ClaimOrder::Allocate { node, .. }] = &orders[..] else { panic!("{:?}", world.filter("g-2")) };
    assert_eq!(node.as_str(), "b");
}
