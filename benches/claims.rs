//! What allocating claims costs: a fleet of 500 nodes with 8 GPUs each that are cut on demand, and one pod's claims.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use testudo::claims;

const API: &str = "resource.k8s.io/v1";
const PROFILES: &[(&str, u8, u8, &[u8])] = &[
    ("1g.10gb", 19, 1, &[0, 1, 2, 3, 4, 5, 6]),
    ("2g.20gb", 14, 2, &[0, 2, 4]),
    ("3g.40gb", 9, 4, &[0, 4]),
    ("7g.80gb", 0, 8, &[0]),
];

/// Nodes with 8 H100 each, as NVIDIA's driver publishes them.
fn fleet(nodes: usize) -> Vec<Value> {
    let class = |name: &str, of: &str| {
        let expression =
            format!("device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == '{of}'");
        json!({ "apiVersion": API, "kind": "DeviceClass", "metadata": { "name": name },
            "spec": { "selectors": [{ "cel": { "expression": expression } }] } })
    };
    let mut objects = vec![class("gpu.nvidia.com", "gpu"), class("mig.nvidia.com", "mig")];
    for node in (0..nodes).map(|node| format!("node-{node:03}")) {
        objects.push(json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node } }));
        let slice = |part: &str, spec: Value| {
            let mut object = json!({ "apiVersion": API, "kind": "ResourceSlice",
                "metadata": { "name": format!("{node}-{part}") }, "spec": spec });
            object["spec"]["driver"] = "gpu.nvidia.com".into();
            object["spec"]["nodeName"] = node.as_str().into();
            object["spec"]["pool"] = json!({ "name": node, "generation": 1, "resourceSliceCount": 2 });
            object
        };
        let counters = |slices: std::ops::Range<u8>| {
            Value::Object(slices.map(|slice| (format!("memory-slice-{slice}"), json!({ "value": "1" }))).collect())
        };
        let set = |gpu: u8| json!({ "name": format!("gpu-{gpu}-counter-set"), "counters": counters(0..8) });
        objects.push(slice("counters", json!({ "sharedCounters": (0..8).map(set).collect::<Vec<_>>() })));
        let devices: Vec<Value> = (0..8).flat_map(|gpu| gpu_devices(gpu, &counters)).collect();
        objects.push(slice("devices", json!({ "devices": devices })));
    }
    objects
}

fn gpu_devices(gpu: u8, counters: &impl Fn(std::ops::Range<u8>) -> Value) -> Vec<Value> {
    let device = |name: String, of: &str, profile: &str, memory: u8, slices: std::ops::Range<u8>| {
        json!({ "name": name,
            "attributes": {
                "type": { "string": of }, "profile": { "string": profile },
                "productName": { "string": "NVIDIA H100 80GB HBM3" }, "driverVersion": { "version": "570.124.6" },
                "resource.kubernetes.io/pcieRoot": { "string": format!("pci0000:{:x}0", gpu / 2) } },
            "capacity": { "memory": { "value": format!("{}Gi", memory * 10) } },
            "consumesCounters": [{ "counterSet": format!("gpu-{gpu}-counter-set"), "counters": counters(slices) }] })
    };
    let mut devices = vec![device(format!("gpu-{gpu}"), "gpu", "", 8, 0..8)];
    for (profile, id, size, starts) in PROFILES {
        for start in *starts {
            let name = format!("gpu-{gpu}-mig-{}-{id}-{start}", profile.replace('.', ""));
            devices.push(device(name, "mig", profile, *size, *start..start + size));
        }
    }
    devices
}

/// A claim for two GPUs on one PCIe root, and one for a MIG instance.
fn claims() -> [Value; 2] {
    let claim = |name: &str, devices: Value| {
        json!({ "apiVersion": API, "kind": "ResourceClaim",
            "metadata": { "name": name, "namespace": "default", "uid": name }, "spec": { "devices": devices } })
    };
    let ask = |class: &str, count: u8, expression: &str| {
        json!({ "deviceClassName": class, "allocationMode": "ExactCount", "count": count,
            "selectors": [{ "cel": { "expression": expression } }] })
    };
    let version = "device.attributes['gpu.nvidia.com'].driverVersion.isGreaterThan(semver('550.0.0'))";
    let profile = "device.attributes['gpu.nvidia.com'].profile == '2g.20gb'";
    [
        claim(
            "pair",
            json!({
            "requests": [{ "name": "gpus", "exactly": ask("gpu.nvidia.com", 2, version) }],
            "constraints": [{ "matchAttribute": "resource.kubernetes.io/pcieRoot" }] }),
        ),
        claim("slice", json!({ "requests": [{ "name": "slice", "exactly": ask("mig.nvidia.com", 1, profile) }] })),
    ]
}

fn allocation(c: &mut Criterion) {
    let mut objects = fleet(500);
    objects.extend(claims());
    let mut group = c.benchmark_group("claims");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    for (name, node) in [("decode, and one node of 500", Some("node-250")), ("decode, and the best of 500 nodes", None)]
    {
        group.bench_function(name, |b| {
            b.iter(|| match claims::allocate(black_box(&objects), node) {
                claims::Outcome::Allocated { node, .. } => node,
                other => panic!("{other:?}"),
            });
        });
    }
    let mut cluster = claims::Cluster::read(&objects).expect("the objects are sound");
    for (name, node) in [("one node of 500", Some("node-250")), ("the best of 500 nodes", None)] {
        group.bench_function(name, |b| b.iter(|| cluster.place(black_box(node)).expect("an answer").steps));
    }
    group.finish();
}

criterion_group!(benches, allocation);
criterion_main!(benches);
