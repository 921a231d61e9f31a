//! What happens while devices are looked for, or while another leads.

use super::*;
use crate::claims::testing::a30s;

#[test]
fn what_others_are_given_meanwhile_is_seen_when_the_plan_comes_back() {
    let mut world = World::new(&[("a", 1), ("b", 1)]);
    world.claim("c", 1);
    world.claim("theirs", 1);
    world.set(pod("p", &["c"]));
    let task = world.engine.next_plan(world.now_ms).expect("a task");
    world.give("theirs", "a", &["gpu-0"], false);
    world.engine.adopt(task.solve(), world.now_ms);
    assert_eq!(world.claim_orders(), [], "the device has gone to another");
    world.plan();
    assert_eq!(devices_of(&world.claim_orders()[0]), ["b/gpu-0"]);
}

#[test]
fn who_was_promised_what_another_took_is_given_other_devices() {
    let mut world = World::new(&[("a", 2)]);
    world.claim("c", 1);
    world.claim("theirs", 1);
    world.set(pod("p", &["c"]));
    world.plan();
    let order = world.claim_orders().remove(0);
    assert_eq!(devices_of(&order), ["a/gpu-0"]);
    world.give("theirs", "a", &["gpu-0"], false);
    world.wait(10_000);
    let orders = world.claim_orders();
    assert!(!orders.iter().any(|order| matches!(order, ClaimOrder::Allocate { .. })), "{orders:?}");
    world.conclude(&order, ClaimOutcome::Unknown);
    // What was under way is overtaken first.
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { claim, .. }] if &*claim.name == "c"), "{orders:?}");
    world.carry_out(&orders[0]);
    world.wait(10_000);
    world.plan();
    assert_eq!(devices_of(&world.claim_orders()[0]), ["a/gpu-1"]);
}

/// A gang of two of which `g-0` runs on `a` with its first device. `g-1` may be on its way there with the second, which was taken
/// from its claim and is to be given to it again.
fn one_follows(devices: usize) -> (World, ClaimOrder) {
    let mut world = one_of_two_runs(devices);
    world.show("c1", |seen| seen.allocation = None);
    world.wait(ClaimPolicy::default().write_again_ms);
    let order = world.claim_orders().remove(0);
    assert_eq!(devices_of(&order), ["a/gpu-1"]);
    (world, order)
}

#[test]
fn who_follows_those_that_run_is_not_given_either_what_another_took() {
    let (mut world, order) = one_follows(3);
    world.claim("theirs", 1);
    world.give("theirs", "a", &["gpu-1"], false);
    world.conclude(&order, ClaimOutcome::Unknown);
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { claim, .. }] if &*claim.name == "c1"), "{orders:?}");
    world.carry_out(&orders[0]);
    world.wait(10_000);
    world.plan();
    assert_eq!(devices_of(&world.claim_orders()[0]), ["a/gpu-2"]);
}

#[test]
fn who_follows_and_is_not_given_its_devices_need_not_wait_until_its_time_is_over() {
    let (mut world, order) = one_follows(2);
    world.conclude(&order, ClaimOutcome::Refused { why: "no".into(), seen: None });
    assert!(Policy::default().gangs.bind_window_ms > 20_000);
    world.wait(10_000);
    world.plan();
    assert_eq!(devices_of(&world.claim_orders()[0]), ["a/gpu-1"]);
}

#[test]
fn what_overlaps_with_what_another_took_is_not_given_either() {
    let mut world = World::new(&[]);
    for slice in a30s("a", 1) {
        world.apply(Change::SliceApplied(Arc::new(slice)));
    }
    world.apply(Change::NodeApplied(Box::new(node("a").build())));
    world.claim_like("c", "device.attributes['d'].profile == '2g.12gb'", 1);
    world.claim("theirs", 1);
    world.set(pod("p", &["c"]));
    world.plan();
    let order = world.claim_orders().remove(0);
    let [given] = &devices_of(&order)[..] else { panic!("{order:?}") };
    world.give("theirs", "a", &["gpu-0-mig-4g24gb-0-0"], false);
    world.conclude(&order, ClaimOutcome::Unknown);
    world.wait(10_000);
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Release { .. }]), "{given} overlaps with it: {orders:?}");
}

#[test]
fn of_many_that_ask_the_same_in_vain_one_is_looked_for() {
    let mut world = World::new(&[("a", 1)]);
    for at in 0..5 {
        world.claim(&format!("c{at}"), 2);
        world.set(pod(&format!("p{at}"), &[&format!("c{at}")]));
    }
    assert_eq!(world.plan(), 1);
    let wish = "no node has free devices: claim default/c4 needs 2 devices of class any for request r";
    world.wait(10_000);
    assert_eq!(world.filter("p4"), Err(format!("claims of pod default/p4: {wish}")));
    world.apply(Change::NodeApplied(Box::new(node("b").build())));
    world.apply(Change::SliceApplied(Arc::new(slice("b", (0..4).map(|at| device(&format!("gpu-{at}"))).collect()))));
    assert_eq!(world.plan(), 3, "two of them, and one more in vain");
    assert_eq!(world.claim_orders().len(), 2);
}

#[test]
fn devices_that_become_free_while_they_are_looked_for_are_looked_at() {
    let mut world = World::new(&[("a", 1)]);
    world.claim("theirs", 1);
    world.give("theirs", "a", &["gpu-0"], false);
    world.claim("c", 1);
    world.set(pod("p", &["c"]));
    let task = world.engine.next_plan(world.now_ms).expect("a task");
    let solved = task.solve();
    world.show("theirs", |seen| seen.allocation = None);
    world.engine.adopt(solved, world.now_ms);
    assert_eq!(world.plan(), 1);
    assert_eq!(world.claim_orders().len(), 1);
}

#[test]
fn a_desk_that_does_not_come_back_is_made_anew() {
    let mut world = World::new(&[("a", 2)]);
    world.claim("c", 1);
    world.claim("theirs", 1);
    world.give("theirs", "a", &["gpu-0"], false);
    world.set(pod("p", &["c"]));
    let task = world.engine.next_plan(world.now_ms).expect("a task");
    let gang = task.gang().clone();
    drop(task);
    world.engine.set_aside(&gang, "a panic", world.now_ms);
    world.wait(10_000);
    world.plan();
    assert_eq!(devices_of(&world.claim_orders()[0]), ["a/gpu-1"]);
}

#[test]
fn what_another_leader_gives_and_takes_is_left_to_it() {
    let mut world = World::new(&[("a", 2), ("b", 2)]);
    for claim in ["c", "d"] {
        world.claim(claim, 1);
        world.set(pod(&format!("p-{claim}"), &[claim]));
    }
    world.plan();
    let orders = world.claim_orders();
    assert_eq!(orders.len(), 2);
    world.accept(&orders[0]);
    world.engine.stand_by();
    // What was under way comes to an end, and begins nothing.
    world.accept(&orders[1]);
    world.wait(1_000_000);
    assert_eq!(world.plan(), 0);
    assert_eq!(world.claim_orders(), [], "nothing is taken back either");
    let ClaimOrder::Allocate { allocation, .. } = &orders[0] else { panic!() };
    world.show_given("c", allocation);
    world.engine.lead(2);
    world.wait(0);
    world.plan();
    let orders = world.claim_orders();
    assert!(
        matches!(&orders[..], [ClaimOrder::Allocate { claim, .. }] if &*claim.name == "d"),
        "devices and claims are known: {orders:?}"
    );
}

#[test]
fn parts_that_are_asked_for_at_once_are_of_one_gpu() {
    let mut world = World::new(&[]);
    world.apply(Change::NodeApplied(Box::new(node("a").build())));
    for slice in a30s("a", 4) {
        world.apply(Change::SliceApplied(Arc::new(slice)));
    }
    world.claim_like("c", "device.attributes['d'].profile == '1g.6gb'", 1);
    world.set(pod("p", &["c"]));
    world.plan();
    let first = world.claim_orders().remove(0);
    world.carry_out(&first);
    world.bind("p", "a");
    for at in 0..3 {
        world.claim_like(&format!("c{at}"), "device.attributes['d'].profile == '1g.6gb'", 1);
    }
    for at in 0..3 {
        world.set(pod(&format!("p{at}"), &[&format!("c{at}")]));
    }
    world.plan();
    let mut given = devices_of(&first);
    given.extend(world.claim_orders().iter().flat_map(devices_of));
    let instances: Vec<String> = (0..4).map(|start| format!("a/gpu-0-mig-1g6gb-14-{start}")).collect();
    given.sort();
    assert_eq!(given, instances);
}

#[test]
fn a_gang_whose_devices_are_being_taken_back_fails_once() {
    let mut world = World::new(&[("a", 4)]);
    for at in 0..2 {
        world.claim(&format!("c{at}"), 1);
        world.set(member(&format!("g-{at}"), "g", at, 2, &[&format!("c{at}")]));
    }
    world.claim("theirs", 1);
    world.plan();
    world.claim_orders().iter().for_each(|order| world.carry_out(order));
    world.give("theirs", "a", &["gpu-0"], false);
    world.show("theirs", |seen| seen.is_reserved = true);
    assert_eq!(world.claim_orders(), [], "it is found now");
    world.wait(1);
    let released = world.claim_orders();
    assert!(matches!(&released[..], [ClaimOrder::Release { .. }, ClaimOrder::Release { .. }]), "{released:?}");
    // The API server takes its time over it, and is looked at again and again.
    for _ in 0..10 {
        world.wait(100);
        assert_eq!(world.claim_orders(), []);
    }
    released.iter().for_each(|order| world.carry_out(order));
    world.wait(5_000);
    world.plan();
    let given: Vec<_> = world.claim_orders().iter().flat_map(devices_of).collect();
    assert_eq!(given, ["a/gpu-1", "a/gpu-2"]);
}

/// A gang of two, of which the first has got its devices from a leader that is gone, and the other has none.
fn half_given() -> World {
    let mut world = World::new(&[("a", 2)]);
    for at in 0..2 {
        world.claim(&format!("c{at}"), 1);
    }
    world.give("c0", "a", &["gpu-0"], true);
    for at in 0..2 {
        world.set(member(&format!("g-{at}"), "g", at, 2, &[&format!("c{at}")]));
    }
    world
}

#[test]
fn who_has_devices_is_not_refused_while_the_others_are_yet_to_be_looked_at() {
    let mut world = half_given();
    let is_refused = |answer: Result<Vec<String>, String>| answer.is_err_and(|why| !why.starts_with("in a moment"));
    assert!(!is_refused(world.filter("g-0")), "kube-scheduler would take its devices from it");
    assert!(is_refused(world.filter("g-1")), "who has none has none to lose");
    world.claim("more", 1);
    world.give("more", "a", &["gpu-1"], false);
    world.plan();
    assert!(is_refused(world.filter("g-0")), "nothing is left for the other: what it has is of no use");
}

#[test]
fn a_place_is_given_up_when_the_devices_it_rests_on_are_taken_away() {
    let mut world = half_given();
    world.plan();
    let order = world.claim_orders().remove(0);
    world.carry_out(&order);
    assert_eq!(world.filter("g-0"), Ok(vec!["a".into()]));
    world.show("c0", |seen| seen.allocation = None);
    assert!(world.filter("g-0").is_err(), "kube-scheduler would choose devices for it");
    let released = world.claim_orders().remove(0);
    world.carry_out(&released);
    world.wait(5_000);
    world.plan();
    let mut given: Vec<_> = world.claim_orders().iter().flat_map(devices_of).collect();
    given.sort();
    assert_eq!(given, ["a/gpu-0", "a/gpu-1"], "and all are planned anew");
}

/// So many devices, and a pod whose claim is to be given one of them.
fn one_ordered(devices: usize) -> (World, ClaimOrder) {
    let mut world = World::new(&[("a", devices)]);
    world.claim("c", 1);
    world.set(pod("p", &["c"]));
    world.plan();
    let order = world.claim_orders().remove(0);
    (world, order)
}

/// Two devices, and a pod whose claim has been given one of them.
fn one_given() -> (World, ClaimOrder) {
    let (mut world, given) = one_ordered(2);
    world.carry_out(&given);
    (world, given)
}

#[test]
fn what_a_claim_has_after_its_devices_were_taken_back_is_what_the_api_server_says() {
    let (mut world, _) = one_given();
    world.apply(Change::PodDeleted(world.pods["p"].uid.clone()));
    let release = world.claim_orders().remove(0);
    let late = SeenClaim { is_reserved: true, ..world.claims["c"].clone() };
    world.version += 1;
    world.accept(&release);
    world.apply(Change::ClaimApplied(Box::new(late)));
    assert_eq!(world.engine.gangs.claims.names().map(|(_, has)| has).collect::<Vec<_>>(), [false], "that is older");

    // Another has given it a device before we came.
    world.set(pod("q", &["c"]));
    world.wait(5_000);
    world.plan();
    let given = world.claim_orders().remove(0);
    world.apply(Change::PodDeleted(world.pods["q"].uid.clone()));
    world.conclude(&given, ClaimOutcome::Unknown);
    let release = world.claim_orders().remove(0);
    world.give("c", "a", &["gpu-1"], false);
    world.conclude(&release, ClaimOutcome::Released { seen: Some(Box::new(world.claims["c"].clone())) });
    assert_eq!(world.engine.gangs.claims.names().map(|(_, has)| has).collect::<Vec<_>>(), [true]);
}

#[test]
fn who_may_be_bound_by_now_is_held_until_what_its_claim_has_lost_is_given_again() {
    let (mut world, given) = one_given();
    let p = world.engine.snapshot().as_planned(world.pods["p"].clone());
    assert_eq!(world.engine.arrive(&p, &NodeName::from("a"), world.now_ms), Arrival::Go);
    assert_eq!(world.filter("p"), Ok(vec!["a".into()]), "nothing was heard of its binding");

    world.show("c", |seen| seen.allocation = None);
    assert!(world.filter("p").is_err(), "kube-scheduler would take any device for it");
    let last = world.engine.take_news().pop().expect("news");
    assert_eq!(
        &*last.text,
        "only its members that are being bound keep their places: the devices of claim default/c were taken away"
    );
    world.wait(ClaimPolicy::default().write_again_ms);
    let again = world.claim_orders().remove(0);
    assert_eq!(devices_of(&again), devices_of(&given));
    world.carry_out(&again);
    assert_eq!(world.filter("p"), Ok(vec!["a".into()]));
}

#[test]
fn a_claim_that_was_read_counts_before_it_is_watched_but_not_for_ever() {
    let mut world = World::new(&[("a", 1)]);
    world.claim("made", 1);
    world.give("made", "a", &["gpu-0"], false);
    let made = world.claims["made"].clone();
    world.apply(Change::ClaimDeleted(made.claim.uid.clone().into()));
    world.claim("c", 1);
    world.set(pod("p", &["c"]));

    world.engine.confirm_claim(made.clone(), world.now_ms);
    world.plan();
    assert_eq!(world.claim_orders(), [], "its device is in use");
    world.engine.confirm_claim(made.clone(), world.now_ms);
    world.wait(ClaimPolicy::default().unwatched_ms);
    world.plan();
    assert_eq!(devices_of(&world.claim_orders()[0]), ["a/gpu-0"], "the watch had shown its end");

    // Whoever has read it may lead no longer when it hears the answer.
    world.engine.stand_by();
    world.engine.confirm_claim(made.clone(), world.now_ms);
    assert!(world.engine.claim(&made.claim.key).is_some());
    world.wait(ClaimPolicy::default().unwatched_ms);
    assert!(world.engine.claim(&made.claim.key).is_none(), "also where another leads");

    let mut world = World::new(&[("a", 1)]);
    world.engine.confirm_claim(made.clone(), world.now_ms);
    world.apply(Change::ClaimApplied(Box::new(made)));
    world.wait(ClaimPolicy::default().unwatched_ms);
    world.claim("c", 1);
    world.set(pod("p", &["c"]));
    world.plan();
    assert_eq!(world.claim_orders(), [], "now it is the watch's to tell");
}

#[test]
fn of_two_claims_of_one_name_the_one_that_was_made_later_counts() {
    let mut world = World::new(&[("a", 1)]);
    world.claim("made", 1);
    let before = world.claims["made"].clone();
    // Deleted and made again, and given a device by kube-scheduler; the watch is behind.
    world.give("made", "a", &["gpu-0"], false);
    let mut made = world.claims["made"].clone();
    made.claim = Arc::new(Claim { uid: "another".into(), ..Claim::clone(&made.claim) });
    world.apply(Change::ClaimApplied(Box::new(before.clone())));
    world.engine.confirm_claim(made.clone(), world.now_ms);
    world.claim("c", 1);
    world.set(pod("p", &["c"]));
    let listed = [&before.claim.uid, &world.claims["c"].claim.uid].map(|uid| uid.to_string());
    let late = [
        Change::ClaimApplied(Box::new(before.clone())),
        Change::ClaimDeleted(before.claim.uid.to_string()),
        Change::ClaimsListed(listed.into()),
    ];
    for change in late {
        world.apply(change);
        world.plan();
        assert_eq!(world.claim_orders(), [], "its device is in use");
    }
    world.engine.confirm_claim(before, world.now_ms);
    world.plan();
    assert_eq!(world.claim_orders(), [], "that was read before");
}

/// The claim of an order to give it devices, as it is once it has them.
fn once_given(world: &World, order: &ClaimOrder) -> Box<SeenClaim> {
    let ClaimOrder::Allocate { claim, allocation, .. } = order else { panic!("{order:?}") };
    let holdings = allocation.holdings().collect();
    let allocation = Some(SeenAllocation { holdings, nodes: None, is_ours: true });
    Box::new(SeenClaim { allocation, version: 1_000, ..world.claims[&*claim.name].clone() })
}

/// Another pod, which wants any device, is given none.
fn assert_nothing_is_free(mut world: World) {
    world.claim("other", 1);
    world.set(pod("q", &["other"]));
    world.plan();
    assert_eq!(world.claim_orders(), [], "the device is in use");
}

#[test]
fn what_a_claim_was_found_to_have_counts_before_the_watch_shows_it() {
    let (mut world, order) = one_ordered(1);
    // What an earlier leader has written, say.
    let seen = Some(once_given(&world, &order));
    world.conclude(&order, ClaimOutcome::Refused { why: "it was given other devices".into(), seen });
    assert_nothing_is_free(world);
}

#[test]
fn what_is_not_taken_back_counts_before_the_watch_shows_that_it_was_given() {
    let (mut world, order) = one_ordered(1);
    world.conclude(&order, ClaimOutcome::Allocated { version: 999 });
    world.apply(Change::PodDeleted(world.pods["p"].uid.clone()));
    let release = world.claim_orders().remove(0);
    assert!(matches!(release, ClaimOrder::Release { .. }), "{release:?}");
    // kube-scheduler has reserved it for another pod meanwhile.
    let seen = SeenClaim { is_reserved: true, ..*once_given(&world, &order) };
    world.conclude(&release, ClaimOutcome::Reserved { seen: Box::new(seen) });
    assert_nothing_is_free(world);
}

#[test]
fn what_we_gave_counts_against_others_before_the_watch_shows_it() {
    let (mut world, order) = one_ordered(1);
    world.claim("theirs", 1);
    let theirs = world.claims["theirs"].clone();
    let key = [theirs.claim.key.clone()];
    world.accept(&order);
    assert_eq!(world.engine.conflict_of(&key), None);
    // kube-scheduler has given the same to another claim by itself; that is seen before ours.
    world.give("theirs", "a", &["gpu-0"], false);
    assert!(world.engine.conflict_of(&key).is_some_and(|why| why.contains("default/c")));
}

#[test]
fn who_is_let_go_by_kueue_before_we_see_it_is_held_until_its_claims_have_devices() {
    let mut world = World::new(&[("a", 1)]);
    world.claim("c", 1);
    let open = pod("p", &["c"]);
    let steering = Steering { gate: Gate::Foreign, ..Steering::default() };
    world.set(Pod { steering, ..open.clone() });
    assert_eq!(world.plan(), 0);
    // kube-scheduler has seen that its gate is gone.
    world.pods.insert("p".into(), open);
    assert!(world.filter("p").is_err(), "kube-scheduler would choose its devices by itself");
}
