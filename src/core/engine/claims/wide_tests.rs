//! Claims of which the devices can be used on several nodes.

use std::sync::Arc;

use super::tests::{World, devices_of, member};
use crate::claims::testing::{device, slice};
use crate::claims::{Nodes, Slice};
use crate::engine::Change;

/// Nodes with devices of their own, and a device that can be used on all of them.
fn world(nodes: &[(&str, usize)]) -> World {
    let mut world = World::new(nodes);
    let devices = vec![device("link-0").with("link", 1)];
    let fabric = Slice { nodes: Nodes { all: true, ..Nodes::default() }, ..slice("fabric", devices) };
    world.apply(Change::SliceApplied(Arc::new(fabric)));
    world
}

#[test]
fn members_that_share_a_device_of_all_nodes_need_not_stand_on_one() {
    let mut world = world(&[("a", 4), ("b", 4)]);
    world.claim_like("link", "has(device.attributes['d'].link)", 1);
    for at in 0..2 {
        world.claim_like(&format!("gpus-{at}"), "!has(device.attributes['d'].link)", 4);
        world.set(member(&format!("g-{at}"), "g", at, 2, &["link", &format!("gpus-{at}")]));
    }
    world.plan();
    let orders = world.claim_orders();
    let given: Vec<String> = orders.iter().map(|order| devices_of(order)[0].clone()).collect();
    assert_eq!(given, ["a/gpu-0", "b/gpu-0", "fabric/link-0"]);
    orders.iter().for_each(|order| world.carry_out(order));
    assert_eq!(world.steered(), [("g-0".into(), "a".into()), ("g-1".into(), "b".into())]);
}

#[test]
fn one_who_joins_later_goes_wherever_the_shared_device_can_be_used() {
    let mut world = world(&[("a", 4), ("b", 4)]);
    world.claim_like("link", "has(device.attributes['d'].link)", 1);
    let gpus = |world: &mut World, at: u32| {
        world.claim_like(&format!("gpus-{at}"), "!has(device.attributes['d'].link)", 4);
        world.set(member(&format!("g-{at}"), "g", at, 1, &["link", &format!("gpus-{at}")]));
    };
    gpus(&mut world, 0);
    world.plan();
    let orders = world.claim_orders();
    orders.iter().for_each(|order| world.carry_out(order));
    world.steered();
    world.bind("g-0", "a");
    gpus(&mut world, 1);
    world.plan();
    let orders = world.claim_orders();
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!(devices_of(&orders[0])[0], "b/gpu-0");
}
