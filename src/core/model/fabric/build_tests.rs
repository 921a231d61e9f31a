use super::*;
use crate::model::fabric::DeviceSet;

fn slots(devices: usize) -> Slots {
    Slots::new(devices).expect("a number of devices")
}

/// The devices that have a fast link to one.
fn neighbours(fabric: &Fabric, device: usize) -> String {
    let linked = |&other: &usize| fabric.link(device, other).is_some_and(|link| link.kind.is_fast());
    (0..fabric.len()).filter(linked).collect::<DeviceSet>().to_string()
}

#[test]
fn devices_sit_where_the_slots_say() {
    let slots = slots(8).over_numa_nodes(2).and_then(|slots| slots.per_pcie_root(2)).expect("even");
    let fabric = Fabric::nvswitch(slots, Bandwidth(600)).expect("a switch");
    let places: Vec<_> = fabric.graph().node_weights().map(|d| (d.numa, d.pcie_root)).collect();
    let place = |numa, root| (Some(numa), Some(root));
    assert_eq!(
        places,
        [place(0, 0), place(0, 0), place(0, 1), place(0, 1), place(1, 2), place(1, 2), place(1, 3), place(1, 3)]
    );
    assert_eq!(fabric.device(8), None);
    assert_eq!(fabric.link(0, 7), Some(Link { kind: LinkKind::NvSwitch, bandwidth: Bandwidth(600) }));
    assert_eq!(fabric.link(3, 3), None);
}

#[test]
fn pcie_paths_follow_roots_and_numa_nodes() {
    let slots = slots(8).over_numa_nodes(2).and_then(|slots| slots.per_pcie_root(2)).expect("even");
    let fabric = Fabric::pcie_only(slots);
    let path = |a, b| fabric.link(a, b).map(|link| (link.kind, link.bandwidth));
    for (a, b, wanted) in [(0, 1, PciePath::Pxb), (0, 3, PciePath::Node), (3, 4, PciePath::Sys)] {
        assert_eq!(path(a, b), Some((LinkKind::Pcie(wanted), wanted.bandwidth())), "{a}-{b}");
    }
    let unknown = Fabric::pcie_only(Slots::new(2).expect("two"));
    assert_eq!(unknown.link(0, 1).map(|link| link.kind), Some(LinkKind::Pcie(PciePath::Node)));
    let ranked = [PciePath::Pix, PciePath::Pxb, PciePath::Phb, PciePath::Node, PciePath::Sys];
    assert!(ranked.is_sorted_by(|a, b| a < b && a.bandwidth() > b.bandwidth()));
    assert!(PciePath::Pix.bandwidth() < Bandwidth(50), "below one NVLink");
}

#[test]
fn bridges_and_meshes_have_their_links_and_pcie_elsewhere() {
    let pairs = [NvLinkPair { a: 0, b: 3, links: 12 }, NvLinkPair { a: 2, b: 1, links: 2 }];
    let fabric = Fabric::nvlink(slots(4), &pairs, Bandwidth(50)).expect("bridges");
    let link = |links, gbps| Some(Link { kind: LinkKind::NvLink { links }, bandwidth: Bandwidth(gbps) });
    assert_eq!((fabric.link(3, 0), fabric.link(1, 2)), (link(12, 600), link(2, 100)));
    assert_eq!(neighbours(&fabric, 0), "{3}");
    assert_eq!(fabric.graph().edge_count(), 6);

    let mesh = Fabric::full_mesh(slots(4), 4, Bandwidth(50)).expect("a mesh");
    assert!((0..4).all(|a| (0..a).all(|b| mesh.link(a, b) == link(4, 200))));
}

#[test]
fn a_torus_wraps_at_its_sides() {
    let torus = Fabric::torus(4, 4, Bandwidth(1024)).expect("a torus");
    for (device, wanted) in [(0, "{1,3,4,12}"), (5, "{1,4,6,9}"), (15, "{3,11,12,14}")] {
        assert_eq!(neighbours(&torus, device), wanted, "{device}");
    }
    assert_eq!(torus.graph().edge_count(), 32);
    let flat = Fabric::torus(2, 4, Bandwidth(1)).expect("a torus");
    assert_eq!(neighbours(&flat, 0), "{1,3,4}");
    assert_eq!(flat.graph().edge_count(), 12);
}

#[test]
fn a_ring_closes() {
    let ring = Fabric::ring(slots(6), Bandwidth(192)).expect("a ring");
    assert_eq!((neighbours(&ring, 0).as_str(), neighbours(&ring, 3).as_str()), ("{1,5}", "{2,4}"));
    let edges = |devices| Fabric::ring(slots(devices), Bandwidth(192)).map(|ring| ring.graph().edge_count());
    assert_eq!((edges(1), edges(2), edges(3)), (Ok(0), Ok(1), Ok(3)));
}

#[test]
fn fabrics_that_cannot_be_are_refused() {
    let text = |outcome: Result<Fabric, FabricError>| outcome.map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(Slots::new(0), Err(FabricError::DeviceCount(0)));
    assert_eq!(Slots::new(17), Err(FabricError::DeviceCount(17)));
    for nodes in [0, 3, 16] {
        let uneven = FabricError::Uneven { devices: 8, what: "NUMA nodes", over: nodes };
        assert_eq!(slots(8).over_numa_nodes(nodes), Err(uneven));
        assert!(slots(8).per_pcie_root(nodes).is_err());
    }
    let pair = |a, b, links| NvLinkPair { a, b, links };
    let bridged = |pairs: &[NvLinkPair]| text(Fabric::nvlink(slots(4), pairs, Bandwidth(50)));
    let absent = |a, b| Err(format!("link {a}-{b}: must connect two different devices of the machine"));
    assert_eq!(bridged(&[pair(0, 4, 1)]), absent(0, 4));
    assert_eq!(bridged(&[pair(1, 1, 1)]), absent(1, 1));
    assert_eq!(bridged(&[pair(0, 1, 1), pair(1, 0, 2)]), Err("link 1-0: is given twice".into()));
    assert_eq!(bridged(&[pair(0, 1, 0)]), Err("link 0-1: has no links".into()));
    let range = |gbps: u32| Err(format!("{gbps} GB/s: a link must carry 1 to 100000 GB/s"));
    assert_eq!(text(Fabric::nvlink(slots(4), &[pair(0, 1, 255)], Bandwidth(u32::MAX))), range(u32::MAX));
    for gbps in [0, 100_001] {
        assert_eq!(text(Fabric::nvswitch(slots(2), Bandwidth(gbps))), range(gbps));
        assert_eq!(text(Fabric::ring(slots(2), Bandwidth(gbps))), range(gbps));
        assert_eq!(text(Fabric::torus(2, 2, Bandwidth(gbps))), range(gbps));
    }
    assert_eq!(text(Fabric::torus(1, 8, Bandwidth(1))), Err("a torus of 1 x 8: both must be at least 2".into()));
    assert_eq!(text(Fabric::torus(4, 5, Bandwidth(1))), Err("20 devices: must be 1 to 16".into()));
    assert!(Fabric::torus(usize::MAX, 3, Bandwidth(1)).is_err());
}
