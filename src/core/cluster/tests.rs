use std::collections::BTreeSet;

use super::*;
use crate::model::gpu_share::parse_indices;
use crate::testing::{node, pod};
use proptest::prelude::*;

fn gpus_used(cluster: &Cluster, node: &str) -> i64 {
    cluster.node(node).map_or(0, |state| state.used().get("nvidia.com/gpu"))
}

fn uid(name: &str) -> PodUid {
    format!("uid-{name}").as_str().into()
}

#[test]
fn a_pod_holds_what_it_asks_for_while_it_is_there() {
    let mut cluster = Cluster::default();
    cluster.set_node(node("n").has("nvidia.com/gpu", 8).build());
    cluster.set_pod(pod("a").gpus(3).on("n").build());
    assert_eq!(gpus_used(&cluster, "n"), 3);
    cluster.set_pod(pod("a").gpus(3).on("n").finished().build());
    assert_eq!(gpus_used(&cluster, "n"), 0);
    cluster.set_pod(pod("b").gpus(2).on("n").build());
    cluster.remove_pod(&uid("b"));
    assert_eq!(gpus_used(&cluster, "n"), 0);
}

#[test]
fn replicas_are_counted_where_they_are() {
    let mut cluster = Cluster::default();
    let count = |cluster: &Cluster| -> Vec<String> {
        let key = crate::model::service::ServiceKey::of(&pod("a").label("app", "m").build()).expect("a service");
        let sites = cluster.services().sites(&key).into_iter().flat_map(Sites::nodes);
        let name = |slot: Slot| cluster.slots()[slot].as_ref().expect("a node with pods has its slot").name();
        let mut sites: Vec<String> = sites.map(|(slot, pods)| format!("{pods} on {}", name(slot))).collect();
        sites.sort();
        sites
    };
    for (name, on) in [("a", "n"), ("b", "n"), ("c", "o")] {
        cluster.set_pod(pod(name).label("app", "m").on(on).build());
    }
    cluster.set_pod(pod("other").label("app", "x").on("n").build());
    cluster.set_pod(pod("pending").label("app", "m").build());
    assert_eq!((count(&cluster), cluster.services().len()), (vec!["1 on o".into(), "2 on n".into()], 2));
    let before = cluster.services().clone();
    cluster.remove_pod(&uid("c"));
    cluster.set_pod(pod("b").label("app", "m").on("n").finished().build());
    cluster.set_pod(pod("a").label("app", "x").on("n").build());
    assert!(count(&cluster).is_empty(), "gone, finished, labelled anew");
    assert_eq!((cluster.services().len(), before.len()), (1, 2), "a copy stays as it was");
}

#[test]
fn a_resized_pod_holds_what_it_asks_for_now() {
    let mut cluster = Cluster::default();
    cluster.set_pod(pod("a").gpus(3).on("n").build());
    cluster.set_pod(pod("a").gpus(1).on("n").build());
    assert_eq!(gpus_used(&cluster, "n"), 1);
}

#[test]
fn pods_may_be_seen_before_their_node() {
    let mut cluster = Cluster::default();
    cluster.set_pod(pod("a").gpus(3).on("n").build());
    cluster.set_node(node("n").has("nvidia.com/gpu", 8).build());
    assert_eq!(gpus_used(&cluster, "n"), 3);
    cluster.remove_node(&"n".into());
    assert_eq!(gpus_used(&cluster, "n"), 3, "the node may come back");
    cluster.remove_pod(&uid("a"));
    assert!(cluster.node("n").is_none(), "nothing is left to remember");
}

#[test]
fn slots_are_used_again() {
    let mut cluster = Cluster::default();
    for round in 0..100 {
        let name = format!("n{round}");
        cluster.set_node(node(&name).build());
        cluster.remove_node(&name.as_str().into());
    }
    assert_eq!(cluster.slots().len(), 1);
    assert!(cluster.names().is_empty());
}

#[test]
fn a_change_of_nothing_stamps_nothing() {
    let mut cluster = Cluster::default();
    let fleet_node = || node("n").has("nvidia.com/gpu", 8).build();
    cluster.set_node(fleet_node());
    cluster.set_pod(pod("a").gpus(3).on("n").build());
    let before = cluster.generation();
    cluster.set_node(fleet_node());
    cluster.set_pod(pod("a").gpus(3).on("n").build());
    assert_eq!(cluster.generation(), before);
}

#[test]
fn a_holding_that_becomes_surer_changes_no_node() {
    let mut cluster = Cluster::default();
    let (held, node) = (pod("a").gpus(3).build(), "n".into());
    cluster.hold(&held.uid, Holding::of(&held, &node), Standing::Assumed { until_ms: 1 });
    let before = cluster.generation();
    cluster.set_standing(&held.uid, Standing::Committed);
    cluster.set_pod(pod("a").gpus(3).on("n").build());
    assert_eq!(cluster.generation(), before);
    assert!(cluster.unconfirmed().is_empty());
    cluster.set_standing(&held.uid, Standing::Assumed { until_ms: 2 });
    assert!(cluster.generation() > before, "who is in doubt must not stand in its own way: that is news");
}

#[test]
fn a_new_list_forgets_what_it_does_not_show() {
    let mut cluster = Cluster::default();
    cluster.set_node(node("n").build());
    cluster.set_node(node("m").build());
    cluster.set_pod(pod("a").gpus(1).on("n").build());
    cluster.set_pod(pod("b").gpus(2).on("n").build());
    cluster.retain_nodes(&BTreeSet::from(["n".into()]));
    cluster.retain_pods(&BTreeSet::from([uid("b")]), 0);
    assert!(cluster.node("m").is_none());
    assert_eq!(gpus_used(&cluster, "n"), 2);
    assert_eq!(cluster.pods().len(), 1);
}

#[test]
fn neuron_hardware_is_counted_once_under_all_its_names() {
    let mut cluster = Cluster::default();
    let names = ["aws.amazon.com/neuron", "aws.amazon.com/neurondevice", "aws.amazon.com/neuroncore"];
    cluster.set_node(node("n").has(names[0], 16).has(names[1], 16).has(names[2], 128).build());
    let free = |cluster: &Cluster| {
        let state = cluster.node("n").unwrap();
        let inventory = &state.node().unwrap().inventory;
        names.map(|name| state.free_units(inventory.pool(name).unwrap()))
    };
    assert_eq!(free(&cluster), [16, 16, 128]);
    cluster.set_pod(pod("devices").asks(names[0], 4).on("n").build());
    assert_eq!(free(&cluster), [12, 12, 96]);
    cluster.set_pod(pod("cores").asks(names[2], 9).on("n").build());
    assert_eq!(free(&cluster), [10, 10, 87], "nine cores are part of two devices");
}

/// Something that can happen to a cluster of three nodes and six pods.
#[derive(Debug, Clone)]
enum Event {
    Node(usize, bool),
    Bound { pod: usize, node: usize, gpus: i64 },
    Pending(usize),
    Finished(usize),
    Deleted(usize),
    Held { pod: usize, node: usize },
    Released(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..3usize, any::<bool>()).prop_map(|(n, there)| Event::Node(n, there)),
        (0..6usize, 0..3usize, 0..9i64).prop_map(|(pod, node, gpus)| Event::Bound { pod, node, gpus }),
        (0..6usize).prop_map(Event::Pending),
        (0..6usize).prop_map(Event::Finished),
        (0..6usize).prop_map(Event::Deleted),
        (0..6usize, 0..3usize).prop_map(|(pod, node)| Event::Held { pod, node }),
        (0..6usize).prop_map(Event::Released),
    ]
}

fn play(cluster: &mut Cluster, event: &Event) {
    let named = |i: &usize| pod(&format!("p{i}")).label("app", ["a", "b", ""][i % 3]);
    let node_name = |i: &usize| format!("n{i}");
    match event {
        Event::Node(n, true) => {
            let zone = if *n == 0 { "z" } else { "y" };
            let labelled = node(&node_name(n)).label("topology.kubernetes.io/zone", zone);
            cluster.set_node(labelled.has("nvidia.com/gpu", 8).build());
        }
        Event::Node(n, false) => cluster.remove_node(&node_name(n).as_str().into()),
        Event::Bound { pod, node, gpus } => cluster.set_pod(named(pod).gpus(*gpus).on(&node_name(node)).build()),
        Event::Pending(pod) => cluster.set_pod(named(pod).build()),
        Event::Finished(pod) => cluster.set_pod(named(pod).finished().build()),
        Event::Deleted(pod) => cluster.remove_pod(&uid(&format!("p{pod}"))),
        Event::Held { pod, node } => {
            let held = named(pod).gpus(1).build();
            let standing = if *node == 0 { Standing::Committed } else { Standing::Assumed { until_ms: 1 } };
            cluster.hold(&held.uid, Holding::of(&held, &node_name(node).as_str().into()), standing);
        }
        Event::Released(pod) => cluster.release(&uid(&format!("p{pod}"))),
    }
}

proptest! {
    /// Whatever happens, what a node counts as used is what its holders ask for, and every holding is on its node.
    #[test]
    fn the_books_balance(events in proptest::collection::vec(any_event(), 1..60)) {
        let mut cluster = Cluster::default();
        for event in &events {
            play(&mut cluster, event);
        }
        prop_assert!(cluster.unconfirmed().keys().all(|uid| cluster.holding(uid).is_some()));
        let mut held = 0;
        for state in cluster.slots().iter().flatten() {
            let mut sum = crate::model::resources::Resources::default();
            state.holders().values().for_each(|holding| sum.add(&holding.demand.requests));
            prop_assert_eq!(state.used(), &sum);
            prop_assert!(state.node().is_some() || !state.holders().is_empty());
            held += state.holders().len();
        }
        prop_assert_eq!(held, cluster.ledger.len());
        let (mut services, mut domains) = (Services::default(), Domains::default());
        for holding in cluster.ledger.values().map(|entry| &entry.holding) {
            let slot = cluster.names().get(holding.node.as_str()).expect("a node with pods has its slot");
            let add = |replica| services.add(replica, slot, cluster.domains().path(&holding.node));
            holding.replica.iter().for_each(add);
        }
        prop_assert_eq!(&services, &**cluster.services());
        for there in cluster.slots().iter().flatten().filter_map(|state| state.node()) {
            domains.insert(there.name(), &there.place);
        }
        let zones = |domains: &Domains| -> Vec<_> {
            domains.at(Level::Zone).into_iter().map(|id| (domains.full_name(id), domains[id].nodes().clone())).collect()
        };
        prop_assert_eq!(zones(&domains), zones(cluster.domains()));
        for (uid, entry) in &cluster.ledger {
            let assumed = matches!(entry.standing, Standing::Assumed { .. });
            let node = &entry.holding.node;
            prop_assert_eq!(cluster.unconfirmed().get(uid), assumed.then_some(node));
            prop_assert_eq!(cluster.node(node.as_str()).unwrap().holders().get(uid), Some(&entry.holding));
        }
    }
}

const MILLI: &str = "alibabacloud.com/gpu-milli";

#[test]
fn shares_are_given_back_to_the_gpu_they_were_taken_from() {
    let mut cluster = Cluster::default();
    cluster.set_node(node("n").has(MILLI, 3000).build());
    let free = |cluster: &Cluster| cluster.node("n").unwrap().shared_gpus().free().to_vec();
    let told = |name: &str, milli, gpus: &str| Pod {
        gpus: parse_indices(gpus),
        ..pod(name).asks(MILLI, milli).on("n").build()
    };
    cluster.set_pod(told("a", 400, "2"));
    cluster.set_pod(pod("b").asks(MILLI, 500).on("n").build());
    cluster.set_pod(told("c", 1000, "1"));
    assert_eq!(free(&cluster), [1000, 0, 100], "what does not say where it is goes where it leaves least");
    cluster.set_pod(pod("a").asks(MILLI, 400).on("n").build());
    assert_eq!(free(&cluster), [1000, 0, 100], "what was said once stays known");
    cluster.set_node(node("n").has(MILLI, 3000).label("zone", "b").build());
    assert_eq!(free(&cluster), [1000, 0, 100], "a changed node changes no grant");
    cluster.remove_pod(&"uid-b".into());
    cluster.remove_pod(&"uid-c".into());
    assert_eq!(free(&cluster), [1000, 1000, 600]);
    cluster.set_pod(pod("d").asks(MILLI, 4000).on("n").build());
    assert_eq!(free(&cluster), [0, 0, -400], "the kubelet has let it in, wherever it is");
}

#[test]
fn shares_seen_before_their_node_are_taken_when_it_appears() {
    let mut cluster = Cluster::default();
    cluster.set_pod(pod("a").asks(MILLI, 400).on("n").build());
    cluster.set_pod(Pod { gpus: parse_indices("0"), ..pod("b").asks(MILLI, 900).on("n").build() });
    cluster.set_node(node("n").has(MILLI, 2000).build());
    assert_eq!(cluster.node("n").unwrap().shared_gpus().free(), [100, 600]);
}

#[test]
fn shapes_are_counted_while_their_pods_are_there() {
    let mut cluster = Cluster::default();
    let counts = |cluster: &Cluster| -> Vec<(i64, u32)> {
        let of_all = cluster.tally().namespaces().flat_map(|(_, counts)| counts);
        of_all.map(|(shape, count)| (shape.units, *count)).collect()
    };
    cluster.set_pod(pod("a").gpus(2).build());
    cluster.set_pod(pod("b").gpus(2).on("n").build());
    cluster.set_pod(pod("c").gpus(8).build());
    cluster.set_pod(pod("no-gpu").build());
    assert_eq!((counts(&cluster), cluster.tally().waiting()), (vec![(2, 2), (8, 1)], 2));
    cluster.set_pod(pod("a").gpus(2).on("n").build());
    assert_eq!((counts(&cluster), cluster.tally().waiting()), (vec![(2, 2), (8, 1)], 1), "a pod counts once");
    cluster.set_pod(pod("b").gpus(2).on("n").finished().build());
    cluster.remove_pod(&uid("c"));
    assert_eq!((counts(&cluster), cluster.tally().waiting()), (vec![(2, 1)], 0));
    cluster.retain_pods(&BTreeSet::new(), 0);
    assert_eq!(cluster.tally().namespaces().count(), 0);
}

#[test]
fn what_a_pod_was_given_stays_whatever_is_written_on_it_later() {
    let mut cluster = Cluster::default();
    let on = |gpus: &str| Pod { gpus: parse_indices(gpus), ..pod("a").on("n").build() };
    cluster.set_pod(on("1"));
    cluster.set_pod(on("3"));
    let holding = cluster.holding(&on("1").uid).expect("it holds something");
    assert_eq!(holding.holding.gpus, parse_indices("1"));
}
