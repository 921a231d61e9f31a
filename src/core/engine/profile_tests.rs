//! What each knob of a profile does to places, on small fleets.

use super::*;
use crate::engine::{Change, Engine, Offered, PlacementPolicy, Policy};
use crate::placement::Aim;
use crate::testing::{NodeBuilder, PodBuilder, node, pod};

const GPU: &str = "nvidia.com/gpu";

fn engine(placement: impl Into<PlacementPolicy>, nodes: Vec<NodeBuilder>, pods: Vec<PodBuilder>) -> Engine {
    let mut engine = Engine::new(Policy { placement: placement.into(), ..Policy::default() });
    nodes.into_iter().for_each(|node| engine.apply(Change::NodeApplied(Box::new(node.build())), 0));
    pods.into_iter().for_each(|pod| engine.apply(Change::PodApplied(Box::new(pod.build())), 0));
    engine
}

fn best(engine: &mut Engine, pod: &Pod) -> String {
    engine.snapshot().judge(pod).best().map(ToString::to_string).unwrap_or_default()
}

fn by(aims: &[Aim]) -> Profile {
    Profile { order: Order::of(aims).expect("an order"), ..Profile::default() }
}

/// Where a pod goes with these aims.
fn placed(aims: &[Aim], nodes: Vec<NodeBuilder>, pods: Vec<PodBuilder>, asked: PodBuilder) -> String {
    best(&mut engine(by(aims), nodes, pods), &asked.build())
}

fn l4(name: &str) -> NodeBuilder {
    node(name).product("NVIDIA-L4").has(GPU, 8)
}

fn on(node: &str, gpus: i64) -> PodBuilder {
    pod(&format!("on-{node}")).gpus(gpus).on(node)
}

#[test]
fn packing_fills_nodes_and_spreading_opens_them() {
    let fleet = || vec![l4("a-idle"), l4("b-used"), l4("c-fuller")];
    let pods = || vec![on("b-used", 2), on("c-fuller", 5)];
    let asked = || pod("p").gpus(1);
    assert_eq!(placed(&[Aim::Packing], fleet(), pods(), asked()), "c-fuller");
    assert_eq!(placed(&[Aim::Spreading], fleet(), pods(), asked()), "a-idle");
    let used = || vec![l4("b-used"), l4("c-fuller")];
    assert_eq!(placed(&[Aim::Spreading], used(), pods(), asked()), "b-used", "the most left over");
    assert_eq!(placed(&[], fleet(), pods(), asked()), "a-idle", "nothing counts: the first by name");
}

#[test]
fn fragmentation_before_packing_spares_what_is_dear() {
    // A whole NVLink node in use against an idle one of cheap cards.
    let fleet = || {
        let a100 = node("a-linked").product("NVIDIA-A100-SXM4-80GB").instance("p4de.24xlarge").has(GPU, 8);
        vec![a100, l4("b-cheap")]
    };
    let pods = || vec![on("a-linked", 1)];
    let asked = || pod("p").gpus(1);
    assert_eq!(placed(&[Aim::Fragmentation, Aim::Packing], fleet(), pods(), asked()), "b-cheap");
    assert_eq!(placed(&[Aim::Packing, Aim::Fragmentation], fleet(), pods(), asked()), "a-linked");
}

#[test]
fn links_bring_several_devices_to_where_they_are_connected() {
    let fleet = || {
        let linked = node("b-linked").product("NVIDIA-A100-SXM4-40GB").instance("p4d.24xlarge").has(GPU, 8);
        vec![node("a-loose").product("NVIDIA-L40S").instance("g6e.48xlarge").has(GPU, 8), linked]
    };
    let asked = || pod("p").gpus(4);
    assert_eq!(placed(&[Aim::Links], fleet(), vec![], asked()), "b-linked");
    assert_eq!(placed(&[Aim::Fragmentation], fleet(), vec![], asked()), "a-loose", "left out, they do not count");
}

#[test]
fn form_keeps_plain_requests_off_slices() {
    let fleet = || vec![node("a-sliced").product("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb").has(GPU, 7), l4("b-whole")];
    let asked = || pod("p").gpus(1);
    assert_eq!(placed(&[Aim::Form], fleet(), vec![], asked()), "b-whole");
    assert_eq!(placed(&[Aim::Packing], fleet(), vec![on("a-sliced", 1)], asked()), "a-sliced");
}

#[test]
fn uncut_keeps_slices_on_nodes_in_use() {
    const SLICE: &str = "nvidia.com/mig-1g.5gb";
    let mig = |name| node(name).product("NVIDIA-A100-SXM4-40GB").has(SLICE, 7);
    let fleet = || vec![mig("a-idle"), mig("b-used")];
    let pods = || vec![pod("on-b").asks(SLICE, 1).on("b-used")];
    let asked = || pod("p").asks(SLICE, 1);
    assert_eq!(placed(&[Aim::Uncut, Aim::Spreading], fleet(), pods(), asked()), "b-used");
    assert_eq!(placed(&[Aim::Spreading], fleet(), pods(), asked()), "a-idle");
}

#[test]
fn domains_keep_idle_nvlink_domains_whole() {
    let tray = |name, clique| node(name).product("NVIDIA-GB200").label("nvidia.com/gpu.clique", clique).has(GPU, 4);
    let fleet = || vec![tray("a-0", "a.1"), tray("a-1", "a.1"), tray("b-0", "b.1"), tray("b-1", "b.1")];
    let pods = || vec![on("b-0", 4)];
    let asked = || pod("p").gpus(4);
    assert_eq!(placed(&[Aim::Packing], fleet(), pods(), asked()), "a-0", "nodes alone are equal");
    assert_eq!(placed(&[Aim::Domains, Aim::Packing], fleet(), pods(), asked()), "b-1");
}

#[test]
fn capacity_follows_the_lines_of_the_profile() {
    let of_type = |name, capacity| l4(name).label("karpenter.sh/capacity-type", capacity);
    let fleet = || vec![of_type("a-demand", "on-demand"), of_type("b-spot", "spot"), of_type("c-reserved", "reserved")];
    let placed = |spot_up_to, steady_from| {
        let capacity = CapacityPolicy { spot_up_to, steady_from };
        let profile = Profile { capacity, ..by(&[Aim::Capacity]) };
        best(&mut engine(profile, fleet(), vec![]), &pod("p").gpus(1).build())
    };
    assert_eq!([placed(-1, 1), placed(0, 1), placed(-1, 0)], ["a-demand", "b-spot", "c-reserved"]);
}

#[test]
fn zone_and_replicas_decide_where_they_stand() {
    let in_zone = |name, zone| l4(name).label("topology.kubernetes.io/zone", zone);
    let fleet = || vec![in_zone("a-0", "a"), in_zone("b-0", "b"), in_zone("b-1", "b")];
    let replica = |name: &str| pod(name).gpus(1).label("app", "vllm");
    let pods = || vec![replica("first").on("b-0")];
    let placed = |aims: &[Aim], zones| {
        let profile = Profile { zones, ..by(aims) };
        best(&mut engine(profile, fleet(), pods()), &replica("second").build())
    };
    let together = ZonePolicy::Together;
    assert_eq!(placed(&[Aim::Packing, Aim::Zone, Aim::Replicas], together), "b-0");
    assert_eq!(placed(&[Aim::Zone, Aim::Replicas, Aim::Packing], together), "b-1", "in its zone, and not beside it");
    assert_eq!(placed(&[Aim::Replicas, Aim::Packing], together), "a-0", "nor in its rack");
    assert_eq!(placed(&[Aim::Zone, Aim::Packing], ZonePolicy::Spread), "a-0", "in another zone, though it is idle");
}

/// The levels of prioritize say the same as the best place, also where who is around decides early.
#[test]
fn a_place_is_as_good_as_it_is_whoever_asks() {
    let fleet = vec![l4("a"), l4("b"), l4("c")];
    let replica = |name: &str| pod(name).gpus(1).label("app", "vllm");
    let profile = by(&[Aim::Replicas, Aim::Packing]);
    let mut engine = engine(profile, fleet, vec![replica("first").on("a"), on("b", 2)]);
    let snapshot = engine.snapshot();
    let asked = replica("second").build();
    let judgement = snapshot.judge(&asked);
    let rank = |name: &str| judgement.of(Offered::Named(name)).rank().expect("it fits");
    assert!(rank("b").packed() < rank("c").packed() && rank("c").packed() < rank("a").packed());
    let names = ["a", "b", "c"];
    for (name, place) in names.into_iter().zip(judgement.fitting(names.map(Offered::Named).into_iter())) {
        assert_eq!(place.packed, rank(name).packed());
        assert_eq!(judgement.refined(Offered::Named(name)), Some(rank(name)), "nothing is left to refine");
        assert_eq!(judgement.rank_in(snapshot.node(name).expect("a node")), rank(name));
    }
}

/// What is expected decides what is spared before any pod was seen.
#[test]
fn the_prior_says_which_holes_are_worth_keeping() {
    // A pod of four either breaks the only idle node, or takes the six that are free on the other.
    let fleet = || vec![l4("a-idle"), l4("b-six-free")];
    let pods = || vec![on("b-six-free", 2)];
    let placed = |units: i64| {
        let expected = [(GPU.into(), vec![(units, 1000)])].into();
        let profiles = Profiles::new([], by(&[Aim::Fragmentation]));
        let placement = PlacementPolicy { profiles, expected, ..PlacementPolicy::default() };
        best(&mut engine(placement, fleet(), pods()), &pod("p").gpus(2).build())
    };
    assert_eq!(placed(8), "b-six-free", "pods of eight are to come: the idle node stays whole");
    assert_eq!(placed(6), "a-idle", "pods of six: both have room for one, and only the idle node then still has");
}

#[test]
fn what_is_expected_can_be_changed() {
    let mut engine = engine(PlacementPolicy::default(), vec![l4("a")], vec![]);
    let sizes = |engine: &mut Engine| -> Vec<i64> {
        let mut sizes: Vec<i64> = engine.snapshot().mix().entries.iter().map(|entry| entry.shape.units).collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(sizes(&mut engine), [1, 2, 4, 8, 16]);
    let before = engine.snapshot();
    engine
        .set_placement(PlacementPolicy { expected: [(GPU.into(), vec![(3, 5)])].into(), ..PlacementPolicy::default() });
    assert!(engine.has_moved_on(&before));
    assert_eq!(sizes(&mut engine), [3]);
    engine.set_placement(PlacementPolicy::default());
    assert_eq!(sizes(&mut engine), [1, 2, 4, 8, 16]);
}

#[test]
fn a_pod_has_the_profile_of_the_first_selector_that_takes_it() {
    let named = |name: &str| Profile { name: name.into(), ..Profile::default() };
    let selector = |text: &str| PodSelector::compile(text).expect(text);
    let profiles = Profiles::new(
        [
            (selector("pod.labels['tier'] == 'gold'"), named("gold")),
            (selector("pod.namespace == 'training' || pod.priority > 100"), named("training")),
        ],
        named("rest"),
    );
    let of = |pod: Pod| profiles.of(&pod).name.to_string();
    assert_eq!(of(pod("p").namespace("training").label("tier", "gold").build()), "gold");
    assert_eq!(of(pod("p").namespace("training").build()), "training", "one without the label is asked the next");
    assert_eq!(of(Pod { priority: 101, ..pod("p").build() }), "training");
    assert_eq!(of(pod("p").label("tier", "silver").build()), "rest");
    assert_eq!(Profiles::default().of(&pod("p").build()).name.as_ref(), "default");
}

/// Two pods that ask for the same share what was found out about nodes, whatever their profiles.
#[test]
fn pods_of_two_profiles_on_the_same_verdicts() {
    let tight = PodSelector::compile("pod.labels['load'] == 'batch'").expect("a selector");
    let profiles = Profiles::new([(tight, by(&[Aim::Packing]))], by(&[Aim::Spreading]));
    let fleet = vec![l4("a-idle"), l4("b-used")];
    let mut engine = engine(PlacementPolicy { profiles, ..PlacementPolicy::default() }, fleet, vec![on("b-used", 2)]);
    for _ in 0..2 {
        assert_eq!(best(&mut engine, &pod("p").gpus(1).label("load", "batch").build()), "b-used");
        assert_eq!(best(&mut engine, &pod("q").gpus(1).build()), "a-idle");
    }
}
