use super::super::node::{Node, NodeParts};
use super::super::resources::Resources;
use super::*;

fn node<const N: usize>(labels: &[(&str, &str)], capacity: [(&str, i64); N]) -> (Inventory, Vec<InventoryProblem>) {
    let capacity = Resources::from(capacity);
    let parts = NodeParts {
        name: "n".into(),
        labels: labels.iter().copied().collect(),
        taints: vec![],
        cordoned: false,
        allocatable: capacity.clone(),
        capacity,
    };
    let (node, problems) = Node::new(parts, &Catalogue::builtin());
    (node.inventory, problems)
}

fn units(inventory: &Inventory) -> Vec<(&str, Unit, i64)> {
    inventory.pools.iter().map(|p| (p.resource.as_str(), p.unit.clone(), p.capacity)).collect()
}

fn slice(profile: &str) -> Unit {
    Unit::Slice(profile.into())
}

fn replica(slice: Option<&str>, sharing: Sharing) -> Unit {
    Unit::Replica { slice: slice.map(Into::into), sharing }
}

const A100: (&str, &str) = ("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-40GB");
const P4D: (&str, &str) = ("node.kubernetes.io/instance-type", "p4d.24xlarge");

#[test]
fn whole_gpus_of_a_known_machine() {
    let (inventory, problems) =
        node(&[A100, P4D, ("nvidia.com/gpu.count", "8")], [("nvidia.com/gpu", 8), ("cpu", 96_000)]);
    assert_eq!(problems, []);
    assert_eq!(units(&inventory), [("nvidia.com/gpu", Unit::Device, 8)]);
    assert_eq!(inventory.machine.as_ref().unwrap().name, "p4d.24xlarge");
    assert!(inventory.is_link_complete());
    assert_eq!(inventory.device_memory_mib, 40_960);
}

#[test]
fn the_machine_type_stands_in_for_a_missing_product_label() {
    let (inventory, problems) = node(&[P4D], [("nvidia.com/gpu", 8)]);
    assert_eq!(problems, []);
    assert_eq!(inventory.product.as_ref().unwrap().name, "A100-SXM4-40GB");
}

#[test]
fn mixed_strategy_offers_slices_by_name() {
    let (inventory, problems) = node(
        &[A100, P4D, ("nvidia.com/mig.strategy", "mixed"), ("nvidia.com/mig-3g.20gb.count", "8")],
        [("nvidia.com/gpu", 4), ("nvidia.com/mig-3g.20gb", 8), ("nvidia.com/mig-1g.5gb.me", 4)],
    );
    assert_eq!(problems, []);
    assert_eq!(
        units(&inventory),
        [
            ("nvidia.com/gpu", Unit::Device, 4),
            ("nvidia.com/mig-1g.5gb.me", slice("1g.5gb+me"), 4),
            ("nvidia.com/mig-3g.20gb", slice("3g.20gb"), 8),
        ]
    );
}

#[test]
fn single_strategy_offers_slices_as_gpus() {
    let label = ("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb");
    let (inventory, problems) = node(&[label, ("nvidia.com/mig.strategy", "single")], [("nvidia.com/gpu", 56)]);
    assert_eq!(problems, []);
    assert_eq!(units(&inventory), [("nvidia.com/gpu", slice("1g.5gb"), 56)]);
}

/// As GPU Feature Discovery labels them: it counts slices, and tells the memory of one.
#[test]
fn a_node_that_offers_slices_as_gpus_has_the_devices_of_its_machine() {
    let label = ("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb");
    let told =
        [("nvidia.com/mig.strategy", "single"), ("nvidia.com/gpu.count", "56"), ("nvidia.com/gpu.memory", "4864")];
    for machine in [Some(P4D), None] {
        let labels: Vec<_> = [label].into_iter().chain(told).chain(machine).collect();
        let (inventory, problems) = node(&labels, [("nvidia.com/gpu", 56)]);
        assert_eq!(problems, []);
        assert_eq!(inventory.device_memory_mib, 40_960, "of a whole device");
        assert_eq!(inventory.fabric.as_ref().map(|fabric| fabric.len()), Some(8));
        assert_eq!(inventory.unit_milli(&inventory.pools[0]), 125);
    }
    let one = [label, ("nvidia.com/gpu.count", "7")];
    assert!(!node(&one, [("nvidia.com/gpu", 7)]).0.is_link_complete(), "seven slices of one GPU");
}

#[test]
fn replicas_of_slices_are_parts_of_slices() {
    let labels = [A100, P4D, ("nvidia.com/mig.strategy", "mixed"), ("nvidia.com/mig-1g.5gb.replicas", "4")];
    let (inventory, _) = node(&labels, [("nvidia.com/mig-1g.5gb", 64), ("nvidia.com/mig-2g.10gb", 8)]);
    assert_eq!(inventory.unit_milli(&inventory.pools[0]), 125 / 4);
}

#[test]
fn time_slicing_is_seen_by_suffix_label_or_count() {
    let shared = ("nvidia.com/gpu.product", "NVIDIA-A10G-SHARED");
    let time_sliced = replica(None, Sharing::TimeSlicing);
    assert_eq!(units(&node(&[shared], [("nvidia.com/gpu", 4)]).0)[0].1, time_sliced);
    let replicas = ("nvidia.com/gpu.replicas", "4");
    assert_eq!(units(&node(&[replicas], [("nvidia.com/gpu", 4)]).0)[0].1, time_sliced);
    assert_eq!(units(&node(&[], [("nvidia.com/gpu.shared", 4)]).0)[0].1, time_sliced);
    let platform = ("platform/gpu-sharing", "time-slicing");
    assert_eq!(units(&node(&[platform], [("nvidia.com/gpu", 4)]).0)[0].1, time_sliced);
    let mps = ("nvidia.com/gpu.sharing-strategy", "mps");
    assert_eq!(units(&node(&[mps], [("nvidia.com/gpu", 4)]).0)[0].1, replica(None, Sharing::Mps));
    let by_capability = ("nvidia.com/mps.capable", "true");
    assert_eq!(units(&node(&[by_capability], [("nvidia.com/gpu", 4)]).0)[0].1, replica(None, Sharing::Mps));
    let not_shared = [by_capability, ("nvidia.com/gpu.sharing-strategy", "none")];
    assert_eq!(units(&node(&not_shared, [("nvidia.com/gpu", 4)]).0)[0].1, Unit::Device);
    let exclusive = ("platform/gpu-sharing", "none");
    assert_eq!(units(&node(&[exclusive], [("nvidia.com/gpu", 4)]).0)[0].1, Unit::Device);
}

#[test]
fn slices_can_be_shared_too() {
    let (inventory, problems) = node(&[A100], [("nvidia.com/mig-1g.5gb.shared", 14)]);
    assert_eq!(problems, []);
    assert_eq!(units(&inventory)[0].1, replica(Some("1g.5gb"), Sharing::TimeSlicing));
    let by_label = node(&[A100, ("nvidia.com/mig-1g.5gb.replicas", "2")], [("nvidia.com/mig-1g.5gb", 14)]);
    assert_eq!(units(&by_label.0)[0].1, replica(Some("1g.5gb"), Sharing::TimeSlicing));
    let single = ("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED");
    assert_eq!(units(&node(&[single], [("nvidia.com/gpu", 14)]).0)[0].1, replica(Some("1g.5gb"), Sharing::TimeSlicing));
}

#[test]
fn neuron_devices_and_cores() {
    let (inventory, problems) = node(
        &[("node.kubernetes.io/instance-type", "trn2.48xlarge")],
        [("aws.amazon.com/neuron", 16), ("aws.amazon.com/neuroncore", 128)],
    );
    assert_eq!(problems, []);
    assert_eq!(
        units(&inventory),
        [("aws.amazon.com/neuron", Unit::Device, 16), ("aws.amazon.com/neuroncore", Unit::Core, 128)]
    );
    assert!(inventory.fabric.is_some());
}

#[test]
fn what_is_not_understood_is_reported_and_counts_stay() {
    let (inventory, problems) = node(
        &[
            ("nvidia.com/gpu.product", "NVIDIA-H900"),
            ("nvidia.com/gpu.count", "many"),
            ("nvidia.com/mig.strategy", "double"),
            ("nvidia.com/gpu.sharing-strategy", "fair"),
        ],
        [("nvidia.com/gpu", 8)],
    );
    assert_eq!(units(&inventory), [("nvidia.com/gpu", Unit::Device, 8)]);
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "label nvidia.com/mig.strategy: \"double\" is none of none, single, mixed",
            "label nvidia.com/gpu.product: \"NVIDIA-H900\" is not in the catalogue; add it in a catalogue file",
            "label nvidia.com/gpu.sharing-strategy: \"fair\" is none of none, time-slicing, mps",
            "label nvidia.com/gpu.count: \"many\" is not a whole number",
        ]
    );
}

#[test]
fn contradictions_are_reported() {
    let h100 = ("nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3");
    let (inventory, problems) = node(&[h100, P4D], [("nvidia.com/gpu", 8)]);
    assert!(matches!(problems.as_slice(), [InventoryProblem::OtherProduct { .. }]), "{problems:?}");
    assert!(inventory.machine.is_none());
    assert!(inventory.is_link_complete(), "eight such GPUs are always connected by NVSwitch");

    let (_, problems) = node(&[A100, ("nvidia.com/gpu.count", "8")], [("nvidia.com/gpu", 4)]);
    assert!(
        matches!(problems.as_slice(), [InventoryProblem::CountsDiffer { label: 8, capacity: 4, .. }]),
        "{problems:?}"
    );

    let cut = [A100, ("nvidia.com/gpu.count", "8")];
    let (_, problems) = node(&cut, [("nvidia.com/gpu", 4), ("nvidia.com/mig-3g.20gb", 8)]);
    assert_eq!(problems, [], "GPUs that are cut count as well");

    let (_, problems) = node(&[A100], [("nvidia.com/mig-3g.71gb", 4)]);
    assert!(matches!(problems.as_slice(), [InventoryProblem::UnknownProfile { .. }]), "{problems:?}");

    let (_, problems) = node(&[A100, ("nvidia.com/mig.capable", "false")], [("nvidia.com/mig-3g.20gb", 4)]);
    assert_eq!(problems, [InventoryProblem::NotMigCapable { resource: "nvidia.com/mig-3g.20gb".into() }]);

    let invalid = ("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-40GB-MIG-INVALID");
    let (_, problems) = node(&[invalid], [("nvidia.com/gpu", 4)]);
    assert_eq!(problems, [InventoryProblem::MixedSlicesInSingle]);
}

#[test]
fn a_node_without_accelerators_has_nothing_to_say() {
    let (inventory, problems) = node(&[("nvidia.com/gpu.count", "x")], [("cpu", 4000), ("nvidia.com/gpu", 0)]);
    assert!(!inventory.has_accelerators());
    assert_eq!(problems, []);
}
