use proptest::prelude::*;

use super::*;
use crate::model::fabric::DeviceSet;

const BRIDGES: &str = include_str!("../testdata/topo_A100_PCIe_4x_bridge_pairs.txt");
const SINGLE: &str = include_str!("../testdata/topo_GB10_single.txt");
const H100: &str = include_str!("../testdata/topo_H100x8_NV18.txt");
const CROSSING: &str = include_str!("../testdata/topo_bridge_pairs_6gpu_pair_crosses_numa.txt");
const CUBE_MESH: &str = include_str!("../testdata/topo_dgx1v.txt");
const P4D: &str = include_str!("../testdata/topo_p4d.24xlarge_A100x8.txt");

fn read(text: &str) -> Fabric {
    Fabric::from_topo_matrix(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Nodes and links, to compare fabrics.
fn shape(fabric: &Fabric) -> (Vec<Device>, Vec<Option<Link>>) {
    let pairs = (0..fabric.len()).flat_map(|a| (a + 1..fabric.len()).map(move |b| (a, b)));
    (fabric.graph().node_weights().copied().collect(), pairs.map(|(a, b)| fabric.link(a, b)).collect())
}

fn numa(fabric: &Fabric) -> Vec<Option<u8>> {
    fabric.graph().node_weights().map(|device| device.numa).collect()
}

#[test]
fn the_matrices_of_real_machines_are_read() {
    for (text, devices, links) in [(H100, 8, 18), (P4D, 8, 12)] {
        let fabric = read(text);
        assert_eq!(fabric.len(), devices);
        let link = Link { kind: LinkKind::NvLink { links }, bandwidth: Bandwidth(50 * u32::from(links)) };
        assert!(fabric.graph().edge_weights().all(|&weight| weight == link));
        assert_eq!(fabric.graph().edge_count(), 28);
        assert_eq!(numa(&fabric), [0, 0, 0, 0, 1, 1, 1, 1].map(Some));
    }
    let single = read(SINGLE);
    assert_eq!((single.len(), numa(&single)), (1, vec![Some(0)]));

    let bridges = read(BRIDGES);
    let linked = |fabric: &Fabric, a| {
        (0..fabric.len()).filter(|&b| fabric.link(a, b).is_some_and(|l| l.kind.is_fast())).collect::<Vec<_>>()
    };
    assert_eq!((0..4).map(|a| linked(&bridges, a)).collect::<Vec<_>>(), [[1], [0], [3], [2]]);

    let crossing = read(CROSSING);
    assert_eq!((0..6).map(|a| linked(&crossing, a)).collect::<Vec<_>>(), [[3], [2], [1], [0], [5], [4]]);
    assert_eq!(numa(&crossing), [0, 0, 0, 1, 1, 1].map(Some));
    assert_eq!(crossing.link(0, 1).map(|link| link.kind), Some(LinkKind::Pcie(PciePath::Node)));
}

#[test]
fn the_cube_mesh_read_is_the_one_of_the_catalogue() {
    let catalogue = crate::model::catalogue::Catalogue::builtin();
    let machine = catalogue.machine_by_instance_type("p3.16xlarge").expect("the machine");
    assert_eq!(shape(&read(CUBE_MESH)), shape(&machine.fabric));
}

#[test]
fn blanks_escapes_wraps_and_ragged_rows_do_not_matter() {
    let wanted = shape(&read(CROSSING));
    let underlined = CROSSING.replacen("GPU0\tGPU1", "\u{1b}[4mGPU0\u{1b}[0m\t\u{1b}[4mGPU1\u{1b}[0m", 1);
    assert_ne!(underlined, CROSSING);
    // Rows that stop before their last link: the other row has it. Their affinity is lost, so only links are compared.
    for (row, stump) in [("GPU5", "GPU5\tSYS\tSYS\n"), ("GPU0", "GPU0\t X \tNODE\n")] {
        let cut = |line: &str| {
            if line.starts_with(row) { stump.to_owned() } else { line.to_owned() + "\n" }
        };
        let ragged: String = CROSSING.lines().map(cut).collect();
        assert_ne!(ragged, CROSSING);
        assert_eq!(shape(&read(&ragged)).1, wanted.1, "{row}");
    }
    let wrapped = |width: usize| {
        let mut column = 0;
        let mut text = String::new();
        for word in CROSSING.split_inclusive(char::is_whitespace) {
            column += word.len();
            if column > width {
                text.push('\n');
                column = word.len();
            }
            text.push_str(word);
        }
        text
    };
    let forms = [
        CROSSING.replace('\t', "   "),
        CROSSING.replace('\n', "\r\n"),
        CROSSING.replace("SYS", "SOC"),
        underlined,
        wrapped(40),
        wrapped(12),
        format!("$ nvidia-smi topo -m\n{CROSSING}"),
        CROSSING.replace("mlx5_0", "NIC0") + "\nNIC Legend:\n\n  NIC0: mlx5_0\n",
        CROSSING.split("Legend:").next().unwrap_or_default().to_owned(),
    ];
    for form in forms {
        assert_eq!(shape(&read(&form)), wanted, "{form}");
    }
}

#[test]
fn nic_columns_may_stand_anywhere() {
    let text = "\tmlx5_0\tGPU0\tNIC1\tGPU1\tCPU Affinity\nmlx5_0\t X \tPIX\tSYS\tSYS\nGPU0\tPIX\t X \tSYS\tNV4\t0-7\nNIC1\tSYS\tSYS\t X \tPIX\nGPU1\tSYS\tNV4\tPIX\t X \t8-15\n";
    let fabric = read(text);
    assert_eq!((fabric.len(), fabric.link(0, 1).map(|link| link.kind)), (2, Some(LinkKind::NvLink { links: 4 })));
    assert_eq!(numa(&fabric), [None, None], "no NUMA column");
}

#[test]
fn a_blackwell_nvlink_carries_more() {
    let fabric = Fabric::from_topo_matrix_at(H100, Bandwidth(100)).expect("a matrix");
    assert_eq!(fabric.bottleneck(DeviceSet::first(8)), Bandwidth(1800));
    let absurd = Fabric::from_topo_matrix_at(H100, Bandwidth(u32::MAX)).expect("a matrix");
    assert_eq!(absurd.best_subset(absurd.all(), 2).map(|(set, _)| set), Some(DeviceSet::first(2)));
}

#[test]
fn texts_that_are_no_matrix_are_refused_with_the_reason() {
    let refused = |text: &str| match Fabric::from_topo_matrix(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    };
    let two = "\tGPU0\tGPU1\nGPU0\t X \tNV4\nGPU1\tNV4\t X \n";
    assert!(Fabric::from_topo_matrix(two).is_ok());
    let none = "no header with GPU columns found: is this the output of `nvidia-smi topo -m`?";
    for text in ["", "Legend:", "bash: nvidia-smi: command not found", "\tGPU0\tGPU1\n", "GPU0\t X \tNV4\n"] {
        assert_eq!(refused(text), none, "{text}");
    }
    for (from, to, reason) in [
        ("GPU1\tNV4\t X ", "", "GPU1 has a column but no row"),
        ("GPU0\tGPU1\n", "GPU0\n", "GPU1 has a row but no column"),
        ("GPU0\tGPU1\n", "GPU0\tGPU0\n", "GPU0 appears twice"),
        ("GPU1\tNV4\t X ", "GPU0\tNV4\t X ", "GPU0 appears twice"),
        ("GPU1\tNV4", "GPU1\tNV2", "GPU0 and GPU1 are connected by NV4 in one row and by NV2 in the other"),
        ("GPU1\tNV4", "GPU1\tSYS", "GPU0 and GPU1 are connected by NV4 in one row and by SYS in the other"),
        (" X \tNV4\nGPU1\tNV4", " X \nGPU1\tfoo", "GPU1 has a column but no row"),
        (" X \tNV4\n", "NV4\tNV4\n", "GPU0 and GPU0: X must stand on the diagonal, and only there"),
        ("\tNV4\nGPU1\tNV4\t", "\t X \nGPU1\t X \t", "GPU0 and GPU1: X must stand on the diagonal, and only there"),
    ] {
        assert!(two.contains(from), "{from:?}");
        assert_eq!(refused(&two.replacen(from, to, 1)), reason);
    }
    let three = "\tGPU0\tGPU1\tGPU2\nGPU0\t X \tSYS\nGPU1\tSYS\t X \nGPU2\tSYS\n";
    assert_eq!(refused(three), "the link between GPU1 and GPU2 is missing");
    let names: Vec<String> = (0..17).map(|gpu| format!("GPU{gpu}")).collect();
    let wide = format!("\t{}\nGPU0\t X \n", names.join("\t"));
    assert_eq!(refused(&wide), "17 GPUs: at most 16 are supported");
}

fn cell() -> impl Strategy<Value = LinkKind> {
    let path = |path| Just(LinkKind::Pcie(path));
    prop_oneof![
        (1u8..=18).prop_map(|links| LinkKind::NvLink { links }),
        path(PciePath::Pix),
        path(PciePath::Pxb),
        path(PciePath::Phb),
        path(PciePath::Node),
        path(PciePath::Sys),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(
        cells in proptest::collection::vec(cell(), 120),
        places in proptest::collection::vec(0u8..4, 1..=MAX_DEVICES),
        nics in 0usize..3,
    ) {
        let count = places.len();
        let link = |a: usize, b: usize| cells[a.max(b) * (a.max(b) - 1) / 2 + a.min(b)];
        let mut text = String::new();
        for column in 0..count {
            text += &format!("\tGPU{column}");
        }
        for nic in 0..nics {
            text += &format!("\tNIC{nic}");
        }
        text += "\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\n";
        for (a, place) in places.iter().enumerate() {
            text += &format!("GPU{a}");
            for b in 0..count {
                text += "\t";
                text += &if a == b { " X ".to_owned() } else { Cell::Linked(link(a, b)).name() };
            }
            text += &"\tPXB".repeat(nics);
            text += &format!("\t0-51,104-155\t{}\t\tN/A\n", place);
        }
        let fabric = read(&text);
        prop_assert_eq!(numa(&fabric), places.into_iter().map(Some).collect::<Vec<_>>());
        for a in 0..count {
            for b in 0..a {
                prop_assert_eq!(fabric.link(a, b).map(|read| read.kind), Some(link(a, b)));
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(GPU[0-9]{1,2}|NIC0|mlx5_0|X|NV[0-9]{1,4}|PIX|SYS|CPU Affinity|0-7|Legend:|\u{1b}|\u{1b}\\[4m|[ \t\n]|\\PC){0,60}") {
        let _ = Fabric::from_topo_matrix(&text);
    }
}
