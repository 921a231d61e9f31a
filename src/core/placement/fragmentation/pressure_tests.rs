use super::super::classes::Classes;
use super::*;
use crate::cluster::Cluster;
use crate::placement::fragmentation::{Fleet, Prior};
use crate::testing::{NodeBuilder, PodBuilder, node, pod};

/// The prices of the classes of some nodes, in the order of the nodes.
fn prices_of(nodes: Vec<NodeBuilder>, pods: Vec<PodBuilder>) -> Vec<i64> {
    let mut cluster = Cluster::default();
    let count = nodes.len();
    for node in nodes {
        cluster.set_node(node.build());
    }
    for pod in pods {
        cluster.set_pod(pod.build());
    }
    let fleet = Fleet::of(cluster.slots());
    let mix = Mix::of(cluster.tally(), &fleet, &Prior::default());
    let classes = Classes::of(&fleet, &mix);
    let prices = prices(&mix, &classes.classes);
    (0..count).map(|slot| prices[usize::from(classes.of_slot[slot].unwrap())]).collect()
}

/// So many pods with so many GPUs each.
fn pods(count: usize, gpus: i64) -> impl Iterator<Item = PodBuilder> {
    (0..count).map(move |at| pod(&format!("p{gpus}-{at}")).gpus(gpus))
}

fn gpus(name: &str, gpus: i64) -> NodeBuilder {
    node(name).has("nvidia.com/gpu", gpus)
}

#[test]
fn what_nothing_else_can_replace_is_dearer() {
    let nodes = || vec![gpus("a", 8), gpus("b", 4), gpus("c", 4)];
    let prices = prices_of(nodes(), pods(16, 1).chain(pods(16, 8)).collect());
    assert!(prices[0] > prices[1] && prices[1] == prices[2], "{prices:?}");
    let prices = prices_of(nodes(), pods(16, 1).chain(pods(16, 4)).collect());
    assert_eq!(prices, [PRICE; 3], "what both can take");
}

#[test]
fn nodes_that_only_some_accept_are_cheaper() {
    let nodes = vec![gpus("a", 4), gpus("b", 4).taint("team", crate::model::taint::Effect::NoSchedule)];
    let tolerant = (0..8).map(|at| pod(&format!("tolerant{at}")).gpus(1).tolerates(Some("team")));
    let prices = prices_of(nodes, pods(32, 1).chain(tolerant).collect());
    assert!(prices[0] > prices[1], "{prices:?}");
}

#[test]
fn demands_that_fit_everywhere_leave_classes_equal() {
    let nodes = || vec![gpus("a", 8), gpus("b", 4).has("cpu", 48_000), gpus("c", 2)];
    for count in [0, 1, 100] {
        assert_eq!(prices_of(nodes(), pods(count, 2).collect()), [PRICE; 3], "{count} pods");
    }
}

#[test]
fn a_class_is_only_so_dear() {
    let scarce = |small| {
        let nodes = (0..small).map(|at| gpus(&format!("small{at}"), 4)).chain([gpus("the-only-one", 8)]).collect();
        *prices_of(nodes, pods(100, 8).collect()).last().unwrap()
    };
    let dearest = PRICE + PRICE * (CLIP * CLIP / PARTS / PARTS) as i64;
    assert_eq!([scarce(10), scarce(100)], [dearest; 2]);
}

#[test]
fn devices_with_more_memory_and_links_are_worth_more() {
    let product = |product: &str| node(product).product(product).has("nvidia.com/gpu", 8);
    let linked = node("p4d").product("NVIDIA-A100-SXM4-40GB").instance("p4d.24xlarge").has("nvidia.com/gpu", 8);
    let nodes = vec![product("NVIDIA-L4"), product("NVIDIA-L40S"), linked, gpus("unknown", 8)];
    let prices = prices_of(nodes, pods(8, 1).collect());
    assert!(prices[0] < prices[1], "{prices:?}");
    assert_eq!(prices[2], PRICE * (40 + 40 / 4) / UNIT_WORTH, "a quarter more");
    assert_eq!(prices[3], PRICE, "of whose memory nothing is known");
}
