use proptest::prelude::*;

use super::*;
use crate::cluster::Cluster;
use crate::model::node::NodeName;
use crate::model::pod::Pod;
use crate::testing::{node, pod};

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const LEAF: &str = "fabric.topograph.run/tier-0";
const GROUP: &str = "leaderworkerset.sigs.k8s.io/group-index";

/// Nodes `<zone><rack><number>`, two of each in zones `a`, `b` of region `r` and zone `c` of region `s`; and `lost`.
fn fleet() -> Cluster {
    let mut cluster = Cluster::default();
    for (region, zone) in [("r", "a"), ("r", "b"), ("s", "c")] {
        for rack in ["x", "y"] {
            for number in 1..=2 {
                let labelled = node(&format!("{zone}{rack}{number}")).label(REGION, region).label(ZONE, zone);
                cluster.set_node(labelled.label(LEAF, &format!("{zone}{rack}")).build());
            }
        }
    }
    cluster.set_node(node("lost").build());
    cluster
}

/// A replica of the service `m` on a node.
fn replica(name: &str, on: &str) -> Pod {
    pod(name).label("app", "m").on(on).build()
}

/// A pod of a group of the set `l` on a node.
fn member(name: &str, group: &str, on: &str) -> Pod {
    pod(name).label("leaderworkerset.sigs.k8s.io/name", "l").label(GROUP, group).on(on).build()
}

type PeersIfAny<'a> = Option<Peers<'a>>;

fn peers_with<'a>(zones: ZonePolicy, cluster: &'a Cluster, pod: &Pod, itself: Option<&str>) -> PeersIfAny<'a> {
    let replica = Replica::of(pod).expect("a service");
    let itself = itself.and_then(|name| cluster.names().get(name));
    let paths = cluster.geography().paths(cluster.slots(), cluster.domains());
    Peers::of(&replica, itself, cluster.services(), cluster.domains(), paths, zones)
}

fn peers<'a>(cluster: &'a Cluster, pod: &Pod, itself: Option<&str>) -> PeersIfAny<'a> {
    peers_with(ZonePolicy::Together, cluster, pod, itself)
}

/// Zone, replicas on the node, in its rack.
fn figures(cluster: &Cluster, peers: &PeersIfAny<'_>, node: &str) -> [u8; 3] {
    let Surroundings { zone, on_node, in_rack } = around(cluster, peers, node);
    [zone, on_node, in_rack]
}

fn around(cluster: &Cluster, peers: &PeersIfAny<'_>, node: &str) -> Surroundings {
    peers.as_ref().map(|peers| peers.around(cluster.names().get(node))).unwrap_or_default()
}

fn names(cluster: &Cluster) -> Vec<NodeName> {
    cluster.slots().iter().flatten().map(|state| state.name().clone()).collect()
}

/// Where the next replicas go if nothing else counts: zone, node, rack, name.
fn placed_in_turn(zones: ZonePolicy, cluster: &mut Cluster, count: usize) -> Vec<String> {
    let names: Vec<String> = names(cluster).iter().map(ToString::to_string).collect();
    let place = |n: usize| {
        let peers = peers_with(zones, cluster, &replica("next", "nowhere"), None);
        let best = names.iter().min_by_key(|name| (figures(cluster, &peers, name), (*name).clone()));
        let best = best.expect("a node").clone();
        cluster.set_pod(replica(&format!("p{n}"), &best));
        best
    };
    (0..count).map(place).collect()
}

#[test]
fn replicas_stay_in_their_zone_and_spread_inside_it() {
    let mut cluster = fleet();
    cluster.set_pod(replica("first", "by1"));
    assert_eq!(placed_in_turn(ZonePolicy::Together, &mut cluster, 5), ["bx1", "bx2", "by2", "bx1", "by1"]);
}

#[test]
fn replicas_spread_over_zones_where_they_should() {
    let mut cluster = fleet();
    cluster.set_pod(replica("first", "by1"));
    let placed = placed_in_turn(ZonePolicy::Spread, &mut cluster, 7);
    assert_eq!(placed, ["ax1", "cx1", "ay1", "bx1", "cy1", "ax2", "bx2"]);
}

#[test]
fn an_empty_zone_does_not_hide_which_of_the_others_has_fewer() {
    let mut cluster = fleet();
    for (pod, node) in [("1", "ax1"), ("2", "ax1"), ("3", "ax2"), ("4", "bx1"), ("5", "bx2")] {
        cluster.set_pod(replica(pod, node));
    }
    let spread = peers_with(ZonePolicy::Spread, &cluster, &replica("new", "x"), None);
    let zone = |node| figures(&cluster, &spread, node)[0];
    assert_eq!([zone("ay1"), zone("by1"), zone("cx1"), zone("lost")], [2, 1, 0, MAX_ZONE]);
}

#[test]
fn the_pods_of_a_group_are_not_spread_over_zones() {
    let mut cluster = fleet();
    cluster.set_pod(member("l-0", "0", "ax1"));
    let of_group = |group: &str| peers_with(ZonePolicy::Spread, &cluster, &member("new", group, "x"), None);
    let zones = |peers: &PeersIfAny<'_>| ["ax2", "bx1", "cx1"].map(|node| figures(&cluster, peers, node)[0]);
    assert_eq!((zones(&of_group("0")), zones(&of_group("1"))), ([0, 1, 2], [1, 0, 0]));
}

#[test]
fn distance_and_counts_follow_the_domain_tree() {
    let mut cluster = fleet();
    for (name, on) in [("1", "ax1"), ("2", "ax1"), ("3", "ax2"), ("4", "ay1")] {
        cluster.set_pod(replica(name, on));
    }
    cluster.set_pod(pod("other").label("app", "other").on("cx1").build());
    let asking = replica("new", "nowhere");
    let peers = peers(&cluster, &asking, None);
    for (node, wanted) in [
        ("ax1", [0, 2, 3]),
        ("ax2", [0, 1, 3]),
        ("ay2", [0, 0, 1]),
        ("bx1", [1, 0, 0]),
        ("cx1", [2, 0, 0]),
        // What does not say where it is may be anywhere: it counts with the whole fleet.
        ("lost", [2, 0, 4]),
        ("unheard-of", [2, 0, 0]),
    ] {
        assert_eq!(figures(&cluster, &peers, node), wanted, "{node}");
    }
}

#[test]
fn the_first_replica_may_go_anywhere() {
    let mut cluster = fleet();
    let first = replica("first", "ax1");
    let assert_nobody_is_around = |cluster: &Cluster, itself| {
        for node in ["ax1", "cy2", "lost"] {
            assert_eq!(figures(cluster, &peers(cluster, &first, itself), node), [0; 3], "{node}");
        }
    };
    assert_nobody_is_around(&cluster, None);
    cluster.set_pod(first.clone());
    // Assumed on its node already, and asked about again: alone as before.
    assert_nobody_is_around(&cluster, Some("ax1"));
    assert_eq!(figures(&cluster, &peers(&cluster, &replica("second", "x"), None), "ax1"), [0, 1, 1]);
}

#[test]
fn a_fleet_without_zones_has_no_distances() {
    let mut cluster = Cluster::default();
    for name in ["n", "o"] {
        cluster.set_node(node(name).build());
    }
    cluster.set_pod(replica("1", "n"));
    let peers = peers(&cluster, &replica("new", "x"), None);
    let [here, there] = ["n", "o"].map(|node| figures(&cluster, &peers, node));
    assert_eq!(here[0], there[0]);
    assert_eq!((here[1], there[1]), (1, 0), "spread over nodes all the same");
}

#[test]
fn pods_of_one_group_stay_together_and_other_groups_apart() {
    let mut cluster = fleet();
    cluster.set_pod(member("l-0", "0", "ax1"));
    cluster.set_pod(member("l-0-1", "0", "ax1"));
    cluster.set_pod(member("l-1", "1", "bx1"));
    let of_group = |group: &str| peers(&cluster, &member("new", group, "x"), None);
    // The own group is near, and in nobody's way; where the other one is does not count as near.
    assert_eq!(figures(&cluster, &of_group("0"), "ax1"), [0, 0, 0]);
    assert_eq!(figures(&cluster, &of_group("0"), "bx1"), [1, 1, 1]);
    // A new group is near to any, and apart from all.
    assert_eq!(figures(&cluster, &of_group("2"), "ax1"), [0, 2, 2]);
    assert_eq!(figures(&cluster, &of_group("2"), "by2"), [0, 0, 0]);
    // Of a group's only pod, itself, nothing remains: then the service counts.
    let only = peers(&cluster, &member("l-1", "1", "bx1"), Some("bx1"));
    assert_eq!(figures(&cluster, &only, "ax1"), [0, 2, 2]);
    assert_eq!(figures(&cluster, &only, "bx1"), [1, 0, 0]);
}

#[test]
fn figures_have_bounds() {
    let mut cluster = fleet();
    for n in 0..300 {
        cluster.set_pod(replica(&format!("p{n}"), "ax1"));
    }
    let peers = peers(&cluster, &replica("new", "x"), None);
    assert_eq!(figures(&cluster, &peers, "ax1"), [0, MAX_ON_NODE, MAX_IN_RACK]);
}

#[test]
fn priority_decides_for_which_capacity() {
    use CapacityType::{OnDemand, Reserved, Spot};
    let order = |policy: CapacityPolicy, priority: i32| {
        [Some(Reserved), Some(OnDemand), None, Some(Spot)].map(|capacity| policy.misfit(priority, capacity))
    };
    let default = CapacityPolicy::default();
    for important in [1, 1000, i32::MAX] {
        assert_eq!(order(default, important), [0, 1, 1, 2], "{important}");
    }
    for expendable in [-1, -1000, i32::MIN] {
        assert_eq!(order(default, expendable), [2, 1, 1, 0], "{expendable}");
    }
    assert_eq!(order(default, 0), [0; 4], "nobody said anything");
    let thrifty = CapacityPolicy { spot_up_to: 0, ..default };
    assert_eq!(order(thrifty, 0), [2, 1, 1, 0]);
    let both = CapacityPolicy { spot_up_to: 10, steady_from: 5 };
    assert_eq!((order(both, 7), order(both, 4)), ([0, 1, 1, 2], [2, 1, 1, 0]));
}

proptest! {
    /// The counts are those of going through all pods one by one.
    #[test]
    fn counts_are_those_of_the_pods(
        pods in proptest::collection::vec((0usize..13, 0usize..3), 0..30),
        group in 0usize..3,
        asked in 0usize..13,
    ) {
        let mut cluster = fleet();
        let names = names(&cluster);
        let members = pods.iter().enumerate();
        let members = members.map(|(n, (at, group))| member(&format!("p{n}"), &group.to_string(), names[*at].as_str()));
        let members: Vec<Pod> = members.collect();
        for member in &members {
            cluster.set_pod(member.clone());
        }
        let group = group.to_string();
        let peers = peers(&cluster, &member("new", &group, "x"), None);
        let place = |name: &NodeName| cluster.node(name.as_str()).and_then(|s| s.node()).expect("a node").place.clone();
        let (name, here) = (&names[asked], place(&names[asked]));
        let apart = members.iter().zip(&pods).filter(|(pod, _)| pod.labels.get(GROUP) != Some(group.as_str()));
        let apart: Vec<&NodeName> = apart.map(|(_, (at, _))| &names[*at]).collect();
        // The node that says nothing is in the same place as the whole fleet.
        let same = |shares: &dyn Fn(&NodeName) -> bool| {
            apart.iter().filter(|other| here.zone.is_none() || shares(other)).count() as u32
        };
        let around = around(&cluster, &peers, name.as_str());
        let on_node = apart.iter().filter(|other| **other == name).count() as u32;
        prop_assert_eq!(around.on_node, bounded(on_node, MAX_ON_NODE));
        let in_rack = same(&|other| place(other).network_layers == here.network_layers);
        prop_assert_eq!(around.in_rack, bounded(in_rack, MAX_IN_RACK));

        let own: Vec<&NodeName> = pods.iter().filter(|(_, of)| of.to_string() == group).map(|(at, _)| &names[*at]).collect();
        let all: Vec<&NodeName> = pods.iter().map(|(at, _)| &names[*at]).collect();
        let near = if own.is_empty() { all } else { own };
        let shares = |same: &dyn Fn(&crate::model::place::Place) -> bool| near.iter().any(|other| same(&place(other)));
        let wanted = if near.is_empty() || here.zone.is_some() && shares(&|other| other.zone == here.zone) {
            0
        } else if here.region.is_some() && shares(&|other| other.region == here.region) {
            1
        } else {
            2
        };
        prop_assert_eq!(around.zone, wanted);
    }
}
