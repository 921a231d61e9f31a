use proptest::prelude::*;

use super::*;
use crate::model::selector::Labels;

/// A place from labels, `key=value` by blanks.
fn place(labels: &str) -> Place {
    let pairs = labels.split_whitespace().filter_map(|pair| pair.split_once('='));
    Place::of(&pairs.collect::<Labels>())
}

fn fleet(nodes: &[(&str, &str)]) -> Domains {
    let mut domains = Domains::default();
    for (name, labels) in nodes {
        assert!(domains.insert(&(*name).into(), &place(labels)));
    }
    domains
}

fn common(domains: &Domains, a: &str, b: &str) -> Option<Level> {
    domains.common_level(&a.into(), &b.into())
}

/// The whole tree, a domain a line: what every user of it sees.
fn render(domains: &Domains) -> Vec<String> {
    let mut lines = vec![];
    let mut open = vec![DomainId::FLEET];
    while let Some(id) = open.pop() {
        let domain = &domains[id];
        let nodes: Vec<&str> = domain.nodes().iter().map(NodeName::as_str).collect();
        lines.push(format!("{}: {}: {}", domain.level(), domains.full_name(id), nodes.join(" ")));
        open.extend(domain.children());
    }
    lines
}

const AWS: &str = "topology.kubernetes.io/region=us-west-2 topology.kubernetes.io/zone=us-west-2b";

fn p5(layers: [&str; 3]) -> String {
    let layers: Vec<String> =
        (1..).zip(layers).map(|(n, name)| format!("topology.k8s.aws/network-node-layer-{n}={name}")).collect();
    format!("{AWS} {}", layers.join(" "))
}

#[test]
fn p5_nodes_hang_below_their_network_nodes() {
    let domains = fleet(&[
        ("a", &p5(["nn-1", "nn-2", "nn-3"])),
        ("b", &p5(["nn-1", "nn-2", "nn-3"])),
        ("c", &p5(["nn-1", "nn-2", "nn-4"])),
        ("d", &p5(["nn-9", "nn-2", "nn-3"])),
        ("e", "topology.kubernetes.io/region=us-west-2 topology.kubernetes.io/zone=us-west-2c"),
    ]);
    assert_eq!(common(&domains, "a", "a"), Some(Level::Node));
    assert_eq!(common(&domains, "a", "b"), Some(Level::Layer(2)));
    assert_eq!(common(&domains, "a", "c"), Some(Level::Layer(1)));
    assert_eq!(common(&domains, "a", "d"), Some(Level::Zone), "equal names below different parents are different");
    assert_eq!(common(&domains, "a", "e"), Some(Level::Region));
    assert_eq!(common(&domains, "a", "nobody"), None);
    let path: Vec<String> = domains.path(&"c".into()).map(|id| domains.full_name(id)).collect();
    let zone = "us-west-2/us-west-2b";
    assert_eq!(
        path,
        [
            "",
            "us-west-2",
            zone,
            &format!("{zone}/nn-1"),
            &format!("{zone}/nn-1/nn-2"),
            &format!("{zone}/nn-1/nn-2/nn-4"),
        ]
    );
    let names = |level| domains.at(level).into_iter().map(|id| domains.full_name(id)).collect::<Vec<_>>();
    assert_eq!(names(Level::Zone), [zone, "us-west-2/us-west-2c"]);
    assert_eq!(names(Level::Layer(1)), [format!("{zone}/nn-1/nn-2"), format!("{zone}/nn-9/nn-2")]);
    assert_eq!(names(Level::Fleet), [""]);
    let under = domains.at(Level::Layer(1))[0];
    assert!(domains[under].nodes().iter().map(NodeName::as_str).eq(["a", "b", "c"]));
}

#[test]
fn trays_of_one_rack_are_together_across_switches() {
    let tray = |clique: &str, leaf: &str| format!("{} nvidia.com/gpu.clique={clique}", p5(["nn-1", "nn-2", leaf]));
    let domains = fleet(&[
        ("a1", &tray("rack-a.1", "left")),
        ("a2", &tray("rack-a.1", "right")),
        ("b1", &tray("rack-b.1", "left")),
    ]);
    assert_eq!(common(&domains, "a1", "a2"), Some(Level::Clique));
    assert_eq!(common(&domains, "a1", "b1"), Some(Level::Layer(2)));
    assert_eq!(common(&domains, "a2", "b1"), Some(Level::Layer(1)));
    let rack = domains.rack(&"a1".into()).expect("a rack");
    assert_eq!(
        (domains[rack].level(), domains[rack].name(), domains[rack].nodes().len()),
        (Level::Clique, "rack-a.1", 2)
    );
    assert_eq!(domains.full_name(rack), "us-west-2/us-west-2b/rack-a.1");
    assert_eq!(domains.closest(&"a1".into(), Level::Layer(1)).map(|id| domains[id].name()), Some("nn-2"));
    assert_eq!(domains.closest(&"a1".into(), Level::Layer(9)).map(|id| domains[id].name()), Some("left"));
    assert!(Level::Clique > Level::Layer(200) && Level::Layer(1) > Level::Layer(0) && Level::Layer(0) > Level::Zone);
}

#[test]
fn both_generations_of_topograph_build_the_same_tree() {
    let newer = |tiers: [&str; 3]| {
        let [core, spine, leaf] = tiers;
        format!(
            "fabric.topograph.run/tier-2={core} fabric.topograph.run/tier-1={spine} fabric.topograph.run/tier-0={leaf}"
        )
    };
    let older = |tiers: [&str; 3]| {
        let prefix = "network.topology.nvidia.com";
        let [core, spine, leaf] = tiers;
        format!("{prefix}/core={core} {prefix}/spine={spine} {prefix}/leaf={leaf}")
    };
    let build = |labels: &dyn Fn([&str; 3]) -> String| {
        fleet(&[
            ("a", &labels(["c", "s1", "l1"])),
            ("b", &labels(["c", "s1", "l2"])),
            ("c", &labels(["c", "s2", "l1"])),
        ])
    };
    let (one, other) = (build(&newer), build(&older));
    assert_eq!(render(&one), render(&other));
    assert_eq!((common(&one, "a", "b"), common(&one, "a", "c")), (Some(Level::Layer(1)), Some(Level::Layer(0))));
}

#[test]
fn nodes_without_labels_hang_below_the_fleet() {
    let domains = fleet(&[("kind-worker", ""), ("kind-worker2", ""), ("zoned", "topology.kubernetes.io/zone=z")]);
    assert_eq!(common(&domains, "kind-worker", "kind-worker2"), Some(Level::Fleet));
    assert_eq!(common(&domains, "kind-worker", "zoned"), Some(Level::Fleet));
    assert_eq!(domains.rack(&"kind-worker".into()), Some(DomainId::FLEET));
    assert_eq!(domains.rack(&"nobody".into()), None);
    assert_eq!(domains.at(Level::Zone).len(), 1);
    assert!(domains.at(Level::Layer(0)).is_empty());
}

#[test]
fn labels_that_contradict_do_not_join_what_is_apart() {
    let zone = |zone: &str| {
        format!("topology.kubernetes.io/zone={zone} nvidia.com/gpu.clique=c.1 fabric.topograph.run/tier-0=leaf")
    };
    let mut domains = fleet(&[("a", &zone("z1")), ("b", &zone("z2")), ("lost", "nvidia.com/gpu.clique=c.1")]);
    assert_eq!(common(&domains, "a", "b"), Some(Level::Fleet), "no cable goes from zone to zone");
    assert_eq!(common(&domains, "a", "lost"), Some(Level::Fleet));
    assert_eq!(domains.at(Level::Clique).len(), 3);
    // A layer and a clique of one name, as well as a region and a zone, are not confused.
    domains.insert(&"c".into(), &place("topology.kubernetes.io/zone=z1 fabric.topograph.run/tier-0=c.1"));
    assert_eq!(common(&domains, "a", "c"), Some(Level::Zone));
}

#[test]
fn a_node_that_moves_leaves_no_trace() {
    let before = fleet(&[("a", &p5(["nn-1", "nn-2", "nn-3"]))]);
    let mut domains = before.clone();
    let home = place(&p5(["nn-1", "nn-2", "nn-3"]));
    assert!(!domains.insert(&"a".into(), &home), "nothing new");
    for labels in
        ["", AWS, &p5(["nn-1", "nn-2", "nn-4"]), &format!("{} nvidia.com/gpu.clique=c", p5(["nn-1", "nn-2", "nn-3"]))]
    {
        assert!(domains.insert(&"a".into(), &place(labels)), "{labels}");
        assert_ne!(render(&domains), render(&before));
        assert!(domains.insert(&"a".into(), &home), "{labels}");
        assert_eq!(render(&domains), render(&before));
    }
    assert!(domains.remove(&"a".into()) && !domains.remove(&"a".into()));
    assert_eq!(render(&domains), render(&Domains::default()));
    assert!(domains.domains.len() < 20, "ids are used again");
}

proptest! {
    /// However the nodes came and went, the tree is the one of the nodes that are there; and two nodes are as close as
    /// their labels say.
    #[test]
    fn the_tree_depends_on_the_places_only(
        events in proptest::collection::vec((0usize..6, 0usize..3, 0usize..3, 0usize..4, 0usize..3, any::<bool>()), 1..40),
    ) {
        let mut domains = Domains::default();
        let mut there = BTreeMap::new();
        for (node, region, zone, depth, clique, goes) in events {
            let name: NodeName = format!("n{node}").as_str().into();
            if goes {
                prop_assert_eq!(domains.remove(&name), there.remove(&name).is_some());
                continue;
            }
            // 0 is no label at all.
            let named = |kind: &str, number: usize| (number > 0).then(|| format!("{kind}{number}"));
            let place = Place {
                region: named("r", region),
                zone: named("z", zone),
                network_layers: (0..depth).map(|layer| format!("l{}", (node + layer) % 2)).collect(),
                clique: named("c", clique),
                ..Place::default()
            };
            let changed = there.insert(name.clone(), place.clone()) != Some(place.clone());
            prop_assert_eq!(domains.insert(&name, &place), changed);
        }
        let mut fresh = Domains::default();
        for (name, place) in there.iter().rev() {
            fresh.insert(name, place);
        }
        prop_assert_eq!(render(&domains), render(&fresh));
        for (a, here) in &there {
            for (b, there) in there.iter().filter(|(b, _)| *b != a) {
                let steps = |place: &Place| steps(place).map(|(l, n)| (l, n.to_owned())).collect::<Vec<_>>();
                let shared = steps(here).into_iter().zip(steps(there)).take_while(|(a, b)| a == b).last();
                let wider = (&here.region, &here.zone) == (&there.region, &there.zone);
                let clique = here.clique.is_some() && here.clique == there.clique && wider;
                let wanted = if clique { Level::Clique } else { shared.map_or(Level::Fleet, |(step, _)| step.0) };
                prop_assert_eq!(domains.common_level(a, b), Some(wanted), "{} {}", a, b);
            }
        }
    }
}
