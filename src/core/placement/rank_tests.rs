use super::*;
use crate::model::selector::{NodeAffinity, Preference, Requirement, Term};
use crate::testing::{NodeBuilder, PodBuilder, node, pod};
use proptest::prelude::*;

fn idle(node: NodeBuilder) -> NodeState {
    NodeState::idle(node.build())
}

/// The names of the nodes, best first.
fn order(pod: PodBuilder, nodes: &[NodeState]) -> Vec<String> {
    let demand = pod.demand();
    let mut ranked: Vec<(u64, String)> =
        nodes.iter().map(|state| (rank(&demand, state).packed(), state.name().to_string())).collect();
    ranked.sort();
    ranked.into_iter().map(|(_, name)| name).collect()
}

fn p4d(name: &str) -> NodeBuilder {
    node(name).product("NVIDIA-A100-SXM4-40GB").instance("p4d.24xlarge").has("nvidia.com/gpu", 8)
}

fn l40s(name: &str) -> NodeBuilder {
    node(name).product("NVIDIA-L40S").instance("g6e.48xlarge").has("nvidia.com/gpu", 8)
}

/// The node with some of its GPUs in use.
fn used(node: NodeBuilder, gpus: i64) -> NodeState {
    let mut cluster = crate::cluster::Cluster::default();
    let node = node.build();
    let name = node.name().as_str().to_owned();
    cluster.set_node(node);
    cluster.set_pod(pod("other").gpus(gpus).on(&name).build());
    NodeState::clone(cluster.node(&name).unwrap())
}

#[test]
fn several_gpus_go_where_nvlink_is() {
    assert_eq!(order(pod("p").gpus(8), &[idle(l40s("a-pcie")), idle(p4d("b-nvlink"))]), ["b-nvlink", "a-pcie"]);
    let ailing = p4d("a-ailing").has_working("nvidia.com/gpu", 8, 7);
    assert_eq!(order(pod("p").gpus(4), &[idle(ailing), idle(p4d("b-whole"))]), ["b-whole", "a-ailing"]);
}

#[test]
fn one_gpu_stays_away_from_nvlink() {
    assert_eq!(order(pod("p").gpus(1), &[idle(p4d("a-nvlink")), idle(l40s("b-pcie"))]), ["b-pcie", "a-nvlink"]);
    assert_eq!(order(pod("p").gpus(1), &[used(p4d("a-nvlink"), 1), idle(l40s("b-pcie"))]), ["a-nvlink", "b-pcie"]);
}

#[test]
fn the_smaller_device_will_do() {
    let l4 = node("b-l4").product("NVIDIA-L4").has("nvidia.com/gpu", 8);
    assert_eq!(order(pod("p").gpus(1), &[idle(l40s("a-l40s")), idle(l4)]), ["b-l4", "a-l40s"]);
}

#[test]
fn part_used_before_idle_and_fullest_first() {
    let nodes = [idle(p4d("a-idle")), used(p4d("b-used"), 3), used(p4d("c-fuller"), 6)];
    assert_eq!(order(pod("p").gpus(2), &nodes), ["c-fuller", "b-used", "a-idle"]);
}

#[test]
fn slices_go_where_fewest_are_left() {
    let mig = |name: &str, count| {
        node(name).product("NVIDIA-A100-SXM4-40GB").has("nvidia.com/mig-3g.20gb", count).has("nvidia.com/mig-1g.5gb", 7)
    };
    let nodes = [idle(mig("a-many", 8)), idle(mig("b-few", 2))];
    assert_eq!(order(pod("p").asks("nvidia.com/mig-3g.20gb", 1), &nodes), ["b-few", "a-many"]);
}

#[test]
fn slices_care_neither_for_nvlink_nor_for_sets() {
    let mig = |node: NodeBuilder, count| node.has("nvidia.com/mig-1g.5gb", count);
    let linked = || node("a-linked").product("NVIDIA-A100-SXM4-40GB").instance("p4d.24xlarge");
    let alone = || node("b-alone").product("NVIDIA-A100-SXM4-40GB");
    let nodes = [idle(mig(linked(), 56)), idle(mig(alone(), 7))];
    assert_eq!(order(pod("p").asks("nvidia.com/mig-1g.5gb", 3), &nodes), ["b-alone", "a-linked"]);
    let nodes = [idle(mig(linked(), 5)), idle(mig(alone(), 7))];
    assert_eq!(order(pod("p").asks("nvidia.com/mig-1g.5gb", 1), &nodes), ["a-linked", "b-alone"]);
}

#[test]
fn a_plain_gpu_request_prefers_whole_gpus() {
    let shared = node("a-shared").product("NVIDIA-L40S-SHARED").has("nvidia.com/gpu", 8);
    let sliced = node("b-sliced").product("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb").has("nvidia.com/gpu", 7);
    let nodes = [idle(shared), idle(sliced), idle(l40s("c-whole"))];
    assert_eq!(order(pod("p").gpus(1), &nodes), ["c-whole", "b-sliced", "a-shared"]);
}

#[test]
fn pods_without_accelerators_keep_off_gpu_nodes() {
    assert_eq!(order(pod("p"), &[idle(p4d("a-gpu")), idle(node("b-cpu"))]), ["b-cpu", "a-gpu"]);
}

#[test]
fn the_pods_own_preference_comes_before_packing() {
    let term = Term { labels: vec![Requirement::equals("zone", "b")], name: vec![] };
    let affinity = NodeAffinity { preferred: vec![Preference { weight: 1, term }], ..NodeAffinity::default() };
    let nodes = [used(p4d("a-packed").label("zone", "a"), 7), idle(p4d("b-wished").label("zone", "b"))];
    assert_eq!(order(pod("p").gpus(1).affinity(affinity), &nodes), ["b-wished", "a-packed"]);
}

#[test]
fn nodes_on_their_way_out_come_last() {
    let leaving = idle(p4d("a-leaving").taint("DeletionCandidateOfClusterAutoscaler", Effect::PreferNoSchedule));
    let spot = idle(p4d("b-spot").taint("spot", Effect::PreferNoSchedule));
    let nodes = [leaving, spot, idle(p4d("c-plain"))];
    assert_eq!(order(pod("p").gpus(1), &nodes), ["c-plain", "b-spot", "a-leaving"]);
    assert_eq!(order(pod("p").gpus(1).tolerates(None), &nodes), ["b-spot", "c-plain", "a-leaving"]);
}

#[test]
fn the_best_place_is_alone_at_ten() {
    let places = |ranks: &[u64]| -> Vec<u8> {
        let names: Vec<String> = (0..ranks.len()).map(|i| format!("n{i:02}")).collect();
        levels(&names.iter().map(String::as_str).zip(ranks.iter().copied()).collect::<Vec<_>>())
    };
    assert!(places(&[]).is_empty());
    assert_eq!(places(&[7]), [10]);
    assert_eq!(places(&[5, 5, 5]), [10, 9, 9], "of equals the first by name");
    assert_eq!(places(&[30, 10, 20, 10]), [7, 10, 8, 9]);
    assert_eq!(places(&(0..14).collect::<Vec<_>>()), [10, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0]);
}

proptest! {
    #[test]
    fn packing_keeps_the_order(a in any_rank(), b in any_rank()) {
        prop_assert_eq!(a.cmp(&b), a.packed().cmp(&b.packed()));
        prop_assert!(a.packed() < 1 << 51);
    }

    #[test]
    fn levels_follow_the_ranks(ranks in proptest::collection::vec(0u64..40, 1..60)) {
        let names: Vec<String> = (0..ranks.len()).map(|i| format!("n{i:02}")).collect();
        let places: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(ranks.iter().copied()).collect();
        let levels = levels(&places);
        prop_assert_eq!(levels.iter().filter(|level| **level == 10).count(), 1);
        for (a, level_a) in ranks.iter().zip(&levels) {
            for (b, level_b) in ranks.iter().zip(&levels) {
                prop_assert!(a >= b || level_a >= level_b, "{} {} {} {}", a, level_a, b, level_b);
            }
        }
    }
}

/// Ranks whose fields are within the ranges that [`rank`] gives them.
fn any_rank() -> impl Strategy<Value = Rank> {
    (0..3u8, 0..1001u16, 0..3u8, 0..3u8, 0..2u8, 0..1024u16, 0..2u8, any::<u16>(), 0..65u8).prop_map(
        |(unwelcome, unmet_preference, form, link, breaks_set, device_gib, opens, left, cpu_left)| Rank {
            unwelcome,
            unmet_preference,
            form,
            link,
            breaks_set,
            device_gib,
            opens,
            left,
            cpu_left,
        },
    )
}
