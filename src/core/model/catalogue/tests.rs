use std::collections::BTreeSet;

use super::*;
use crate::model::fabric::{Bandwidth, DeviceSet};
use crate::model::product::Vendor;

fn product(name: &str) -> Arc<Product> {
    let found = Catalogue::builtin().product_by_name(name).cloned();
    found.unwrap_or_else(|| panic!("no product {name}"))
}

#[test]
fn every_spelling_of_the_facts_names_its_product() {
    let catalogue = Catalogue::builtin();
    for (label, name, family) in [
        ("NVIDIA-A100-SXM4-40GB", "A100-SXM4-40GB", Some("A100-40GB")),
        ("NVIDIA-A100-SXM4-80GB", "A100-SXM4-80GB", Some("A100-80GB")),
        ("NVIDIA-A100-80GB-PCIe", "A100-80GB-PCIe", Some("A100-80GB")),
        ("NVIDIA-A100-PCIE-40GB", "A100-PCIE-40GB", Some("A100-40GB")),
        ("NVIDIA-A30", "A30", Some("A30-24GB")),
        ("NVIDIA-H100-80GB-HBM3", "H100-80GB-HBM3", Some("H100-80GB")),
        ("NVIDIA-H100-PCIe", "H100-PCIe", Some("H100-80GB")),
        ("NVIDIA-H100-NVL", "H100-NVL", Some("H100-94GB")),
        ("NVIDIA-H200", "H200", Some("H200-141GB")),
        ("NVIDIA-H20", "H20", Some("H100-96GB")),
        ("NVIDIA-GH200-480GB", "GH200-480GB", Some("H100-96GB")),
        ("NVIDIA-B200", "B200", Some("B200-180GB")),
        ("NVIDIA-B300-SXM6-AC", "B300", Some("B300")),
        ("NVIDIA-GB200", "GB200", Some("GB200-186GB")),
        ("NVIDIA-GB300", "GB300", Some("GB300")),
        (
            "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition",
            "RTX-PRO-6000-Blackwell-Server-Edition",
            Some("RTX-PRO-6000-96GB"),
        ),
        ("NVIDIA-L40S", "L40S", None),
        ("NVIDIA-L4", "L4", None),
        ("NVIDIA-A10G", "A10G", None),
        ("Tesla-T4", "T4", None),
        ("Tesla-V100-SXM2-16GB", "V100-SXM2-16GB", None),
    ] {
        let found = catalogue.product(label).unwrap_or_else(|| panic!("{label} is unknown"));
        assert_eq!((found.product.name.as_str(), &found.form), (name, &ProductForm::Full), "{label}");
        assert_eq!(found.product.mig().map(|geometry| geometry.name()), family, "{label}");
        assert_eq!(catalogue.product_by_name(name), Some(&found.product));
    }
    assert_eq!(catalogue.product("nvidia-a100-sxm4-40gb").map(|found| found.product), Some(product("A100-40GB")));
    assert_eq!(catalogue.product("NVIDIA-A100"), None);
    assert_eq!(catalogue.product(""), None);
}

#[test]
fn labels_with_suffixes_name_product_and_form() {
    let catalogue = Catalogue::builtin();
    let found = catalogue.product("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb-SHARED").expect("it");
    assert_eq!(found.product.name, "H100-80GB-HBM3");
    assert_eq!(found.form, ProductForm::MigShared("1g.10gb".into()));
    let found = catalogue.product("Tesla-T4-SHARED").expect("it");
    assert_eq!((found.product.name.as_str(), found.form), ("T4", ProductForm::Shared));
}

#[test]
fn the_machines_of_the_facts_are_known() {
    let catalogue = Catalogue::builtin();
    // Instance type, product, count, bandwidth of all devices together, EFA.
    for (name, accelerator, count, gbps, efa) in [
        ("p3.16xlarge", "V100-SXM2-16GB", 8, 5, None),
        ("p3dn.24xlarge", "V100-SXM2-32GB", 8, 5, Some(100)),
        ("p4d.24xlarge", "A100-SXM4-40GB", 8, 600, Some(400)),
        ("p4de.24xlarge", "A100-SXM4-80GB", 8, 600, Some(400)),
        ("p5.48xlarge", "H100-80GB-HBM3", 8, 900, Some(3200)),
        ("p5e.48xlarge", "H200", 8, 900, Some(3200)),
        ("p5en.48xlarge", "H200", 8, 900, Some(3200)),
        ("p6-b200.48xlarge", "B200", 8, 1800, Some(3200)),
        ("p6-b300.48xlarge", "B300", 8, 1800, Some(6400)),
        ("p6e-gb200.36xlarge", "GB200", 4, 1800, None),
        ("g5.48xlarge", "A10G", 8, 10, None),
        ("g6.48xlarge", "L4", 8, 10, None),
        ("g6e.48xlarge", "L40S", 8, 10, None),
        ("g7e.48xlarge", "RTX-PRO-6000-Blackwell-Server-Edition", 8, 10, None),
        ("trn1.32xlarge", "Trainium1", 16, 768, Some(800)),
        ("trn1n.32xlarge", "Trainium1", 16, 768, Some(1600)),
        ("trn2.48xlarge", "Trainium2", 16, 1024, Some(3200)),
        ("inf2.48xlarge", "Inferentia2", 12, 192, None),
    ] {
        let machine = catalogue.machine_by_instance_type(name).unwrap_or_else(|| panic!("no {name}"));
        let all = machine.fabric.all();
        assert_eq!(machine.accelerator, product(accelerator), "{name}");
        assert_eq!((machine.count, machine.fabric.len(), machine.efa_gbps), (count, count, efa), "{name}");
        assert_eq!(machine.fabric.bottleneck(all), Bandwidth(gbps), "{name}");
    }
    let reach = |name: &str| catalogue.machine_by_instance_type(name).map(|machine| machine.link_domain);
    assert_eq!(reach("p5.48xlarge"), Some(LinkDomain::Node));
    assert_eq!(reach("p6e-gb200.36xlarge"), Some(LinkDomain::Clique { devices: 72 }));
    assert_eq!(reach("trn2u.48xlarge"), Some(LinkDomain::Clique { devices: 64 }));
    assert_eq!(reach("trn2.48xlarge"), Some(LinkDomain::Node));
    assert_eq!((reach("g5.48xlarge"), reach("p5.4xlarge")), (Some(LinkDomain::None), Some(LinkDomain::None)));
    assert_eq!(reach("m7i.large"), None);
    let quad = catalogue.machine_by_instance_type("p3.8xlarge").expect("it");
    assert!(quad.fabric.is_nvlink_complete(DeviceSet::first(4)));
}

#[test]
fn a_machine_label_counts_with_the_product() {
    let catalogue = Catalogue::builtin();
    let found =
        |label: &str, gpu: &str| catalogue.machine_by_label(label, &product(gpu)).map(|machine| machine.name.clone());
    for (label, gpu, name) in [
        ("NVIDIA-DGX-A100", "A100-SXM4-40GB", "DGX-A100-320GB"),
        ("DGXA100-920-23687-2530-000", "A100-SXM4-80GB", "DGX-A100-640GB"),
        ("NVIDIA-DGX-H100", "H100-80GB-HBM3", "DGX-H100"),
        ("DGXH200", "H200", "DGX-H200"),
        ("NVIDIA-DGX-B200", "B200", "DGX-B200"),
        ("DGX-1-with-V100", "V100-SXM2-32GB", "DGX-1V-32GB"),
        ("NVIDIA-GB200-NVL72", "GB200", "GB200-NVL72-tray"),
        ("p4d.24xlarge", "A100-SXM4-40GB", "p4d.24xlarge"),
    ] {
        assert_eq!(found(label, gpu).as_deref(), Some(name), "{label}");
    }
    assert_eq!(found("NVIDIA-DGX-A100", "H100-80GB-HBM3"), None);
    assert_eq!(found("p4d.24xlarge", "A100-SXM4-80GB"), None);
    assert_eq!(found("PowerEdge-XE9680", "H100-80GB-HBM3"), None);
}

#[test]
fn the_longest_pattern_wins() {
    let file = "machines:\n  any: {accelerator: T4, count: 1, labels: ['*']}\n  rack: {accelerator: T4, count: 4, labels: ['Acme-*-T4']}\n";
    let catalogue = Catalogue::builtin().extended_with(file).expect("a file");
    let found = |label: &str| catalogue.machine_by_label(label, &product("T4")).map(|machine| machine.name.clone());
    assert_eq!(found("Acme-9000-T4").as_deref(), Some("rack"));
    assert_eq!(found("Acme-9000-T400").as_deref(), Some("any"));
}

#[test]
fn patterns_match_as_a_whole() {
    for (pattern, text, wanted) in [
        ("DGX", "DGX", true),
        ("DGX", "DGX1", false),
        ("*DGX*", "NVIDIA-DGX-A100", true),
        ("*DGX", "NVIDIA-DGX-A100", false),
        ("N*A*0", "NVIDIA-DGX-A100", true),
        ("N*A*1", "NVIDIA-DGX-A100", false),
        ("**", "", true),
        ("*é", "caffé", true),
    ] {
        assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
    }
}

#[test]
fn several_gpus_of_one_product_have_a_fabric_without_a_known_machine() {
    let catalogue = Catalogue::builtin();
    let bottleneck = |name: &str, count: usize| {
        catalogue.default_fabric(&product(name), count).map(|fabric| fabric.bottleneck(fabric.all()).0)
    };
    assert_eq!(bottleneck("H100-80GB-HBM3", 8), Some(900));
    assert_eq!(bottleneck("A100-SXM4-40GB", 4), Some(600));
    // PCIe cards may or may not be bridged, and V100 boxes differ: nothing better is assumed.
    assert_eq!(bottleneck("H100-PCIe", 8), Some(10));
    assert_eq!(bottleneck("V100-SXM2-16GB", 8), Some(10));
    assert_eq!(bottleneck("L40S", 16), Some(10));
    assert_eq!((bottleneck("L40S", 0), bottleneck("L40S", 17)), (None, None));
}

#[test]
fn neuron_chips_have_cores_and_nothing_of_a_gpu() {
    assert_eq!(product("Trainium2").vendor, Vendor::Neuron { cores: 8 });
    assert_eq!(product("Inferentia2").vendor, Vendor::Neuron { cores: 2 });
    assert_eq!((product("Trainium2").mig(), product("Trainium2").nvlink()), (None, None));
    assert_eq!(product("A100-PCIE-40GB").nvlink(), Some(Bandwidth(600)));
    assert_eq!(product("A100-PCIE-40GB").switch_bandwidth(), None);
}

#[test]
fn pci_ids_name_geometries() {
    let catalogue = Catalogue::builtin();
    let name = |id: &str| catalogue.geometry_by_pci_id(id).map(|geometry| geometry.name().to_owned());
    assert_eq!(name("0x20b0").as_deref(), Some("A100-40GB"));
    assert_eq!(name("2BB5").as_deref(), Some("RTX-PRO-6000-96GB"));
    assert_eq!(name("ffff"), None);
}

#[test]
fn every_entry_of_the_table_is_used() {
    let file = &Catalogue::builtin().file;
    let mut used: BTreeSet<&str> = file.machines.values().filter_map(|machine| machine.fabric.as_deref()).collect();
    used.extend(file.products.values().filter_map(|product| product.mig.as_deref()));
    used.extend(file.mig_families.values().map(|family| family.shape.as_str()));
    let all = file.fabrics.keys().chain(file.mig_families.keys()).chain(file.mig_shapes.keys());
    let unused: Vec<&String> = all.filter(|name| !used.contains(name.as_str())).collect();
    assert_eq!(unused, Vec::<&String>::new());
}
