//! A fleet of GPU nodes as NVIDIA's driver publishes it, half of it in use.

use serde_json::{Map, Value, json};
use testudo::sim::rng::Rng;

const DRIVER: &str = "gpu.nvidia.com";
const GPUS: usize = 8;

/// Nodes with 8 H100 each, whole ones.
pub fn whole_gpus(nodes: usize) -> Vec<Value> {
    let mut objects = common(nodes);
    for node in 0..nodes {
        let devices: Vec<Value> = (0..GPUS).map(gpu).collect();
        objects.push(slice(node, 0, 1, json!({"devices": devices})));
    }
    objects
}

/// The same nodes, with every MIG partition of every GPU to be made on demand.
pub fn dynamic_mig(nodes: usize) -> Vec<Value> {
    // Name, memory slices, multiprocessors, starts.
    const PROFILES: [(&str, usize, usize, &[usize]); 6] = [
        ("1g10gb-19", 1, 16, &[0, 1, 2, 3, 4, 5, 6]),
        ("1g20gb-15", 2, 26, &[0, 2, 4, 6]),
        ("2g20gb-14", 2, 32, &[0, 2, 4]),
        ("3g40gb-9", 4, 60, &[0, 4]),
        ("4g40gb-5", 4, 64, &[0]),
        ("7g80gb-0", 8, 132, &[0]),
    ];
    let mut objects = common(nodes);
    for node in 0..nodes {
        let sets =
            (0..GPUS).map(|gpu| json!({"name": format!("gpu-{gpu}-counter-set"), "counters": counters(0, 8, 132)}));
        let mut devices = vec![];
        for index in 0..GPUS {
            let draw = |start, slices, multiprocessors| {
                let set = format!("gpu-{index}-counter-set");
                json!([{"counterSet": set, "counters": counters(start, slices, multiprocessors)}])
            };
            let mut whole = gpu(index);
            whole["consumesCounters"] = draw(0, 8, 132);
            devices.push(whole);
            for (name, slices, multiprocessors, starts) in PROFILES {
                for start in starts {
                    let mut device = gpu(index);
                    device["name"] = json!(format!("gpu-{index}-mig-{name}-{start}"));
                    device["attributes"]["type"] = json!({"string": "mig"});
                    let profile = name.split('-').next().expect("a name").replacen('g', "g.", 1);
                    device["attributes"]["profile"] = json!({"string": profile});
                    device["capacity"] = json!({"memory": {"value": format!("{}Gi", 10 * slices)}});
                    device["consumesCounters"] = draw(*start, slices, multiprocessors);
                    devices.push(device);
                }
            }
        }
        // With counters, 64 devices are the most for a slice.
        let parts: Vec<&[Value]> = devices.chunks(64).collect();
        let count = parts.len() + 1;
        objects.push(slice(node, 0, count, json!({"sharedCounters": sets.collect::<Value>()})));
        for (index, part) in parts.into_iter().enumerate() {
            objects.push(slice(node, index + 1, count, json!({"devices": part})));
        }
    }
    objects
}

/// Claims that hold devices of `fleet`: of each node, `names` picked at random with a chance of one half each.
pub fn held(nodes: usize, names: &[&str], seed: u64) -> Vec<Value> {
    let mut rng = Rng::new(seed);
    let mut claims = vec![];
    for node in 0..nodes {
        for name in names.iter().filter(|_| rng.below(2) == 0) {
            let mut held = claim(&format!("held-{node}-{name}"), vec![request("r", "gpu.nvidia.com", 1, None)], vec![]);
            let result = json!({"request": "r", "driver": DRIVER, "pool": name_of(node), "device": name});
            held["status"] = json!({"allocation": {"devices": {"results": [result]}}});
            claims.push(held);
        }
    }
    claims
}

/// A request for whole GPUs or partitions.
pub fn request(name: &str, class: &str, count: usize, selector: Option<&str>) -> Value {
    let mut exactly = json!({"deviceClassName": class, "allocationMode": "ExactCount", "count": count});
    if let Some(expression) = selector {
        exactly["selectors"] = json!([{"cel": {"expression": expression}}]);
    }
    json!({"name": name, "exactly": exactly})
}

/// A claim with requests and constraints.
pub fn claim(name: &str, requests: Vec<Value>, constraints: Vec<Value>) -> Value {
    json!({
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"devices": {"requests": requests, "constraints": constraints}},
    })
}

/// The name of a node and of its pool.
pub fn name_of(node: usize) -> String {
    format!("node-{node:03}")
}

fn common(nodes: usize) -> Vec<Value> {
    let class = |name: &str, kind: &str| {
        let expression = format!("device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == '{kind}'");
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name},
            "spec": {"selectors": [{"cel": {"expression": expression}}]},
        })
    };
    let mut objects = vec![class("gpu.nvidia.com", "gpu"), class("mig.nvidia.com", "mig")];
    objects.extend(
        (0..nodes).map(|node| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name_of(node)}})),
    );
    objects
}

fn slice(node: usize, index: usize, count: usize, content: Value) -> Value {
    let mut spec = json!({
        "driver": DRIVER,
        "nodeName": name_of(node),
        "pool": {"name": name_of(node), "generation": 1, "resourceSliceCount": count},
    });
    spec.as_object_mut().expect("a spec").extend(content.as_object().expect("a content").clone());
    let name = format!("{}-{index}", name_of(node));
    json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": name}, "spec": spec})
}

fn gpu(index: usize) -> Value {
    json!({
        "name": format!("gpu-{index}"),
        "attributes": {
            "type": {"string": "gpu"},
            "uuid": {"string": format!("GPU-{index}")},
            "productName": {"string": "NVIDIA H100 80GB HBM3"},
            "brand": {"string": "Nvidia"},
            "architecture": {"string": "Hopper"},
            "cudaComputeCapability": {"version": "9.0.0"},
            "driverVersion": {"version": "580.95.5"},
            "cudaDriverVersion": {"version": "13.0.0"},
            "resource.kubernetes.io/pcieRoot": {"string": format!("pci0000:{:02}", index / 2)},
            "resource.kubernetes.io/numaNode": {"int": index / 4},
        },
        "capacity": {"memory": {"value": "81559Mi"}, "multiprocessors": {"value": "132"}},
    })
}

fn counters(start: usize, slices: usize, multiprocessors: usize) -> Value {
    let mut counters = Map::new();
    for slice in start..start + slices {
        counters.insert(format!("memory-slice-{slice}"), json!({"value": "1"}));
    }
    counters.insert("multiprocessors".into(), json!({"value": multiprocessors.to_string()}));
    counters.into()
}
