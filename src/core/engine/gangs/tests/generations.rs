//! Generations of a gang under the same name.

use super::*;
use crate::model::pod::{End, Gate, Steering};

/// The first of three runs, places are kept for the others.
fn first_of_three_runs(nodes: usize) -> World {
    let mut world = World::new(nodes);
    world.set(staged("first", 0));
    world.plan();
    world.bind_all(&["first"]);
    assert_eq!(world.gpus_in_use(), 24);
    world
}

#[test]
fn what_was_kept_for_a_generation_is_not_for_the_next() {
    let mut world = first_of_three_runs(4);
    let steering = Steering { gate: Gate::Foreign, ..Steering::default() };
    world.set(Pod { steering, ..staged("next", 0) });
    world.delete("first");
    assert_eq!(world.gpus_in_use(), 0, "nobody of it runs any more");
    let others = gang(&mut world, "other", 3);
    world.plan();
    world.bind_all(&others.iter().map(String::as_str).collect::<Vec<_>>());
    world.set(staged("next", 0));
    world.plan();
    assert!(world.filter("next").is_err(), "one of three would start");
    world.delete("other-0");
    world.delete("other-1");
    world.plan();
    assert_eq!(world.gpus_in_use(), 32, "three have places, beside the one that runs");
    world.bind("next");
}

#[test]
fn who_has_not_come_to_bind_is_planned_with_the_next_generation() {
    let mut world = first_of_three_runs(3);
    world.set(staged("second", 1));
    world.news();
    world.delete("first");
    let text = "nobody of it runs any more: the next members start together".to_owned();
    assert!(world.news().contains(&(NewsKind::Failed, text)));
    assert_eq!(world.gpus_in_use(), 0);
    world.plan();
    assert_eq!(world.gpus_in_use(), 24, "beside two that are yet to be made");
}

#[test]
fn who_is_at_bind_keeps_its_place() {
    let mut world = first_of_three_runs(3);
    world.set(staged("second", 1));
    assert_eq!(world.arrive("second"), Arrival::Go);
    world.delete("first");
    assert_eq!(world.gpus_in_use(), 16, "it may be bound by now, and the third follows");
    world.bind("second");
    world.set(staged("third", 2));
    world.set(staged("next", 0));
    world.plan();
    world.bind_all(&["third", "next"]);
}

#[test]
fn others_follow_one_that_has_ended_with_success() {
    let mut world = first_of_three_runs(3);
    world.set(staged("second", 1));
    world.set(Pod { stage: Stage::Finished(End::Succeeded), ..world.pods["first"].clone() });
    assert_eq!(world.gpus_in_use(), 16);
    world.bind("second");
}
