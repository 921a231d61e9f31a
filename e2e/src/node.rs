//! Nodes as GPU Feature Discovery and a device plugin leave them, for kwok to keep alive.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, NodeSystemInfo, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::core::ObjectMeta;

use crate::control_plane::KWOK_LABEL;

/// Starts a node: 96 CPUs, 1 TiB of memory, 110 pods, Linux on amd64, no GPUs.
pub fn node(name: &str) -> NodeBuilder {
    let builder = NodeBuilder {
        name: name.to_owned(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        capacity: BTreeMap::new(),
        allocatable: BTreeMap::new(),
        taints: Vec::new(),
        unschedulable: false,
    };
    builder
        .label(KWOK_LABEL.0, KWOK_LABEL.1)
        .label("kubernetes.io/hostname", name)
        .label("kubernetes.io/os", "linux")
        .label("kubernetes.io/arch", "amd64")
        .resource("cpu", "96")
        .resource("memory", "1Ti")
        .resource("pods", "110")
}

/// A node that is being described.
#[derive(Debug, Clone)]
pub struct NodeBuilder {
    name: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    capacity: BTreeMap<String, Quantity>,
    allocatable: BTreeMap<String, Quantity>,
    taints: Vec<Taint>,
    unschedulable: bool,
}

impl NodeBuilder {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A label.
    pub fn label(mut self, key: &str, value: impl Into<String>) -> Self {
        self.labels.insert(key.to_owned(), value.into());
        self
    }

    /// Several labels.
    pub fn labels<'a>(self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        labels.into_iter().fold(self, |node, (key, value)| node.label(key, value))
    }

    /// An annotation.
    pub fn annotation(mut self, key: &str, value: impl Into<String>) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }

    /// A resource by name, capacity and allocatable alike.
    pub fn resource(mut self, name: &str, quantity: &str) -> Self {
        self.capacity.insert(name.to_owned(), Quantity(quantity.to_owned()));
        self.allocatable.insert(name.to_owned(), Quantity(quantity.to_owned()));
        self
    }

    /// An extended resource.
    pub fn extended(self, name: &str, count: u32) -> Self {
        self.resource(name, &count.to_string())
    }

    /// Less allocatable than there is: what a device plugin reports when a device is unhealthy.
    pub fn allocatable(mut self, name: &str, quantity: &str) -> Self {
        self.allocatable.insert(name.to_owned(), Quantity(quantity.to_owned()));
        self
    }

    /// Whole GPUs, `nvidia.com/gpu`, with the labels that count them.
    pub fn gpus(self, count: u32) -> Self {
        self.extended("nvidia.com/gpu", count)
            .label("nvidia.com/gpu.present", "true")
            .label("nvidia.com/gpu.count", count.to_string())
            .label("nvidia.com/gpu.replicas", "1")
            .label("nvidia.com/gpu.sharing-strategy", "none")
    }

    /// Which GPUs: the product as GPU Feature Discovery writes it, and the memory of one in MiB.
    pub fn product(self, product: &str, memory_mib: u32) -> Self {
        self.label("nvidia.com/gpu.product", product).label("nvidia.com/gpu.memory", memory_mib.to_string())
    }

    /// Which machine: `node.kubernetes.io/instance-type`.
    pub fn instance_type(self, instance_type: &str) -> Self {
        self.label("node.kubernetes.io/instance-type", instance_type)
    }

    /// MIG strategy `mixed`: a resource per profile, as in `[("3g.20gb", 2), ("1g.5gb", 1)]`. The count of
    /// `nvidia.com/gpu` that [`gpus`](Self::gpus) has set becomes 0, the labels keep the number of cards.
    pub fn mig_mixed(mut self, profiles: &[(&str, u32)]) -> Self {
        if self.capacity.contains_key("nvidia.com/gpu") {
            self = self.extended("nvidia.com/gpu", 0);
        }
        self = self.label("nvidia.com/mig.capable", "true").label("nvidia.com/mig.strategy", "mixed");
        for (profile, count) in profiles {
            self = self
                .extended(&format!("nvidia.com/mig-{profile}"), *count)
                .label(&format!("nvidia.com/mig-{profile}.count"), count.to_string());
        }
        self
    }

    /// MIG strategy `single`: `count` slices of one profile under the name of whole GPUs. To be called after
    /// [`product`](Self::product), whose label gets the profile as suffix.
    pub fn mig_single(mut self, profile: &str, count: u32) -> Self {
        let product = self.labels.get("nvidia.com/gpu.product").cloned().unwrap_or_default();
        self = self
            .extended("nvidia.com/gpu", count)
            .label("nvidia.com/gpu.present", "true")
            .label("nvidia.com/gpu.count", count.to_string())
            .label("nvidia.com/gpu.product", format!("{product}-MIG-{profile}"));
        self.label("nvidia.com/mig.capable", "true").label("nvidia.com/mig.strategy", "single")
    }

    /// Time-slicing of `gpus` GPUs into `replicas` each. Renamed: the resource is `nvidia.com/gpu.shared`; else it keeps
    /// its name and the product label (set before) gets `-SHARED`.
    pub fn time_sliced(mut self, gpus: u32, replicas: u32, renamed: bool) -> Self {
        let resource = if renamed { "nvidia.com/gpu.shared" } else { "nvidia.com/gpu" };
        if !renamed && let Some(product) = self.labels.get_mut("nvidia.com/gpu.product") {
            product.push_str("-SHARED");
        }
        self.extended(resource, gpus * replicas)
            .label("nvidia.com/gpu.present", "true")
            .label("nvidia.com/gpu.count", gpus.to_string())
            .label("nvidia.com/gpu.replicas", replicas.to_string())
            .label("nvidia.com/gpu.sharing-strategy", "time-slicing")
    }

    /// CUDA MPS: `gpus` GPUs for `replicas` clients each. To be called after [`product`](Self::product), whose label gets
    /// `-SHARED`.
    pub fn mps(self, gpus: u32, replicas: u32) -> Self {
        self.time_sliced(gpus, replicas, false)
            .label("nvidia.com/gpu.sharing-strategy", "mps")
            .label("nvidia.com/mps.capable", "true")
    }

    /// A taint; the effect is `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        let value = Some(value.to_owned()).filter(|value| !value.is_empty());
        self.taints.push(Taint { key: key.to_owned(), value, effect: effect.to_owned(), time_added: None });
        self
    }

    /// Cordoned.
    pub fn unschedulable(mut self) -> Self {
        self.unschedulable = true;
        self
    }

    /// The object.
    pub fn build(self) -> Node {
        let text = str::to_owned;
        let info = NodeSystemInfo {
            architecture: text("amd64"),
            operating_system: text("linux"),
            kubelet_version: text("kwok"),
            kube_proxy_version: text("kwok"),
            container_runtime_version: text("kwok"),
            ..NodeSystemInfo::default()
        };
        Node {
            metadata: ObjectMeta {
                name: Some(self.name),
                labels: Some(self.labels),
                annotations: Some(self.annotations),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec {
                taints: Some(self.taints).filter(|taints| !taints.is_empty()),
                unschedulable: self.unschedulable.then_some(true),
                ..NodeSpec::default()
            }),
            status: Some(NodeStatus {
                capacity: Some(self.capacity),
                allocatable: Some(self.allocatable),
                node_info: Some(info),
                ..NodeStatus::default()
            }),
        }
    }
}
