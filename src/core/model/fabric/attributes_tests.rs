//! Fabrics from what DRA drivers publish.

use super::*;
use crate::model::catalogue::Catalogue;

/// What `gpu.nvidia.com` publishes on a node: index, PCIe root, NUMA node, product name.
fn read(devices: &[(usize, &str, u8, &str)], machine: Option<&str>) -> Fabric {
    let catalogue = Catalogue::builtin();
    let machine = machine.map(|name| catalogue.machine_by_instance_type(name).expect("a machine"));
    let devices: Vec<DeviceAttributes> = devices
        .iter()
        .map(|&(index, root, numa, name)| DeviceAttributes {
            index,
            pcie_root: (!root.is_empty()).then_some(root),
            numa: Some(numa),
            product: catalogue.product_by_driver_name(name).map(|product| &**product),
        })
        .collect();
    Fabric::from_attributes(&devices, machine.map(|machine| &*machine.fabric)).expect("a fabric")
}

fn kind(fabric: &Fabric, a: usize, b: usize) -> Option<LinkKind> {
    fabric.link(a, b).map(|link| link.kind)
}

#[test]
fn a_product_that_is_always_switched_is_linked() {
    let h100 = "NVIDIA H100 80GB HBM3";
    let roots: Vec<String> = (0..8).map(|gpu| format!("pci0000:{gpu}7")).collect();
    let devices: Vec<_> = (0..8).map(|gpu| (gpu, roots[gpu].as_str(), (gpu / 4) as u8, h100)).collect();
    let fabric = read(&devices, None);
    assert_eq!(fabric.bottleneck(fabric.all()), Bandwidth(900));
    let best = |free: &[usize], count| fabric.best_subset(free.iter().copied().collect(), count).map(|(set, _)| set);
    assert_eq!(best(&[0, 3, 5, 7], 2), Some(DeviceSet::from_iter([0, 3])), "one NUMA node");
    assert_eq!(best(&[3, 4, 6], 2), Some(DeviceSet::from_iter([4, 6])));
}

#[test]
fn cards_have_the_paths_that_their_places_tell() {
    let l4 = "NVIDIA L4";
    let fabric = read(&[(0, "pci0000:00", 0, l4), (1, "pci0000:80", 1, l4), (2, "pci0000:00", 0, l4)], None);
    assert_eq!(kind(&fabric, 0, 2), Some(LinkKind::Pcie(PciePath::Pxb)));
    assert_eq!(kind(&fabric, 0, 1), Some(LinkKind::Pcie(PciePath::Sys)));
    assert_eq!(fabric.best_subset(fabric.all(), 2), Some((DeviceSet::from_iter([0, 2]), Bandwidth(20))));
    // A root that is not published is no root in common; a NUMA node that is not is no reason to expect the worst.
    let fabric = read(&[(0, "", 0, l4), (1, "", 0, l4)], None);
    assert_eq!(kind(&fabric, 0, 1), Some(LinkKind::Pcie(PciePath::Node)));
    let unplaced = [DeviceAttributes::default(), DeviceAttributes { numa: Some(1), ..DeviceAttributes::default() }];
    let fabric = Fabric::from_attributes(&unplaced, None).expect("a fabric");
    assert_eq!(kind(&fabric, 0, 1), Some(LinkKind::Pcie(PciePath::Node)));
}

#[test]
fn a_known_machine_tells_the_links_of_the_devices_that_are_there() {
    // GPU 1 of the cube mesh is missing, and the driver lists the others in its own order.
    let v100 = "Tesla V100-SXM2-16GB";
    let indexes = [3, 0, 2, 4, 5, 6, 7];
    let devices: Vec<_> = indexes.iter().map(|&gpu| (gpu, "", (gpu / 4) as u8, v100)).collect();
    let fabric = read(&devices, Some("p3.16xlarge"));
    assert_eq!(kind(&fabric, 0, 1), Some(LinkKind::NvLink { links: 2 }), "3-0");
    assert_eq!(kind(&fabric, 0, 3), Some(LinkKind::Pcie(PciePath::Sys)), "3-4");
    assert_eq!(fabric.best_subset(fabric.all(), 4).map(|(set, _)| set), Some(DeviceSet::from_iter([3, 4, 5, 6])));
}

#[test]
fn different_products_are_not_linked_with_each_other() {
    let (a100, h100) = ("NVIDIA A100-SXM4-40GB", "NVIDIA H100 80GB HBM3");
    let fabric = read(&[(0, "", 0, a100), (1, "", 0, h100), (2, "", 0, a100), (3, "", 0, "ACME 1")], None);
    assert_eq!(kind(&fabric, 0, 2), Some(LinkKind::NvSwitch));
    assert_eq!(kind(&fabric, 0, 1), Some(LinkKind::Pcie(PciePath::Node)));
    assert_eq!(kind(&fabric, 2, 3), Some(LinkKind::Pcie(PciePath::Node)));
    assert_eq!(fabric.link(0, 2).map(|link| link.bandwidth), Some(Bandwidth(600)));
}

#[test]
fn neuron_devices_keep_to_their_torus() {
    let devices: Vec<_> = [0, 1, 5, 10].map(|chip| (chip, "", 0, "Trainium2")).into();
    let fabric = read(&devices, Some("trn2.48xlarge"));
    assert!(fabric.needs_contiguous_sets());
    assert_eq!((kind(&fabric, 0, 1), kind(&fabric, 0, 2)), (Some(LinkKind::NeuronLink), None));
    assert_eq!(fabric.best_subset(fabric.all(), 3).map(|(set, _)| set), Some(DeviceSet::first(3)));
    assert_eq!(fabric.best_subset(fabric.all(), 4), None);
}

#[test]
fn there_must_be_devices_and_not_too_many() {
    assert!(matches!(Fabric::from_attributes(&[], None), Err(FabricError::DeviceCount(0))));
    let many = [DeviceAttributes::default(); MAX_DEVICES + 1];
    assert!(matches!(Fabric::from_attributes(&many, None), Err(FabricError::DeviceCount(17))));
}
