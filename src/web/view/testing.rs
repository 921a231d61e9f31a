//! A small fleet for the unit tests of the view.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use testudo_core::engine::{ClaimPolicy, Policy};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::node::Node;

use crate::claims;
use crate::config::Mode;
use crate::host::{Bindings, Host};
use crate::k8s::watch::ClusterEvent;
use crate::k8s::{self, manifests::Manifests, object};

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a test object")
}

fn object(name: &str, labels: &[(&str, &str)], pools: &[(&str, i64)]) -> object::Node {
    let labels: serde_json::Map<String, Value> = labels.iter().map(|(k, v)| ((*k).into(), json!(v))).collect();
    let mut resources = json!({"cpu": "192", "memory": "2Ti", "pods": "110"});
    for (name, count) in pools {
        resources[*name] = json!(count.to_string());
    }
    let status = json!({"capacity": resources, "allocatable": resources});
    read(json!({"metadata": {"name": name, "labels": labels}, "status": status}))
}

/// A node with these labels and resources.
pub fn node(name: &str, labels: &[(&str, &str)], pools: &[(&str, i64)], more: &[(&str, &str)]) -> Node {
    let parts = k8s::node::decode(&object(name, &[labels, more].concat(), pools)).0;
    Node::new(parts, &Catalogue::builtin()).0
}

/// A pod that asks for so many GPUs.
pub fn gpus(name: &str, count: u32) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "team", "uid": format!("uid-{name}")},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"nvidia.com/gpu": count.to_string()}}}]},
        "status": {"phase": "Running"},
    })
}

/// A node whose driver publishes so many A30, which can be cut on demand.
pub fn gpu_node(name: &str, gpus: usize) -> (object::Node, Value) {
    let attributes = |kind: &str| json!({"type": {"string": kind}, "productName": {"string": "NVIDIA A30"}});
    let consumes =
        |at: usize| json!([{"counterSet": format!("gpu-{at}-counter-set"), "counters": {"memory": {"value": "6Gi"}}}]);
    let device = |name: String, kind: &str, at: usize| json!({"name": name, "attributes": attributes(kind), "consumesCounters": consumes(at)});
    let devices: Vec<Value> = (0..gpus)
        .flat_map(|at| {
            let parts = (0..4).map(move |start| (format!("gpu-{at}-mig-1g6gb-14-{start}"), "mig", at));
            [(format!("gpu-{at}"), "gpu", at)].into_iter().chain(parts)
        })
        .map(|(name, kind, at)| device(name, kind, at))
        .collect();
    let slice = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": format!("{name}-gpus")},
        "spec": {"driver": "gpu.nvidia.com", "nodeName": name, "devices": devices,
            "pool": {"name": name, "generation": 1, "resourceSliceCount": 1}},
    });
    (object(name, &[], &[]), slice)
}

/// A claim for one GPU, in the namespace of [`gpus`], with this device of this pool.
pub fn gpu_claim(name: &str, device: Option<(&str, &str)>) -> Value {
    let request = json!({"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com", "allocationMode": "ExactCount", "count": 1}});
    let mut claim = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "team", "uid": format!("claim-{name}")},
        "spec": {"devices": {"requests": [request]}},
    });
    if let Some((pool, device)) = device {
        let result = json!({"request": "gpu", "driver": "gpu.nvidia.com", "pool": pool, "device": device});
        claim["status"] = json!({"allocation": {"devices": {"results": [result]}}});
    }
    claim
}

/// A pod that uses a claim.
pub fn using(name: &str, claim: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "team", "uid": format!("uid-{name}")},
        "spec": {"containers": [{"name": "main"}], "resourceClaims": [{"name": "gpu", "resourceClaimName": claim}]},
        "status": {"phase": "Pending"},
    })
}

/// A host with a few nodes.
pub struct Fleet {
    pub host: Arc<Host>,
}

impl Fleet {
    fn with(nodes: Vec<object::Node>) -> Self {
        let registry = &mut Registry::default();
        let host = Host::new(Policy::default(), Mode::Enforce, Catalogue::builtin(), Bindings::OwnCopy, registry);
        host.take_manifests(Manifests { nodes, ..Manifests::default() });
        Self { host: Arc::new(host) }
    }

    /// Nodes with GPUs that claims can have, and these claims.
    pub fn with_devices(nodes: Vec<(object::Node, Value)>, claims: Vec<Value>) -> Self {
        Self::planning(Policy::default(), nodes, claims)
    }

    /// The same, where claims for GPUs are ours to allocate.
    pub fn allocating(nodes: Vec<(object::Node, Value)>, claims: Vec<Value>) -> Self {
        let ours = ClaimPolicy { classes: ["gpu.nvidia.com".to_owned()].into(), ..ClaimPolicy::default() };
        Self::planning(Policy { claims: ours, ..Policy::default() }, nodes, claims)
    }

    fn planning(policy: Policy, nodes: Vec<(object::Node, Value)>, claims: Vec<Value>) -> Self {
        let (nodes, slices): (Vec<_>, Vec<_>) = nodes.into_iter().unzip();
        let slices = slices.iter().map(|slice| claims::slice(slice).expect("a slice")).collect();
        let claims = claims.iter().map(|claim| claims::seen_claim(claim).expect("a claim")).collect();
        let registry = &mut Registry::default();
        let host = Host::new(policy, Mode::Enforce, Catalogue::builtin(), Bindings::OwnCopy, registry);
        host.take_manifests(Manifests { nodes, slices, claims, ..Manifests::default() });
        Self { host: Arc::new(host) }
    }

    /// So many nodes of eight H100, `node-0` and so on.
    pub fn of(nodes: usize) -> Self {
        let labels =
            [("nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3"), ("node.kubernetes.io/instance-type", "p5.48xlarge")];
        Self::with((0..nodes).map(|at| object(&format!("node-{at}"), &labels, &[("nvidia.com/gpu", 8)])).collect())
    }

    /// So many NVLink domains of so many nodes of four GB200, `nvl-0-0` and so on.
    pub fn of_cliques(cliques: usize, nodes: usize) -> Self {
        let node = |clique: usize, at: usize| {
            let domain = format!("c{clique}.1");
            let labels = [
                ("nvidia.com/gpu.product", "NVIDIA-GB200"),
                ("node.kubernetes.io/instance-type", "p6e-gb200.36xlarge"),
                ("nvidia.com/gpu.clique", domain.as_str()),
            ];
            object(&format!("nvl-{clique}-{at}"), &labels, &[("nvidia.com/gpu", 4)])
        };
        Self::with((0..cliques).flat_map(|clique| (0..nodes).map(move |at| node(clique, at))).collect())
    }

    /// A node without accelerators joins.
    pub fn add_plain(&self, name: &str) {
        self.host.take([ClusterEvent::NodeApplied(Box::new(object(name, &[], &[])))]);
    }

    /// A node leaves.
    pub fn remove(&self, name: &str) {
        self.host.take([ClusterEvent::NodeDeleted(name.into())]);
    }

    /// A pod appears as it is.
    pub fn add(&self, pod: Value) {
        self.host.take([ClusterEvent::PodApplied(Box::new(read(pod)))]);
    }

    /// A device class appears, of all devices.
    pub fn add_class(&self, name: &str) {
        let class =
            json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name}, "spec": {}});
        self.host.take([ClusterEvent::ClassApplied(Box::new(claims::class(&class).expect("a class")))]);
    }

    /// A claim has changed.
    pub fn take_claim(&self, mut claim: Value) {
        claim["metadata"]["resourceVersion"] = json!("9");
        self.host.take([ClusterEvent::ClaimApplied(Box::new(claims::seen_claim(&claim).expect("a claim")))]);
    }

    /// A pod is gone.
    pub fn end(&self, name: &str) {
        self.host.take([ClusterEvent::PodDeleted(format!("uid-{name}"))]);
    }

    /// A pod runs on a node.
    pub fn run(&self, mut pod: Value, node: &str) {
        pod["spec"]["nodeName"] = json!(node);
        self.host.take([ClusterEvent::PodApplied(Box::new(read(pod)))]);
    }
}
