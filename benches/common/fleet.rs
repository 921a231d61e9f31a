//! The fleet of benchmarks and budgets: nodes of four kinds, half of them partly in use by replicas of one service.

use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use testudo::config::Mode;
use testudo::host::{Bindings, Host};
use testudo::k8s::manifests::Manifests;
use testudo::k8s::object;
use testudo_core::engine::Policy;
use testudo_core::model::catalogue::Catalogue;

/// A node of a mixed fleet: NVSwitch, PCIe, time-sliced and MIG nodes in turn.
pub fn node(at: usize) -> Value {
    let (instance_type, product, extended) = match at % 4 {
        0 => ("p5.48xlarge", "NVIDIA-H100-80GB-HBM3", json!({"nvidia.com/gpu": "8"})),
        1 => ("g6e.48xlarge", "NVIDIA-L40S", json!({"nvidia.com/gpu": "8"})),
        2 => ("g5.48xlarge", "NVIDIA-A10G-SHARED", json!({"nvidia.com/gpu": "32"})),
        _ => ("p4d.24xlarge", "NVIDIA-A100-SXM4-40GB", json!({"nvidia.com/mig-3g.20gb": "8", "nvidia.com/gpu": "4"})),
    };
    let mut resources = json!({"cpu": "192", "memory": "2Ti", "pods": "110", "ephemeral-storage": "1Ti"});
    resources.as_object_mut().expect("an object").extend(extended.as_object().expect("an object").clone());
    json!({
        "metadata": {"name": name(at), "labels": {
            "nvidia.com/gpu.product": product,
            "node.kubernetes.io/instance-type": instance_type,
            "topology.kubernetes.io/zone": format!("zone-{}", at % 3),
        }},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]},
        "status": {"capacity": resources, "allocatable": resources},
    })
}

/// The name of a node.
pub fn name(at: usize) -> String {
    format!("ip-10-0-{}-{}.ec2.internal", at / 256, at % 256)
}

/// A pod that wants some GPUs, on the node of this number if on any.
pub fn pod(name: &str, gpus: usize, on: Option<usize>) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "labels": {"app": "vllm"}},
        "spec": {
            "nodeName": on.map(self::name),
            "schedulerName": "testudo-scheduler",
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [{"name": "main", "image": "vllm", "resources": {
                "requests": {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": gpus.to_string()},
                "limits": {"nvidia.com/gpu": gpus.to_string()},
            }}],
        },
        "status": {"phase": if on.is_some() { "Running" } else { "Pending" }},
    })
}

/// An object from its JSON.
pub fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of the fleet")
}

/// A host with so many nodes; every other one has a pod already.
pub fn testudo(nodes: usize) -> Host {
    let mut registry = Registry::default();
    let host = Host::new(Policy::default(), Mode::Enforce, Catalogue::builtin(), Bindings::OwnCopy, &mut registry);
    let running = (0..nodes).step_by(2).map(|at| read(pod(&format!("running-{at}"), 1 + at % 7, Some(at))));
    host.take_manifests(Manifests {
        nodes: (0..nodes).map(|at| read(node(at))).collect(),
        pods: running.collect::<Vec<object::Pod>>(),
        ..Manifests::default()
    });
    host
}

/// The body of filter and prioritize for a pod that asks for four GPUs, on all nodes.
pub fn question(nodes: usize) -> String {
    let names: Vec<String> = (0..nodes).map(name).collect();
    json!({"Pod": pod("asked", 4, None), "Nodes": null, "NodeNames": names}).to_string()
}
