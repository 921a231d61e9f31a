use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::model::catalogue::Catalogue;

fn family(name: &str) -> Arc<MigGeometry> {
    let found = Catalogue::builtin().geometries().find(|geometry| geometry.name() == name).cloned();
    found.unwrap_or_else(|| panic!("no family {name}"))
}

fn number(value: &Value) -> u8 {
    value.as_u64().and_then(|n| n.try_into().ok()).unwrap_or_else(|| panic!("{value} is no byte"))
}

/// The table against captures of real machines and NVIDIA's documents.
#[test]
fn every_family_has_the_placements_of_the_captured_tables() {
    let captured: Value = serde_json::from_str(include_str!("../testdata/mig_geometry.json")).expect("JSON");
    let models = captured["models"].as_object().expect("models");
    let catalogue = Catalogue::builtin();
    assert_eq!(models.len(), catalogue.geometries().len());
    for (model, table) in models {
        for id in table["pci_device_ids"].as_array().expect("ids") {
            let id = id.as_str().expect("an id");
            let geometry = catalogue.geometry_by_pci_id(id).unwrap_or_else(|| panic!("{model}: no PCI id {id}"));
            assert_eq!(geometry.memory_slices(), number(&table["memory_slices"]), "{model}");
            assert_eq!(geometry.compute_slices(), number(&table["compute_slices"]), "{model}");
            let profiles = table["profiles"].as_array().expect("profiles");
            assert_eq!(geometry.profiles().len(), profiles.len(), "{model}");
            for wanted in profiles {
                let id = geometry.profile_by_gi_id(number(&wanted["gi_profile_id"])).expect("the GI id");
                let profile = geometry.profile(id);
                assert_eq!(profile.name, wanted["name"], "{model}");
                assert_eq!(profile.compute_slices, number(&wanted["compute_slices"]), "{model} {}", profile.name);
                assert_eq!(profile.kind.slices, profile.compute_slices, "{model} {}", profile.name);
                assert_eq!(profile.size, number(&wanted["placement_size"]), "{model} {}", profile.name);
                let starts: Vec<u8> =
                    wanted["placement_starts"].as_array().expect("starts").iter().map(number).collect();
                assert_eq!(profile.starts, starts, "{model} {}", profile.name);
                assert_eq!(profile.max_instances, number(&wanted["max_instances"]), "{model} {}", profile.name);
                let mib = wanted["memory_mib"].as_f64();
                let mib = mib.or_else(|| wanted["memory_gib_nvidia_smi"].as_f64().map(|gib| (gib * 1024.0).round()));
                assert_eq!(profile.memory_mib.map(f64::from), mib, "{model} {}", profile.name);
            }
        }
    }
}

#[test]
fn profiles_are_found_by_every_name() {
    let a100 = family("A100-40GB");
    let kind_of = |geometry: &MigGeometry, name: &str| {
        geometry.profile_by_name(name).map(|id| geometry.profile(id).kind.to_string())
    };
    for (name, kind) in [("3g.20gb", "3g"), ("1g.5gb+me", "1g+me"), ("1g.5gb.me", "1g+me"), ("1g.10gb", "1g+2mem")] {
        assert_eq!(kind_of(&a100, name).as_deref(), Some(kind));
    }
    for unknown in ["", "3g.40gb", "3g", "3g.21gb", "mig-3g.20gb"] {
        assert_eq!(kind_of(&a100, unknown), None, "{unknown}");
    }
    assert_eq!(kind_of(&family("A100-80GB"), "7g.79gb").as_deref(), Some("7g"));
    assert_eq!(kind_of(&family("A100-80GB"), "1g.10gb").as_deref(), Some("1g"));
    assert_eq!(kind_of(&family("GB300"), "3g.126gb").as_deref(), Some("3g"));
    let rtx = family("RTX-PRO-6000-96GB");
    for (name, kind) in [("1g.24gb.me.all", "1g+me.all"), ("1g.24gb-me", "1g-me"), ("4g.96gb.gfx", "4g+gfx")] {
        assert_eq!(kind_of(&rtx, name).as_deref(), Some(kind));
    }
}

#[test]
fn a_node_may_round_memory_in_its_own_way() {
    let like = |geometry: &MigGeometry, name: &str| {
        geometry.profile_like_name(name).map(|id| geometry.profile(id).name.clone())
    };
    let h100 = family("H100-96GB");
    assert_eq!(like(&h100, "1g.11gb").as_deref(), Some("1g.12gb"));
    assert_eq!(like(&h100, "1g.11gb.me").as_deref(), Some("1g.12gb+me"));
    assert_eq!(like(&h100, "3g.47gb").as_deref(), Some("3g.48gb"));
    // The kinds of one slice differ by memory alone, and a product cannot be mistaken for its larger sister.
    assert_eq!(like(&h100, "1g.23gb").as_deref(), Some("1g.24gb"));
    for unknown in ["1g.17gb", "3g.40gb", "5g.48gb", "3g.48gb+me", "nonsense"] {
        assert_eq!(like(&h100, unknown), None, "{unknown}");
    }
    // Near two profiles is near none, unless it is exactly one of them.
    let profile = |kind: &str, name: &str, id| MigProfile {
        kind: kind.parse().expect("a kind"),
        name: name.into(),
        gi_profile_id: id,
        ..sample()
    };
    let close = vec![profile("1g", "1g.10gb", 1), profile("1g+2mem", "1g.11gb", 2)];
    let close = MigGeometry::new("close", 8, 7, Engines::default(), close).expect("a geometry");
    assert_eq!(like(&close, "1g.10gb").as_deref(), Some("1g.10gb"));
    assert_eq!(like(&close, "1g.12gb").as_deref(), Some("1g.11gb"));
    assert_eq!(like(&close, "1g.9gb").as_deref(), Some("1g.10gb"));
    let closer = vec![profile("1g", "1g.20gb", 1), profile("1g+2mem", "1g.22gb", 2)];
    let closer = MigGeometry::new("closer", 8, 7, Engines::default(), closer).expect("a geometry");
    assert_eq!(like(&closer, "1g.21gb"), None);
}

#[test]
fn slices_that_are_free_say_what_fits() {
    for geometry in Catalogue::builtin().geometries() {
        for mask in 0..1u32 << geometry.memory_slices() {
            let taken = Occupancy(mask as u16);
            for (id, profile) in geometry.profiles() {
                let is_free = |start: u8| (start..start + profile.size).all(|slice| mask & (1 << slice) == 0);
                let starts: Vec<u8> = profile.starts.iter().copied().filter(|&start| is_free(start)).collect();
                assert!(geometry.feasible(id, taken).map(Placement::start).eq(starts.iter().copied()));
                // The most disjoint ones, over all choices of starts.
                let choices = (0..1u32 << starts.len()).filter(|choice| {
                    let mut chosen = (0..starts.len()).filter(|i| choice & (1 << i) != 0).map(|i| starts[i]);
                    let mut end = 0;
                    chosen.all(|start| std::mem::replace(&mut end, start + profile.size) <= start)
                });
                let most = choices.map(u32::count_ones).max().unwrap_or(0).min(u32::from(profile.max_instances));
                assert_eq!(
                    u32::from(geometry.remaining(id, taken)),
                    most,
                    "{} {} {taken}",
                    geometry.name(),
                    profile.name
                );
            }
        }
    }
}

#[test]
fn placements_come_only_from_the_table() {
    let geometry = family("A100-40GB");
    let id = geometry.profile_by_name("3g.20gb").expect("it");
    let placement = geometry.placement(id, 4).expect("3g at 4");
    assert_eq!((placement.start(), placement.size(), placement.slices()), (4, 4, Occupancy(0xf0)));
    assert_eq!(geometry.describe(placement), "3g.20gb@4");
    for start in [1, 2, 3, 5, 8, 255] {
        assert_eq!(geometry.placement(id, start), None, "{start}");
    }
    assert_eq!(geometry.placements().count(), 25);
    let beyond = ProfileId(40);
    assert_eq!(geometry.placement(beyond, 0), None);
}

fn sample() -> MigProfile {
    MigProfile {
        kind: "1g".parse().expect("a kind"),
        name: "1g.5gb".into(),
        aliases: Vec::new(),
        gi_profile_id: 19,
        compute_slices: 1,
        size: 2,
        starts: vec![0, 6],
        max_instances: 2,
        memory_mib: None,
        engines: Engines::default(),
    }
}

#[test]
fn tables_that_describe_no_gpu_are_refused() {
    let with = |change: fn(&mut MigProfile)| {
        let mut profile = sample();
        change(&mut profile);
        MigGeometry::new("test", 8, 7, Engines { media: 0, ofa: 1 }, vec![profile]).map_err(|error| error.to_string())
    };
    assert!(with(|_| ()).is_ok());
    let starts = |starts: &str, size: u8| {
        Err(format!("profile 1g.5gb: starts {starts} with size {size} must be ascending and lie on 8 memory slices"))
    };
    assert_eq!(with(|p| p.starts = vec![0, 7]), starts("[0, 7]", 2));
    assert_eq!(with(|p| p.starts = vec![6, 0]), starts("[6, 0]", 2));
    assert_eq!(with(|p| p.starts = vec![0, 0]), starts("[0, 0]", 2));
    assert_eq!(with(|p| p.starts = vec![]), starts("[]", 2));
    assert_eq!(with(|p| p.size = 0), starts("[0, 6]", 0));
    assert_eq!(with(|p| p.size = 200), starts("[0, 6]", 200));
    let range = |what: &str, limit: u8| Err(format!("profile 1g.5gb: {what} must be 1 to {limit}"));
    assert_eq!(with(|p| p.compute_slices = 8), range("compute slices", 7));
    assert_eq!(with(|p| p.compute_slices = 0), range("compute slices", 7));
    assert_eq!(with(|p| p.max_instances = 0), range("max instances", 8));
    assert_eq!(with(|p| p.engines.ofa = 2), Err("profile 1g.5gb needs more engines than the GPU has".into()));
    assert_eq!(with(|p| p.engines.media = 1), Err("profile 1g.5gb needs more engines than the GPU has".into()));

    for (memory, compute) in [(0, 7), (17, 7), (8, 0), (8, 17)] {
        let outcome = MigGeometry::new("test", memory, compute, Engines::default(), Vec::new());
        assert_eq!(outcome, Err(GeometryError::Slices { memory, compute }));
    }
    let twice = |change: fn(&mut MigProfile)| {
        let mut other = MigProfile {
            kind: "2g".parse().expect("a kind"),
            name: "2g.10gb".into(),
            gi_profile_id: 14,
            aliases: vec!["2g.9gb".into()],
            ..sample()
        };
        change(&mut other);
        match MigGeometry::new("test", 8, 7, Engines::default(), vec![sample(), other]) {
            Err(GeometryError::Duplicate { what, .. }) => Some(what),
            _ => None,
        }
    };
    assert_eq!(twice(|_| ()), None);
    assert_eq!(twice(|p| p.kind = sample().kind), Some("its kind"));
    assert_eq!(twice(|p| p.gi_profile_id = 19), Some("its GI profile id"));
    assert_eq!(twice(|p| p.name = "1g.5gb".into()), Some("one of its names"));
    assert_eq!(twice(|p| p.aliases = vec!["1g.5gb".into()]), Some("one of its names"));
}

proptest! {
    #[test]
    fn no_name_makes_the_lookups_panic(name in "\\PC*|[0-9]{1,12}g\\.?[0-9]{1,12}gb[+.-]?[a-z.]*") {
        for geometry in Catalogue::builtin().geometries() {
            let exact = geometry.profile_by_name(&name);
            prop_assert!(exact.is_none() || geometry.profile_like_name(&name) == exact);
        }
    }
}
