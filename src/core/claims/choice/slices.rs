//! What a MIG instance costs: what its GPU is worth less with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::nvidia;
use crate::claims::allocator::Allocator;
use crate::claims::inventory::{Inventory, Listing};
use crate::claims::trial::Trial;
use crate::claims::view::Seat;
use crate::model::catalogue::Catalogue;
use crate::model::mig::{LayoutId, LayoutTable, MigGeometry, Placement};
use crate::placement::slices::{SliceBook, SliceShapes, SliceValues};

/// A MIG instance that can be made or has been made.
#[derive(Debug, Clone, Copy)]
struct Instance {
    family: usize,
    /// The GPU, by number.
    gpu: u32,
    placement: Placement,
}

#[derive(Debug, Clone)]
struct Family {
    table: LayoutTable,
    book: SliceBook,
    /// For what runs, once that has been read.
    values: Option<SliceValues>,
}

/// The worth of layouts of all products that there are, for what runs.
#[derive(Debug, Clone, Default)]
pub(super) struct MigCosts {
    families: Vec<Family>,
    /// By the name of the geometry; none where there is no table of it.
    known: BTreeMap<String, Option<usize>>,
    /// The numbers of GPUs, by edition and counter set.
    gpus: BTreeMap<(u32, Box<str>), u32>,
    /// By listing.
    instances: Vec<Option<Instance>>,
    /// Of which numbering of listings, see [`Allocator::renewals`].
    renewals: u64,
}

impl MigCosts {
    /// Reads which devices are MIG instances that are made on demand: those that share counters.
    pub fn new(allocator: &Allocator) -> MigCosts {
        let mut costs = MigCosts::default();
        costs.refresh(allocator);
        costs
    }

    /// Reads the devices that are new, and what runs: the mix of what is to come follows from it.
    pub fn refresh(&mut self, allocator: &Allocator) {
        self.read_devices(allocator);
        self.read_mix(allocator);
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
        let families = &mut self.families;
        let known = self.known.entry(geometry.name().to_owned());
        let family = (*known.or_insert_with(|| {
            let family = family(geometry)?;
            families.push(family);
            Some(families.len() - 1)
        }))?;
        let next = self.gpus.len() as u32;
        let gpu = *self.gpus.entry((inventory.edition_number(listing), set.name.clone())).or_insert(next);
        Some(Instance { family, gpu, placement: nvidia::placement(geometry, driver, device)? })
    }

    fn read_mix(&mut self, allocator: &Allocator) {
        if self.families.is_empty() {
            return;
        }
        let (inventory, usage) = (allocator.inventory(), allocator.usage());
        let profiles = |family: &Family| vec![0u32; family.table.geometry().profiles().len()];
        let mut running: Vec<Vec<u32>> = self.families.iter().map(profiles).collect();
        for device in usage.in_use() {
            // Editions of a pool describe the same device.
            let instance = inventory.listings_of(device).iter().find_map(|listing| self.instances[listing.index()]);
            if let Some(Instance { family, placement, .. }) = instance {
                running[family][placement.profile().index()] += 1;
            }
        }
        for (family, running) in self.families.iter_mut().zip(&running) {
            family.values = Some(family.book.values(running).clone());
        }
    }

    /// What each of these costs, in ten-thousandths of an eighth of a GPU; none for what is no MIG instance.
    pub fn costs(&self, trial: &Trial, seats: &[Seat]) -> Vec<Option<i64>> {
        if self.families.is_empty() {
            return vec![None; seats.len()];
        }
        let layouts = self.layouts(trial);
        let cost = |seat: &Seat| {
            let Instance { family, gpu, placement } = self.instance(trial, *seat)?;
            let (from, family) = (layouts.get(&gpu).copied().unwrap_or(LayoutId::EMPTY), &self.families[family]);
            let to = family.table.with(from, placement)?;
            Some(i64::from(family.values.as_ref()?.cost(from, to)))
        };
        seats.iter().map(cost).collect()
    }

    /// What is on each GPU that is not empty.
    fn layouts(&self, trial: &Trial) -> BTreeMap<u32, LayoutId> {
        let mut layouts = BTreeMap::new();
        for seat in trial.seats().filter(|seat| trial.is_taken(*seat)) {
            let Some(Instance { family, gpu, placement }) = self.instance(trial, seat) else { continue };
            let layout = layouts.entry(gpu).or_insert(LayoutId::EMPTY);
            // What the table does not know leaves the layout as it is.
            *layout = self.families[family].table.with(*layout, placement).unwrap_or(*layout);
        }
        layouts
    }

    fn instance(&self, trial: &Trial, seat: Seat) -> Option<Instance> {
        self.instances[trial.listing(seat).index()]
    }
}

fn family(geometry: &Arc<MigGeometry>) -> Option<Family> {
    let table = LayoutTable::new(geometry)?;
    let book = SliceBook::new(SliceShapes::new(&table)?);
    Some(Family { table, book, values: None })
}
