//! What a MIG instance costs: what its GPU is worth less with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use super::nvidia;
use crate::claims::allocator::Allocator;
use crate::claims::inventory::{Inventory, Listing};
use crate::claims::slice::PoolId;
use crate::claims::trial::Trial;
use crate::claims::view::Seat;
use crate::model::catalogue::Catalogue;
use crate::model::mig::{LayoutId, LayoutTable, MigGeometry, Placement};
use crate::placement::slices::{SliceBook, SliceShapes, SliceValues};

/// More than any two layouts of a GPU differ in worth: ten times eight eighths.
const BEYOND_ANY_VALUE: i64 = 800_000;

/// More than any MIG instance costs: the largest takes eight slices.
pub(super) const BEYOND_ANY_PART: i64 = 9 * BEYOND_ANY_VALUE;

/// A MIG instance that can be made or has been made.
#[derive(Debug, Clone, Copy)]
struct Instance {
    fleet: usize,
    /// The GPU, by number.
    gpu: u32,
    placement: Placement,
}

/// The families of the catalogue that is built in, before anything runs. Their tables take milliseconds to make and megabytes to
/// keep, and there is a desk for many a question.
static FAMILIES: LazyLock<BTreeMap<String, OnceLock<Option<Family>>>> = LazyLock::new(|| {
    let catalogue = Catalogue::builtin();
    catalogue.geometries().map(|geometry| (geometry.name().to_owned(), OnceLock::new())).collect()
});

/// The GPUs of a geometry, the same to all desks.
#[derive(Debug)]
struct Family {
    table: LayoutTable,
    /// What one desk has computed no other does again.
    book: Mutex<SliceBook>,
}

/// The GPUs of a family that a desk knows.
#[derive(Debug, Clone)]
struct Fleet {
    family: &'static Family,
    /// How many instances of each profile run.
    running: Vec<u32>,
    /// For what runs, once that has been read.
    values: Option<SliceValues>,
}

/// The worth of layouts of all products that there are, for what runs.
#[derive(Debug, Clone, Default)]
pub(super) struct MigCosts {
    fleets: Vec<Fleet>,
    /// Which fleet, by the name of the geometry; none where there is no table of it.
    known: BTreeMap<String, Option<usize>>,
    /// The numbers of GPUs, by edition and counter set.
    gpus: BTreeMap<(u32, Box<str>), u32>,
    /// By listing.
    instances: Vec<Option<Instance>>,
    /// Of which numbering of listings, see [`Allocator::renewals`].
    renewals: u64,
    /// What runs in each pool: fleet and profile of each instance.
    running: BTreeMap<PoolId, Vec<(usize, usize)>>,
    /// Whether costs were asked for that depend on what runs.
    was_consulted: bool,
}

impl MigCosts {
    /// Reads which devices are MIG instances that are made on demand: those that share counters.
    pub fn new(allocator: &Allocator) -> MigCosts {
        let mut costs = MigCosts::default();
        costs.refresh(allocator, &allocator.inventory().pools().cloned().collect());
        costs
    }

    /// Reads the devices that are new, and what runs in pools in which something has moved: the mix of what is to come follows
    /// from it. Returns whether costs are others by that.
    pub fn refresh(&mut self, allocator: &Allocator, moved: &BTreeSet<PoolId>) -> bool {
        self.read_devices(allocator);
        if self.fleets.is_empty() {
            return false;
        }
        moved.iter().for_each(|pool| self.read_pool(allocator, pool));
        let mut is_new = false;
        for fleet in &mut self.fleets {
            let values = Some(fleet.family.values(&fleet.running));
            is_new |= fleet.values != values;
            fleet.values = values;
        }
        is_new
    }

    /// Whether costs that depend on what runs were asked for since this was last asked.
    pub fn take_consulted(&mut self) -> bool {
        std::mem::take(&mut self.was_consulted)
    }

    fn read_devices(&mut self, allocator: &Allocator) {
        if self.renewals != allocator.renewals() {
            self.renewals = allocator.renewals();
            self.instances.clear();
            self.gpus.clear();
        }
        let (inventory, catalogue) = (allocator.inventory(), Catalogue::builtin());
        for listing in (self.instances.len()..inventory.listings()).map(Listing::at) {
            let instance = self.instance_of(inventory, &catalogue, listing);
            self.instances.push(instance);
        }
    }

    fn instance_of(&mut self, inventory: &Inventory, catalogue: &Catalogue, listing: Listing) -> Option<Instance> {
        let (device, slice) = (inventory.device(listing), inventory.slice_of(listing));
        let driver = &slice.pool.driver;
        let set = device.consumes.first().filter(|_| nvidia::is_mig(driver, device))?;
        let geometry = nvidia::product(catalogue, driver, device)?.mig()?;
        let fleets = &mut self.fleets;
        let known = self.known.entry(geometry.name().to_owned());
        let fleet = (*known.or_insert_with(|| {
            let family = FAMILIES.get(geometry.name())?.get_or_init(|| Family::new(geometry)).as_ref()?;
            fleets.push(Fleet { family, running: vec![0; geometry.profiles().len()], values: None });
            Some(fleets.len() - 1)
        }))?;
        let next = self.gpus.len() as u32;
        let gpu = *self.gpus.entry((inventory.edition_number(listing), set.name.clone())).or_insert(next);
        Some(Instance { fleet, gpu, placement: nvidia::placement(geometry, driver, device)? })
    }

    fn read_pool(&mut self, allocator: &Allocator, pool: &PoolId) {
        let (inventory, usage) = (allocator.inventory(), allocator.usage());
        for (fleet, profile) in self.running.remove(pool).unwrap_or_default() {
            self.fleets[fleet].running[profile] -= 1;
        }
        let instance = |listing: &Listing| self.instances[listing.index()];
        let running = inventory.listings_of_pool(pool).filter_map(|listing| {
            let device = inventory.described(listing);
            let Instance { fleet, placement, .. } = instance(&listing)?;
            // Editions of a pool describe the same device.
            let first = inventory.listings_of(device).iter().find(|other| instance(other).is_some());
            let counts = usage.is_in_use(device) && first == Some(&listing);
            counts.then_some((fleet, placement.profile().index()))
        });
        let running: Vec<(usize, usize)> = running.collect();
        for (fleet, profile) in &running {
            self.fleets[*fleet].running[*profile] += 1;
        }
        if !running.is_empty() {
            self.running.insert(pool.clone(), running);
        }
    }

    /// What each of these costs, in ten-thousandths of an eighth of a GPU; none for what is no MIG instance. Of profiles of
    /// which any will do a smaller one costs less in any case: what a GPU is worth with an instance says nothing of what
    /// was asked for.
    pub fn costs(&mut self, trial: &Trial, seats: &[Seat]) -> Vec<Option<i64>> {
        if self.fleets.is_empty() || !seats.iter().any(|seat| self.instance(trial, *seat).is_some()) {
            return vec![None; seats.len()];
        }
        self.was_consulted = true;
        let layouts = self.layouts(trial);
        let cost = |seat: &Seat| {
            let Instance { fleet, gpu, placement } = self.instance(trial, *seat)?;
            let (from, fleet) = (layouts.get(&gpu).copied().unwrap_or(LayoutId::EMPTY), &self.fleets[fleet]);
            let to = fleet.family.table.with(from, placement)?;
            let size = i64::from(placement.size()) * BEYOND_ANY_VALUE;
            Some(size + i64::from(fleet.values.as_ref()?.cost(from, to)))
        };
        seats.iter().map(cost).collect()
    }

    /// What is on each GPU that is not empty.
    fn layouts(&self, trial: &Trial) -> BTreeMap<u32, LayoutId> {
        let mut layouts = BTreeMap::new();
        for seat in trial.seats().filter(|seat| trial.is_taken(*seat)) {
            let Some(Instance { fleet, gpu, placement }) = self.instance(trial, seat) else { continue };
            let layout = layouts.entry(gpu).or_insert(LayoutId::EMPTY);
            // What the table does not know leaves the layout as it is.
            *layout = self.fleets[fleet].family.table.with(*layout, placement).unwrap_or(*layout);
        }
        layouts
    }

    fn instance(&self, trial: &Trial, seat: Seat) -> Option<Instance> {
        self.instances[trial.listing(seat).index()]
    }
}

impl Family {
    fn new(geometry: &Arc<MigGeometry>) -> Option<Family> {
        let table = LayoutTable::new(geometry)?;
        let book = Mutex::new(SliceBook::new(SliceShapes::new(&table)?));
        Some(Family { table, book })
    }

    fn values(&self, running: &[u32]) -> SliceValues {
        // A book is whole after each of its steps.
        self.book.lock().unwrap_or_else(PoisonError::into_inner).values(running).clone()
    }
}
