//! Claims through the engine, step by step.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::claims::testing::{ask, class, device, request, slice};
use crate::claims::{Allocation, Claim, DeviceId, HoldingKind, NodeSelector, Request, SeenAllocation, Wish};
use crate::engine::{Arrival, Change, ClaimPolicy, Engine, GangPolicy, Offered, Order, Policy};
use crate::model::gang::Terms;
use crate::model::pod::{Gate, PodClaim, Promise, Stage, Steering};
use crate::model::taint::Effect;
use crate::testing::{self, PodBuilder, node};

/// An engine whose nodes have so many devices each, a cluster that shows what is written, and a clock.
pub(super) struct World {
    pub engine: Engine,
    pub now_ms: u64,
    version: u64,
    pub pods: BTreeMap<String, Pod>,
    pub claims: BTreeMap<String, SeenClaim>,
}

impl World {
    pub fn new(nodes: &[(&str, usize)]) -> Self {
        Self::asked_by(&[], nodes)
    }

    /// Asked by these schedulers only, or by all if none.
    pub fn asked_by(schedulers: &[&str], nodes: &[(&str, usize)]) -> Self {
        let classes = BTreeSet::from(["any".to_owned()]);
        let claims = ClaimPolicy { classes, ..ClaimPolicy::default() };
        let schedulers = schedulers.iter().map(ToString::to_string).collect();
        let gangs = GangPolicy { schedulers, ..GangPolicy::default() };
        let policy = Policy { claims, gangs, ..Policy::default() };
        let mut world = Self {
            engine: Engine::new(policy),
            now_ms: 1_000_000,
            version: 0,
            pods: BTreeMap::new(),
            claims: BTreeMap::new(),
        };
        world.apply(Change::ClassApplied(Box::new(class("any", None))));
        nodes.iter().for_each(|(name, devices)| world.add(name, *devices));
        world
    }

    /// One more node, with so many devices.
    pub fn add(&mut self, name: &str, devices: usize) {
        self.apply(Change::NodeApplied(Box::new(node(name).build())));
        let devices = (0..devices).map(|at| device(&format!("gpu-{at}"))).collect();
        self.apply(Change::SliceApplied(Arc::new(slice(name, devices))));
    }

    pub fn apply(&mut self, change: Change) {
        self.engine.apply(change, self.now_ms);
        self.engine.keep_gangs(self.now_ms);
    }

    pub fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.engine.tick(self.now_ms);
        self.engine.keep_gangs(self.now_ms);
    }

    pub fn set(&mut self, pod: Pod) {
        self.pods.insert(pod.key.name.clone(), pod.clone());
        self.apply(Change::PodApplied(Box::new(pod)));
    }

    /// Shows a claim as a new version.
    pub fn show(&mut self, name: &str, change: impl FnOnce(&mut SeenClaim)) {
        self.version += 1;
        let seen = self.claims.get_mut(name).expect("a claim of this name");
        change(seen);
        seen.version = self.version;
        let seen = seen.clone();
        self.apply(Change::ClaimApplied(Box::new(seen)));
    }

    /// A claim for so many devices of which an expression is true.
    pub fn claim_like(&mut self, name: &str, expression: &str, devices: u64) {
        let ask = ask("any", devices).selected(expression);
        self.show_new(crate::claims::testing::claim(name, vec![request("r", ask)]));
    }

    /// A claim with one wish.
    pub fn claim_wishing(&mut self, name: &str, wish: Wish) {
        self.show_new(crate::claims::testing::claim(name, vec![Request { name: "r".into(), wish }]));
    }

    /// A claim for so many devices.
    pub fn claim(&mut self, name: &str, devices: u64) {
        let claim = crate::claims::testing::claim(name, vec![request("r", ask("any", devices))]);
        self.show_new(claim);
    }

    fn show_new(&mut self, claim: Claim) {
        let name = claim.key.name.to_string();
        let seen = SeenClaim {
            claim: Arc::new(claim),
            version: 0,
            allocation: None,
            is_reserved: false,
            leaving: false,
            made_for: None,
            is_of_group: false,
        };
        self.claims.insert(name.clone(), seen);
        self.show(&name, |_| {});
    }

    /// A claim that was given these devices, by us or by another.
    pub fn give(&mut self, name: &str, node: &str, devices: &[&str], is_ours: bool) {
        let pool = PoolId { driver: "d".into(), name: node.into() };
        let holding = |name: &&str| Holding {
            device: DeviceId { pool: pool.clone(), name: (*name).into() },
            kind: HoldingKind::Exclusive,
        };
        let holdings = devices.iter().map(holding).collect();
        let nodes = Some(NodeSelector::of_node(node));
        self.show(name, |seen| seen.allocation = Some(SeenAllocation { holdings, nodes, is_ours }));
    }

    pub fn plan(&mut self) -> usize {
        let mut count = 0;
        while let Some(task) = self.engine.next_plan(self.now_ms) {
            self.engine.adopt(task.solve(), self.now_ms);
            count += 1;
            assert!(count < 100, "planning does not come to an end");
        }
        count
    }

    fn orders(&mut self) -> Vec<Order> {
        self.engine.orders(self.now_ms)
    }

    /// The orders about claims.
    pub fn claim_orders(&mut self) -> Vec<ClaimOrder> {
        let of_claim = |order| match order {
            Order::Claim(order) => Some(order),
            _ => None,
        };
        self.orders().into_iter().filter_map(of_claim).collect()
    }

    /// Who is pointed to which node.
    pub fn steered(&mut self) -> Vec<(String, String)> {
        let steered = |order| match order {
            Order::Steer { pod, promise, .. } => Some((pod.key.name.clone(), promise.node.to_string())),
            _ => None,
        };
        self.orders().into_iter().filter_map(steered).collect()
    }

    fn conclude(&mut self, order: &ClaimOrder, outcome: ClaimOutcome) {
        let (ClaimOrder::Allocate { claim, uid, .. } | ClaimOrder::Release { claim, uid, .. }) = order;
        self.engine.conclude(claim, uid, outcome, self.now_ms);
        self.engine.keep_gangs(self.now_ms);
    }

    /// Carries out an order as the API server would, but for showing it.
    fn accept(&mut self, order: &ClaimOrder) {
        self.version += 1;
        let outcome = match order {
            ClaimOrder::Allocate { .. } => ClaimOutcome::Allocated { version: self.version },
            ClaimOrder::Release { claim, .. } => {
                let seen = SeenClaim { allocation: None, version: self.version, ..self.claims[&*claim.name].clone() };
                ClaimOutcome::Released { seen: Some(Box::new(seen)) }
            }
        };
        self.conclude(order, outcome);
    }

    /// Carries out an order, and shows what came of it.
    pub fn carry_out(&mut self, order: &ClaimOrder) {
        self.accept(order);
        match order {
            ClaimOrder::Allocate { claim, allocation, .. } => self.show_given(&claim.name, allocation),
            ClaimOrder::Release { claim, .. } => self.show(&claim.name, |seen| seen.allocation = None),
        }
    }

    fn show_given(&mut self, claim: &str, allocation: &Allocation) {
        let nodes = allocation.nodes.clone().map(|term| NodeSelector::new(vec![term]));
        let holdings = allocation.holdings().collect();
        self.show(claim, |seen| seen.allocation = Some(SeenAllocation { holdings, nodes, is_ours: true }));
    }

    /// Where filter lets a pod go of all nodes, or what it says.
    pub fn filter(&mut self, name: &str) -> Result<Vec<String>, String> {
        let nodes: Vec<String> =
            self.engine.snapshot().nodes().into_iter().map(|state| state.name().to_string()).collect();
        self.filter_of(name, &nodes)
    }

    /// Where filter lets a pod go of these nodes, or what it says.
    fn filter_of<N: AsRef<str>>(&mut self, name: &str, offer: &[N]) -> Result<Vec<String>, String> {
        let snapshot = self.engine.snapshot();
        let pod = snapshot.as_planned(self.pods[name].clone());
        if let Some(why) = snapshot.unsettled(&pod, offer.iter().map(AsRef::as_ref)) {
            return Err(format!("in a moment: {why}"));
        }
        let judgement = snapshot.judge(&pod);
        let mut why = String::new();
        let mut nodes = vec![];
        for name in offer.iter().map(AsRef::as_ref) {
            match judgement.of(Offered::Named(name)) {
                crate::engine::Verdict::Fits(_) => nodes.push(name.to_owned()),
                crate::engine::Verdict::No(refusal) => why = refusal.text.to_string(),
            }
        }
        if nodes.is_empty() { Err(why) } else { Ok(nodes) }
    }

    /// A pod that may be bound is, and its claims are reserved for it.
    pub fn bind(&mut self, name: &str, node: &str) {
        let snapshot = self.engine.snapshot();
        let pod = snapshot.as_planned(self.pods[name].clone());
        let node = NodeName::from(node);
        assert_eq!(self.engine.arrive(&pod, &node, self.now_ms), Arrival::Go, "{name}");
        self.engine.assume(&pod, &node, self.now_ms + 60_000).expect("its place is kept");
        self.engine.commit(&pod.uid);
        for claim in &pod.claims {
            self.show(claim.name.as_ref().expect("a name"), |seen| seen.is_reserved = true);
        }
        self.set(Pod { stage: Stage::Bound(node), ..self.pods[name].clone() });
    }

    pub fn news(&mut self) -> Vec<(ClaimNewsKind, String)> {
        self.engine.take_claim_news().into_iter().map(|news| (news.kind, news.claim.name.to_string())).collect()
    }
}

pub(super) fn pod(name: &str, claims: &[&str]) -> Pod {
    using(testing::pod(name), claims)
}

fn using(pod: PodBuilder, claims: &[&str]) -> Pod {
    let claim = |name: &&str| PodClaim { alias: (*name).into(), name: Some((*name).into()), from_template: false };
    Pod { claims: claims.iter().map(claim).collect(), ..pod.build() }
}

pub(super) fn member(name: &str, gang: &str, index: u32, size: u32, claims: &[&str]) -> Pod {
    let terms = Terms { min_member: Some(size), ..Terms::default() };
    using(testing::pod(name).member_of(gang, "", index, terms), claims)
}

/// A gang of two, each with a claim for a device, and a node with so many.
pub(super) fn gang_of_two(devices: usize) -> World {
    let mut world = World::new(&[("a", devices)]);
    for at in 0..2 {
        world.claim(&format!("c{at}"), 1);
        world.set(member(&format!("g-{at}"), "g", at, 2, &[&format!("c{at}")]));
    }
    world
}

/// Of such a gang `g-0` runs with the first device, and `g-1` came to bind with it, with the second.
pub(super) fn one_of_two_runs(devices: usize) -> World {
    let mut world = gang_of_two(devices);
    world.plan();
    let orders = world.claim_orders();
    assert_eq!(orders.iter().flat_map(devices_of).collect::<Vec<_>>(), ["a/gpu-0", "a/gpu-1"]);
    orders.iter().for_each(|order| world.carry_out(order));
    let late = world.engine.snapshot().as_planned(world.pods["g-1"].clone());
    world.engine.arrive(&late, &NodeName::from("a"), world.now_ms);
    world.bind("g-0", "a");
    world
}

pub(super) fn devices_of(order: &ClaimOrder) -> Vec<String> {
    let ClaimOrder::Allocate { allocation, .. } = order else { panic!("no allocation: {order:?}") };
    allocation.devices.iter().map(|device| format!("{}/{}", device.device.pool.name, device.device.name)).collect()
}

#[test]
fn a_pod_waits_for_its_devices_and_then_goes_where_they_are() {
    let mut world = World::new(&[("a", 2), ("b", 4)]);
    world.set(pod("p", &["c"]));
    assert_eq!(world.filter("p"), Err("claims of pod default/p: claim default/c does not exist".into()));
    world.claim("c", 4);
    world.wait(10_000);
    assert_eq!(world.plan(), 1);
    assert!(world.filter("p").is_err(), "its claim has no devices yet");
    let orders = world.claim_orders();
    assert_eq!(orders.len(), 1);
    assert_eq!(devices_of(&orders[0]), ["b/gpu-0", "b/gpu-1", "b/gpu-2", "b/gpu-3"]);
    let in_a_moment = |answer: Result<Vec<String>, String>| answer.is_err_and(|why| why.starts_with("in a moment"));
    assert!(in_a_moment(world.filter_of("p", &["b"])), "the cluster may show them already");
    assert!(!in_a_moment(world.filter("p")), "who is offered node a has not seen them");
    assert!(world.steered().is_empty(), "nobody is pointed to a place without devices");
    world.accept(&orders[0]);
    assert_eq!(world.filter("p"), Ok(vec!["b".into()]), "what the API server took counts before it is shown");
    assert_eq!(world.steered(), [("p".into(), "b".into())]);
    let ClaimOrder::Allocate { allocation, .. } = &orders[0] else { panic!() };
    world.show_given("c", allocation);
    world.bind("p", "b");
    world.wait(1_000_000);
    assert_eq!(world.claim_orders(), [], "what is in use is not taken back");
    assert!(world.engine.gangs.claims.plans.is_empty());
}

#[test]
fn a_gated_pod_shows_its_place_while_its_devices_are_written() {
    let mut world = World::new(&[("a", 1)]);
    world.claim("c", 1);
    let steering = Steering { gate: Gate::Ours, ..Steering::default() };
    world.set(Pod { steering: steering.clone(), ..pod("p", &["c"]) });
    world.plan();
    let orders = world.orders();
    let [Order::Nominate { pod, promise }, Order::Claim(order)] = &orders[..] else { panic!("{orders:?}") };
    assert_eq!((&*pod.key.name, promise.node.as_str()), ("p", "a"));
    let (promise, nominated) = (Some(promise.clone()), Some(promise.node.clone()));
    world.set(Pod { steering: Steering { promise, nominated, ..steering }, ..world.pods["p"].clone() });
    assert_eq!(world.orders(), [], "once, and the gate stays");
    world.conclude(order, ClaimOutcome::Refused { why: "no".into(), seen: None });
    let orders = world.orders();
    assert!(matches!(&orders[..], [Order::Withdraw { .. }]), "the place is no place any more: {orders:?}");
    world.wait(5_000);
    world.plan();
    let order = world.claim_orders().remove(0);
    world.carry_out(&order);
    assert_eq!(world.steered(), [("p".into(), "a".into())]);
}

#[test]
fn whose_claim_leaves_shows_no_place_though_the_claim_has_devices() {
    let mut world = World::new(&[("a", 1)]);
    world.claim("c", 1);
    world.give("c", "a", &["gpu-0"], true);
    let promise = Promise { plan: "earlier".into(), node: "a".into(), until_s: 0 };
    let steering = Steering { promise: Some(promise), ..Steering::default() };
    world.set(Pod { steering, ..pod("p", &["c"]) });
    world.show("c", |seen| seen.leaving = true);
    world.wait(10_000);
    world.plan();
    assert_eq!(world.filter("p"), Err("claims of pod default/p: claim default/c is being deleted".into()));
    let orders = world.orders();
    assert!(orders.iter().any(|order| matches!(order, Order::Withdraw { .. })), "{orders:?}");
}

#[test]
fn devices_that_are_being_given_are_not_given_to_others() {
    let mut world = World::new(&[("a", 1)]);
    world.claim("c", 1);
    world.claim("d", 1);
    world.set(pod("p", &["c"]));
    world.plan();
    world.set(pod("q", &["d"]));
    world.plan();
    let orders = world.claim_orders();
    assert_eq!(orders.len(), 1);
    world.conclude(&orders[0], ClaimOutcome::Unknown);
    world.plan();
    assert!(world.filter("q").is_err_and(|why| why.contains("no node has free devices")));
    world.wait(5_000);
    assert_eq!(world.claim_orders().len(), 1, "it is tried again");
    world.conclude(&orders[0], ClaimOutcome::Refused { why: "no".into(), seen: None });
    world.apply(Change::PodDeleted(world.pods["p"].uid.clone()));
    world.wait(5_000);
    world.plan();
    let orders = world.claim_orders();
    assert_eq!(orders.iter().map(devices_of).collect::<Vec<_>>(), [["a/gpu-0"]]);
    assert!(matches!(&orders[0], ClaimOrder::Allocate { claim, .. } if &*claim.name == "d"));
}

#[test]
fn a_gang_gets_the_devices_of_all_its_members_or_none() {
    let mut world = World::new(&[("a", 4), ("b", 4)]);
    for at in 0..5 {
        world.claim(&format!("c{at}"), 2);
    }
    for at in 0..5 {
        world.set(member(&format!("g-{at}"), "g", at, 5, &[&format!("c{at}")]));
    }
    world.plan();
    assert_eq!(world.claim_orders(), [], "four of five would fit");
    world.apply(Change::NodeApplied(Box::new(node("c").build())));
    world.apply(Change::SliceApplied(Arc::new(slice("c", vec![device("gpu-0"), device("gpu-1")]))));
    world.plan();
    let orders = world.claim_orders();
    let mut devices: Vec<String> = orders.iter().flat_map(devices_of).collect();
    devices.sort();
    devices.dedup();
    assert_eq!((orders.len(), devices.len()), (5, 10), "each device once");
    orders[..4].iter().for_each(|order| world.carry_out(order));
    assert!(world.steered().is_empty(), "not before all have their devices");
    world.carry_out(&orders[4]);
    assert_eq!(world.steered().len(), 5);
}

#[test]
fn members_of_several_roles_that_ask_for_the_same_share_a_node() {
    let mut world = World::new(&[("a", 2)]);
    let terms = Terms { min_member: Some(2), ..Terms::default() };
    for (name, role) in [("head", "head"), ("worker", "worker")] {
        world.claim(name, 1);
        world.set(using(testing::pod(name).member_of("g", role, 0, terms.clone()), &[name]));
    }
    assert_eq!(world.plan(), 1);
    assert_eq!(world.claim_orders().len(), 2);
}

/// A gang of one that asks for 2 devices and one that asks for 4, planned on two nodes with 4 each; this one can be on the first only.
fn few_and_many(bound: &str) -> World {
    let mut world = World::new(&[("a", 4), ("b", 4)]);
    world.apply(Change::NodeApplied(Box::new(node("a").label("rack", "1").build())));
    let terms = Terms { min_member: Some(2), ..Terms::default() };
    for (name, devices) in [("few", 2), ("many", 4)] {
        let member = testing::pod(name).member_of("g", name, 0, terms.clone());
        let member = if name == bound { member.selects("rack", "1") } else { member };
        world.claim(name, devices);
        world.set(using(member, &[name]));
    }
    world.plan();
    world
}

#[test]
fn who_asks_for_few_devices_makes_room_for_who_asks_for_many() {
    let mut world = few_and_many("many");
    let given: BTreeSet<String> = world.claim_orders().iter().flat_map(devices_of).collect();
    assert_eq!(given.len(), 6, "though either would be first on the first node: {given:?}");
}

#[test]
fn who_asks_for_many_devices_makes_room_for_who_has_no_other_node() {
    assert_eq!(few_and_many("few").claim_orders().len(), 2);
}

#[test]
fn a_member_beyond_those_that_must_start_gets_devices_when_they_come_free() {
    let mut world = World::new(&[("a", 3)]);
    world.claim("theirs", 1);
    world.give("theirs", "a", &["gpu-0"], false);
    for at in 0..3 {
        world.claim(&format!("c{at}"), 1);
        world.set(member(&format!("g-{at}"), "g", at, 2, &[&format!("c{at}")]));
    }
    world.plan();
    world.claim_orders().iter().for_each(|order| world.carry_out(order));
    // Two at bind before one of them is bound.
    let (first, second) = (world.pods["g-0"].clone(), world.pods["g-1"].clone());
    world.engine.arrive(&first, &NodeName::from("a"), world.now_ms);
    world.engine.arrive(&second, &NodeName::from("a"), world.now_ms);
    world.bind("g-0", "a");
    world.bind("g-1", "a");
    world.wait(10_000);
    world.plan();
    assert_eq!(world.claim_orders(), [], "the third finds no devices");
    world.show("theirs", |seen| seen.allocation = None);
    world.plan();
    assert_eq!(world.claim_orders().iter().flat_map(devices_of).collect::<Vec<_>>(), ["a/gpu-0"]);
}

#[test]
fn an_allocation_that_vanishes_fails_the_plan_and_releases_its_siblings() {
    let mut world = World::new(&[("a", 4)]);
    for at in 0..2 {
        world.claim(&format!("c{at}"), 2);
    }
    for at in 0..2 {
        world.set(member(&format!("g-{at}"), "g", at, 2, &[&format!("c{at}")]));
    }
    world.plan();
    world.claim_orders().iter().for_each(|order| world.carry_out(order));
    world.show("c0", |seen| seen.allocation = None);
    assert!(world.filter("g-0").is_err());
    let orders = world.claim_orders();
    let released: Vec<_> = orders.iter().filter(|order| matches!(order, ClaimOrder::Release { .. })).collect();
    assert_eq!(released.len(), 2, "also an earlier write that may be under way: {orders:?}");
    orders.iter().for_each(|order| world.carry_out(order));
    world.wait(5_000);
    world.plan();
    assert_eq!(world.claim_orders().len(), 2, "planned anew");
}

#[test]
fn pods_show_that_a_device_was_given_twice_as_long_as_it_was() {
    let mut world = World::new(&[("a", 4)]);
    for name in ["ours", "theirs"] {
        world.claim(name, 1);
        world.set(pod(name, &[name]));
        world.give(name, "a", &["gpu-0"], false);
        world.show(name, |seen| seen.is_reserved = true);
    }
    let marks = |world: &mut World| -> Vec<(String, Option<Arc<str>>)> {
        let of_pod = |order| match order {
            Order::Mark(Mark { pod, conflict }) => Some((pod.key.name.clone(), conflict)),
            _ => None,
        };
        world.orders().into_iter().filter_map(of_pod).collect()
    };
    let text: Arc<str> = "device d/a/gpu-0 was given to claims default/ours and default/theirs".into();
    let both = ["ours", "theirs"].map(|name| (name.to_owned(), Some(Arc::clone(&text))));
    assert_eq!(marks(&mut world), both);
    assert_eq!(marks(&mut world), [], "written a moment ago");
    world.wait(GangPolicy::default().steer_again_ms);
    assert_eq!(marks(&mut world), both, "that write was lost");
    for (name, conflict) in both {
        let steering = Steering { conflict, ..Steering::default() };
        world.set(Pod { steering, ..pod(&name, &[&name]) });
    }
    assert_eq!(marks(&mut world), [], "they show it");
    world.show("theirs", |seen| seen.allocation = None);
    assert_eq!(marks(&mut world), ["ours", "theirs"].map(|name| (name.to_owned(), None)));
}

#[test]
fn single_pods_are_planned_no_further_ahead_than_they_are_bound() {
    let mut world = World::new(&[("a", 6)]);
    let gangs = GangPolicy { max_singles_ahead: 2, ..world.engine.policy.gangs.clone() };
    world.engine.policy = Arc::new(Policy { gangs, ..Policy::clone(&world.engine.policy) });
    for name in ["p", "q", "r"] {
        world.claim(name, 1);
        world.set(pod(name, &[name]));
    }
    world.plan();
    assert_eq!(world.claim_orders().len(), 2);
    let first = world.pods["p"].clone();
    world.set(Pod { stage: Stage::Bound("a".into()), ..first });
    world.plan();
    let orders = world.claim_orders();
    assert!(matches!(&orders[..], [ClaimOrder::Allocate { claim, .. }] if &*claim.name == "r"), "{orders:?}");
}

#[test]
fn pods_that_share_a_claim_go_to_one_node_and_it_is_allocated_once() {
    let mut world = World::new(&[("a", 2), ("b", 2)]);
    world.claim("shared", 2);
    for at in 0..2 {
        world.set(member(&format!("g-{at}"), "g", at, 2, &["shared"]));
    }
    world.plan();
    let orders = world.claim_orders();
    assert_eq!(orders.len(), 1);
    world.carry_out(&orders[0]);
    assert_eq!(world.steered(), [("g-0".into(), "a".into()), ("g-1".into(), "a".into())]);
}

#[test]
fn a_gang_with_a_channel_of_a_compute_domain_stays_in_one_clique() {
    let mut world = World::new(&[]);
    let channel = "compute-domain-default-channel.nvidia.com";
    world.apply(Change::ClassApplied(Box::new(class(channel, None))));
    for (name, clique) in [("a", "left"), ("b", "right"), ("c", "right")] {
        world.apply(Change::NodeApplied(Box::new(node(name).label("nvidia.com/gpu.clique", clique).build())));
        let devices = vec![device("gpu-0"), device("channel-0")];
        world.apply(Change::SliceApplied(Arc::new(slice(name, devices))));
    }
    for at in 0..2 {
        world.claim(&format!("c{at}"), 1);
        let claim = crate::claims::testing::claim(&format!("ch{at}"), vec![request("r", ask(channel, 1))]);
        world.show_new(claim);
        world.set(member(&format!("g-{at}"), "g", at, 2, &[&format!("c{at}"), &format!("ch{at}")]));
    }
    world.plan();
    let nodes: BTreeSet<String> = world.claim_orders().iter().flat_map(devices_of).collect();
    assert_eq!(nodes, ["b/gpu-0".to_owned(), "c/gpu-0".to_owned()].into(), "the first node has no other in its clique");
}

#[test]
fn a_node_whose_devices_only_claims_can_have_is_one_with_accelerators() {
    let mut world = World::new(&[]);
    world.apply(Change::NodeApplied(Box::new(node("cpu").build())));
    world.apply(Change::NodeApplied(Box::new(node("gpus").build())));
    let gpu = device("gpu-0").with_text("type", "gpu").with_text("productName", "NVIDIA L4");
    let mut published = slice("gpus", vec![gpu]);
    published.pool.driver = "gpu.nvidia.com".into();
    world.apply(Change::SliceApplied(Arc::new(published)));
    let snapshot = world.engine.snapshot();
    assert!(snapshot.has_accelerators("gpus") && !snapshot.has_accelerators("cpu"));
}

#[test]
fn claims_that_are_not_ours_are_left_alone() {
    let mut world = World::new(&[("a", 2)]);
    world.apply(Change::ClassApplied(Box::new(class("other", None))));
    world.show_new(crate::claims::testing::claim("c", vec![request("r", ask("other", 1))]));
    world.set(pod("p", &["c"]));
    assert_eq!(world.plan(), 0);
    assert_eq!(world.filter("p"), Ok(vec!["a".into()]));
}

#[path = "census_tests.rs"]
mod census;

#[path = "meanwhile_tests.rs"]
mod meanwhile;

#[path = "nodes_tests.rs"]
mod nodes;
