use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testudo_core::engine::Exclusion;
use testudo_core::model::selector::Requirement;

use super::*;
use crate::extender::{Binding, Candidate, Extender, NodeVerdict, Offer, OfferedNode, Refusal};

fn host_with(mode: Mode, policy: Policy) -> Host {
    Host::new(policy, mode, Catalogue::builtin(), Bindings::OwnCopy, &mut Registry::default())
}

fn node(name: &str, gpus: u32) -> Value {
    let resources = json!({"cpu": "96", "memory": "1Ti", "pods": "110", "nvidia.com/gpu": gpus.to_string()});
    json!({"metadata": {"name": name}, "status": {"capacity": resources, "allocatable": resources}})
}

fn pod(name: &str, gpus: u32) -> Value {
    let requests =
        if gpus == 0 { json!({"cpu": "1"}) } else { json!({"cpu": "1", "nvidia.com/gpu": gpus.to_string()}) };
    json!({
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")},
        "spec": {"containers": [{"name": "main", "resources": {"requests": requests}}]},
    })
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a test object")
}

/// Nodes `a` with 8 GPUs and `b` with 4, no pods.
fn fleet(mode: Mode, policy: Policy) -> Host {
    let host = host_with(mode, policy);
    host.take_manifests(Manifests { nodes: vec![read(node("a", 8)), read(node("b", 4))], ..Manifests::default() });
    host
}

fn names(names: &[&'static str]) -> Offer<'static> {
    Offer::Names(names.iter().map(|name| Cow::Borrowed(*name)).collect())
}

fn binding(pod: &str, node: &str) -> Binding {
    Binding { pod_name: pod.into(), pod_namespace: "default".into(), pod_uid: format!("uid-{pod}"), node: node.into() }
}

fn filter(host: &Host, pod: Value, offer: &[&'static str]) -> Vec<NodeVerdict> {
    host.filter(&read(pod), &names(offer)).expect("an answer").iter().collect()
}

fn fails(text: &str) -> NodeVerdict {
    NodeVerdict::Fails(text.into())
}

fn unresolvable(text: &str) -> NodeVerdict {
    NodeVerdict::Unresolvable(text.into())
}

#[test]
fn nothing_is_answered_before_everything_is_listed() {
    let host = host_with(Mode::Enforce, Policy::default());
    assert_eq!(host.ready(), Err("nodes and pods and groups of pods are not listed yet".into()));
    host.take([ClusterEvent::PodsSynced(BTreeSet::new()), ClusterEvent::GroupsSynced(BTreeSet::new())]);
    let refused = host.filter(&read(pod("p", 1)), &names(&["a"]));
    assert_eq!(refused, Err(Refusal::Unavailable("nodes are not listed yet".into())));
    host.take([ClusterEvent::NodesSynced(BTreeSet::new())]);
    assert_eq!(host.ready(), Ok(()));
}

#[tokio::test]
async fn a_pod_is_filtered_ranked_bound_and_then_in_the_way() {
    let host = fleet(Mode::Enforce, Policy::default());
    let unknown = unresolvable("node not seen by testudo yet");
    let verdicts = filter(&host, pod("p", 4), &["a", "b", "nobody"]);
    assert_eq!(verdicts, [NodeVerdict::Fits, NodeVerdict::Fits, unknown]);
    let scores = host.prioritize(&read(pod("p", 4)), &names(&["a", "b"]));
    assert_eq!(scores, Ok(vec![8, 10]), "nothing is left over on b");
    host.bind(binding("p", "b")).await.expect("bound");
    let verdicts = filter(&host, pod("q", 4), &["a", "b"]);
    assert_eq!(verdicts, [NodeVerdict::Fits, fails("needs 4 nvidia.com/gpu, too few are free")]);
}

#[tokio::test]
async fn the_second_of_two_that_were_told_the_same_place_is_refused() {
    let host = fleet(Mode::Enforce, Policy::default());
    for name in ["p", "q"] {
        assert_eq!(filter(&host, pod(name, 8), &["a"]), [NodeVerdict::Fits]);
    }
    assert_eq!(host.bind(binding("p", "a")).await, Ok(()));
    let refused = "pod default/q no longer fits on node a: needs 8 nvidia.com/gpu, too few are free";
    assert_eq!(host.bind(binding("q", "a")).await, Err(Refusal::Error(refused.into())));
    assert_eq!(host.bind(binding("p", "a")).await, Ok(()), "a repetition is no error");
}

#[tokio::test]
async fn a_pod_that_nobody_knows_is_not_bound() {
    let host = fleet(Mode::Enforce, Policy::default());
    let Err(Refusal::Error(text)) = host.bind(binding("ghost", "a")).await else { panic!("must be refused") };
    assert_eq!(text, "pod default/ghost (uid uid-ghost) is not known here: neither watched nor filtered lately");
    filter(&host, pod("p", 1), &["a"]);
    let other_name = Binding { pod_name: "other".into(), ..binding("p", "a") };
    let Err(Refusal::Error(text)) = host.bind(other_name).await else { panic!("must be refused") };
    assert_eq!(text, "uid uid-p is that of pod default/p, not of default/other");
}

#[test]
fn pods_without_accelerators_pass_and_are_led_away_from_gpus() {
    let host = fleet(Mode::Enforce, Policy::default());
    let cpu = json!({"cpu": "8", "memory": "32Gi", "pods": "110"});
    let plain = json!({"metadata": {"name": "c"}, "status": {"capacity": cpu, "allocatable": cpu}});
    host.take([ClusterEvent::NodeApplied(Box::new(read(plain)))]);
    assert_eq!(filter(&host, pod("p", 0), &["a", "c", "nobody"]), vec![NodeVerdict::Fits; 3]);
    assert_eq!(host.prioritize(&read(pod("p", 0)), &names(&["a", "b", "c"])), Ok(vec![0, 0, 10]));
}

#[tokio::test]
async fn where_only_gpu_nodes_are_left_pods_without_accelerators_go_where_gpus_miss_least() {
    let host = fleet(Mode::Enforce, Policy::default());
    filter(&host, pod("p", 4), &["b"]);
    host.bind(binding("p", "b")).await.expect("bound");
    let many_cpus = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "uid-web"},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "80"}}}]},
    });
    let scores = host.prioritize(&read(many_cpus), &names(&["a", "b"])).expect("scores");
    assert_eq!(scores, [8, 10], "all GPUs of b are taken: its CPUs are of no use to GPU pods");
}

#[test]
fn excluded_pods_pass_untouched() {
    let exclusion = Exclusion { namespaces: BTreeSet::from(["default".into()]), labels: vec![] };
    let host = fleet(Mode::Enforce, Policy { exclusions: vec![exclusion], ..Policy::default() });
    assert_eq!(filter(&host, pod("p", 100), &["a", "b"]), vec![NodeVerdict::Fits; 2]);
    assert_eq!(host.prioritize(&read(pod("p", 1)), &names(&["a", "b"])), Ok(vec![0, 0]));
}

#[tokio::test]
async fn what_is_kept_for_a_gang_is_kept_against_excluded_pods() {
    let labels = vec![Requirement::equals("testudo.dev/ignore", "true")];
    let exclusion = Exclusion { namespaces: BTreeSet::new(), labels };
    let host = fleet(Mode::Enforce, Policy { exclusions: vec![exclusion], ..Policy::default() });
    for name in ["g-0", "g-1"] {
        let mut member = pod(name, if name == "g-0" { 8 } else { 4 });
        member["metadata"]["annotations"] = json!({"testudo.dev/pod-group": "g", "testudo.dev/min-member": "2"});
        host.take([ClusterEvent::PodApplied(Box::new(read(member)))]);
    }
    let mut stranger = pod("stranger", 1);
    stranger["metadata"]["labels"] = json!({"testudo.dev/ignore": "true"});
    assert_eq!(filter(&host, stranger.clone(), &["a", "b"]), vec![NodeVerdict::Fits; 2]);
    host.settle_gangs().await;
    assert!(filter(&host, stranger, &["a", "b"]).iter().all(|verdict| matches!(verdict, NodeVerdict::Fails(_))));
}

#[tokio::test]
async fn observing_changes_nothing() {
    let host = fleet(Mode::Observe, Policy::default());
    assert_eq!(filter(&host, pod("p", 100), &["a", "b"]), vec![NodeVerdict::Fits; 2]);
    assert_eq!(host.metrics.observed_refusals.get(), 2);
    assert_eq!(host.prioritize(&read(pod("p", 1)), &names(&["a", "b"])), Ok(vec![0, 0]));
    assert_eq!(host.bind(binding("p", "b")).await, Ok(()), "kube-scheduler has decided");
}

#[test]
fn whole_nodes_are_judged_even_if_nobody_knows_them() {
    let host = fleet(Mode::Enforce, Policy::default());
    let texts = [node("template", 8).to_string(), node("small", 1).to_string()];
    let offered = texts.iter().map(|text| OfferedNode {
        node: serde_json::from_str(text).expect("a node"),
        raw: serde_json::from_str(text).expect("JSON"),
    });
    let verdicts = host.filter(&read(pod("p", 8)), &Offer::Nodes(offered.collect())).expect("an answer");
    assert_eq!(
        verdicts.iter().collect::<Vec<_>>(),
        [NodeVerdict::Fits, unresolvable("needs 8 nvidia.com/gpu, more than the node can give")]
    );
}

#[test]
fn a_pod_that_cannot_be_read_is_not_placed_on_a_guess() {
    let host = fleet(Mode::Enforce, Policy::default());
    let mut strange = pod("p", 1);
    strange["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = json!("eight");
    let Err(Refusal::Error(text)) = host.filter(&read(strange), &names(&["a"])) else { panic!("must be refused") };
    assert!(text.starts_with("Pod default/p: spec.containers[0].resources.requests[nvidia.com/gpu]:"), "{text}");
}

#[tokio::test]
async fn preemption_is_kept_where_it_frees_what_is_short() {
    let host = fleet(Mode::Enforce, Policy::default());
    filter(&host, pod("low", 6), &["a"]);
    host.bind(binding("low", "a")).await.expect("bound");
    let victim = |uid: &str| Candidate { victim_uids: vec![uid.into()], pdb_violations: 0 };
    let candidates = || BTreeMap::from([("a".to_owned(), victim("uid-low")), ("b".to_owned(), victim("uid-other"))]);
    let kept = host.preempt(&read(pod("high", 8)), candidates()).expect("an answer");
    assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["a"], "b is too small whoever goes");
    let kept = host.preempt(&read(pod("cpu", 0)), candidates()).expect("an answer");
    assert_eq!(kept.len(), 2, "pods without accelerators are kube-scheduler's own");
}

#[test]
fn no_member_of_a_gang_makes_way_whoever_asks() {
    let host = fleet(Mode::Enforce, Policy::default());
    for name in ["m-0", "m-1", "alone"] {
        let mut on = pod(name, 1);
        on["spec"]["nodeName"] = json!(if name == "alone" { "b" } else { "a" });
        if name != "alone" {
            on["metadata"]["annotations"] = json!({"testudo.dev/pod-group": "m", "testudo.dev/min-member": "2"});
        }
        host.take([ClusterEvent::PodApplied(Box::new(read(on)))]);
    }
    let victim = |uid: &str| Candidate { victim_uids: vec![uid.into()], pdb_violations: 0 };
    let candidates = || BTreeMap::from([("a".to_owned(), victim("uid-m-0")), ("b".to_owned(), victim("uid-alone"))]);
    for asks in [pod("cpu", 0), pod("gpus", 4)] {
        let kept = host.preempt(&read(asks.clone()), candidates()).expect("an answer");
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["b"], "{}", asks["metadata"]["name"]);
    }
}

#[test]
fn what_is_wrong_with_a_node_is_counted_once() {
    let host = fleet(Mode::Enforce, Policy::default());
    let mut odd = node("a", 8);
    odd["metadata"]["labels"] = json!({"nvidia.com/gpu.product": "NVIDIA-H900"});
    for _ in 0..3 {
        host.take([ClusterEvent::NodeApplied(Box::new(read(odd.clone())))]);
    }
    assert_eq!(host.metrics.object_problems.get(), 1);
    assert_eq!(
        host.node_problems("a"),
        ["Node a: label nvidia.com/gpu.product: \"NVIDIA-H900\" is not in the catalogue; add it in a catalogue file"]
    );
    assert_eq!(filter(&host, pod("p", 8), &["a"]), [NodeVerdict::Fits], "it still works by counts");
}

#[test]
fn a_list_for_which_nobody_has_waited_is_waited_for_once_it_begins() {
    let claims = testudo_core::engine::ClaimPolicy { classes: ["gpu".into()].into(), ..Default::default() };
    let host = host_with(Mode::Enforce, Policy { claims, ..Policy::default() });
    let all = [
        ClusterEvent::NodesSynced(BTreeSet::new()),
        ClusterEvent::PodsSynced(BTreeSet::new()),
        ClusterEvent::GroupsSynced(BTreeSet::new()),
    ];
    host.take(all);
    assert!(host.ready().is_err(), "devices are not listed");
    host.take([DeviceList::Claims, DeviceList::Slices, DeviceList::Classes].map(ClusterEvent::Unseen));
    assert_eq!(host.ready(), Ok(()), "there may be none");
    host.take([ClusterEvent::Listing(DeviceList::Claims)]);
    assert!(host.ready().is_err_and(|why| why.contains("claims")));
    host.take([ClusterEvent::ClaimsSynced(BTreeSet::new())]);
    assert_eq!(host.ready(), Ok(()));
}
