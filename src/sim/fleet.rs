//! A mixed fleet, as the API server would show it.

use std::collections::BTreeMap;

use testudo_core::model::catalogue::{Catalogue, Machine};

use crate::k8s::object::{Metadata, Node, NodeSpec, NodeStatus, ResourceList, StringMap, Taint};

/// How many nodes the fleet has by default: each kind in its usual number.
pub const DEFAULT_NODES: usize = KINDS.len();

/// How a node offers its accelerators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Cpu,
    Neuron,
    WholeGpus,
    /// MIG strategy `mixed`, nvidia-mig-manager's `all-balanced`: 2x 1g, 1x 2g and 1x 3g a GPU.
    BalancedSlices,
    /// MIG strategy `single`, `all-1g.5gb`.
    SmallSlices,
    /// Four replicas a GPU, under their own name (`renameByDefault`).
    TimeSliced,
    /// Four MPS replicas a GPU, as `nvidia.com/gpu`.
    Mps,
}

/// What is the matter with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ailment {
    None,
    /// The device plugin reports one GPU as unhealthy.
    FailedGpu,
    Cordoned,
    /// Karpenter is about to remove the node.
    Disrupted,
}

type Kind = (&'static str, &'static str, Form, Ailment);

/// The fleet, mixed so that its beginning is a smaller fleet of the same sort.
const KINDS: [Kind; 30] = [
    ("p5.48xlarge", "a", Form::WholeGpus, Ailment::None),
    ("p4d.24xlarge", "b", Form::BalancedSlices, Ailment::None),
    ("g6e.48xlarge", "b", Form::WholeGpus, Ailment::None),
    ("m7i.8xlarge", "a", Form::Cpu, Ailment::None),
    ("p4d.24xlarge", "b", Form::WholeGpus, Ailment::None),
    ("trn2.48xlarge", "c", Form::Neuron, Ailment::None),
    ("g5.12xlarge", "a", Form::Mps, Ailment::None),
    ("p5e.48xlarge", "a", Form::WholeGpus, Ailment::None),
    ("g6e.48xlarge", "b", Form::TimeSliced, Ailment::None),
    ("p6e-gb200.36xlarge", "c", Form::WholeGpus, Ailment::None),
    ("p4d.24xlarge", "b", Form::SmallSlices, Ailment::None),
    ("p5.48xlarge", "a", Form::WholeGpus, Ailment::FailedGpu),
    ("g5.12xlarge", "a", Form::WholeGpus, Ailment::None),
    ("m7i.8xlarge", "b", Form::Cpu, Ailment::None),
    ("p6e-gb200.36xlarge", "c", Form::WholeGpus, Ailment::None),
    ("p5.48xlarge", "b", Form::WholeGpus, Ailment::None),
    ("p4d.24xlarge", "a", Form::BalancedSlices, Ailment::None),
    ("g6e.48xlarge", "b", Form::WholeGpus, Ailment::Cordoned),
    ("p4d.24xlarge", "b", Form::WholeGpus, Ailment::None),
    ("trn2.48xlarge", "c", Form::Neuron, Ailment::None),
    ("p5e.48xlarge", "b", Form::WholeGpus, Ailment::None),
    ("p6e-gb200.36xlarge", "c", Form::WholeGpus, Ailment::None),
    ("g5.12xlarge", "b", Form::WholeGpus, Ailment::Disrupted),
    ("m7i.8xlarge", "c", Form::Cpu, Ailment::None),
    ("p5.48xlarge", "b", Form::WholeGpus, Ailment::None),
    ("g6e.48xlarge", "a", Form::TimeSliced, Ailment::None),
    ("g6e.48xlarge", "a", Form::WholeGpus, Ailment::None),
    ("p6e-gb200.36xlarge", "c", Form::WholeGpus, Ailment::None),
    ("g5.12xlarge", "b", Form::Mps, Ailment::None),
    ("m7i.8xlarge", "c", Form::Cpu, Ailment::None),
];

/// The one instance type without accelerators, with its vCPUs and GiB.
const CPU_ONLY: (u32, u32) = (32, 128);

/// Nodes of one NVL72 domain.
const NODES_OF_A_CLIQUE: usize = 18;

const GPU: &str = "nvidia.com/gpu";
const ARCH: &str = "kubernetes.io/arch";

/// A fleet of so many nodes; the same for the same number.
pub fn fleet(nodes: usize) -> Vec<Node> {
    let catalogue = Catalogue::builtin();
    let mut of_group: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let kinds = KINDS.iter().cycle().take(nodes);
    kinds
        .map(|kind| {
            let number = of_group.entry((kind.0, kind.1)).or_default();
            *number += 1;
            node(kind, *number, &catalogue)
        })
        .collect()
}

fn node(&(instance_type, zone, form, ailment): &Kind, number: usize, catalogue: &Catalogue) -> Node {
    let machine = catalogue.machine_by_instance_type(instance_type).map(AsRef::as_ref);
    let (vcpus, gib) = machine.and_then(|m| m.vcpus.zip(m.memory_gib)).unwrap_or(CPU_ONLY);
    let name = format!("{}-{zone}{number}", instance_type.replace('.', "-"));
    let devices = machine.map_or(0, |m| m.count);
    let (resources, mut labels) = match (form, machine) {
        (Form::Cpu, _) | (_, None) => (vec![], StringMap::new()),
        (Form::Neuron, Some(machine)) => neuron(machine),
        (_, Some(machine)) => gpus(form, machine),
    };
    place(&mut labels, &name, instance_type, zone, number, form);
    if instance_type.starts_with("p6e") {
        let clique = (number - 1) / NODES_OF_A_CLIQUE;
        labels.insert("nvidia.com/gpu.clique".into(), format!("9f2b1c6e-4d1a-4b60-8a53-{clique:012x}.1"));
    }

    let kib = u64::from(gib) << 20;
    let capacity = amounts(&resources, format!("{vcpus}"), format!("{kib}Ki"));
    let mut allocatable = amounts(&resources, format!("{}m", vcpus * 1000 - 310), format!("{}Ki", kib - kib / 25));
    if ailment == Ailment::FailedGpu {
        allocatable.insert(GPU.into(), (devices - 1).to_string().as_str().into());
    }
    Node {
        metadata: Metadata { uid: format!("node-{name}"), name, labels, ..Metadata::default() },
        spec: NodeSpec { unschedulable: ailment == Ailment::Cordoned, taints: taints(instance_type, form, ailment) },
        status: NodeStatus { capacity, allocatable },
    }
}

fn amounts(accelerators: &[(String, usize)], cpu: String, memory: String) -> ResourceList {
    let plain = [("cpu".to_owned(), cpu), ("memory".to_owned(), memory), ("pods".to_owned(), "110".to_owned())];
    let accelerators = accelerators.iter().map(|(name, count)| (name.clone(), count.to_string()));
    plain.into_iter().chain(accelerators).map(|(name, amount)| (name, amount.as_str().into())).collect()
}

fn neuron(machine: &Machine) -> (Vec<(String, usize)>, StringMap) {
    let cores = machine.count * CORES_PER_TRAINIUM2;
    let resources =
        vec![("aws.amazon.com/neuron".to_owned(), machine.count), ("aws.amazon.com/neuroncore".to_owned(), cores)];
    (resources, StringMap::new())
}

const CORES_PER_TRAINIUM2: usize = 8;
const REPLICAS: usize = 4;

/// What the device plugin offers, and what GPU Feature Discovery says about it.
fn gpus(form: Form, machine: &Machine) -> (Vec<(String, usize)>, StringMap) {
    let (count, product) = (machine.count, format!("NVIDIA-{}", machine.accelerator.name));
    let balanced = [("1g.5gb", 2 * count), ("2g.10gb", count), ("3g.20gb", count)];
    let resources = match form {
        Form::BalancedSlices => {
            balanced.iter().map(|(profile, count)| (format!("nvidia.com/mig-{profile}"), *count)).collect()
        }
        Form::SmallSlices => vec![(GPU.to_owned(), 7 * count)],
        Form::TimeSliced => vec![("nvidia.com/gpu.shared".to_owned(), REPLICAS * count)],
        Form::Mps => vec![(GPU.to_owned(), REPLICAS * count)],
        _ => vec![(GPU.to_owned(), count)],
    };
    let strategy = match form {
        Form::BalancedSlices => "mixed",
        Form::SmallSlices => "single",
        _ => "none",
    };
    let sharing = match form {
        Form::TimeSliced => "time-slicing",
        Form::Mps => "mps",
        _ => "none",
    };
    let replicas = if sharing == "none" { 1 } else { REPLICAS };
    let labelled = if form == Form::SmallSlices { 7 * count } else { count };
    let memory = if form == Form::SmallSlices { 4864 } else { machine.accelerator.memory_mib };
    let suffix = match form {
        Form::SmallSlices => "-MIG-1g.5gb",
        Form::Mps => "-SHARED",
        _ => "",
    };
    let mut labels: StringMap = [
        ("nvidia.com/gpu.present", "true".to_owned()),
        ("nvidia.com/gpu.product", format!("{product}{suffix}")),
        ("nvidia.com/gpu.count", labelled.to_string()),
        ("nvidia.com/gpu.memory", memory.to_string()),
        ("nvidia.com/gpu.replicas", replicas.to_string()),
        ("nvidia.com/gpu.sharing-strategy", sharing.to_owned()),
        ("nvidia.com/mig.capable", machine.accelerator.mig().is_some().to_string()),
        ("nvidia.com/mig.strategy", strategy.to_owned()),
        ("nvidia.com/mps.capable", (form == Form::Mps).to_string()),
        ("platform/gpu-sharing", sharing.to_owned()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    let config = match form {
        Form::BalancedSlices => Some("all-balanced"),
        Form::SmallSlices => Some("all-1g.5gb"),
        _ => None,
    };
    labels.extend(config.map(|config| ("nvidia.com/mig.config".to_owned(), config.to_owned())));
    if form == Form::BalancedSlices {
        labels.extend(balanced.map(|(profile, count)| (format!("nvidia.com/mig-{profile}.count"), count.to_string())));
    }
    (resources, labels)
}

/// Where the node stands and how it was bought.
fn place(labels: &mut StringMap, name: &str, instance_type: &str, zone: &str, number: usize, form: Form) {
    let family = instance_type.split('.').next().unwrap_or(instance_type);
    let spot = matches!(form, Form::TimeSliced | Form::Cpu);
    let rack = (number - 1) / 4;
    let values = [
        ("kubernetes.io/hostname", name.to_owned()),
        (ARCH, if family.ends_with("gb200") { "arm64" } else { "amd64" }.to_owned()),
        ("node.kubernetes.io/instance-type", instance_type.to_owned()),
        ("topology.kubernetes.io/region", "us-east-1".to_owned()),
        ("topology.kubernetes.io/zone", format!("us-east-1{zone}")),
        ("topology.k8s.aws/network-node-layer-1", format!("nn-{zone}")),
        ("topology.k8s.aws/network-node-layer-2", format!("nn-{zone}-{family}")),
        ("topology.k8s.aws/network-node-layer-3", format!("nn-{zone}-{family}-{rack}")),
        ("karpenter.sh/capacity-type", if spot { "spot" } else { "on-demand" }.to_owned()),
        ("karpenter.sh/nodepool", family.to_owned()),
        ("platform/node-type", if form == Form::Cpu { "cpu" } else { family }.to_owned()),
    ];
    labels.extend(values.map(|(key, value)| (key.to_owned(), value)));
}

fn taints(instance_type: &str, form: Form, ailment: Ailment) -> Vec<Taint> {
    let taint = |key: &str, value: &str| Taint { key: key.into(), value: value.into(), effect: "NoSchedule".into() };
    // The smallest GPU nodes carry no taint: there it is testudo alone that keeps pods without GPUs away.
    let reserved = match form {
        Form::Cpu => None,
        Form::Neuron => Some(taint("aws.amazon.com/neuron", "")),
        _ => Some(taint(GPU, "")).filter(|_| !instance_type.starts_with("g5.")),
    };
    let arm = instance_type.starts_with("p6e").then(|| taint(ARCH, "arm64"));
    let disrupted = (ailment == Ailment::Disrupted).then(|| taint("karpenter.sh/disrupted", ""));
    reserved.into_iter().chain(arm).chain(disrupted).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::k8s::node::decode;
    use testudo_core::model;

    fn decoded(nodes: usize) -> Vec<model::node::Node> {
        let catalogue = Catalogue::builtin();
        let read = |object: &Node| {
            let (parts, problems) = decode(object);
            assert!(problems.is_empty(), "{problems:?}");
            let (node, problems) = model::node::Node::new(parts, &catalogue);
            assert_eq!(problems, [], "{}", node.name());
            node
        };
        fleet(nodes).iter().map(read).collect()
    }

    #[test]
    fn every_node_is_understood() {
        let nodes = decoded(3 * DEFAULT_NODES);
        let names: BTreeSet<_> = nodes.iter().map(|node| node.name().clone()).collect();
        assert_eq!(names.len(), 3 * DEFAULT_NODES, "names are unique");
        for node in &nodes {
            let cpu_only = node.name().as_str().starts_with("m7i");
            assert_eq!(node.inventory.has_accelerators(), !cpu_only, "{}", node.name());
            assert_eq!(node.inventory.machine.is_some(), !cpu_only, "{}", node.name());
        }
    }

    #[test]
    fn what_is_wrong_with_a_node_is_meant_to_be() {
        let nodes = decoded(DEFAULT_NODES);
        let names = |which: &dyn Fn(&model::node::Node) -> bool| -> Vec<&str> {
            nodes.iter().filter(|node| which(node)).map(|node| node.name().as_str()).collect()
        };
        assert_eq!(names(&|node| node.inventory.is_degraded()), ["p5-48xlarge-a2"]);
        assert_eq!(names(&|node| node.parts.cordoned), ["g6e-48xlarge-b3"]);
        let leaving = |node: &model::node::Node| node.parts.taints.iter().any(|t| t.key == "karpenter.sh/disrupted");
        assert_eq!(names(&leaving), ["g5-12xlarge-b1"]);
        let eight_linked = |node: &model::node::Node| {
            node.inventory.is_link_complete() && node.inventory.pool(GPU).is_some_and(|pool| pool.capacity == 8)
        };
        assert_eq!(names(&eight_linked).len(), 7, "{:?}", names(&eight_linked));
    }

    #[test]
    fn slices_and_replicas_are_what_they_say() {
        let units: BTreeSet<String> =
            decoded(DEFAULT_NODES).iter().flat_map(|n| n.inventory.pools.clone()).map(|p| p.unit.to_string()).collect();
        let expected = [
            "MIG slices 1g.5gb",
            "MIG slices 2g.10gb",
            "MIG slices 3g.20gb",
            "MPS replicas of GPUs",
            "Neuron cores",
            "time-slicing replicas of GPUs",
            "whole devices",
        ];
        assert_eq!(units.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }
}
