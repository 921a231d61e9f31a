//! What is free of MIG GPUs, and what of that instances of each profile could have: fragmentation as a profile sees it.
//!
//! The measure is that of FGD (Weng et al., ATC'23) on memory slices. Of a GPU that is cut on demand a free slice is usable for a
//! profile if one of the places where an instance could still lie covers it. Where GPUs are cut already, only the instances
//! of that profile are: to cut anew takes the whole GPU. GPUs of which no instances are offered do not count.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Arc;

use super::Snapshot;
use super::devices::permille;
use crate::claims::{Gpu, Mig, Part};
use crate::cluster::{NodeState, Slot};
use crate::model::accelerator::Unit;
use crate::model::inventory::{Inventory, Pool};
use crate::model::mig::{Layout, MigGeometry, Occupancy, Placement, ProfileId};

/// Free memory slices, as one profile sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProfileRoom {
    /// Of the GPUs that have such a profile.
    pub free: i64,
    /// Those of them that an instance of the profile could have.
    pub usable: i64,
}

/// Looks at nodes one by one, and remembers of each layout what it leaves: a fleet has many GPUs, and few layouts.
#[derive(Debug, Default)]
pub struct MigSurvey {
    usable: BTreeMap<(String, Vec<Placement>), Vec<i64>>,
}

impl ProfileRoom {
    /// What share of what is free is of no use to the profile, in thousandths.
    pub fn fragmentation_permille(self) -> i64 {
        permille(self.free - self.usable, self.free)
    }
}

impl AddAssign for ProfileRoom {
    fn add_assign(&mut self, other: Self) {
        self.free += other.free;
        self.usable += other.usable;
    }
}

impl MigSurvey {
    /// What the MIG GPUs of the node in a slot have left, by the names of their profiles. A node that takes no pods has nothing
    /// left.
    pub fn room(&mut self, snapshot: &Snapshot, slot: Slot) -> BTreeMap<String, ProfileRoom> {
        let mut room = BTreeMap::new();
        let Some(state) = &snapshot.slots()[slot] else { return room };
        let Some(node) = state.node() else { return room };
        match snapshot.gpus().get(node.name()) {
            Some(gpus) => gpus.iter().for_each(|gpu| self.add_gpu(&mut room, gpu)),
            None => add_counted(&mut room, &node.inventory, state),
        }
        if !node.is_open() {
            room.values_mut().for_each(|of_profile| *of_profile = ProfileRoom::default());
        }
        room
    }

    fn add_gpu(&mut self, room: &mut BTreeMap<String, ProfileRoom>, gpu: &Gpu) {
        let Some(Mig { geometry, is_on_demand }) = &gpu.mig else { return };
        let given = |part: &&Part| !part.takers.is_empty();
        let is_given_whole = gpu.parts.iter().filter(given).any(|part| part.instance.is_none());
        if gpu.is_tainted || is_given_whole {
            return add(room, geometry, 0, |_| 0);
        }
        if *is_on_demand {
            let taken: Vec<Placement> = gpu.parts.iter().filter(given).filter_map(|part| part.instance).collect();
            let free = i64::from(geometry.memory_slices()) - i64::from(gpu.taken());
            let usable = self.usable.entry((geometry.name().to_owned(), taken));
            let usable = usable.or_insert_with_key(|(_, taken)| usable_beside(geometry, taken));
            return add(room, geometry, free, |profile| usable[profile.index()]);
        }
        let free = || gpu.parts.iter().filter(|part| part.takers.is_empty());
        let slices = |profile: Option<ProfileId>| -> i64 {
            let instances = free().filter_map(|part| part.instance);
            let of_profile = instances.filter(|instance| profile.is_none_or(|profile| instance.profile() == profile));
            of_profile.map(|instance| i64::from(instance.size())).sum()
        };
        add(room, geometry, slices(None), |profile| slices(Some(profile)));
    }
}

fn add(room: &mut BTreeMap<String, ProfileRoom>, geometry: &MigGeometry, free: i64, usable: impl Fn(ProfileId) -> i64) {
    for (id, profile) in geometry.profiles() {
        *room.entry(profile.name.clone()).or_default() += ProfileRoom { free, usable: usable(id) };
    }
}

/// Of a GPU with these instances, how many slices one more instance of each profile could have, wherever it lies.
fn usable_beside(geometry: &Arc<MigGeometry>, taken: &[Placement]) -> Vec<i64> {
    let mut layout = Layout::new(Arc::clone(geometry));
    for instance in taken {
        // What a driver shows to overlap leaves no more than what it lies on.
        let _ = layout.insert(*instance);
    }
    let usable = geometry.profiles().map(|(profile, _)| {
        let starts = layout.feasible_starts(profile);
        i64::from(starts.fold(Occupancy::EMPTY, |slices, place| slices.union(place.slices())).taken())
    });
    usable.collect()
}

/// Slices that a device plugin counts.
fn add_counted(room: &mut BTreeMap<String, ProfileRoom>, inventory: &Inventory, state: &NodeState) {
    let Some(geometry) = inventory.product.as_ref().and_then(|product| product.mig()) else { return };
    let cut = |pool: &Pool| match &pool.unit {
        Unit::Slice(profile) => Some((geometry.profile_like_name(profile)?, state.free_units(pool).max(0))),
        _ => None,
    };
    let free: Vec<(ProfileId, i64)> = inventory.pools.iter().filter_map(cut).collect();
    if free.is_empty() {
        return;
    }
    let slices = |wanted: Option<ProfileId>| -> i64 {
        let of_profile = free.iter().filter(|(profile, _)| wanted.is_none_or(|wanted| wanted == *profile));
        of_profile.map(|(profile, count)| count * i64::from(geometry.profile(*profile).size)).sum()
    };
    add(room, geometry, slices(None), |profile| slices(Some(profile)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::{ClaimKey, Taker};
    use crate::engine::{Change, Engine, Policy};
    use crate::model::catalogue::Catalogue;
    use crate::testing::{node, pod};

    fn h100() -> Arc<MigGeometry> {
        let catalogue = Catalogue::builtin();
        let product = catalogue.product_by_driver_name("NVIDIA H100 80GB HBM3").expect("it is known");
        Arc::clone(product.mig().expect("it can be cut"))
    }

    /// A GPU with these instances, each given to somebody or free.
    fn gpu(is_on_demand: bool, instances: &[(&str, u8, bool)]) -> Gpu {
        let geometry = h100();
        let part = |(profile, start, is_given): &(&str, u8, bool)| {
            let profile = geometry.profile_by_name(profile).expect("a profile");
            let instance = geometry.placement(profile, *start).expect("a placement");
            let claim = ClaimKey { namespace: "team".into(), name: "c".into() };
            let takers = is_given.then_some(Taker { claim, pod: None });
            Part {
                device: "mig".into(),
                start: *start,
                size: instance.size(),
                instance: Some(instance),
                takers: takers.into_iter().collect(),
            }
        };
        let parts = instances.iter().map(part).collect();
        Gpu {
            name: "gpu-0".into(),
            product: Some("H100-80GB-HBM3".into()),
            width: geometry.memory_slices(),
            is_tainted: false,
            index: Some(0),
            bus: (None, None),
            mig: Some(Mig { geometry, is_on_demand }),
            parts,
        }
    }

    fn room(gpus: &[Gpu]) -> BTreeMap<String, ProfileRoom> {
        let (mut survey, mut room) = (MigSurvey::default(), BTreeMap::new());
        gpus.iter().for_each(|gpu| survey.add_gpu(&mut room, gpu));
        room
    }

    fn of(room: &BTreeMap<String, ProfileRoom>, profile: &str) -> (i64, i64, i64) {
        let of_profile = room[profile];
        (of_profile.free, of_profile.usable, of_profile.fragmentation_permille())
    }

    #[test]
    fn what_is_cut_on_demand_is_usable_where_an_instance_could_lie() {
        let empty = room(&[gpu(true, &[])]);
        assert_eq!((of(&empty, "7g.80gb"), of(&empty, "3g.40gb")), ((8, 8, 0), (8, 8, 0)));
        assert_eq!(of(&empty, "1g.10gb"), (8, 7, 125), "the eighth slice has no compute of its own");
        // One slice in the wrong half: 3g can lie in the other only, and 7g nowhere.
        let spoilt = room(&[gpu(true, &[("1g.10gb", 1, true)])]);
        assert_eq!((of(&spoilt, "7g.80gb"), of(&spoilt, "3g.40gb")), ((7, 0, 1000), (7, 4, 428)));
        let both = room(&[gpu(true, &[]), gpu(true, &[("1g.10gb", 1, true)])]);
        assert_eq!(of(&both, "7g.80gb"), (15, 8, 466));
    }

    #[test]
    fn what_is_cut_already_is_of_use_to_its_own_profile() {
        let cut = [("3g.40gb", 0, false), ("2g.20gb", 4, true), ("1g.10gb", 6, false)];
        let cut = room(&[gpu(false, &cut)]);
        assert_eq!(
            (of(&cut, "3g.40gb"), of(&cut, "1g.10gb"), of(&cut, "2g.20gb")),
            ((5, 4, 200), (5, 1, 800), (5, 0, 1000))
        );
    }

    #[test]
    fn what_nobody_can_have_is_not_free() {
        let tainted = Gpu { is_tainted: true, ..gpu(true, &[]) };
        let whole = Part { instance: None, size: 8, ..gpu(true, &[("7g.80gb", 0, true)]).parts.remove(0) };
        let given = Gpu { parts: vec![whole], ..gpu(true, &[]) };
        assert_eq!(of(&room(&[tainted, given]), "1g.10gb"), (0, 0, 0));
        assert!(room(&[Gpu { mig: None, ..gpu(true, &[]) }]).is_empty(), "no instances are offered");
    }

    #[test]
    fn slices_of_a_device_plugin_are_counted() {
        let mut engine = Engine::new(Policy::default());
        let cut = |name: &str| {
            let node = node(name).product("NVIDIA-H100-80GB-HBM3").label("nvidia.com/mig.strategy", "mixed");
            node.has("nvidia.com/mig-3g.40gb", 2).has_working("nvidia.com/mig-1g.10gb", 8, 6)
        };
        for node in
            [cut("open").build(), cut("cordoned").cordoned().build(), node("whole").has("nvidia.com/gpu", 8).build()]
        {
            engine.apply(Change::NodeApplied(Box::new(node)), 0);
        }
        engine.apply(Change::PodApplied(Box::new(pod("p").asks("nvidia.com/mig-3g.40gb", 1).on("open").build())), 0);
        let snapshot = engine.snapshot();
        let mut survey = MigSurvey::default();
        let mut room = |name: &str| survey.room(&snapshot, snapshot.slot(name).expect("a node"));
        let open = room("open");
        assert_eq!((of(&open, "3g.40gb"), of(&open, "1g.10gb")), ((10, 4, 600), (10, 6, 400)));
        assert_eq!(of(&open, "7g.80gb"), (10, 0, 1000));
        assert_eq!(of(&room("cordoned"), "1g.10gb"), (0, 0, 0));
        assert!(room("whole").is_empty());
    }
}
