use prometheus_client::encoding::text::encode;
use testudo_core::engine::Policy;
use testudo_core::model::catalogue::Catalogue;

use super::*;
use crate::config::Mode;
use crate::host::Bindings;
use crate::k8s::manifests::{Limits, Reader};
use crate::web::view::testing::{Fleet, gpu_claim, gpu_node};

const CLUSTER: &str = r#"
apiVersion: v1
kind: Node
metadata:
  name: gpu-1
  labels:
    nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3
    node.kubernetes.io/instance-type: p5.48xlarge
    eks.amazonaws.com/nodegroup: serving
status:
  capacity: {nvidia.com/gpu: "8", cpu: "192", memory: 2Ti, pods: "110"}
  allocatable: {nvidia.com/gpu: "7", cpu: "192", memory: 2Ti, pods: "110"}
---
apiVersion: v1
kind: Pod
metadata: {name: running, namespace: team, uid: running}
spec:
  nodeName: gpu-1
  containers: [{name: main, resources: {requests: {nvidia.com/gpu: "3", cpu: "8"}}}]
status: {phase: Running}
---
apiVersion: v1
kind: Pod
metadata:
  name: rank-0
  namespace: team
  uid: rank-0
  annotations: {testudo.dev/pod-group: llama, testudo.dev/min-member: "2"}
spec:
  schedulerName: testudo-scheduler
  containers: [{name: main, resources: {requests: {nvidia.com/gpu: "8"}}}]
"#;

/// What is exposed of a host that knows these manifests.
fn exposed(manifests: &str) -> String {
    let mut reader = Reader::new(Limits::default());
    reader.add("cluster.yaml", manifests.as_bytes()).expect("manifests");
    let policy = Policy::default();
    let host = Host::new(policy, Mode::Enforce, Catalogue::builtin(), Bindings::OwnCopy, &mut Registry::default());
    host.take_manifests(reader.finish());
    exposed_of(&Arc::new(host))
}

/// What is exposed of a host.
fn exposed_of(host: &Arc<Host>) -> String {
    let mut registry = Registry::default();
    register(&mut registry, host);
    let mut text = String::new();
    encode(&mut text, &registry).expect("metrics");
    text
}

#[test]
fn the_state_is_exposed() {
    let text = exposed(CLUSTER);
    for line in [
        "testudo_nodes 1",
        "testudo_placed_pods 1",
        "testudo_accelerator_units{resource=\"nvidia.com/gpu\",state=\"allocatable\"} 7",
        "testudo_pool_devices{pool=\"serving\",product=\"H100-80GB-HBM3\",state=\"used\"} 3.0",
        "testudo_pool_devices{pool=\"serving\",product=\"H100-80GB-HBM3\",state=\"failed\"} 1.0",
        "testudo_free_nvlink_sets{product=\"H100-80GB-HBM3\",size=\"4\"} 1",
        "testudo_gangs{stage=\"gathering\"} 1",
        "testudo_waiting_gangs{reason=\"members_missing\",age=\"under_1m\"} 1",
        "testudo_ledger_differences{kind=\"not_held\"} 0",
        "testudo_ledger_holdings{standing=\"observed\"} 1",
        "testudo_overcommitted_nodes 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

/// Whoever may scrape need not be allowed to list pods.
#[test]
fn what_is_exposed_names_no_pods_gangs_or_claims() {
    let named = CLUSTER.replace("running", "a-pod-of-mine").replace("llama", "a-gang-of-mine");
    let text = exposed(&named.replace("phase: a-pod-of-mine", "phase: Running"));
    assert!(text.contains("testudo_placed_pods 1") && text.contains("testudo_gangs{stage=\"gathering\"} 1"), "{text}");
    let claim = gpu_claim("a-claim-of-mine", Some(("a", "gpu-0")));
    let text = text + &exposed_of(&Fleet::with_devices(vec![gpu_node("a", 2)], vec![claim]).host);
    assert!(!text.contains("-of-mine") && !text.contains("rank-0"), "{text}");
}

#[test]
fn too_much_on_a_node_is_exposed() {
    let text = exposed(&CLUSTER.replace(r#"nvidia.com/gpu: "7""#, r#"nvidia.com/gpu: "2""#));
    assert!(text.contains("testudo_overcommitted_nodes 1\n"), "{text}");
}

/// One of the GPUs is cut in the middle, and the pool is a GPU and three quarters of one.
#[test]
fn fragmentation_is_told_by_profile() {
    let claim = gpu_claim("c", Some(("a", "gpu-0-mig-1g6gb-14-1")));
    let text = exposed_of(&Fleet::with_devices(vec![gpu_node("a", 2)], vec![claim]).host);
    for (profile, ratio) in [("1g.6gb", "0.0"), ("2g.12gb", "0.142"), ("4g.24gb", "0.428")] {
        let labels = format!("pool=\"\",product=\"A30\",profile=\"{profile}\"");
        let line = format!("testudo_pool_profile_fragmentation_ratio{{{labels}}} {ratio}");
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}
