use std::collections::BTreeSet;

use super::*;
use crate::model::catalogue::Catalogue;
use crate::model::mig::ProfileKind;

fn geometry(family: &str) -> Arc<MigGeometry> {
    let found = Catalogue::builtin().geometries().find(|geometry| geometry.name() == family).cloned();
    found.unwrap_or_else(|| panic!("no family {family}"))
}

fn kind(geometry: &MigGeometry, kind: &str) -> ProfileId {
    let parsed: ProfileKind = kind.parse().expect("a kind");
    geometry.profile_by_kind(parsed).unwrap_or_else(|| panic!("{} has no {kind}", geometry.name()))
}

/// `3g@4`
fn placement(geometry: &MigGeometry, text: &str) -> Placement {
    let (name, start) = text.split_once('@').expect("kind@start");
    geometry.placement(kind(geometry, name), start.parse().expect("a start")).expect("a placement of the table")
}

/// `4g@0 3g@4`
fn layout(geometry: &Arc<MigGeometry>, text: &str) -> Result<Layout, LayoutError> {
    let mut layout = Layout::new(Arc::clone(geometry));
    for word in text.split_whitespace() {
        layout.insert(placement(geometry, word))?;
    }
    Ok(layout)
}

/// Every set of placements that obeys the rules, found without `Layout`: by trying all sets of slice-disjoint
/// placements and counting what each uses.
fn legal_sets(geometry: &MigGeometry, among: &[Placement]) -> BTreeSet<Vec<Placement>> {
    fn is_legal(geometry: &MigGeometry, set: &[Placement]) -> bool {
        let used = |of: fn(&crate::model::mig::MigProfile) -> u8| -> u32 {
            set.iter().map(|p| u32::from(of(geometry.profile(p.profile())))).sum()
        };
        let within_maximum = geometry.profiles().all(|(id, profile)| {
            set.iter().filter(|p| p.profile() == id).count() <= usize::from(profile.max_instances)
        });
        within_maximum
            && used(|p| p.compute_slices) <= u32::from(geometry.compute_slices())
            && used(|p| p.engines.media) <= u32::from(geometry.engines().media)
            && used(|p| p.engines.ofa) <= u32::from(geometry.engines().ofa)
    }
    fn grow(
        geometry: &MigGeometry,
        among: &[Placement],
        chosen: &mut Vec<Placement>,
        found: &mut BTreeSet<Vec<Placement>>,
    ) {
        if is_legal(geometry, chosen) {
            found.insert(chosen.clone());
        }
        for (at, &next) in among.iter().enumerate() {
            let apart = |p: &Placement| p.start() + p.size() <= next.start() || next.start() + next.size() <= p.start();
            if chosen.iter().all(apart) {
                chosen.push(next);
                grow(geometry, &among[at + 1..], chosen, found);
                chosen.pop();
            }
        }
    }
    let mut among = among.to_vec();
    among.sort();
    let mut found = BTreeSet::new();
    grow(geometry, &among, &mut Vec::new(), &mut found);
    found
}

/// Every layout that insertions reach.
fn reachable(geometry: &Arc<MigGeometry>, among: &[Placement]) -> BTreeSet<Vec<Placement>> {
    let mut found = BTreeSet::new();
    let mut open = vec![Layout::new(Arc::clone(geometry))];
    while let Some(layout) = open.pop() {
        if !found.insert(layout.placements().to_vec()) {
            continue;
        }
        for &next in among {
            let mut grown = layout.clone();
            if grown.insert(next).is_ok() {
                open.push(grown);
            }
        }
    }
    found
}

#[test]
fn the_five_main_profiles_have_298_states_144_masks_and_19_maximal_layouts() {
    let geometry = geometry("A100-40GB");
    let ids = ["1g", "2g", "3g", "4g", "7g"].map(|name| kind(&geometry, name));
    let among: Vec<Placement> = ids.iter().flat_map(|&id| geometry.placements_of(id)).collect();
    let states = reachable(&geometry, &among);
    assert_eq!(states.len(), 298);
    assert_eq!(states, legal_sets(&geometry, &among));

    let layouts: Vec<Layout> =
        states.iter().map(|set| Layout { geometry: Arc::clone(&geometry), placed: set.clone() }).collect();
    let masks: BTreeSet<Occupancy> = layouts.iter().map(Layout::occupancy).collect();
    assert_eq!(masks.len(), 144);
    let maximal = layouts.iter().filter(|layout| ids.iter().all(|&id| layout.feasible_starts(id).next().is_none()));
    assert_eq!(maximal.count(), 19);
}

#[test]
fn every_family_reaches_exactly_the_legal_layouts() {
    let mut shapes = BTreeSet::new();
    for geometry in Catalogue::builtin().geometries() {
        let among: Vec<Placement> = geometry.placements().collect();
        let states = reachable(geometry, &among);
        assert_eq!(states, legal_sets(geometry, &among), "{}", geometry.name());
        shapes.insert((geometry.memory_slices(), states.len()));
    }
    // One placement table for all GPUs with the same slices.
    assert_eq!(shapes.iter().map(|&(slices, _)| slices).collect::<Vec<_>>(), [4, 8, 12]);
}

/// The table names only those engines that bind. So whatever it allows, no engine of the captured tables may run out,
/// nor the SMs; and what it refuses for its engines must be short of one of theirs.
#[test]
fn engines_left_out_of_the_table_never_bind() {
    let captured = include_str!("../testdata/mig_geometry.json");
    let captured: serde_json::Value = serde_json::from_str(captured).expect("JSON");
    let mut checked = 0;
    for (model, table) in captured["models"].as_object().expect("models") {
        let id = table["pci_device_ids"][0].as_str().expect("an id");
        let geometry = Arc::clone(Catalogue::builtin().geometry_by_pci_id(id).expect("a family"));
        let profiles = table["profiles"].as_array().expect("profiles");
        let all = ["sm", "copy_engines", "decoders", "encoders", "jpeg", "ofa"];
        let known = |engine: &&str| profiles.iter().all(|profile| profile[*engine].is_u64());
        let engines: Vec<&str> = all.into_iter().filter(known).collect();
        let each = |placement: &Placement, engine: &str| {
            let gi_profile_id = geometry.profile(placement.profile()).gi_profile_id;
            let profile = profiles.iter().find(|profile| profile["gi_profile_id"] == gi_profile_id);
            profile.and_then(|profile| profile[engine].as_u64()).expect("a figure")
        };
        let total = |engine: &str| profiles.iter().filter_map(|profile| profile[engine].as_u64()).max().expect("one");
        let used = |set: &[Placement], engine: &str| set.iter().map(|p| each(p, engine)).sum::<u64>();
        let among: Vec<Placement> = geometry.placements().collect();
        for set in reachable(&geometry, &among) {
            for &engine in &engines {
                assert!(used(&set, engine) <= total(engine), "{model}: too many {engine} in {set:?}");
            }
            let layout = Layout { geometry: Arc::clone(&geometry), placed: set };
            for &next in &among {
                if let Err(LayoutError::Engines { .. }) = layout.check(next) {
                    let set = [layout.placements(), &[next]].concat();
                    let short = engines.iter().any(|engine| used(&set, engine) > total(engine));
                    assert!(short, "{model}: no engine is short in {set:?}");
                }
            }
        }
        checked += engines.len();
    }
    // Three live captures with all six, A30 without encoders, RTX PRO with all six, H100 NVL with the SMs.
    assert_eq!(checked, 3 * 6 + 5 + 6 + 1);
}

#[test]
fn remaining_and_feasible_starts_match_trying_it() {
    // The most further instances by trying every choice of the next one.
    fn most(layout: &Layout, profile: ProfileId) -> u8 {
        let next = layout.geometry().placements_of(profile);
        let after = next.filter_map(|placement| {
            let mut grown = layout.clone();
            grown.insert(placement).ok().map(|()| 1 + most(&grown, profile))
        });
        after.max().unwrap_or(0)
    }
    for family in ["A100-40GB", "A30-24GB", "RTX-PRO-6000-96GB"] {
        let geometry = geometry(family);
        let among: Vec<Placement> = geometry.placements().collect();
        for set in reachable(&geometry, &among) {
            let layout = Layout { geometry: Arc::clone(&geometry), placed: set };
            for (id, profile) in geometry.profiles() {
                assert_eq!(layout.remaining(id), most(&layout, id), "{family}: {} in {layout:?}", profile.name);
                let tried = geometry.placements_of(id).filter(|&p| layout.clone().insert(p).is_ok());
                assert!(layout.feasible_starts(id).eq(tried), "{family}: {} in {layout:?}", profile.name);
            }
        }
    }
}

/// All starts at which instances of these kinds go together.
fn arrangements(geometry: &Arc<MigGeometry>, kinds: &str) -> BTreeSet<String> {
    let mut layouts = vec![Layout::new(Arc::clone(geometry))];
    for word in kinds.split_whitespace() {
        let id = kind(geometry, word);
        let grown = layouts.iter().flat_map(|layout| {
            layout.feasible_starts(id).map(|placement| {
                let mut layout = layout.clone();
                layout.insert(placement).expect("it was said to be feasible");
                layout
            })
        });
        layouts = grown.collect();
    }
    let words = |layout: &Layout| -> Vec<String> {
        let word = |p: &Placement| format!("{}@{}", geometry.profile(p.profile()).kind, p.start());
        layout.placements().iter().map(word).collect()
    };
    layouts.iter().map(|layout| words(layout).join(" ")).collect()
}

#[test]
fn valid_combinations_of_seven_slices_fit_where_the_hardware_lets_them() {
    let geometry = geometry("A100-40GB");
    let fits = |kinds: &str, wanted: &[&str]| {
        let found = arrangements(&geometry, kinds);
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), wanted, "{kinds}");
    };
    fits("4g 3g", &["4g@0 3g@4"]);
    fits("3g 3g", &["3g@0 3g@4"]);
    fits("4g 2g 1g", &["4g@0 2g@4 1g@6"]);
    fits("2g 2g 2g 1g", &["2g@0 2g@2 2g@4 1g@6"]);
    fits("2g 2g 3g", &["2g@0 2g@2 3g@4"]);
    fits("1g+2mem 1g+2mem 1g+2mem 1g+2mem", &["1g+2mem@0 1g+2mem@2 1g+2mem@4 1g+2mem@6"]);
    fits("1g 1g 1g 1g 1g 1g 1g+2mem", &["1g@0 1g@1 1g@2 1g@3 1g@4 1g@5 1g+2mem@6"]);
    fits("7g", &["7g@0"]);
    // The balanced configuration of mig-parted.
    assert!(!arrangements(&geometry, "1g 1g 2g 3g").is_empty());
    for invalid in ["4g 4g", "2g 2g 2g 2g", "4g 3g 1g", "4g 3g 1g+2mem", "1g+me 1g+me", "3g 3g 1g", "3g 2g 2g 1g"] {
        assert_eq!(arrangements(&geometry, invalid), BTreeSet::new(), "{invalid}");
    }
    for (_, other) in geometry.profiles() {
        assert_eq!(arrangements(&geometry, &format!("7g {}", other.kind)), BTreeSet::new(), "7g {}", other.kind);
    }
    assert!(layout(&geometry, "3g@0 2g@4").is_ok());
    assert!(matches!(layout(&geometry, "3g@0 2g@4 2g@2"), Err(LayoutError::Overlap { .. })));
}

#[test]
fn engines_bind_on_a30_and_rtx_pro() {
    let a30 = geometry("A30-24GB");
    assert_eq!(arrangements(&a30, "2g 2g").len(), 1);
    assert_eq!(arrangements(&a30, "1g 1g 1g 1g+me").len(), 4);
    assert_eq!(arrangements(&a30, "1g+me 2g+me"), BTreeSet::new());
    let error = layout(&a30, "2g+me@0 1g+me@2").expect_err("one optical-flow engine");
    assert_eq!(error.to_string(), "1g.6gb+me@2 needs 1 OFA engines, 0 are left");

    let rtx = geometry("RTX-PRO-6000-96GB");
    for valid in ["1g+me.all 1g-me 1g-me 1g-me", "1g+me.all 2g-me", "2g+me.all 2g-me", "1g 1g 1g 1g+me", "2g 1g 1g"] {
        assert!(!arrangements(&rtx, valid).is_empty(), "{valid}");
    }
    for with_media in ["1g", "1g+me", "1g+gfx", "2g", "2g+gfx"] {
        for all in ["1g+me.all", "2g+me.all"] {
            assert_eq!(arrangements(&rtx, &format!("{all} {with_media}")), BTreeSet::new(), "{all} {with_media}");
        }
    }
    assert_eq!(arrangements(&rtx, "1g+me 1g+me.all"), BTreeSet::new());
    let error = layout(&rtx, "1g+me.all@0 1g@3").expect_err("no media engine left");
    assert_eq!(error.to_string(), "1g.24gb@3 needs 1 media engines, 0 are left");
}

#[test]
fn a_refused_instance_leaves_the_layout_as_it_was() {
    let geometry = geometry("H100-80GB");
    let mut state = layout(&geometry, "1g+me@0 2g@4").expect("valid");
    let before = state.clone();
    for (text, message) in [
        ("3g@4", "3g.40gb@4 overlaps 2g.20gb@4"),
        ("1g+me@1", "1g.10gb+me@1: a GPU holds at most 1 of this profile"),
        ("7g@0", "7g.80gb@0 overlaps 1g.10gb+me@0"),
    ] {
        let error = state.insert(placement(&geometry, text)).expect_err(text);
        assert_eq!((error.to_string().as_str(), &state), (message, &before));
    }
}

/// One profile of two compute slices and one memory slice, on a GPU of four memory slices. No real table needs the
/// rules below on their own; a table of an operator may.
fn narrow_profile(compute_slices: u8, max_instances: u8) -> Arc<MigGeometry> {
    let narrow = crate::model::mig::MigProfile {
        kind: "2g".parse().expect("a kind"),
        name: "2g.1gb".into(),
        aliases: Vec::new(),
        gi_profile_id: 1,
        compute_slices: 2,
        size: 1,
        starts: vec![0, 1, 2, 3],
        max_instances,
        memory_mib: None,
        engines: Engines::default(),
    };
    let geometry = MigGeometry::new("test", 4, compute_slices, Engines::default(), vec![narrow]);
    Arc::new(geometry.expect("a geometry"))
}

#[test]
fn maximum_and_compute_slices_bind_where_memory_does_not() {
    let geometry = narrow_profile(16, 2);
    let mut state = layout(&geometry, "2g@0").expect("valid");
    assert_eq!(state.remaining(kind(&geometry, "2g")), 1);
    state.insert(placement(&geometry, "2g@1")).expect("the second");
    assert_eq!(state.remaining(kind(&geometry, "2g")), 0);
    let error = state.insert(placement(&geometry, "2g@2")).expect_err("two at most");
    assert_eq!(error.to_string(), "2g.1gb@2: a GPU holds at most 2 of this profile");

    let geometry = narrow_profile(3, 4);
    let mut state = layout(&geometry, "2g@0").expect("valid");
    assert_eq!(state.remaining(kind(&geometry, "2g")), 0);
    let error = state.insert(placement(&geometry, "2g@1")).expect_err("one slice is left");
    assert_eq!(error.to_string(), "2g.1gb@1 needs 2 compute slices, 1 are left");
}

#[test]
fn removal_gives_back_what_was_taken() {
    let geometry = geometry("A100-40GB");
    let mut state = layout(&geometry, "4g@0 3g@4").expect("valid");
    assert_eq!((state.occupancy(), state.compute_slices_left()), (Occupancy(0xff), 0));
    assert!(state.remove(placement(&geometry, "4g@0")));
    assert!(!state.remove(placement(&geometry, "4g@0")));
    assert_eq!((state.occupancy(), state.compute_slices_left()), (Occupancy(0xf0), 4));
    assert_eq!(state, layout(&geometry, "3g@4").expect("valid"));
}

#[test]
fn the_order_of_insertion_does_not_show() {
    let geometry = geometry("A100-40GB");
    assert_eq!(layout(&geometry, "1g@6 4g@0 2g@4"), layout(&geometry, "4g@0 2g@4 1g@6"));
}

#[test]
fn placements_of_another_geometry_are_refused() {
    let (a30, rtx) = (geometry("A30-24GB"), geometry("RTX-PRO-6000-96GB"));
    for foreign in rtx.placements() {
        let outcome = Layout::new(Arc::clone(&a30)).insert(foreign);
        assert!(matches!(outcome, Err(LayoutError::Foreign { .. })), "{}", rtx.describe(foreign));
    }
}
