//! Devices as NVIDIA's driver publishes them, and claims for them: objects of `resource.k8s.io/v1`.

use serde_json::{Map, Value, json};

/// The driver, whose name NVIDIA's devices are known by.
pub const DRIVER: &str = "gpu.nvidia.com";

/// GPUs of a node.
pub const GPUS: usize = 8;

/// Slices of a node with 8 H100, whole ones.
pub fn whole_gpus(node: &str) -> Vec<Value> {
    let devices: Vec<Value> = (0..GPUS).map(gpu).collect();
    vec![slice(node, 0, 1, json!({"devices": devices}))]
}

/// Slices of such a node, with every MIG partition of every GPU to be made on demand.
pub fn dynamic_mig(node: &str) -> Vec<Value> {
    // Name, memory slices, multiprocessors, starts.
    const PROFILES: [(&str, usize, usize, &[usize]); 6] = [
        ("1g10gb-19", 1, 16, &[0, 1, 2, 3, 4, 5, 6]),
        ("1g20gb-15", 2, 26, &[0, 2, 4, 6]),
        ("2g20gb-14", 2, 32, &[0, 2, 4]),
        ("3g40gb-9", 4, 60, &[0, 4]),
        ("4g40gb-5", 4, 64, &[0]),
        ("7g80gb-0", 8, 132, &[0]),
    ];
    let sets = (0..GPUS).map(|gpu| json!({"name": format!("gpu-{gpu}-counter-set"), "counters": counters(0, 8, 132)}));
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
    let mut slices = vec![slice(node, 0, count, json!({"sharedCounters": sets.collect::<Value>()}))];
    slices.extend((1..).zip(parts).map(|(index, part)| slice(node, index, count, json!({"devices": part}))));
    slices
}

/// The class of whole GPUs (`gpu`), or of partitions (`mig`).
pub fn class(name: &str, kind: &str) -> Value {
    let expression = format!("device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == '{kind}'");
    json!({
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": name},
        "spec": {
            "selectors": [{"cel": {"expression": expression}}],
            "config": [{"opaque": {"driver": DRIVER, "parameters": {"apiVersion": "resource.nvidia.com/v1beta1"}}}],
        },
    })
}

/// A request for whole GPUs or partitions.
pub fn request(name: &str, class: &str, count: usize, selector: Option<&str>) -> Value {
    json!({"name": name, "exactly": ask(class, count, selector)})
}

/// The first of these that can be had.
pub fn first_available(name: &str, asks: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let named = asks.into_iter().map(|(name, mut ask)| {
        ask["name"] = json!(name);
        ask
    });
    json!({"name": name, "firstAvailable": named.collect::<Value>()})
}

/// What a request asks for.
pub fn ask(class: &str, count: usize, selector: Option<&str>) -> Value {
    let mut ask = json!({"deviceClassName": class, "allocationMode": "ExactCount", "count": count});
    if let Some(expression) = selector {
        ask["selectors"] = json!([{"cel": {"expression": expression}}]);
    }
    ask
}

/// Partitions of this profile only.
pub fn of_profile(profile: &str) -> String {
    format!("device.attributes['{DRIVER}'].profile == '{profile}'")
}

/// A claim with requests and constraints.
pub fn claim(namespace: &str, name: &str, requests: Vec<Value>, constraints: Vec<Value>) -> Value {
    json!({
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"devices": {"requests": requests, "constraints": constraints}},
    })
}

/// A template of such claims.
pub fn template(namespace: &str, name: &str, requests: Vec<Value>) -> Value {
    json!({
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"spec": {"devices": {"requests": requests}}},
    })
}

fn slice(node: &str, index: usize, count: usize, content: Value) -> Value {
    let mut spec = json!({
        "driver": DRIVER,
        "nodeName": node,
        "pool": {"name": node, "generation": 1, "resourceSliceCount": count},
    });
    spec.as_object_mut().expect("a spec").extend(content.as_object().expect("a content").clone());
    let name = format!("{node}-{index}");
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
            // Fabric Manager can give two GPUs of one partition to one virtual machine: they are linked.
            "partition2": {"string": format!("{}", index / 2)},
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
