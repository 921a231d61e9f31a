//! What is shown on the objects that describe gangs.

use super::*;
use crate::model::gang::{Dialect, Group, ObjectRef};

fn object(name: &str, min_member: u32) -> Change {
    let key = GangKey { namespace: "default".into(), name: name.into(), dialect: Dialect::Testudo };
    let terms = Terms { min_member: Some(min_member), ..Terms::default() };
    let object = ObjectRef { name: name.into(), ..ObjectRef::default() };
    Change::GroupApplied(Box::new(Group { key, object, created_s: 0, priority: None, terms, fault: None }))
}

impl World {
    /// What is shown now, in words.
    fn reports(&mut self) -> Vec<String> {
        let reports = self.engine.take_reports(self.now_ms);
        reports.iter().map(|report| format!("{:?} {}: {}", report.stage, report.bound, report.text)).collect()
    }
}

#[test]
fn each_step_is_shown_once() {
    let mut world = World::new(2);
    world.apply(object("g", 2));
    assert_eq!(world.reports(), [""; 0], "nothing is known of gangs without members");
    world.set(pod("a").gpus(8).member_of("g", "", 0, Terms::default()).build());
    assert_eq!(world.reports(), ["Gathering 0: 1 of 2 members exist"]);
    assert_eq!(world.reports(), [""; 0]);
    world.set(pod("b").gpus(8).member_of("g", "", 1, Terms::default()).build());
    assert_eq!(world.reports(), ["Waiting 0: places for its members are being looked for"]);
    world.plan();
    assert_eq!(world.reports(), ["Planned 0: 2 members have a place, 0 of them are bound"]);
    for (name, node) in [("a", "n0"), ("b", "n1")] {
        world.set(pod(name).gpus(8).member_of("g", "", u32::from(name == "b"), Terms::default()).on(node).build());
    }
    assert_eq!(world.reports(), ["Running 2: 2 members have their nodes"]);
    world.delete("a");
    world.delete("b");
    assert_eq!(world.reports(), ["Gathering 0: it has no members"]);
}

#[test]
fn the_same_with_other_numbers_is_shown_after_a_while() {
    let mut world = World::new(1);
    world.apply(object("g", 4));
    world.set(pod("a").gpus(8).member_of("g", "", 0, Terms::default()).build());
    assert_eq!(world.reports(), ["Gathering 0: 1 of 4 members exist"]);
    world.set(pod("b").gpus(8).member_of("g", "", 1, Terms::default()).build());
    world.set(pod("c").gpus(8).member_of("g", "", 2, Terms::default()).build());
    assert_eq!(world.reports(), [""; 0]);
    world.now_ms += 10_000;
    assert_eq!(world.reports(), ["Gathering 0: 3 of 4 members exist"]);
}

#[test]
fn a_gang_that_is_being_deleted_is_not_called_invalid() {
    let mut world = World::new(3);
    let terms = || Terms { tensor_parallel: Some(24), min_member: Some(2), ..Terms::default() };
    let member = |gang: &str, index: u32| pod(&format!("{gang}-{index}")).gpus(8).member_of(gang, "", index, terms());
    for index in 0..3 {
        world.set(member("g", index).on(&format!("n{index}")).build());
    }
    world.news();
    world.delete("g-0");
    assert_eq!(world.news(), [], "a part of a set is left, and nobody has to mend anything");
    for index in 0..2 {
        world.set(member("h", index).build());
    }
    let text = "its GPUs do not form sets of 24: members have 16 together";
    assert_eq!(world.news(), [(NewsKind::Invalid, text.into())], "they have never been more");
}
