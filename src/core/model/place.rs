//! Where a node stands: zone, network layers, NVLink clique; and what kind of machine it is.

use super::selector::Labels;

/// How a cloud sells the node, and so how it may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CapacityType {
    /// Paid by the hour, stays.
    OnDemand,
    /// Cheap, can be taken back at any time.
    Spot,
    /// Bought ahead (EC2 capacity blocks and reservations).
    Reserved,
}

/// Where a node stands and what it is, from its labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// `topology.kubernetes.io/region`.
    pub region: Option<String>,
    /// `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// Network layers, from the widest to the closest to the node.
    pub network_layers: Vec<String>,
    /// `nvidia.com/gpu.clique`, `<ClusterUUID>.<CliqueID>`: nodes of one clique share one NVLink domain.
    pub clique: Option<String>,
    /// `node.kubernetes.io/instance-type`.
    pub instance_type: Option<String>,
    /// Spot, on-demand or reserved.
    pub capacity_type: Option<CapacityType>,
    /// The managed group that the node belongs to, where the cloud names one.
    pub node_group: Option<String>,
    /// `platform/node-type`, the platform team's own name for the pool.
    pub node_type: Option<String>,
}

/// Labels that name network layers, one generation a row, widest layer first.
const LAYER_GENERATIONS: &[&[&str]] = &[
    &[
        "topology.k8s.aws/network-node-layer-1",
        "topology.k8s.aws/network-node-layer-2",
        "topology.k8s.aws/network-node-layer-3",
        "topology.k8s.aws/network-node-layer-4",
    ],
    // Topograph from 1.0 on counts from the node upwards, as deep as the network is; no network here is deeper.
    &[
        "fabric.topograph.run/tier-5",
        "fabric.topograph.run/tier-4",
        "fabric.topograph.run/tier-3",
        "fabric.topograph.run/tier-2",
        "fabric.topograph.run/tier-1",
        "fabric.topograph.run/tier-0",
    ],
    // Topograph before.
    &["network.topology.nvidia.com/core", "network.topology.nvidia.com/spine", "network.topology.nvidia.com/leaf"],
    // Its `gce-topology-host` is the machine that the node is, and no layer above it.
    &["cloud.google.com/gce-topology-block", "cloud.google.com/gce-topology-subblock"],
];

/// What the first releases of Topograph called a layer.
const FORMER_NAMES: &[(&str, &str)] = &[
    ("network.topology.nvidia.com/core", "network.topology.nvidia.com/datacenter"),
    ("network.topology.nvidia.com/leaf", "network.topology.nvidia.com/block"),
];

/// Labels that name the NVLink domain, the surest first: NVIDIA's own (feature discovery), then Topograph's, of both
/// generations. On AWS the last holds the capacity block, which is the UltraServer where there is one.
const CLIQUE_KEYS: &[&str] =
    &["nvidia.com/gpu.clique", "accelerator.topograph.run/domain", "network.topology.nvidia.com/accelerator"];

const NODE_GROUP_KEYS: &[&str] = &[
    "eks.amazonaws.com/nodegroup",
    "karpenter.sh/nodepool",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "alpha.eksctl.io/nodegroup-name",
];

impl Place {
    /// Reads the labels of a node.
    pub fn of(labels: &Labels) -> Self {
        let value = |key: &str| labels.get(key).filter(|v| !v.is_empty()).map(str::to_owned);
        let former = |key: &str| FORMER_NAMES.iter().find(|(now, _)| *now == key).and_then(|(_, then)| value(then));
        let layers = |keys: &[&str]| keys.iter().filter_map(|k| value(k).or_else(|| former(k))).collect::<Vec<_>>();
        Self {
            region: value("topology.kubernetes.io/region"),
            zone: value("topology.kubernetes.io/zone"),
            network_layers: LAYER_GENERATIONS
                .iter()
                .map(|keys| layers(keys))
                .find(|l| !l.is_empty())
                .unwrap_or_default(),
            clique: CLIQUE_KEYS.iter().find_map(|key| value(key)),
            instance_type: value("node.kubernetes.io/instance-type"),
            capacity_type: capacity_type(labels),
            node_group: NODE_GROUP_KEYS.iter().find_map(|key| value(key)),
            node_type: value("platform/node-type"),
        }
    }
}

fn capacity_type(labels: &Labels) -> Option<CapacityType> {
    if labels.get("cloud.google.com/gke-spot") == Some("true")
        || labels.get("kubernetes.azure.com/scalesetpriority") == Some("spot")
    {
        return Some(CapacityType::Spot);
    }
    let named = labels.get("karpenter.sh/capacity-type").or_else(|| labels.get("eks.amazonaws.com/capacityType"))?;
    match named.to_ascii_lowercase().replace('_', "-").as_str() {
        "spot" => Some(CapacityType::Spot),
        "on-demand" => Some(CapacityType::OnDemand),
        "reserved" | "capacity-block" => Some(CapacityType::Reserved),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_eks_node() {
        let place = Place::of(
            &[
                ("topology.kubernetes.io/region", "us-west-2"),
                ("topology.kubernetes.io/zone", "us-west-2b"),
                ("topology.k8s.aws/network-node-layer-3", "nn-3"),
                ("topology.k8s.aws/network-node-layer-1", "nn-1"),
                ("topology.k8s.aws/network-node-layer-2", "nn-2"),
                ("eks.amazonaws.com/capacityType", "ON_DEMAND"),
                ("eks.amazonaws.com/nodegroup", "p5-static"),
                ("node.kubernetes.io/instance-type", "p5.48xlarge"),
                ("nvidia.com/gpu.clique", ""),
                ("platform/node-type", "gpu"),
            ]
            .into_iter()
            .collect(),
        );
        assert_eq!(place.zone.as_deref(), Some("us-west-2b"));
        assert_eq!(place.network_layers, ["nn-1", "nn-2", "nn-3"]);
        assert_eq!(place.capacity_type, Some(CapacityType::OnDemand));
        assert_eq!(place.node_group.as_deref(), Some("p5-static"));
        assert_eq!(place.clique, None, "an empty label says nothing");
        assert_eq!(place.node_type.as_deref(), Some("gpu"));
    }

    #[test]
    fn topograph_counts_tiers_from_the_node_upwards() {
        let place = Place::of(
            &[("fabric.topograph.run/tier-0", "leaf"), ("fabric.topograph.run/tier-1", "spine")].into_iter().collect(),
        );
        assert_eq!(place.network_layers, ["spine", "leaf"]);
    }

    #[test]
    fn the_rack_of_a_machine_of_google_is_its_subblock() {
        let labels =
            ["block", "subblock", "host"].map(|key| (format!("cloud.google.com/gce-topology-{key}"), key.to_owned()));
        assert_eq!(Place::of(&labels.into_iter().collect()).network_layers, ["block", "subblock"]);
    }

    #[test]
    fn older_topographs_have_other_names() {
        let prefix = "network.topology.nvidia.com/";
        let place = |keys: [&str; 4]| {
            let labels = keys.map(|key| (format!("{prefix}{key}"), format!("the {key}")));
            Place::of(&labels.into_iter().collect())
        };
        let second = place(["accelerator", "leaf", "spine", "core"]);
        assert_eq!(second.network_layers, ["the core", "the spine", "the leaf"]);
        assert_eq!(second.clique.as_deref(), Some("the accelerator"));
        let first = place(["accelerator", "block", "spine", "datacenter"]);
        assert_eq!(first.network_layers, ["the datacenter", "the spine", "the block"]);
    }

    #[test]
    fn the_label_of_nvidia_itself_names_the_clique() {
        let labels = [("accelerator.topograph.run/domain", "nvl-7"), ("nvidia.com/gpu.clique", "9f2b.1")];
        assert_eq!(Place::of(&labels.into_iter().collect()).clique.as_deref(), Some("9f2b.1"));
        assert_eq!(Place::of(&labels.into_iter().take(1).collect()).clique.as_deref(), Some("nvl-7"));
    }

    #[test]
    fn clouds_name_spot_differently() {
        let kind = |key: &str, value: &str| Place::of(&[(key, value)].into_iter().collect()).capacity_type;
        assert_eq!(kind("karpenter.sh/capacity-type", "spot"), Some(CapacityType::Spot));
        assert_eq!(kind("eks.amazonaws.com/capacityType", "SPOT"), Some(CapacityType::Spot));
        assert_eq!(kind("cloud.google.com/gke-spot", "true"), Some(CapacityType::Spot));
        assert_eq!(kind("eks.amazonaws.com/capacityType", "CAPACITY_BLOCK"), Some(CapacityType::Reserved));
        assert_eq!(kind("karpenter.sh/capacity-type", "borrowed"), None);
    }
}
