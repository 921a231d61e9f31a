//! Gangs arrive, are placed by each sort of policy, and go again.

use super::super::inflation;
use super::super::placer::{TieBreak, Ties};
use super::super::policy::Policy as Compared;
use super::super::result::key;
use super::super::testing::{node_with, pod_with, world};
use super::*;
use crate::k8s::object::{Node, Pod as Object};

const GPU: &str = "nvidia.com/gpu";

fn whole(name: &str) -> Node {
    node_with(name, 96_000, &[(GPU, 8)], &[("nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3")])
}

fn member(gang: &str, index: usize, of: usize) -> Object {
    let mut pod = pod_with(&format!("{gang}-{index}"), 4000, Some((GPU, 8)));
    let words = [("pod-group", gang.to_owned()), ("min-member", of.to_string())];
    pod.metadata.annotations = words.map(|(key, value)| (format!("testudo.dev/{key}"), value)).into_iter().collect();
    pod
}

fn gang(name: &str, of: usize) -> Vec<Object> {
    (0..of).map(|index| member(name, index, of)).collect()
}

fn decoded(pods: &[Object]) -> Vec<Pod> {
    pods.iter().map(|pod| crate::k8s::pod::decode(pod).0).collect()
}

#[test]
fn pods_of_one_gang_are_one_unit_where_its_first_member_stands() {
    let pods = [vec![pod_with("a", 1, None)], gang("g", 2), vec![pod_with("b", 1, None)], gang("h", 2)].concat();
    let units = units(&decoded(&pods), &[]).unwrap();
    let pods: Vec<&[usize]> = units.iter().map(|unit| unit.pods.as_slice()).collect();
    assert_eq!(pods, [&[0][..], &[1, 2], &[3], &[4, 5]]);
    assert_eq!(units.iter().filter(|unit| unit.gang.is_some()).count(), 2);
    // One of which each starts for itself is none.
    let alone = super::units(&decoded(&[member("x", 0, 1), member("x", 1, 1)]), &[]).unwrap();
    assert!(alone.iter().all(|unit| unit.gang.is_none()), "{alone:?}");
}

#[test]
fn half_of_a_gang_is_an_error() {
    let error = units(&decoded(&gang("g", 3)[..2]), &[]).unwrap_err();
    assert_eq!(error, "gang test/g: 2 of 3 members exist; give all of its pods and its group object");
}

/// What each policy makes of the units of a world, one after the other: the nodes of each party.
fn course(world: &World, policy: Compared) -> Vec<Vec<Option<usize>>> {
    let mut rng = Rng::new(1);
    let ties = TieBreak::new(Ties::Random, world.machines.len(), &mut rng);
    let mut placer = policy.placer(world, ties);
    let mut id = 0;
    let mut place = |unit: usize| {
        let mut party = Party::new(world, unit, id);
        id += party.members.len();
        party.place(&mut *placer, &mut rng);
        party.members.iter().map(|(_, node)| *node).collect::<Vec<_>>()
    };
    (0..world.units.len()).map(&mut place).collect()
}

#[test]
fn testudo_places_whole_gangs_and_plain_schedulers_what_they_can() {
    let nodes: Vec<Node> = (0..3).map(|at| whole(&format!("n{at}"))).collect();
    let world = world(&nodes, &[gang("g", 2), gang("h", 2), gang("i", 1)].concat());
    let counts = |policy: Compared| -> Vec<usize> {
        course(&world, policy).iter().map(|party| party.iter().flatten().count()).collect()
    };
    assert_eq!(counts(Compared::Testudo), [2, 0, 1]);
    assert_eq!(counts(Compared::TestudoExtender), [2, 0, 1]);
    assert_eq!(counts(Compared::Spread), [2, 1, 0], "half of the second gang is in the way");
}

#[test]
fn what_goes_can_be_had_by_the_next_gang() {
    let nodes: Vec<Node> = (0..2).map(|at| whole(&format!("n{at}"))).collect();
    let world = world(&nodes, &gang("g", 2));
    for policy in [Compared::Testudo, Compared::TestudoExtender, Compared::BestFit] {
        let mut rng = Rng::new(1);
        let mut placer = policy.placer(&world, TieBreak::Random);
        for round in 0..3 {
            let mut party = Party::new(&world, 0, 4 * round);
            party.place(&mut *placer, &mut rng);
            assert!(party.is_whole(), "{policy}, round {round}");
            let mut second = Party::new(&world, 0, 4 * round + 2);
            second.place(&mut *placer, &mut rng);
            assert_eq!(second.placed().count(), 0, "{policy}, round {round}");
            party.placed().for_each(|(arrival, _)| placer.remove(arrival));
        }
    }
}

#[test]
fn what_half_gangs_hold_is_counted() {
    let nodes: Vec<Node> = (0..3).map(|at| whole(&format!("n{at}"))).collect();
    let world = world(&nodes, &[gang("g", 2), gang("h", 2)].concat());
    let measures = |policy: Compared| {
        let ties = TieBreak::new(Ties::Random, 3, &mut Rng::new(1));
        inflation::run(&world, &mut *policy.placer(&world, ties), 4.0 / 3.0, 1).measures
    };
    let of = |policy: Compared| {
        let measures = measures(policy);
        [key::GANGS_WHOLE, key::GANGS_HALF, key::HELD_IN_VAIN].map(|name| measures.get(name).unwrap().round())
    };
    assert_eq!(of(Compared::Testudo), [50.0, 0.0, 0.0]);
    assert_eq!(of(Compared::Spread), [50.0, 50.0, 33.0]);
}

#[test]
fn without_gangs_nothing_is_said_of_them() {
    let world = world(&[whole("n")], &[pod_with("a", 1, Some((GPU, 1)))]);
    let outcome = inflation::run(&world, &mut *Compared::Spread.placer(&world, TieBreak::Random), 1.0, 1);
    let text = serde_json::to_string(&outcome).unwrap();
    assert!(!text.contains("gang"), "{text}");
}
