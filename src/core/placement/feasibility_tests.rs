use super::*;
use crate::model::resources::Resources;
use crate::model::selector::{NodeAffinity, Preference, Requirement, Term};
use crate::testing::{NodeBuilder, PodBuilder, node, pod};

fn verdict(pod: PodBuilder, node: NodeBuilder) -> Result<(), Reason> {
    check(&pod.demand(), &NodeState::idle(node.build()))
}

fn text(pod: PodBuilder, node: NodeBuilder) -> String {
    verdict(pod, node).map_or_else(|reason| reason.to_string(), |()| "fits".into())
}

#[test]
fn counts_decide() {
    let eight = || node("n").has("nvidia.com/gpu", 8);
    assert_eq!(text(pod("p").gpus(8), eight()), "fits");
    assert_eq!(text(pod("p").gpus(9), eight()), "needs 9 nvidia.com/gpu, more than the node can give");
    assert_eq!(text(pod("p").gpus(1), node("n")), "needs 1 nvidia.com/gpu, node has none");
    assert_eq!(
        text(pod("p").asks("nvidia.com/mig-3g.20gb", 1), eight()),
        "needs 1 nvidia.com/mig-3g.20gb, node has none"
    );
    assert_eq!(text(pod("p").asks("memory", 2 << 40), eight()), "needs 2048Gi memory, more than the node can give");
}

#[test]
fn failed_devices_are_not_given_away() {
    let ailing = || node("n").has_working("nvidia.com/gpu", 8, 7);
    assert_eq!(text(pod("p").gpus(7), ailing()), "fits");
    let text = text(pod("p").gpus(8), ailing());
    assert_eq!(text, "needs 8 nvidia.com/gpu, more than the node can give while some are unhealthy");
}

#[test]
fn admission_comes_before_shortage() {
    let tainted = || node("n").has("nvidia.com/gpu", 8).taint("nvidia.com/gpu", Effect::NoSchedule);
    assert_eq!(text(pod("p").gpus(16), tainted()), "untolerated taint nvidia.com/gpu:NoSchedule");
    assert_eq!(text(pod("p").gpus(8).tolerates(Some("nvidia.com/gpu")), tainted()), "fits");
    assert_eq!(text(pod("p").gpus(1), node("n").has("nvidia.com/gpu", 8).cordoned()), "node is cordoned");
    assert_eq!(text(pod("p").gpus(1).tolerates(None), node("n").has("nvidia.com/gpu", 8).cordoned()), "fits");
    let other_zone = pod("p").gpus(1).selects("zone", "b");
    assert_eq!(
        text(other_zone, node("n").has("nvidia.com/gpu", 8).label("zone", "a")),
        "node selector or affinity does not match"
    );
}

#[test]
fn a_taint_that_only_prefers_does_not_refuse() {
    let node = node("n").has("nvidia.com/gpu", 8).taint("spot", Effect::PreferNoSchedule);
    assert_eq!(text(pod("p").gpus(1), node), "fits");
}

#[test]
fn sets_are_never_made_of_slices_or_replicas() {
    let shared = || node("n").product("NVIDIA-A10G-SHARED").has("nvidia.com/gpu", 4);
    assert_eq!(text(pod("p").gpus(1), shared()), "fits");
    assert_eq!(
        text(pod("p").gpus(2), shared()),
        "needs 2 nvidia.com/gpu as one set, node offers time-slicing replicas of GPUs"
    );
    let single = || node("n").product("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb").has("nvidia.com/gpu", 7);
    assert_eq!(text(pod("p").gpus(2), single()), "needs 2 nvidia.com/gpu as one set, node offers MIG slices 1g.5gb");
}

#[test]
fn who_asks_for_slices_or_replicas_by_name_gets_several() {
    let mixed = || node("n").product("NVIDIA-A100-SXM4-40GB").has("nvidia.com/mig-1g.5gb", 7);
    assert_eq!(text(pod("p").asks("nvidia.com/mig-1g.5gb", 3), mixed()), "fits");
    let shared = || node("n").product("NVIDIA-A10G-SHARED").has("nvidia.com/gpu", 4);
    let chosen = pod("p").gpus(2).selects("nvidia.com/gpu.product", "NVIDIA-A10G-SHARED");
    assert_eq!(text(chosen, shared()), "fits");
    let mps = node("n")
        .product("NVIDIA-A10G-SHARED")
        .label("nvidia.com/gpu.sharing-strategy", "mps")
        .has("nvidia.com/gpu", 4);
    let chosen = pod("p").gpus(2).selects("nvidia.com/gpu.sharing-strategy", "mps");
    assert_eq!(text(chosen, mps), "needs 2 nvidia.com/gpu as one set, node offers MPS replicas of GPUs");
}

#[test]
fn preferences_are_no_conditions() {
    let term = Term { labels: vec![Requirement::equals("zone", "b")], name: vec![] };
    let affinity = NodeAffinity { preferred: vec![Preference { weight: 1, term }], ..NodeAffinity::default() };
    assert_eq!(text(pod("p").gpus(1).affinity(affinity), node("n").has("nvidia.com/gpu", 8)), "fits");
}

#[test]
fn only_shortage_can_be_cured_by_preemption() {
    let short = Reason::Insufficient { resource: "cpu".into(), requested: 1, free: 0 };
    assert!(short.preemption_can_help());
    for reason in [Reason::UnknownNode, Reason::Cordoned, Reason::Affinity] {
        assert!(!reason.preemption_can_help());
    }
}

#[test]
fn absurd_requests_do_not_wrap() {
    let demand = |cpu| Demand { requests: Resources::from([("cpu", cpu)]), ..Demand::default() };
    let state = NodeState::idle(node("n").build());
    assert!(check(&demand(i64::MAX), &state).is_err());
    assert_eq!(check(&demand(i64::MIN), &state), Ok(()));
}

#[test]
fn shares_must_fit_on_single_gpus() {
    const MILLI: &str = "alibabacloud.com/gpu-milli";
    let mut cluster = crate::cluster::Cluster::default();
    cluster.set_node(node("n").has(MILLI, 2000).build());
    for (name, milli) in [("a", 600), ("b", 700)] {
        cluster.set_pod(pod(name).asks(MILLI, milli).on("n").build());
    }
    let verdict = |milli| {
        check(&pod("p").asks(MILLI, milli).demand(), cluster.node("n").unwrap())
            .map_or_else(|reason| reason.to_string(), |()| "fits".into())
    };
    assert_eq!(verdict(400), "fits");
    assert_eq!(
        verdict(500),
        "needs 500 alibabacloud.com/gpu-milli, what is free is scattered over GPUs",
        "400 and 300 are free"
    );
    assert_eq!(verdict(1000), "needs 1000 alibabacloud.com/gpu-milli, too few are free");
    assert_eq!(verdict(0), "fits", "nothing asked for");
    let uneven = check(&pod("p").asks(MILLI, 1500).demand(), &NodeState::idle(node("m").has(MILLI, 8000).build()));
    assert!(matches!(uneven, Err(Reason::UnevenShare { requested: 1500, .. })), "{uneven:?}");
}
