//! What the cluster is made of.

use serde_json::{Value, json};

/// The name of a node.
pub fn node_name(at: usize) -> String {
    format!("ip-10-{}-{}-{}.ec2.internal", at >> 16, (at >> 8) & 255, at & 255)
}

/// A node of 8 GPUs.
pub fn node(at: usize) -> Value {
    let (instance_type, product) = [("p5.48xlarge", "NVIDIA-H100-80GB-HBM3"), ("g6e.48xlarge", "NVIDIA-L40S")][at % 2];
    let resources =
        json!({"cpu": "192", "memory": "2Ti", "pods": "110", "ephemeral-storage": "1Ti", "nvidia.com/gpu": "8"});
    json!({
        "metadata": {"name": node_name(at), "uid": format!("node-{at}"), "labels": {
            "nvidia.com/gpu.product": product,
            "nvidia.com/gpu.count": "8",
            "node.kubernetes.io/instance-type": instance_type,
            "topology.kubernetes.io/region": "us-west-2",
            "topology.kubernetes.io/zone": format!("us-west-2{}", ["a", "b", "c"][at % 3]),
            "topology.k8s.aws/network-node-layer-1": format!("nn-{}", at / 512),
            "topology.k8s.aws/network-node-layer-2": format!("nn-{}", at / 64),
        }},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]},
        "status": {"capacity": resources, "allocatable": resources, "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn pod_name(at: usize) -> String {
    format!("serve-{}-{at}", at % 200)
}

/// Namespace and name, as the API server knows the pod.
pub fn pod_key(at: usize) -> String {
    format!("team-{}/{}", at % 40, pod_name(at))
}

/// Of the pods that run from the beginning three of four have a GPU, which are six of the eight of each node.
pub fn has_gpu(at: usize) -> bool {
    at % 4 != 3
}

/// A pod that is there from the beginning, on a node, or is placed later: those all ask for a GPU.
pub fn pod(at: usize, on: Option<String>) -> Value {
    let mut requests = json!({"cpu": "4", "memory": "32Gi"});
    if on.is_none() || has_gpu(at) {
        requests["nvidia.com/gpu"] = json!("1");
    }
    json!({
        "metadata": {
            "name": pod_name(at), "namespace": format!("team-{}", at % 40), "uid": format!("pod-{at}"),
            "labels": {"app": format!("serve-{}", at % 200), "pod-template-hash": "5d4f8c7b9"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "nodeName": on,
            "schedulerName": "testudo-scheduler",
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [{"name": "main", "image": "registry/vllm:v1", "resources": {"requests": requests, "limits": requests},
                            "env": [{"name": "MODEL", "value": "llama"}, {"name": "PORT", "value": "8000"}]}],
        },
        "status": {"phase": if on.is_some() { "Running" } else { "Pending" }},
    })
}

/// The names of all nodes, as a JSON array.
pub fn node_names(nodes: usize) -> String {
    json!((0..nodes).map(node_name).collect::<Vec<_>>()).to_string()
}
