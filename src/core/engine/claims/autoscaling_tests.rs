//! Beside an autoscaler that counts devices for claims, and one that does not.

use std::sync::Arc;

use super::tests::{World, member};
use crate::engine::{AutoscalingPolicy, Change, Lack, Policy};
use crate::model::gang::{Strictness, Terms, TopologyLevel, TopologyRule};
use crate::model::pod::Pod;
use crate::testing::node;

/// What a gang lacks whose members want so many devices each, on two nodes of four devices in zones of their own.
fn lack(members: u32, devices: u64, simulates_claims: bool, topology: &[TopologyRule]) -> Option<Lack> {
    let mut world = World::new(&[("a", 4), ("b", 4)]);
    let autoscaling = Some(AutoscalingPolicy { simulates_claims, ..AutoscalingPolicy::default() });
    world.engine.policy = Arc::new(Policy { autoscaling, ..(*world.engine.policy).clone() });
    for name in ["a", "b"] {
        let node = node(name).label("topology.kubernetes.io/zone", name).build();
        world.apply(Change::NodeApplied(Box::new(node)));
    }
    for at in 0..members {
        let claim = format!("c{at}");
        world.claim(&claim, devices);
        let pod = member(&format!("g-{at}"), "g", at, members, &[&claim]);
        world.set(with_topology(pod, topology));
    }
    for _ in 0..2 {
        world.plan();
        world.wait(10_000);
    }
    let open: Vec<_> = world.engine.unassessed_shortfalls(world.now_ms).cloned().collect();
    open.iter().for_each(|gang| world.engine.assess(gang, None, world.now_ms));
    world.wait(0);
    world.engine.gangs().next().expect("a gang").shortfall.map(|shortfall| shortfall.lack)
}

fn with_topology(mut pod: Pod, topology: &[TopologyRule]) -> Pod {
    let membership = Arc::make_mut(pod.membership.as_mut().expect("a member"));
    membership.terms = Terms { topology: topology.to_vec(), ..membership.terms.clone() };
    pod
}

#[test]
fn devices_that_an_autoscaler_counts_are_shown_to_it() {
    assert_eq!(lack(5, 2, false, &[]), Some(Lack::Unseen), "by a count of resources there is room");
    assert_eq!(lack(5, 2, true, &[]), Some(Lack::Counted));
    assert_eq!(lack(4, 2, true, &[]), None);
}

#[test]
fn where_devices_have_to_be_is_seen_by_no_autoscaler() {
    let level = TopologyLevel::Label("topology.kubernetes.io/zone".into());
    let one_zone = [TopologyRule { level, strictness: Strictness::Required }];
    assert_eq!(lack(2, 3, true, &one_zone), Some(Lack::Unseen));
    assert_eq!(lack(3, 3, true, &one_zone), Some(Lack::Counted), "three are too many wherever they are");
}
