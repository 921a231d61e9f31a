//! Beside an autoscaler of nodes: what it is shown, what people are told, which nodes it is kept from.

use super::*;
use crate::engine::{AutoscalingPolicy, Lack, MissingNodes, PlacementPolicy, Quotas, Shortfall};
use crate::model::gang::{Strictness, TopologyLevel, TopologyRule};
use crate::model::node::Node;
use crate::model::quota::{Item, Quota};

const SHOW_AFTER_MS: u64 = 10_000;
const PROTECT_AFTER_MS: u64 = 2_000;

/// So many nodes of 8 GPUs, and an autoscaler.
fn world(nodes: usize) -> World {
    let mut world = World::new(nodes);
    let autoscaling = AutoscalingPolicy {
        show_after_ms: SHOW_AFTER_MS,
        protect_after_ms: PROTECT_AFTER_MS,
        ..AutoscalingPolicy::default()
    };
    world.engine.policy = Arc::new(Policy { autoscaling: Some(autoscaling), ..Policy::default() });
    world
}

fn gated(pod: Pod) -> Pod {
    Pod { steering: Steering { gate: Gate::Ours, ..Steering::default() }, ..pod }
}

impl World {
    /// A gang of which it is to be found out how many nodes would be enough.
    fn unassessed(&self) -> Option<GangKey> {
        self.engine.unassessed_shortfalls(self.now_ms).next().cloned()
    }

    /// What is lacking, found out as the host does it, once that has lasted.
    fn lack(&mut self) -> Option<Lack> {
        self.plan();
        self.wait(SHOW_AFTER_MS);
        self.plan();
        while let Some(gang) = self.unassessed() {
            self.engine.assess(&gang, Some(MissingNodes { group: "p5".into(), nodes: 2 }), self.now_ms);
        }
        self.wait(0);
        self.engine.gangs().next().expect("a gang").shortfall.map(|shortfall| shortfall.lack)
    }

    /// The pods of which the gate is to be opened, without a place.
    fn shown(&mut self) -> Vec<String> {
        let orders = self.engine.orders(self.now_ms);
        let shown = orders.iter().filter_map(|order| match order {
            Order::Show { pod } => Some(pod.key.name.clone()),
            _ => None,
        });
        shown.collect()
    }

    /// What is to be written on nodes: `+n0`, `-n0`.
    fn protections(&mut self) -> Vec<String> {
        let orders = self.engine.orders(self.now_ms);
        let protections = orders.iter().filter_map(|order| match order {
            Order::Protect { node, .. } => Some(format!("+{node}")),
            Order::Unprotect { node } => Some(format!("-{node}")),
            _ => None,
        });
        protections.collect()
    }

    fn show_node(&mut self, name: &str, is_protected: bool) {
        let state = self.engine.cluster().node(name).expect("a node of this name");
        let node = Node { is_protected, ..(**state.node().expect("it was seen")).clone() };
        self.apply(Change::NodeApplied(Box::new(node)));
    }
}

#[test]
fn a_gang_that_is_short_of_nodes_is_shown_whole_and_for_good() {
    let mut world = world(2);
    for index in 0..4 {
        world.set(gated(member(&format!("g-{index}"), "g", index, of(4)).build()));
    }
    world.plan();
    world.news();
    assert_eq!(world.shown(), [""; 0], "it may pass");
    assert_eq!(world.lack(), Some(Lack::Counted));
    let text = "short of nodes, its members are shown unschedulable: 2 more nodes of group p5 would be enough";
    assert_eq!(world.news(), [(NewsKind::ShortOfNodes, text.into())]);
    assert_eq!(world.shown(), ["g-0", "g-1", "g-2", "g-3"]);
    assert_eq!(world.shown(), [""; 0], "a moment ago");
    world.set(member("g-0", "g", 0, of(4)).build());
    world.wait(60_000);
    assert_eq!(world.shown(), ["g-1", "g-2", "g-3"], "the others do not show it yet");
    assert!(world.filter("g-0").is_err_and(|why| why.contains("needs 4 places")), "it is held as before");
    assert_eq!(world.news(), [], "told once");

    for at in 2..4 {
        let gpus = node(&format!("n{at}")).instance("p5.48xlarge").product("NVIDIA-H100-80GB-HBM3");
        world.apply(Change::NodeApplied(Box::new(gpus.has("nvidia.com/gpu", 8).build())));
    }
    world.plan();
    assert_eq!(world.engine.gangs().next().unwrap().shortfall, None);
    world.bind_all(&["g-0", "g-1", "g-2", "g-3"]);
}

#[test]
fn what_one_role_lacks_is_seen_whatever_becomes_of_another() {
    let mut world = world(2);
    let quotas = Quotas::new([("default".into(), Quota::default().limited(Item::Gpus, 24))], None);
    let placement = PlacementPolicy { quotas, ..PlacementPolicy::default() };
    world.engine.policy = Arc::new(Policy { placement, ..(*world.engine.policy).clone() });
    gang(&mut world, "g", 2);
    for (index, role, gpus) in [(2, "over-quota", 16), (3, "no-node", 8), (4, "too-many", 12)] {
        world.set(pod(role).gpus(gpus).member_of("g", role, index, of(2)).build());
    }
    world.plan();
    world.bind_all(&["g-0", "g-1"]);
    assert_eq!(world.lack(), Some(Lack::Counted));
    let gang = world.engine.gangs().next().expect("the gang").key.clone();
    let want = world.engine.want(&gang).expect("it waits");
    let demand = pod("no-node").gpus(8).demand();
    assert!(want.demands.iter().all(|asked| **asked == demand), "a node helps nobody else: {:?}", want.demands);
}

#[test]
fn without_an_autoscaler_a_gate_stays() {
    let mut world = World::new(1);
    for index in 0..2 {
        world.set(gated(member(&format!("g-{index}"), "g", index, of(2)).build()));
    }
    world.plan();
    world.wait(10 * SHOW_AFTER_MS);
    world.plan();
    assert_eq!(world.shown(), [""; 0]);
    assert_eq!(world.unassessed(), None);
}

/// Eight GPUs are free, four on each of two nodes, and a pair of four must be on one.
fn scattered(tensor_parallel: Option<u32>) -> World {
    let mut world = world(2);
    for node in ["n0", "n1"] {
        let name = format!("old-{node}");
        world.set(pod(&name).gpus(4).on(node).build());
    }
    for index in 0..2 {
        let terms = Terms { tensor_parallel, ..of(2) };
        world.set(gated(pod(&format!("g-{index}")).gpus(4).member_of("g", "", index, terms).build()));
    }
    world
}

#[test]
fn what_only_we_see_is_not_autoscalable_and_keeps_its_gates() {
    let mut world = scattered(Some(8));
    world.plan();
    world.news();
    assert_eq!(world.lack(), Some(Lack::Unseen));
    let news = world.news();
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].0, NewsKind::NotAutoscalable);
    assert!(
        news[0].1.starts_with("not autoscalable: ") && news[0].1.ends_with("2 more nodes of group p5 would be enough")
    );
    assert_eq!(world.shown(), [""; 0]);

    // The same members fit where they need not be one set.
    let mut world = scattered(None);
    world.plan();
    assert_eq!(world.place("g-0"), "n0");
}

#[test]
fn a_level_of_topology_is_not_counted_either() {
    let mut world = world(0);
    for (name, zone) in [("n0", "a"), ("n1", "b")] {
        let gpus = node(name).instance("p5.48xlarge").label("topology.kubernetes.io/zone", zone);
        world.apply(Change::NodeApplied(Box::new(gpus.has("nvidia.com/gpu", 8).build())));
    }
    let rule = TopologyRule {
        level: TopologyLevel::Label("topology.kubernetes.io/zone".into()),
        strictness: Strictness::Required,
    };
    for index in 0..2 {
        let terms = Terms { topology: vec![rule.clone()], ..of(2) };
        world.set(member(&format!("g-{index}"), "g", index, terms).build());
    }
    assert_eq!(world.lack(), Some(Lack::Unseen));
    for index in 0..3 {
        let terms = Terms { topology: vec![rule.clone()], ..of(3) };
        world.set(member(&format!("g-{index}"), "g", index, terms).build());
    }
    assert_eq!(world.lack(), Some(Lack::Counted), "three are too many however they stand");
}

/// Four tenths of each of two GPUs are left: eight tenths by their sum, on no GPU enough for six.
#[test]
fn shares_that_no_gpu_has_left_are_there_by_their_sum() {
    const MILLI: &str = "alibabacloud.com/gpu-milli";
    let asking = |milli: i64| {
        let mut world = world(0);
        world.apply(Change::NodeApplied(Box::new(node("n0").has(MILLI, 2000).build())));
        for at in 0..2 {
            world.set(pod(&format!("old-{at}")).asks(MILLI, 600).on("n0").build());
        }
        for index in 0..2 {
            let name = format!("g-{index}");
            let asks = if index == 0 { milli } else { 200 };
            world.set(gated(pod(&name).asks(MILLI, asks).member_of("g", "", index, of(2)).build()));
        }
        world.lack()
    };
    assert_eq!(asking(600), Some(Lack::Unseen));
    assert_eq!(asking(700), Some(Lack::Counted), "there are eight tenths in all");
    assert_eq!(asking(200), None);
}

#[test]
fn how_many_nodes_are_missing_is_found_out_anew_when_things_have_changed() {
    let mut world = world(1);
    for index in 0..3 {
        world.set(member(&format!("g-{index}"), "g", index, of(3)).build());
    }
    world.lack();
    assert_eq!(world.unassessed(), None);
    let gpus = node("n9").instance("p5.48xlarge").product("NVIDIA-H100-80GB-HBM3");
    world.apply(Change::NodeApplied(Box::new(gpus.has("nvidia.com/gpu", 8).build())));
    world.plan();
    assert_eq!(world.unassessed(), None, "not all the time");
    world.wait(60_000);
    let gang = world.unassessed().expect("it has changed");
    world.engine.assess(&gang, Some(MissingNodes { group: "p5".into(), nodes: 1 }), world.now_ms);
    let missing = Some(MissingNodes { group: "p5".into(), nodes: 1 });
    let shortfall = world.engine.gangs().next().unwrap().shortfall;
    assert_eq!(shortfall, Some(Shortfall { lack: Lack::Counted, missing }));
}

#[test]
fn it_is_tried_on_a_branch_how_many_nodes_would_do() {
    let mut world = world(1);
    for index in 0..3 {
        world.set(member(&format!("g-{index}"), "g", index, of(3)).build());
    }
    world.plan();
    let gang = world.engine.gangs().next().unwrap().key;
    let want = world.engine.want(&gang).expect("it waits");
    assert_eq!((want.demands.len(), want.members), (1, 3));
    let fits_with = |world: &World, more: usize| {
        let mut branch = world.engine.branch();
        for at in 0..more {
            let gpus = node(&format!("more-{at}")).instance("p5.48xlarge").product("NVIDIA-H100-80GB-HBM3");
            branch.apply(Change::NodeApplied(Box::new(gpus.has("nvidia.com/gpu", 8).build())), world.now_ms);
        }
        branch.would_fit(&gang)
    };
    assert_eq!([0, 1, 2].map(|more| fits_with(&world, more)), [false, false, true]);
    assert!(world.engine.gangs().next().unwrap().stage == GangStage::Waiting, "nothing has happened to it");
}

#[test]
fn nodes_are_protected_while_a_plan_stands_and_not_afterwards() {
    let mut world = world(3);
    gang(&mut world, "g", 2);
    world.plan();
    let places = [world.place("g-0"), world.place("g-1")];
    assert_eq!(world.protections(), [""; 0], "most plans are over at once");
    world.wait(PROTECT_AFTER_MS);
    let wanted = places.each_ref().map(|node| format!("+{node}"));
    assert_eq!(world.protections(), wanted);
    assert_eq!(world.protections(), [""; 0], "asked for a moment ago");
    world.wait(60_000 - PROTECT_AFTER_MS - 1);
    assert_eq!(world.protections(), wanted, "none shows it yet");
    places.iter().for_each(|node| world.show_node(node, true));
    assert_eq!(world.protections(), [""; 0]);
    world.bind_all(&["g-0", "g-1"]);
    assert_eq!(world.protections(), places.each_ref().map(|node| format!("-{node}")));
    places.iter().for_each(|node| world.show_node(node, false));
    world.wait(60_000);
    assert_eq!(world.protections(), [""; 0]);
}

/// Two that start together, of which one is bound; and the node of the other.
fn half_bound() -> (World, String) {
    let mut world = world(3);
    gang(&mut world, "g", 2);
    world.plan();
    let place = world.place("g-1");
    world.arrive("g-0");
    world.arrive("g-1");
    world.bind("g-0");
    assert_eq!(world.protections(), [""; 0], "most are bound at once");
    (world, place)
}

#[test]
fn who_is_not_bound_while_others_run_keeps_its_node() {
    let (mut world, place) = half_bound();
    world.wait(300);
    assert_eq!(world.protections(), [format!("+{place}")]);
    world.show_node(&place, true);
    world.bind("g-1");
    assert_eq!(world.protections(), [format!("-{place}")]);
}

#[test]
fn whose_binding_failed_keeps_its_node_at_once() {
    let (mut world, place) = half_bound();
    let uid = world.pods["g-1"].uid.clone();
    world.engine.doubt(&uid);
    assert_eq!(world.protections(), [format!("+{place}")]);

    let (mut world, place) = half_bound();
    world.engine.assume(&world.pods["g-1"].clone(), &NodeName::from(place.as_str()), world.now_ms + 60_000).unwrap();
    world.engine.roll_back(&uid);
    assert_eq!(world.protections(), [format!("+{place}")]);
}

#[test]
fn who_takes_the_place_of_one_that_was_lost_keeps_its_node_and_one_more_member_need_not() {
    let mut world = world(4);
    gang(&mut world, "g", 2);
    world.plan();
    world.bind_all(&["g-0", "g-1"]);
    world.set(member("g-2", "g", 2, of(2)).build());
    world.plan();
    world.wait(300);
    assert_eq!(world.protections(), [""; 0], "the others run without it");
    world.bind("g-2");
    for name in ["g-1", "g-2"] {
        world.delete(name);
    }
    world.set(member("g-3", "g", 3, of(2)).build());
    world.plan();
    let place = world.place("g-3");
    world.wait(300);
    assert_eq!(world.protections(), [format!("+{place}")]);
}

#[test]
fn a_new_leader_leaves_the_protection_of_nodes_that_it_needs() {
    let mut world = world(2);
    world.engine.stand_by();
    for (index, node) in (0..).zip(["n0", "n1"]) {
        world.show_node(node, true);
        let promise = Some(Promise { plan: "6-1".into(), node: node.into(), until_s: 1_060 });
        let steering = Steering { promise, ..Steering::default() };
        world.set(Pod { steering, ..member(&format!("g-{index}"), "g", index, of(2)).build() });
    }
    world.engine.lead(7);
    world.wait(0);
    assert_eq!(world.place("g-1"), "n1");
    assert_eq!(world.protections(), [""; 0]);
}

#[test]
fn what_an_earlier_leader_has_left_on_nodes_goes() {
    let mut world = world(2);
    world.engine.stand_by();
    world.show_node("n1", true);
    assert_eq!(world.protections(), [""; 0], "another leads");
    world.engine.lead(7);
    world.wait(0);
    assert_eq!(world.protections(), ["-n1"]);
    world.apply(Change::NodeDeleted("n1".into()));
    world.wait(60_000);
    assert_eq!(world.protections(), [""; 0]);
}

#[test]
fn a_change_of_protection_is_no_change_of_the_node() {
    let mut world = world(1);
    let before = world.engine.cluster().generation();
    world.show_node("n0", true);
    assert_eq!(world.engine.cluster().generation(), before);
    assert_eq!(world.engine.protected_nodes().len(), 1, "but it is known");
    world.show_node("n0", false);
    assert!(world.engine.protected_nodes().is_empty());
}

#[test]
fn what_is_too_large_for_every_node_is_counted_too() {
    let mut world = world(2);
    let terms = of(2);
    for index in 0..2 {
        world.set(gated(pod(&format!("g-{index}")).gpus(16).member_of("g", "", index, terms.clone()).build()));
    }
    assert_eq!(world.lack(), Some(Lack::Counted), "a group of larger nodes may grow");
    assert_eq!(world.shown().len(), 2);
}

/// With a way to ask for nodes, that is done first; and members are shown when it is.
#[test]
fn nodes_are_asked_for_the_whole_gang_before_its_members_are_shown() {
    let mut world = world(1);
    let policy = world.engine.policy.autoscaling.clone().unwrap();
    let autoscaling = AutoscalingPolicy { provisioning_class: Some("atomic".into()), ..policy };
    world.engine.policy = Arc::new(Policy { autoscaling: Some(autoscaling), ..Policy::default() });
    for index in 0..3 {
        let gpus = if index == 0 { 4 } else { 8 };
        world.set(gated(pod(&format!("g-{index}")).gpus(gpus).member_of("g", "", index, of(3)).build()));
    }
    assert_eq!(world.lack(), Some(Lack::Counted));
    let orders = world.engine.orders(world.now_ms);
    let [Order::Request(request)] = &orders[..] else { panic!("{orders:?}") };
    let kinds: Vec<(&str, u32)> = request.kinds.iter().map(|(pod, count)| (&*pod.key.name, *count)).collect();
    assert_eq!(kinds, [("g-0", 1), ("g-1", 2)]);
    assert_eq!((&*request.class, request.members.len()), ("atomic", 3));
    assert_eq!(world.engine.orders(world.now_ms), [], "not answered yet");
    let gang = request.gang.clone();
    world.engine.note_request(&gang);
    assert_eq!(world.shown(), ["g-0", "g-1", "g-2"]);
    world.wait(60_000);
    assert!(matches!(&world.engine.orders(world.now_ms)[..], [Order::Request(_), ..]), "it may be over by now");
}
