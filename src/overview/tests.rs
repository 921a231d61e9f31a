//! What the overview says of small fleets that can be counted by hand.

use testudo_core::engine::Policy;
use testudo_core::model::catalogue::Catalogue;

use super::*;
use crate::host::offline::{engine_of, settle};
use crate::k8s::manifests::{Limits, Reader};

fn overview(manifests: &str) -> Overview {
    let mut reader = Reader::new(Limits::default());
    reader.add("test.yaml", manifests.as_bytes()).unwrap();
    let manifests = reader.finish();
    let mut engine = engine_of(&manifests, &Catalogue::builtin(), Policy::default(), |_| true);
    settle(&mut engine);
    let snapshot = engine.snapshot();
    Overview::of(&snapshot, engine.gangs())
}

fn gpu_node(name: &str, group: &str, cpu: u32, working: u32) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Node, metadata: {{name: {name}, labels: {{eks.amazonaws.com/nodegroup: {group}, \
         nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3, node.kubernetes.io/instance-type: p5.48xlarge}}}}, status: \
         {{capacity: {{cpu: \"{cpu}\", memory: 2Ti, pods: \"110\", nvidia.com/gpu: \"8\"}}, allocatable: {{cpu: \"{cpu}\", \
         memory: 2Ti, pods: \"110\", nvidia.com/gpu: \"{working}\"}}}}}}\n"
    )
}

fn gpu_pod(name: &str, node: &str, gpus: u32, cpu: u32) -> String {
    let amounts = format!("{{cpu: \"{cpu}\", nvidia.com/gpu: \"{gpus}\"}}");
    format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{nodeName: {node}, containers: [{{name: c, \
         resources: {{requests: {amounts}, limits: {amounts}}}}}]}}}}\n"
    )
}

#[test]
fn devices_are_used_failed_or_free() {
    let fleet = [
        gpu_node("a", "one", 192, 8),
        gpu_node("b", "one", 192, 6),
        gpu_node("c", "two", 192, 8),
        "---\n{apiVersion: v1, kind: Node, metadata: {name: cpu}, status: {allocatable: {cpu: 4}}}\n".into(),
        gpu_pod("p", "a", 8, 8),
        gpu_pod("q", "b", 2, 8),
    ];
    let overview = overview(&fleet.concat());
    assert_eq!(overview.other_nodes, 1);
    assert_eq!(overview.accelerator_nodes(), 3);
    let names: Vec<&str> = overview.pools.keys().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    let one = overview.pools.values().next().unwrap();
    assert_eq!((one.nodes, one.idle_nodes), (2, 0));
    let Devices { capacity_milli, failed_milli, used_milli, held_milli, .. } = one.devices;
    assert_eq!((capacity_milli, failed_milli, used_milli, held_milli), (16_000, 2_000, 10_000, 0));
    assert_eq!(one.devices.free_milli(), 4_000);
    let units = one.units.values().next().copied().unwrap();
    assert_eq!(units, Units { capacity: 16, allocatable: 14, free: 4 });
}

#[test]
fn what_has_no_cpu_left_beside_it_is_stranded() {
    let idle = overview(&gpu_node("a", "one", 192, 8));
    assert!(idle.devices().fragmentation_permille() < 100, "{:?}", idle.devices());
    let full = overview(&[gpu_node("a", "one", 192, 8), gpu_pod("p", "a", 1, 192)].concat());
    assert_eq!(full.devices().idle_milli, 0, "nobody who needs a CPU can use a GPU here");
    assert_eq!(full.devices().stranded_milli, 7_000);
    let half = overview(&[gpu_node("a", "one", 192, 8), gpu_pod("p", "a", 6, 8)].concat()).devices();
    assert_eq!(half.free_milli(), 2_000, "idle and stranded are all that is free: {half:?}");
}

#[test]
fn a_gang_that_does_not_fit_waits() {
    let member = |name: &str| {
        gpu_pod(name, "\"\"", 8, 8).replace(
            &format!("{{name: {name}}}"),
            &format!("{{name: {name}, annotations: {{testudo.dev/pod-group: g, testudo.dev/min-member: \"2\"}}}}"),
        )
    };
    let overview = overview(&[gpu_node("a", "one", 192, 8), member("m-0"), member("m-1")].concat());
    let waiting: Vec<String> = overview.waiting.iter().map(|gang| gang.key.to_string()).collect();
    assert_eq!(waiting, ["default/g"]);
    assert_eq!(overview.placed_gangs, 0);
}
