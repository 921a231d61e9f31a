//! Every layout of a product by number, and which follows from which: what a layout becomes is a look-up.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::geometry::{MigGeometry, Occupancy, Placement, ProfileId};
use super::layout::Layout;

/// Most layouts that a table takes. The 7-slice GPUs have 2,319; a table of an operator that has more gets none, so
/// that memory stays in bounds.
const MAX_LAYOUTS: usize = 16_384;

/// A layout of one [`LayoutTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayoutId(u16);

impl LayoutId {
    /// The GPU without instances, in every table.
    pub const EMPTY: LayoutId = LayoutId(0);

    /// Position in the table.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One instance more, or one less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The instance that comes or goes.
    pub placement: Placement,
    /// The layout then.
    pub to: LayoutId,
}

#[derive(Clone, Debug)]
struct Entry {
    layout: Layout,
    occupancy: Occupancy,
    /// By profile, then start.
    arrivals: Vec<Step>,
    /// By placement.
    departures: Vec<Step>,
}

/// All layouts that a geometry allows, with the steps between them. A layout with fewer instances has a lower number.
#[derive(Clone, Debug)]
pub struct LayoutTable {
    geometry: Arc<MigGeometry>,
    entries: Vec<Entry>,
}

impl LayoutTable {
    /// The table of a geometry; none when it has too many layouts (no product of the catalogue does).
    pub fn new(geometry: &Arc<MigGeometry>) -> Option<LayoutTable> {
        let placements: Vec<Placement> = geometry.placements().collect();
        let mut ids: BTreeMap<Vec<Placement>, LayoutId> = BTreeMap::from([(Vec::new(), LayoutId::EMPTY)]);
        let mut entries = vec![Entry::new(Layout::new(Arc::clone(geometry)))];
        let mut at = 0;
        while at < entries.len() {
            for &placement in &placements {
                let mut grown = entries[at].layout.clone();
                if grown.insert(placement).is_err() {
                    continue;
                }
                let new = LayoutId(u16::try_from(entries.len()).ok()?);
                let to = *ids.entry(grown.placements().to_vec()).or_insert(new);
                if to == new {
                    entries.push(Entry::new(grown));
                }
                if entries.len() > MAX_LAYOUTS {
                    return None;
                }
                entries[at].arrivals.push(Step { placement, to });
                // There are at most MAX_LAYOUTS.
                entries[to.index()].departures.push(Step { placement, to: LayoutId(at as u16) });
            }
            at += 1;
        }
        for entry in &mut entries {
            entry.arrivals.sort_by_key(|step| (step.placement.profile(), step.placement.start()));
            entry.departures.sort_by_key(|step| step.placement);
        }
        Some(LayoutTable { geometry: Arc::clone(geometry), entries })
    }

    /// The product's table.
    pub fn geometry(&self) -> &Arc<MigGeometry> {
        &self.geometry
    }

    /// Number of layouts.
    #[expect(clippy::len_without_is_empty, reason = "every table has the empty layout")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// All layouts, those with fewer instances first.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = LayoutId> {
        // There are at most MAX_LAYOUTS.
        (0..self.entries.len()).map(|at| LayoutId(at as u16))
    }

    /// The number of a layout, if it is one of this product.
    pub fn id(&self, layout: &Layout) -> Option<LayoutId> {
        layout.placements().iter().try_fold(LayoutId::EMPTY, |at, &placement| self.with(at, placement))
    }

    /// The layout of a number.
    pub fn layout(&self, id: LayoutId) -> &Layout {
        &self.entries[id.index()].layout
    }

    /// The memory slices that a layout takes.
    pub fn occupancy(&self, id: LayoutId) -> Occupancy {
        self.entries[id.index()].occupancy
    }

    /// Memory slices that no instance has.
    pub fn free(&self, id: LayoutId) -> u32 {
        u32::from(self.geometry.memory_slices()) - self.occupancy(id).taken()
    }

    /// Where one more instance can go, by profile, then start.
    pub fn arrivals(&self, id: LayoutId) -> &[Step] {
        &self.entries[id.index()].arrivals
    }

    /// Where one more instance of a profile can go, by start.
    pub fn arrivals_of(&self, id: LayoutId, profile: ProfileId) -> &[Step] {
        let steps = self.arrivals(id);
        let from = steps.partition_point(|step| step.placement.profile() < profile);
        let count = steps[from..].partition_point(|step| step.placement.profile() == profile);
        &steps[from..from + count]
    }

    /// Which instance can go, and what is left.
    pub fn departures(&self, id: LayoutId) -> &[Step] {
        &self.entries[id.index()].departures
    }

    /// The layout with one more instance, if the rules allow it.
    pub fn with(&self, id: LayoutId, placement: Placement) -> Option<LayoutId> {
        let steps = self.arrivals_of(id, placement.profile());
        steps.iter().find(|step| step.placement == placement).map(|step| step.to)
    }

    /// The layout without an instance, if it has it.
    pub fn without(&self, id: LayoutId, placement: Placement) -> Option<LayoutId> {
        self.departures(id).iter().find(|step| step.placement == placement).map(|step| step.to)
    }
}

impl Entry {
    fn new(layout: Layout) -> Entry {
        Entry { occupancy: layout.occupancy(), layout, arrivals: Vec::new(), departures: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalogue::Catalogue;

    fn tables() -> Vec<LayoutTable> {
        let mut shapes: Vec<(String, LayoutTable)> = Vec::new();
        for geometry in Catalogue::builtin().geometries() {
            let shape: String = geometry.placements().map(|p| format!("{p:?}")).collect();
            if shapes.iter().all(|(known, _)| *known != shape) {
                let table = LayoutTable::new(geometry).unwrap_or_else(|| panic!("{}: too many", geometry.name()));
                shapes.push((shape, table));
            }
        }
        shapes.into_iter().map(|(_, table)| table).collect()
    }

    #[test]
    fn every_shape_of_the_catalogue_has_a_table() {
        let sizes: Vec<usize> = tables().iter().map(LayoutTable::len).collect();
        assert_eq!(sizes, [2_319, 76, 717]);
    }

    #[test]
    fn steps_are_those_of_layouts() {
        for table in tables() {
            for id in table.ids() {
                let layout = table.layout(id);
                assert_eq!(table.id(layout), Some(id));
                assert_eq!(table.occupancy(id), layout.occupancy());
                for (profile, _) in table.geometry().profiles() {
                    let starts = table.arrivals_of(id, profile).iter().map(|step| step.placement);
                    assert!(starts.eq(layout.feasible_starts(profile)), "{layout:?}");
                }
                for step in table.arrivals(id) {
                    let mut grown = layout.clone();
                    grown.insert(step.placement).expect("the table says that it fits");
                    assert_eq!(table.layout(step.to), &grown);
                    assert_eq!(table.without(step.to, step.placement), Some(id));
                    assert!(step.to > id);
                }
                assert!(table.departures(id).iter().map(|step| step.placement).eq(layout.placements().iter().copied()));
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let table = &tables()[0];
        let (last, _) = table.geometry().profiles().last().expect("a profile");
        let whole = table.geometry().placement(last, 0).expect("7g at 0");
        let full = table.with(LayoutId::EMPTY, whole).expect("an empty GPU takes it");
        assert_eq!((table.free(full), table.with(full, whole)), (0, None));
        assert_eq!(table.without(LayoutId::EMPTY, whole), None);
    }

    #[test]
    fn a_geometry_with_too_many_layouts_has_no_table() {
        use crate::model::mig::{Engines, MigProfile};
        let kinds = ["1g", "1g+me", "1g+gfx"];
        let profile = |(id, kind): (u8, &&str)| MigProfile {
            kind: kind.parse().expect("a kind"),
            name: format!("{kind}.1gb"),
            aliases: Vec::new(),
            gi_profile_id: id,
            compute_slices: 1,
            size: 1,
            starts: (0..16).collect(),
            max_instances: 16,
            memory_mib: None,
            engines: Engines::default(),
        };
        let profiles = (0..).zip(&kinds).map(profile).collect();
        let geometry = MigGeometry::new("wide", 16, 16, Engines::default(), profiles).expect("a geometry");
        assert!(LayoutTable::new(&Arc::new(geometry)).is_none());
    }
}
