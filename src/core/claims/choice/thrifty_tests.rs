//! Which devices are taken.

use super::super::super::testing::*;
use super::super::super::*;
use super::*;

fn profile(name: &str) -> Vec<Claim> {
    let wanted = format!("device.attributes['d'].profile == '{name}'");
    vec![claim("c", vec![request("r", ask("any", 1).selected(&wanted))])]
}

#[test]
fn a_mig_instance_goes_where_it_costs_least() {
    let mut one = allocator(a30s("n", 1));
    one.take([held("gpu-0-mig-1g6gb-14-3")]);
    assert_eq!(outcome(&mut one, &profile("1g.6gb")), "gpu-0-mig-1g6gb-14-2", "the other half stays whole");
    assert_eq!(outcome(&mut one, &profile("2g.12gb")), "gpu-0-mig-2g12gb-5-0");
    let mut two = allocator(a30s("n", 2));
    two.take([held("gpu-1-mig-1g6gb-14-0")]);
    assert_eq!(outcome(&mut two, &profile("1g.6gb")), "gpu-1-mig-1g6gb-14-1", "the other GPU stays whole");
    assert_eq!(outcome(&mut two, &profile("2g.12gb")), "gpu-1-mig-2g12gb-5-2");
    assert_eq!(outcome(&mut two, &profile("4g.24gb")), "gpu-0-mig-4g24gb-0-0");
    // First fit would take slice 0 of the empty GPU, and the last claim would not fit.
    let three = ["1g.6gb", "2g.12gb", "4g.24gb"].map(|name| profile(name).remove(0));
    let answer = outcome(&mut two, &three);
    assert_eq!(answer, "gpu-1-mig-1g6gb-14-1 gpu-1-mig-2g12gb-5-2 gpu-0-mig-4g24gb-0-0");
}

#[test]
fn where_any_profile_will_do_the_smallest_is_taken() {
    let mut three = allocator(a30s("n", 3));
    // Where all ask for 2g, a GPU is worth more with one than with half of one.
    for (gpu, start) in [(0, 2), (1, 0), (1, 2), (2, 0), (2, 2)] {
        three.take([held(&format!("gpu-{gpu}-mig-2g12gb-5-{start}"))]);
    }
    let taken = outcome(&mut three, &several(1));
    assert!(taken.starts_with("gpu-0-mig-1g6gb-14-"), "{taken}");
}

fn gpu(index: usize, product: &str, root: usize) -> Device {
    let mut device = device(&format!("gpu-{index}")).with_text("type", "gpu").with_text("productName", product);
    let root = Attribute::String(format!("pci0000:{root}0").into());
    device.attributes.insert("resource.kubernetes.io/pcieRoot".into(), root);
    device
}

fn several(count: u64) -> Vec<Claim> {
    vec![claim("c", vec![request("r", ask("any", count))])]
}

#[test]
fn gpus_that_are_linked_best_go_together() {
    let mut cards = allocator(vec![slice("n", (0..4).map(|index| gpu(index, "NVIDIA L4", index % 2)).collect())]);
    assert_eq!(outcome(&mut cards, &several(2)), "gpu-0+gpu-2", "one PCIe root");
    cards.take([held("gpu-0")]);
    assert_eq!(outcome(&mut cards, &several(2)), "gpu-1+gpu-3");
    let partitioned = |index: usize| gpu(index, "NVIDIA H100 80GB HBM3", index).with("partition2", [7, 8, 8, 7][index]);
    let mut switched = allocator(vec![slice("n", (0..4).map(partitioned).collect())]);
    assert_eq!(outcome(&mut switched, &several(2)), "gpu-0+gpu-3", "one partition");
    switched.take([held("gpu-0")]);
    assert_eq!(outcome(&mut switched, &several(2)), "gpu-1+gpu-2");
}

#[test]
fn the_smallest_that_suffices_is_taken() {
    let sizes = [("a", "80Gi"), ("b", "24Gi"), ("c", "40Gi")];
    let devices = sizes.map(|(name, size)| device(name).with_capacity("memory", size, None)).to_vec();
    let mut three = allocator(vec![slice("n", devices)]);
    assert_eq!(outcome(&mut three, &several(1)), "b");
    let least = "device.capacity['d'].memory.compareTo(quantity('30Gi')) >= 0";
    let large = vec![claim("c", vec![request("r", ask("any", 1).selected(least))])];
    assert_eq!(outcome(&mut three, &large), "c");
}

#[test]
fn devices_that_have_to_be_prepared_are_taken_last() {
    let conditional = Device { binding_conditions: Some(vec!["ready".into()]), ..device("a") };
    let mut two = allocator(vec![slice("n", vec![conditional, device("b")])]);
    assert_eq!(outcome(&mut two, &several(1)), "b");
}
