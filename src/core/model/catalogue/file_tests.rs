//! Files of operators: what they can change, and how mistakes are reported.

use std::sync::Arc;

use super::*;

#[test]
fn an_operators_file_adds_and_replaces() {
    let file = r"
products:
  Q7: {vendor: nvidia, spellings: [ACME-Q7], memoryMib: 98304, nvlinkGbps: 450, mig: Q7-96GB, defaultFabric: nvswitch}
  L4: {vendor: nvidia, spellings: [NVIDIA-L4], memoryMib: 1}
migFamilies:
  Q7-96GB: {shape: four-slice, profiles: {1g: {name: 1g.24gb}, 1g+me: {name: 1g.24gb+me}, 2g: {name: 2g.48gb}, 2g+me: {name: 2g.48gb+me}, 4g: {name: 4g.96gb}}}
fabrics:
  half: {fullMesh: {slots: {devices: 4, numaNodes: 2}, gbpsPerLink: 50, links: 3}}
  plain: {pcie: {slots: {devices: 2, perPcieRoot: 2}}}
machines:
  acme.large: {accelerator: acme-q7, count: 4, fabric: half, vcpus: 64, memoryGib: 512}
  acme.small: {accelerator: Q7, count: 2}
  g6.12xlarge: {accelerator: L4, count: 2, fabric: plain}
";
    let builtin = Catalogue::builtin();
    let extended = builtin.extended_with(file).expect("a file");
    assert_eq!(extended.products().len(), builtin.products().len() + 1);
    assert_eq!(extended.machines().len(), builtin.machines().len() + 2);
    let machine = |name: &str| Arc::clone(extended.machine_by_instance_type(name).expect("a machine"));
    let bottleneck = |name: &str| machine(name).fabric.bottleneck(machine(name).fabric.all()).0;
    assert_eq!((bottleneck("acme.large"), bottleneck("acme.small"), bottleneck("g6.12xlarge")), (150, 450, 20));
    assert_eq!((machine("acme.large").vcpus, machine("acme.large").memory_gib), (Some(64), Some(512)));
    assert_eq!(machine("acme.large").accelerator.mig().map(|geometry| geometry.memory_slices()), Some(4));
    // A replaced product is replaced wherever a built-in entry refers to it.
    assert_eq!(machine("g6.48xlarge").accelerator.memory_mib, 1);
    assert_eq!(builtin.machine_by_instance_type("g6.12xlarge").map(|machine| machine.count), Some(4));
    // And the extension can be extended.
    let again = extended.extended_with("machines: {acme.tiny: {accelerator: ACME-Q7, count: 1}}").expect("a file");
    assert!(again.machine_by_instance_type("acme.tiny").is_some());
    // A shape that is replaced changes the families that use it.
    let shape = "migShapes: {four-slice: {memorySlices: 4, computeSlices: 4, profiles: []}}";
    let error = extended.extended_with(shape).expect_err("names without profiles");
    assert_eq!(error.to_string(), "migFamilies A30-24GB: its shape \"four-slice\" has no profile 1g");
    assert_eq!(builtin.extended_with("{}").map(|same| same.machines().len()), Ok(builtin.machines().len()));
}

#[test]
fn a_machine_is_wired_as_its_matrix_says() {
    let matrix = include_str!("../testdata/topo_bridge_pairs_6gpu_pair_crosses_numa.txt");
    let indented: String = matrix.lines().map(|line| format!("        {line}\n")).collect();
    let file = |more: &str| {
        format!(
            "fabrics:\n  bridged:\n    topoMatrix:\n      text: |\n{indented}{more}\
             machines: {{acme.bridged: {{accelerator: A100-PCIE-40GB, count: 6, fabric: bridged}}}}\n"
        )
    };
    let pair = |more: &str| {
        let extended = Catalogue::builtin().extended_with(&file(more)).unwrap_or_else(|error| panic!("{error}"));
        let fabric = Arc::clone(&extended.machine_by_instance_type("acme.bridged").expect("a machine").fabric);
        fabric.best_subset(fabric.all(), 2).map(|(set, bandwidth)| (set.to_string(), bandwidth.0))
    };
    assert_eq!(pair(""), Some(("{1,2}".into(), 600)));
    assert_eq!(pair("      gbpsPerLink: 100\n"), Some(("{1,2}".into(), 1200)));
}

#[test]
fn files_of_the_wrong_form_are_refused_with_their_place() {
    let place = |yaml: &str| match Catalogue::parse(yaml) {
        Err(CatalogueError::Form(YamlError { line, column, message })) => (line, column, message),
        other => panic!("{yaml}: {other:?}"),
    };
    let (line, column, message) = place("machines:\n  m1: {accelerator: T4, count: 1, gpus: 2}\n");
    assert_eq!((line, column), (2, 35));
    assert!(message.starts_with("unknown field `gpus`, expected one of accelerator,"), "{message}");
    assert!(message.ends_with(", labels"), "the place is said once: {message}");
    let (line, _, message) = place("products:\n  T4: {vendor: nvidia,\n    memoryMib: -1}\n");
    assert_eq!(line, 3, "{message}");
    for (yaml, word) in [
        ("machine: {}", "machine"),
        ("products: {T4: {vendor: amd, memoryMib: 1}}", "amd"),
        ("products: {T4: {memoryMib: 1}}", "vendor"),
        ("products: {T4: {vendor: nvidia, memoryMib: many}}", "u32"),
        ("products:\n  T4: {vendor: nvidia, memoryMib: 1}\n  T4: {vendor: nvidia, memoryMib: 2}", "T4"),
        ("fabrics: {f: {mesh: {}}}", "mesh"),
        ("migShapes: {s: {memorySlices: 300, computeSlices: 1, profiles: []}}", "u8"),
        ("machines: [", ""),
    ] {
        let (_, _, message) = place(yaml);
        assert!(message.contains(word), "{yaml}: {message}");
    }
}

#[test]
fn entries_that_contradict_are_refused_by_name() {
    let gpu = "T4: {vendor: nvidia, memoryMib: 1}";
    let shape = "S: {memorySlices: 1, computeSlices: 1, profiles: [{kind: 1g, giProfileId: 1, computeSlices: 1, size: 1, starts: [0], maxInstances: 1}]}";
    let family = |fields: &str| format!("migShapes: {{{shape}}}\nmigFamilies: {{F: {{shape: S, {fields}}}}}");
    let machine = |fields: &str| {
        format!(
            "products: {{{gpu}}}\nfabrics: {{R: {{ring: {{slots: {{devices: 4}}, gbps: 1}}}}, P: {{pcie: {{slots: {{devices: 4}}}}}}}}\nmachines: {{M: {{{fields}}}}}"
        )
    };
    for (yaml, message) in [
        (
            "migFamilies: {F: {shape: none, profiles: {}}}".into(),
            "migFamilies F: shape \"none\" is not in the catalogue",
        ),
        (family("profiles: {}"), "migFamilies F: profile 1g of its shape has no name"),
        (
            family("profiles: {1g: {name: 1g.1gb}, 9g: {name: 9g.9gb}}"),
            "migFamilies F: its shape \"S\" has no profile 9g",
        ),
        (
            family("pciDeviceIds: ['20XX'], profiles: {1g: {name: 1g.1gb}}"),
            "migFamilies F: PCI device id \"20XX\" must be four hexadecimal digits",
        ),
        (
            family("pciDeviceIds: ['20b0', '20B0'], profiles: {1g: {name: 1g.1gb}}"),
            "migFamilies F: PCI device id 20B0 belongs to another family too",
        ),
        (
            family("profiles: {1g: {name: 1g.1gb}}").replace("starts: [0]", "starts: [1]"),
            "migFamilies F: profile 1g.1gb: starts [1] with size 1 must be ascending and lie on 1 memory slices",
        ),
        (
            family("profiles: {1g: {name: 1g.1gb}}").replace("kind: 1g", "kind: one"),
            "migFamilies F: \"one\" is not a MIG profile kind such as 3g, 1g+me or 1g+2mem",
        ),
        ("products: {P: {vendor: nvidia, memoryMib: 0}}".into(), "products P: memoryMib must be at least 1"),
        (
            "products: {P: {vendor: nvidia, memoryMib: 1, nvlinkGbps: 0}}".into(),
            "products P: nvlinkGbps must be at least 1",
        ),
        ("products: {P: {vendor: nvidia, memoryMib: 1, cores: 2}}".into(), "products P: cores are for Neuron chips"),
        (
            "products: {P: {vendor: nvidia, memoryMib: 1, mig: F}}".into(),
            "products P: MIG family \"F\" is not in the catalogue",
        ),
        (
            "products: {P: {vendor: nvidia, memoryMib: 1, defaultFabric: nvswitch}}".into(),
            "products P: defaultFabric nvswitch needs nvlinkGbps",
        ),
        ("products: {P: {vendor: neuron, memoryMib: 1}}".into(), "products P: cores must be given, and be at least 1"),
        (
            "products: {P: {vendor: neuron, memoryMib: 1, cores: 2, nvlinkGbps: 1}}".into(),
            "products P: mig and nvlinkGbps are for NVIDIA GPUs",
        ),
        (
            format!("products: {{{gpu}, P: {{vendor: nvidia, memoryMib: 1, spellings: [t4]}}}}"),
            "products T4: \"T4\" is also a name of P",
        ),
        (
            "fabrics: {F: {torus: {rows: 1, columns: 4, gbps: 1}}}".into(),
            "fabrics F: a torus of 1 x 4: both must be at least 2",
        ),
        (
            "fabrics: {F: {nvlink: {slots: {devices: 2}, gbpsPerLink: 50, pairs: [[0, 2, 1]]}}}".into(),
            "fabrics F: link 0-2: must connect two different devices of the machine",
        ),
        (
            "fabrics: {F: {topoMatrix: {text: 'nvidia-smi: command not found'}}}".into(),
            "fabrics F: no header with GPU columns found: is this the output of `nvidia-smi topo -m`?",
        ),
        (
            "fabrics: {F: {topoMatrix: {text: X, gbpsPerLink: 0}}}".into(),
            "fabrics F: 0 GB/s: a link must carry 1 to 100000 GB/s",
        ),
        (machine("accelerator: T5, count: 1"), "machines M: product \"T5\" is not in the catalogue"),
        (machine("accelerator: T4, count: 17"), "machines M: count 17 must be 1 to 16"),
        (machine("accelerator: T4, count: 4, fabric: X"), "machines M: fabric \"X\" is not in the catalogue"),
        (machine("accelerator: T4, count: 2, fabric: P"), "machines M: its fabric has 4 devices, its count is 2"),
        (machine("accelerator: T4, count: 4, fabric: R"), "machines M: its fabric does not connect devices like T4"),
        (
            machine("accelerator: T4, count: 4, linkClique: 4"),
            "machines M: linkClique 4 does not go beyond the machine",
        ),
        (machine("accelerator: T4, count: 4, vcpus: 0"), "machines M: vcpus must be at least 1"),
    ] {
        let outcome = Catalogue::parse(&yaml).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(outcome, Err(message.to_owned()), "{yaml}");
    }
    assert!(Catalogue::parse(&machine("accelerator: T4, count: 4, fabric: P")).is_ok());
}
