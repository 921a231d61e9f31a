//! Members that must stand apart, together, or evenly.

use super::tests::{HOST, Scene, ZONE, fleet, h100, singles};
use super::*;
use crate::model::gang::SpreadRule;
use crate::model::taint::Effect;
use crate::testing::{node, pod};

#[test]
fn members_stand_to_each_other_as_they_ask() {
    let apart = |key: &str| Relation::Apart(key.into());
    let together = |key: &str| Relation::Together(key.into());
    let spread = |key: &str, max_skew| Relation::Spread(SpreadRule::new(key, max_skew));
    let told = |count, relations: &[Relation]| singles(fleet(5), count, 2, relations).told().replace(" |", "");
    assert_eq!(told(3, &[]), "n1 n1 n1");
    assert_eq!(told(3, &[apart(HOST)]), "n0 n2 n4");
    assert_eq!(told(2, &[apart(ZONE)]), "n0 n1");
    assert_eq!(told(9, &[together(ZONE)]), "n0 n0 n0 n0 n2 n2 n2 n2 n4");
    assert_eq!(told(9, &[together(HOST)]), "no places for members that are apart, together or spread as they ask");
    assert_eq!(told(3, &[spread(ZONE, 1)]), "n0 n1 n0");
    assert_eq!(told(5, &[spread(ZONE, 1), spread(HOST, 1)]), "n0 n1 n2 n3 n4");
    assert_eq!(told(6, &[apart(HOST)]), "needs 6 places for members asking for 2 nvidia.com/gpu, 5 are free");
    assert_eq!(told(3, &[apart(ZONE)]), "no places for members that are apart, together or spread as they ask");
    let full = fleet(4).runs(pod("r").gpus(8).on("n1")).runs(pod("s").gpus(8).on("n3"));
    let scene = singles(full, 3, 2, &[spread(ZONE, 1)]);
    assert_eq!(
        scene.told(),
        "no places for members that are apart, together or spread as they ask",
        "zone b counts, though full"
    );
}

/// Of members of one block the first, whom nodes have refused, is a block of its own.
fn with_first_refused(mut scene: Scene, nodes: &[&str]) -> Scene {
    let first = scene.formation.blocks[0].clone();
    scene.formation.blocks.push(Block { placed: vec![], ..first });
    scene.formation.parts[0].sets[0].members = vec![1];
    scene.refused = nodes.iter().map(|node| (1, NodeName::from(*node))).collect();
    scene
}

#[test]
fn whom_a_node_has_refused_still_keeps_to_its_relations() {
    let apart = Relation::Apart(HOST.into());
    let of = |nodes, relation: &Relation| singles(fleet(nodes), 4, 2, std::slice::from_ref(relation));
    let split = |nodes, relation: &Relation| with_first_refused(of(nodes, relation), &["n1"]);
    let few = "needs 4 places for members asking for 2 nvidia.com/gpu, 3 are free";
    // One of the others runs already.
    let mut beside = split(4, &apart);
    beside.formation.blocks[0].placed = vec!["n0".into()];
    let spread = Relation::Spread(SpreadRule::new(HOST, 1));
    let together = Relation::Together(HOST.into());
    let told = [of(3, &apart), split(3, &apart), split(4, &apart), beside, split(4, &spread), split(3, &together)];
    let told = told.map(|scene| scene.told());
    assert_eq!(told, [few, few, "n0 | n1 | n2 | n3", few, "n0 | n1 | n2 | n3", "n0 | n0 | n0 | n0"]);
}

#[test]
fn roles_that_say_the_same_stand_to_their_own_members_each() {
    let apart = [Relation::Apart(HOST.into())];
    let scene = fleet(2).block("prefill", pod("p").gpus(2), &apart).block("decode", pod("d").gpus(2), &apart);
    assert_eq!(scene.part(&[]).sets(2, &[0], None).sets(2, &[1], None).told(), "n0 | n1 | n0 | n1");
    let nameless = fleet(2).block("", pod("p").gpus(2), &apart).block("", pod("d").gpus(4), &apart);
    let nameless = nameless.part(&[]).sets(2, &[0], None).sets(2, &[1], None);
    assert!(nameless.plan().is_ok(), "who asks for something else may be made by somebody else");
}

#[test]
fn which_domains_count_for_an_even_spread_is_said() {
    let control = || node("control").label(ZONE, "c").taint("control-plane", Effect::NoSchedule);
    let told = |rule: SpreadRule| singles(fleet(4).node(control()), 4, 2, &[Relation::Spread(rule)]).told();
    let rule = SpreadRule::new(ZONE, 1);
    let nowhere = "no places for members that are apart, together or spread as they ask";
    assert_eq!(told(rule.clone()), nowhere, "nobody could stand in zone c, and it counts");
    let tolerated = SpreadRule { by_taints: true, ..rule.clone() };
    assert_eq!(told(tolerated.clone()), "n0 | n0 | n1 | n1");
    assert_eq!(told(SpreadRule { min_domains: 2, ..tolerated.clone() }), "n0 | n0 | n1 | n1");
    assert_eq!(told(SpreadRule { min_domains: 3, ..tolerated }), nowhere, "one more zone is thought of");
    let of_two = |rule: SpreadRule| {
        let mut scene = singles(fleet(4), 4, 2, &[Relation::Spread(rule)]);
        let demand = Arc::make_mut(&mut scene.formation.blocks[0].demand);
        demand.affinity.selector = [(ZONE, "a")].into_iter().collect();
        scene.told()
    };
    assert_eq!(of_two(rule.clone()), "n0 | n0 | n0 | n0");
    assert_eq!(of_two(SpreadRule { by_affinity: false, ..rule }), nowhere);
}

#[test]
fn a_node_without_the_label_is_apart_and_no_neighbour() {
    let fleet = || Scene::default().nodes(2, |at| h100(&format!("n{at}")));
    let told = |relation| singles(fleet(), 4, 2, &[relation]).told().replace(" |", "");
    assert_eq!(told(Relation::Apart(ZONE.into())), "n0 n0 n0 n0");
    let nowhere = "no places for members that are apart, together or spread as they ask";
    assert_eq!(told(Relation::Together(ZONE.into())), nowhere);
    assert_eq!(told(Relation::Spread(SpreadRule::new(ZONE, 1))), nowhere);
}

/// Members with spreads over labels of which half of the nodes have the one, half the other: no reading has any place.
fn spread_over_labels_that_exclude_each_other(max_skew: u32) -> Scene {
    let node = |at: usize| h100(&format!("n{at}")).label(["k0", "k1"][at % 2], ["v0", "v1"][at / 2 % 2]);
    let spread = |key: &str| Relation::Spread(SpreadRule::new(key, max_skew));
    singles(Scene::default().nodes(8, node), 20, 1, &[spread("k0"), spread("k1")])
}

#[test]
fn readings_of_relations_are_counted_as_steps() {
    let scene = spread_over_labels_that_exclude_each_other(20);
    assert_eq!(scene.plan(), Err(No::Relations { role: "".into() }), "all readings were tried");
    let few = Budget { steps: 1000 };
    assert_eq!(scene.plan_within(few), Err(No::GaveUp { steps: 1000 }), "not all can be");
    assert_eq!(scene.search(few), Err(No::GaveUp { steps: 1000 }), "nor by search");
    let one = singles(fleet(4), 8, 2, &[Relation::Spread(SpreadRule::new(ZONE, 1))]);
    assert!(one.plan_within(Budget { steps: 0 }).is_ok(), "the first reading costs what any gang costs");
}

#[test]
fn a_search_is_left_half_of_the_budget() {
    const KEYS: [&str; 4] = ["k0", "k1", "k2", "k3"];
    let node = |at: usize| {
        let labels = KEYS.iter().enumerate();
        labels.fold(h100(&format!("n{at:02}")), |node, (bit, key)| node.label(key, ["x", "y"][at >> bit & 1]))
    };
    let spread = KEYS.map(|key| Relation::Spread(SpreadRule::new(key, 20)));
    let scene = Scene::default().nodes(16, node).block("a", pod("a").gpus(3), &spread);
    let scene = scene.block("b", pod("b").gpus(5), &[]).part(&[]).sets(16, &[0], None).sets(16, &[1], None);
    // Counts put two small ones on a node whichever of 6561 ways they are spread, and leave no room for a large one.
    assert!(scene.plan_within(Budget { steps: 100_000 }).is_ok());
}

#[test]
fn only_readings_that_can_hold_are_tried() {
    const KEYS: [&str; 4] = ["topology.kubernetes.io/region", "kubernetes.io/arch", "kubernetes.io/os", ZONE];
    let spread = KEYS.map(|key| Relation::Spread(SpreadRule::new(key, 1)));
    let numbered = |at: usize| {
        let node = node(&format!("n{at:02}")).has("nvidia.com/gpu", 8).label(ZONE, ["a", "b", "c"][at % 3]);
        KEYS[..3].iter().fold(node, |node, key| node.label(key, "one"))
    };
    let node_in = |zone: &str| node(zone).label(ZONE, zone);
    let full = |at: usize| pod(&format!("r{at}")).gpus(8).on(&format!("n{at:02}"));
    let scene = |zone_c_is_full: bool| {
        let fleet = Scene::default().nodes(39, numbered);
        let full = (0..39).filter(|at| at % 3 == 2 && zone_c_is_full).fold(fleet, |scene, at| scene.runs(full(at)));
        singles(full, 100, 1, &spread)
    };
    let narrow = ["a", "b", "c"].into_iter().fold(Scene::default(), |scene, zone| {
        scene.node(node_in(zone).has("nvidia.com/gpu", if zone == "c" { 2 } else { 8 }))
    });
    let narrow = singles(narrow, 12, 1, &[Relation::Spread(SpreadRule::new(ZONE, 4))]);
    assert!(narrow.plan_within(Budget { steps: 0 }).is_ok(), "no zone has more than it has places for");
    let even = spread_over_labels_that_exclude_each_other(1);
    let no = Err(No::Relations { role: "".into() });
    assert_eq!(
        even.plan_within(Budget { steps: 100 }),
        no,
        "with fewer in one half the other has not room for the rest"
    );
    let (free, full) = (scene(false), scene(true));
    assert_eq!(free.plan_within(Budget { steps: 0 }).map(|_| ()), Ok(()), "as even as can be is the one reading");
    assert_eq!(full.plan_within(Budget { steps: 0 }), no, "there is none");
}
