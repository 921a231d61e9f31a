//! Gangs through the engine, step by step.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::engine::{Change, Engine, GangPolicy, Offered, Verdict};
use crate::model::gang::{Membership, RoleTerms, Terms};
use crate::model::pod::{Gate, Promise, Steering};
use crate::testing::{PodBuilder, node, pod};

/// An engine with so many nodes of 8 GPUs, and a clock.
struct World {
    engine: Engine,
    now_ms: u64,
    pods: BTreeMap<String, Pod>,
}

impl World {
    fn new(nodes: usize) -> Self {
        let policy = Policy { gangs: GangPolicy::default(), ..Policy::default() };
        let mut world = Self { engine: Engine::new(policy), now_ms: 1_000_000, pods: BTreeMap::new() };
        for at in 0..nodes {
            let gpus = node(&format!("n{at}")).instance("p5.48xlarge").product("NVIDIA-H100-80GB-HBM3");
            world.apply(Change::NodeApplied(Box::new(gpus.has("nvidia.com/gpu", 8).build())));
        }
        world
    }

    fn apply(&mut self, change: Change) {
        self.engine.apply(change, self.now_ms);
        self.engine.keep_gangs(self.now_ms);
    }

    fn set(&mut self, pod: Pod) {
        self.pods.insert(pod.key.name.clone(), pod.clone());
        self.apply(Change::PodApplied(Box::new(pod)));
    }

    fn delete(&mut self, name: &str) {
        let pod = self.pods.remove(name).expect("a pod of this name");
        self.apply(Change::PodDeleted(pod.uid));
    }

    /// Plans until nothing is left to plan; returns how many plans were looked for.
    fn plan(&mut self) -> usize {
        let mut count = 0;
        while let Some(task) = self.engine.next_plan(self.now_ms) {
            self.engine.adopt(task.solve(), self.now_ms);
            count += 1;
            assert!(count < 100, "planning does not come to an end");
        }
        count
    }

    /// Lets time pass.
    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.engine.keep_gangs(self.now_ms);
    }

    /// Nodes on which filter lets a pod go, or what it says on the first node.
    fn filter(&mut self, name: &str) -> Result<Vec<String>, String> {
        let snapshot = self.engine.snapshot();
        let judgement = snapshot.judge(&self.pods[name]);
        let nodes = snapshot.nodes();
        let verdicts: Vec<(String, Verdict)> =
            nodes.iter().map(|n| (n.name().to_string(), judgement.of(Offered::Named(n.name().as_str())))).collect();
        let fits: Vec<String> =
            verdicts.iter().filter(|(_, v)| v.rank().is_some()).map(|(name, _)| name.clone()).collect();
        match (fits.is_empty(), &verdicts[0].1) {
            (true, Verdict::No(refusal)) => Err(refusal.text.to_string()),
            _ => Ok(fits),
        }
    }

    fn place(&mut self, name: &str) -> String {
        match self.filter(name) {
            Ok(nodes) if nodes.len() == 1 => nodes[0].clone(),
            other => panic!("pod {name} has no single place: {other:?}"),
        }
    }

    fn arrive(&mut self, name: &str) -> Arrival {
        let node = NodeName::from(self.place(name).as_str());
        self.engine.arrive(&self.pods[name].clone(), &node, self.now_ms)
    }

    /// Binds a pod that may be bound, and shows it bound.
    fn bind(&mut self, name: &str) {
        let node = NodeName::from(self.place(name).as_str());
        let pod = self.pods[name].clone();
        let until = self.now_ms + 60_000;
        self.engine.assume(&pod, &node, until).expect("its place is kept");
        self.engine.commit(&pod.uid);
        self.set(Pod { stage: Stage::Bound(node), ..pod });
    }

    fn bind_all(&mut self, names: &[&str]) {
        for name in names {
            self.arrive(name);
        }
        for name in names {
            assert_eq!(self.arrive(name), Arrival::Go, "{name}");
            self.bind(name);
        }
    }

    fn gpus_in_use(&self) -> i64 {
        self.engine.cluster().slots().iter().flatten().map(|state| state.used().get("nvidia.com/gpu")).sum()
    }

    fn news(&mut self) -> Vec<(NewsKind, String)> {
        self.engine.take_news().into_iter().map(|news| (news.kind, news.text.to_string())).collect()
    }
}

fn of(size: u32) -> Terms {
    Terms { min_member: Some(size), ..Terms::default() }
}

/// A member that asks for a whole node.
fn member(name: &str, gang: &str, index: u32, terms: Terms) -> PodBuilder {
    pod(name).gpus(8).member_of(gang, "", index, terms)
}

fn gang(world: &mut World, gang: &str, size: u32) -> Vec<String> {
    let names: Vec<String> = (0..size).map(|index| format!("{gang}-{index}")).collect();
    for (index, name) in (0..).zip(&names) {
        world.set(member(name, gang, index, of(size)).build());
    }
    names
}

#[test]
fn nobody_is_placed_before_all_are_there() {
    let mut world = World::new(4);
    world.set(member("g-0", "g", 0, of(3)).build());
    world.set(member("g-1", "g", 1, of(3)).build());
    assert_eq!(world.plan(), 0);
    assert_eq!(world.filter("g-0"), Err("gang default/g: 1 of 3 members exist".into()), "a number may lag");
    world.wait(TEXT_STAYS_MS);
    assert_eq!(world.filter("g-0"), Err("gang default/g: 2 of 3 members exist".into()));
    assert_eq!(world.gpus_in_use(), 0, "who waits holds nothing");
    world.set(member("g-2", "g", 2, of(3)).build());
    assert_eq!(world.plan(), 1);
    let places: BTreeSet<String> = ["g-0", "g-1", "g-2"].into_iter().map(|name| world.place(name)).collect();
    assert_eq!(places.len(), 3);
    assert_eq!(world.gpus_in_use(), 24, "the ledger shows the plan to everybody");
}

#[test]
fn of_two_gangs_that_do_not_fit_together_one_waits_whole() {
    let mut world = World::new(5);
    for index in 0..3 {
        for name in ["a", "b"] {
            world.set(member(&format!("{name}-{index}"), name, index, of(3)).build());
        }
    }
    assert_eq!(world.plan(), 2);
    world.bind_all(&["a-0", "a-1", "a-2"]);
    for index in 0..3 {
        assert!(world.filter(&format!("b-{index}")).is_err());
    }
    assert_eq!(world.plan(), 0, "nothing has become free");
    for index in 0..3 {
        world.delete(&format!("a-{index}"));
    }
    assert_eq!(world.plan(), 1);
    world.bind_all(&["b-0", "b-1", "b-2"]);
    assert_eq!(world.gpus_in_use(), 24);
}

#[test]
fn a_member_waits_at_bind_for_the_others() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    let Arrival::Wait(batch) = world.arrive("g-0") else { panic!("g-1 is not there") };
    let uid = world.pods["g-0"].uid.clone();
    assert_eq!(world.engine.may_pass(&uid, &batch), Arrival::Wait(Arc::clone(&batch)));
    let version = world.engine.gang_version();
    assert_eq!(world.arrive("g-1"), Arrival::Go);
    assert!(world.engine.gang_version() > version, "who waits is told");
    assert_eq!(world.engine.may_pass(&uid, &batch), Arrival::Go);
    let elsewhere = world.engine.arrive(&world.pods["g-0"].clone(), &"n9".into(), world.now_ms);
    assert!(matches!(elsewhere, Arrival::No(why) if why.contains("not n9")));
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
    assert!(matches!(world.engine.may_pass(&uid, &batch), Arrival::No(_)));
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
    for outage in [
        "failed filter with extender at URL https://testudo:8888/v1/filter, code 503",
        "Post \"https://testudo:8888/v1/filter\": dial tcp 10.0.0.7:8888: connect: connection refused",
    ] {
        world.set(says(&world, outage));
        assert_eq!(world.engine.orders(world.now_ms), [], "we did not answer, which says nothing of the place");
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
fn a_plan_that_is_not_used_in_time_is_given_up() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    world.wait(GangPolicy::default().bind_window_ms);
    assert_eq!(world.gpus_in_use(), 0);
    assert!(world.filter("g-0").is_err());
}

#[test]
fn a_member_that_goes_away_takes_the_plan_with_it() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    world.delete("g-1");
    assert_eq!(world.gpus_in_use(), 0);
    assert_eq!(world.filter("g-0"), Err("gang default/g: 1 of 2 members exist".into()));
    world.delete("g-0");
    assert!(world.engine.gangs.kept.is_empty() && world.engine.gangs.gang_of.is_empty());
}

#[test]
fn one_that_takes_the_place_of_another_joins_the_others() {
    let mut world = World::new(3);
    gang(&mut world, "g", 2);
    world.plan();
    world.bind_all(&["g-0", "g-1"]);
    world.delete("g-1");
    world.set(member("g-1b", "g", 1, of(2)).build());
    assert_eq!(world.plan(), 1);
    assert_eq!(world.arrive("g-1b"), Arrival::Go, "the others run already");
    world.bind("g-1b");
    assert_eq!(world.gpus_in_use(), 16);
}

#[test]
fn members_beyond_what_must_start_at_once_start_when_there_is_room() {
    let mut world = World::new(3);
    for index in 0..4 {
        world.set(member(&format!("g-{index}"), "g", index, of(2)).build());
    }
    assert_eq!(world.plan(), 1);
    assert!(world.filter("g-2").is_err(), "first those that must");
    world.bind_all(&["g-0", "g-1"]);
    world.plan();
    assert_eq!(world.arrive("g-2"), Arrival::Go);
    world.bind("g-2");
    assert!(world.filter("g-3").is_err(), "no room");
    assert_eq!(world.gpus_in_use(), 24);
}

#[test]
fn places_are_kept_for_members_yet_to_be_made() {
    let mut world = World::new(3);
    let staged = |name: &str, index: u32| {
        let mut pod = member(name, "g", index, Terms { total: Some(3), ..Terms::default() }).build();
        pod.membership = pod.membership.map(|m| Arc::new(Membership { staged: true, ..(*m).clone() }));
        pod
    };
    world.set(staged("leader", 0));
    assert_eq!(world.plan(), 1);
    assert_eq!(world.gpus_in_use(), 24, "also for the workers");
    world.bind_all(&["leader"]);
    world.set(pod("other").gpus(1).build());
    assert!(world.filter("other").is_err(), "their places are taken");
    for (name, index) in [("w1", 1), ("w2", 2)] {
        world.wait(GangPolicy::default().bind_window_ms);
        world.set(staged(name, index));
        world.wait(1);
        assert_eq!(world.plan(), 0, "they have places");
        world.bind_all(&[name]);
    }
    assert_eq!(world.gpus_in_use(), 24);
    for name in ["w1", "w2"] {
        world.delete(name);
    }
    world.set(staged("w1", 1));
    world.plan();
    world.wait(GangPolicy::default().hold_timeout_ms);
    assert_eq!(world.gpus_in_use(), 8, "neither came: nothing is kept any more");
}

#[test]
fn each_role_has_what_it_needs() {
    let mut world = World::new(4);
    let need = |min| RoleTerms { min_member: Some(min), ..RoleTerms::default() };
    let roles = BTreeMap::from([("decode".into(), need(2)), ("prefill".into(), need(1))]);
    let terms = Terms { roles, ..Terms::default() };
    let of_role = |name: &str, role: &str, index| pod(name).gpus(8).member_of("g", role, index, terms.clone()).build();
    for index in 0..3 {
        world.set(of_role(&format!("d{index}"), "decode", index));
    }
    assert_eq!(world.filter("d0"), Err("gang default/g: 0 of 1 members exist in role prefill".into()));
    world.set(of_role("p0", "prefill", 0));
    assert_eq!(world.plan(), 1);
    let placed = ["d0", "d1", "d2", "p0"].into_iter().filter(|name| world.filter(name).is_ok()).count();
    assert_eq!(placed, 3);
    world.place("p0");
}

#[test]
fn a_new_leader_takes_up_the_promises_of_the_last() {
    let promised = |name: &str, index, node: &str, until_s| {
        let mut pod = member(name, "g", index, of(2)).build();
        pod.steering.promise = Some(Promise { plan: "7-1".into(), node: node.into(), until_s });
        pod
    };
    let mut world = World::new(3);
    for pod in [promised("g-0", 0, "n2", 1_010), promised("g-1", 1, "n1", 1_010)] {
        world.engine.apply(Change::PodApplied(Box::new(pod.clone())), world.now_ms);
        world.pods.insert(pod.key.name.clone(), pod);
    }
    world.engine.keep_gangs(world.now_ms);
    assert_eq!((world.place("g-0"), world.place("g-1")), ("n2".into(), "n1".into()));
    assert_eq!(world.plan(), 0);

    let mut world = World::new(3);
    for pod in [promised("g-0", 0, "n2", 1_010), promised("g-1", 1, "n1", 999)] {
        world.engine.apply(Change::PodApplied(Box::new(pod.clone())), world.now_ms);
        world.pods.insert(pod.key.name.clone(), pod);
    }
    world.engine.keep_gangs(world.now_ms);
    assert_eq!(world.gpus_in_use(), 0, "one promise has run out: all are planned anew");
    assert_eq!(world.plan(), 1);
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
fn a_node_that_changes_under_a_plan_ends_it() {
    let mut world = World::new(3);
    gang(&mut world, "g", 2);
    world.plan();
    let place = world.place("g-0");
    let gpus = node(&place).instance("p5.48xlarge").product("NVIDIA-H100-80GB-HBM3").has("nvidia.com/gpu", 8);
    world.apply(Change::NodeApplied(Box::new(gpus.cordoned().build())));
    assert_eq!(world.gpus_in_use(), 0);
    world.wait(1_000);
    assert_eq!(world.plan(), 1);
    assert_ne!(world.place("g-0"), place);
}

#[test]
fn a_single_pod_that_was_faster_makes_the_plan_void() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    let task = world.engine.next_plan(world.now_ms).expect("a gang to plan");
    world.set(pod("other").gpus(1).on("n1").build());
    world.engine.adopt(task.solve(), world.now_ms);
    assert_eq!(world.gpus_in_use(), 1, "all or nothing");
    assert_eq!(world.plan(), 1, "a no this time");
    assert!(world.filter("g-0").is_err());
}

fn important(pod: Pod, priority: i32) -> Pod {
    Pod { priority, ..pod }
}

fn preempting(nodes: usize) -> World {
    let mut world = World::new(nodes);
    let gangs = GangPolicy { preempting: BTreeSet::from(["default".into()]), ..GangPolicy::default() };
    world.engine.policy = Arc::new(Policy { gangs, ..Policy::default() });
    world
}

/// The pods whose eviction is asked for, by name.
fn evicted(world: &mut World) -> Vec<String> {
    let orders = world.engine.orders(world.now_ms);
    let evicted = orders.into_iter().filter_map(|order| match order {
        Order::Evict { pod, .. } => Some(pod.key.name.clone()),
        Order::Steer { .. } | Order::Withdraw { .. } | Order::Wake { .. } => None,
    });
    let mut names: Vec<String> = evicted.collect();
    names.sort();
    names
}

#[test]
fn a_plan_gives_way_to_a_gang_of_higher_priority() {
    let mut world = World::new(3);
    gang(&mut world, "low", 2);
    world.plan();
    for index in 0..2 {
        world.set(important(member(&format!("high-{index}"), "high", index, of(2)).build(), 10));
    }
    world.plan();
    world.bind_all(&["high-0", "high-1"]);
    assert!(world.filter("low-0").is_err());
    assert_eq!(world.gpus_in_use(), 16);
}

#[test]
fn nobody_is_evicted_where_the_policy_does_not_say_so() {
    let mut world = World::new(1);
    world.set(pod("low").gpus(8).on("n0").build());
    for index in 0..2 {
        let half = pod(&format!("g-{index}")).gpus(4).member_of("g", "", index, of(2));
        world.set(important(half.build(), 10));
    }
    world.plan();
    assert!(evicted(&mut world).is_empty());
    assert!(world.filter("g-0").is_err());
}

#[test]
fn the_fewest_and_least_important_make_way() {
    let mut world = preempting(3);
    world.set(important(pod("a").gpus(4).on("n0").build(), 1));
    world.set(important(pod("b").gpus(4).on("n0").build(), 1));
    world.set(important(pod("c").gpus(8).on("n1").build(), 1));
    world.set(important(pod("d").gpus(8).on("n2").build(), 5));
    for index in 0..2 {
        world.set(important(member(&format!("g-{index}"), "g", index, of(2)).build(), 10));
    }
    world.plan();
    assert_eq!(evicted(&mut world), ["a", "b", "c"], "d is more important");
    assert!(evicted(&mut world).is_empty(), "asked once");
    world.set(important(pod("other").gpus(1).build(), 20));
    assert!(world.filter("other").is_err(), "what they leave is kept for the gang");
    for name in ["a", "b", "c"] {
        assert!(world.filter("g-0").is_err(), "not before all have gone");
        world.delete(name);
    }
    world.bind_all(&["g-0", "g-1"]);
    assert_eq!(world.gpus_in_use(), 24);
}

#[test]
fn a_gang_is_evicted_as_a_whole_or_not_at_all() {
    let mut world = preempting(3);
    gang(&mut world, "low", 2);
    world.plan();
    world.bind_all(&["low-0", "low-1"]);
    world.set(important(pod("single").gpus(8).on("n2").build(), 0));
    for index in 0..2 {
        world.set(important(pod(&format!("g-{index}")).gpus(4).member_of("g", "", index, of(2)).build(), 10));
    }
    world.plan();
    assert_eq!(evicted(&mut world), ["single"], "one pod is less than a gang");
    world.delete("single");
    world.bind_all(&["g-0", "g-1"]);
    for index in 0..2 {
        world.set(important(pod(&format!("h-{index}")).gpus(4).member_of("h", "", index, of(2)).build(), 10));
    }
    world.plan();
    assert_eq!(evicted(&mut world), ["low-0", "low-1"], "also the one that is not in the way");
}

#[test]
fn a_gang_that_does_not_fit_evicts_nobody() {
    let mut world = preempting(2);
    world.set(important(pod("low").gpus(8).on("n0").build(), 1));
    world.set(important(pod("high").gpus(8).on("n1").build(), 50));
    for index in 0..2 {
        world.set(important(member(&format!("g-{index}"), "g", index, of(2)).build(), 10));
    }
    world.plan();
    assert!(evicted(&mut world).is_empty());
    let mut modest = important(member("m-0", "m", 0, of(2)).build(), 10);
    modest.preempts = false;
    world.delete("g-0");
    world.delete("g-1");
    world.delete("high");
    world.set(modest);
    world.set(important(member("m-1", "m", 1, of(2)).build(), 10));
    world.plan();
    assert!(evicted(&mut world).is_empty(), "preemptionPolicy: Never");
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
    assert!(matches!(&woken[..], [Order::Wake { pod }] if pod.key.name == "g-0"), "{woken:?}");
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
fn the_next_members_of_one_that_has_gone_are_held_again() {
    let mut world = World::new(2);
    gang(&mut world, "g", 2);
    world.plan();
    world.bind_all(&["g-0", "g-1"]);
    for index in 0..2 {
        let leaving = Pod { leaving: true, ..world.pods[&format!("g-{index}")].clone() };
        world.set(leaving);
    }
    let next = member("next", "g", 0, of(2)).build();
    world.pods.insert("next".into(), next);
    assert_eq!(
        world.filter("next"),
        Err("gang default/g: not seen by testudo yet".into()),
        "the watch has not shown it"
    );
}

#[test]
fn what_no_member_would_fit_on_is_no_reason_to_plan_again() {
    let mut world = World::new(2);
    for (name, node) in [("a", "n0"), ("b", "n0"), ("c", "n1")] {
        world.set(pod(name).gpus(4).on(node).build());
    }
    gang(&mut world, "g", 2);
    assert_eq!(world.plan(), 1);
    world.delete("a");
    assert_eq!(world.plan(), 0, "n0 is half free only");
    world.delete("b");
    assert_eq!(world.plan(), 1, "n0 takes one");
    world.delete("c");
    assert_eq!(world.plan(), 1);
    world.place("g-0");
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
