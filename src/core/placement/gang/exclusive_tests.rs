//! Parts that have a domain to themselves.

use super::tests::{Scene, h100};
use super::*;
use crate::testing::pod;

const ZONE: &str = "topology.kubernetes.io/zone";

/// Racks of so many nodes, and on it parts of so many members, each to have a rack to itself.
fn jobs(racks: &[usize], jobs: &[usize]) -> Scene {
    let nodes = racks.iter().enumerate().flat_map(|(rack, nodes)| (0..*nodes).map(move |at| (rack, at)));
    let on_racks = nodes.fold(Scene::default(), |scene, (rack, at)| {
        scene.node(h100(&format!("r{rack}-{at}")).label("rack", &format!("r{rack}")))
    });
    let scene = on_racks.block("", pod("p").gpus(8), &[]);
    jobs.iter().fold(scene, |scene, members| scene.part(&[]).exclusive("rack").sets(*members, &[0], None))
}

#[test]
fn each_exclusive_part_has_a_domain_of_its_own() {
    assert_eq!(jobs(&[4, 2, 2], &[2, 2]).told(), "r1-0 | r1-1 | r2-0 | r2-1", "though one rack takes both");
    assert_eq!(jobs(&[4, 2], &[2, 2]).told(), "r1-0 | r1-1 | r0-0 | r0-1");
    assert_eq!(
        jobs(&[8, 2], &[2, 2, 2]).told(),
        "needs 3 times 16 GPUs, each in a domain of rack of its own; 2 have that free"
    );
    assert_eq!(jobs(&[2, 3], &[2, 3]).told(), "r0-0 | r0-1 | r1-0 | r1-1 | r1-2", "the larger has its choice first");
}

#[test]
fn nobody_else_is_in_the_domain_of_an_exclusive_part() {
    let with_driver = |racks: &[usize]| jobs(racks, &[2]).part(&[]).sets(1, &[0], None);
    assert_eq!(with_driver(&[3, 1]).told(), "r0-0 | r0-1 | r1-0", "a free node in the same rack is not for the driver");
    assert_eq!(with_driver(&[4]).told(), "no combination of places exists");
    let placed = |job: usize, node: &str, scene: Scene| {
        let mut scene = scene.runs(pod("running").gpus(8).on(node));
        scene.formation.blocks[0].placed.push(node.into());
        scene.formation.parts[job].sets[0] = Set { members: vec![], within: None, placed: vec![node.into()] };
        scene
    };
    let rest = placed(0, "r0-0", jobs(&[4, 3, 3], &[3, 2]));
    assert_eq!(rest.told(), " | r0-1 | r0-2 | r1-0 | r1-1", "one that runs in part is completed where it is");
    let taken = placed(1, "r1-0", jobs(&[2, 4], &[2, 1]));
    assert_eq!(taken.told(), "r0-0 | r0-1 | ", "where another runs there is no room");
    let none = placed(1, "r0-0", jobs(&[4], &[2, 1]));
    assert_eq!(none.told(), "needs 16 GPUs in one domain of rack, no node that takes them is in any");
}

#[test]
fn racks_of_one_name_are_one_exclusive_domain() {
    let node = |at: usize| h100(&format!("n{at}")).label(ZONE, ["a", "b"][at % 2]).label("rack", "r1");
    let scene = Scene::default().nodes(4, node).block("", pod("p").gpus(8), &[]);
    let job = |scene: Scene| scene.part(&[]).exclusive("rack").sets(1, &[0], None);
    let scene = job(job(scene));
    assert_eq!(scene.told(), "needs 2 times 8 GPUs, each in a domain of rack of its own; 1 has that free");
    assert!(scene.node(h100("x").label("rack", "r2")).plan().is_ok());
}
