//! Everything that can be allocated: nodes, classes, slices, with devices and counters by number.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::claim::DeviceClass;
use super::features::Features;
use super::nodes::Node;
use super::slice::{Device, DeviceId, PoolId, Slice};

/// A device by its name. Several editions of a pool may describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNo(pub(super) u32);

impl DeviceNo {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A device as a slice describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Listing(u32);

impl Listing {
    /// The description of this number.
    pub(super) fn at(number: usize) -> Listing {
        Listing(number_of(number))
    }

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A counter of an edition of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CounterNo(u32);

impl CounterNo {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// An edition of a pool: all its slices of one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EditionNo(u32);

impl EditionNo {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is known of an edition beyond its slices.
#[derive(Debug, Clone, Default)]
pub(super) struct Edition {
    /// Its slices, in the order in which they were given.
    pub slices: Vec<u32>,
    /// Why no counter of it can be trusted, if so.
    pub fault: Option<String>,
    /// Its counters.
    pub counters: Vec<CounterNo>,
    /// Whether a device of it may be described twice.
    pub has_duplicates: bool,
}

/// What one device takes of a counter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    pub counter: CounterNo,
    /// In billionths.
    pub nanos: i128,
}

#[derive(Debug, Clone, Copy)]
struct ListingEntry {
    slice: u32,
    at: u32,
    device: DeviceNo,
    /// Where its draws are.
    draws: (u32, u32),
}

/// Counters of an edition, by set and name.
type CounterNames = BTreeMap<(Box<str>, Box<str>), CounterNo>;

/// A pool: its slices of all generations.
#[derive(Debug, Clone, Default)]
struct PoolEntry {
    slices: Vec<u32>,
    generations: BTreeMap<i64, EditionNo>,
    /// The node, where nobody else has to look at it.
    home: Option<Box<str>>,
}

/// Which nodes have to look at a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach<'a> {
    /// It is not there.
    Nowhere,
    /// This one.
    Node(&'a str),
    /// Any may have to.
    Everywhere,
}

/// Everything that can be allocated. Nodes, classes and whole pools can be replaced; what is in use is in
/// [`Usage`](super::usage::Usage). Numbers are never given anew: what a pool no longer has stays behind until
/// [`Inventory::is_worn`] says that it is time to make the inventory anew.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    nodes: BTreeMap<Box<str>, Node>,
    classes: BTreeMap<Box<str>, DeviceClass>,
    slices: Vec<Arc<Slice>>,
    /// The edition of each slice.
    edition_of: Vec<EditionNo>,
    editions: Vec<Edition>,
    pools: BTreeMap<PoolId, PoolEntry>,
    /// Slices for one node, and those that any node may have to look at.
    on_node: BTreeMap<Box<str>, Vec<u32>>,
    shared: Vec<u32>,
    listings: Vec<ListingEntry>,
    /// The first listing of each slice.
    first_listing: Vec<u32>,
    draws: Vec<Draw>,
    features: Features,
    devices: IndexMap<DeviceId, Vec<Listing>, FxBuildHasher>,
    /// Each counter's amount in billionths, and its edition.
    counters: Vec<(i128, EditionNo)>,
    counter_of: Vec<CounterNames>,
    /// How many listings no pool has any more.
    dead: usize,
}

/// So many listings that no pool has any more are no burden.
const FEW: usize = 1024;

impl Inventory {
    /// What these offer. Of two nodes, or classes, of one name the later one counts.
    ///
    /// # Panics
    /// With four billion devices or counters.
    pub fn new(nodes: Vec<Node>, classes: Vec<DeviceClass>, slices: Vec<Slice>) -> Inventory {
        let mut inventory = Inventory {
            nodes: nodes.into_iter().map(|node| (node.name.clone(), node)).collect(),
            classes: classes.into_iter().map(|class| (class.name.clone(), class)).collect(),
            ..Inventory::default()
        };
        let mut pools: BTreeMap<PoolId, Vec<Arc<Slice>>> = BTreeMap::new();
        for slice in slices {
            pools.entry(slice.pool.clone()).or_default().push(Arc::new(slice));
        }
        for (pool, slices) in pools {
            inventory.set_pool(&pool, slices);
        }
        inventory
    }

    /// A node is new, or its labels are.
    pub fn set_node(&mut self, node: Node) {
        self.nodes.insert(node.name.clone(), node);
    }

    /// A node is gone.
    pub fn remove_node(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// A class is new, or has changed.
    pub fn set_class(&mut self, class: DeviceClass) {
        self.classes.insert(class.name.clone(), class);
    }

    /// A class is gone.
    pub fn remove_class(&mut self, name: &str) {
        self.classes.remove(name);
    }

    /// From now on these are all slices of a pool.
    ///
    /// # Panics
    /// With four billion devices or counters.
    pub(super) fn set_pool(&mut self, pool: &PoolId, slices: Vec<Arc<Slice>>) {
        self.drop_pool(pool);
        let first = number_of(self.slices.len());
        for slice in &slices {
            self.index_edition(slice);
        }
        for slice in &slices {
            self.index_counters(slice);
        }
        for (number, slice) in (first..).zip(&slices) {
            self.index_devices(number, slice);
        }
        let numbers = first..first + number_of(slices.len());
        self.slices.extend(slices);
        self.index_nodes(numbers);
    }

    fn drop_pool(&mut self, pool: &PoolId) {
        let Some(entry) = self.pools.remove(pool) else { return };
        for number in entry.slices {
            for listing in self.listings_in(number).collect::<Vec<_>>() {
                let device = self.described(listing);
                self.devices[device.index()].retain(|known| *known != listing);
                self.dead += 1;
            }
            let node = self.slices[number as usize].nodes.single().unwrap_or_default();
            if let Some(numbers) = self.on_node.get_mut(node) {
                numbers.retain(|known| *known != number);
                if numbers.is_empty() {
                    self.on_node.remove(node);
                }
            }
            self.shared.retain(|known| *known != number);
        }
    }

    /// Is more than half of what is kept no longer there?
    pub(super) fn is_worn(&self) -> bool {
        self.dead > FEW.max(self.listings.len() / 2)
    }

    /// The same without what is no longer there. Devices keep their numbers.
    pub(super) fn renewed(&self) -> Inventory {
        let (nodes, classes) = (self.nodes.clone(), self.classes.clone());
        let devices = self.devices.keys().map(|id| (id.clone(), vec![])).collect();
        let mut renewed = Inventory { nodes, classes, devices, ..Inventory::default() };
        for (pool, entry) in &self.pools {
            let slices = entry.slices.iter().map(|number| Arc::clone(&self.slices[*number as usize])).collect();
            renewed.set_pool(pool, slices);
        }
        renewed
    }

    /// The number of a device, which is given now if it has none: one can be in use that no slice describes.
    pub(super) fn register(&mut self, id: &DeviceId) -> DeviceNo {
        let known = self.devices.get_index_of(id);
        DeviceNo(number_of(known.unwrap_or_else(|| self.devices.insert_full(id.clone(), vec![]).0)))
    }

    fn index_edition(&mut self, slice: &Slice) {
        let next = EditionNo(number_of(self.editions.len()));
        let number = number_of(self.edition_of.len());
        let entry = self.pools.entry(slice.pool.clone()).or_default();
        let edition = *entry.generations.entry(slice.generation).or_insert(next);
        entry.slices.push(number);
        if edition == next {
            self.editions.push(Edition::default());
            self.counter_of.push(BTreeMap::new());
        }
        self.editions[edition.index()].slices.push(number);
        self.edition_of.push(edition);
    }

    /// Which nodes have to look at the slices of a pool. Counters are looked at from everywhere, as upstream does; where a
    /// pool is whole and all of it is for one node, nobody else learns anything from them.
    fn index_nodes(&mut self, numbers: std::ops::Range<u32>) {
        let slices = || numbers.clone().map(|number| &self.slices[number as usize]);
        let home = slices().next().and_then(|slice| slice.nodes.single());
        let is_whole = |slice: &Arc<Slice>| {
            let edition = &self.editions[self.edition(slice).index()];
            edition.fault.is_none() && usize::try_from(slice.slices) == Ok(edition.slices.len())
        };
        let is_at_home = slices().all(|slice| home.is_some() && slice.nodes.single() == home && is_whole(slice));
        let mut pool_home = home;
        for number in numbers.clone() {
            let slice = &self.slices[number as usize];
            match slice.nodes.single() {
                Some(node) if is_at_home || slice.counters.is_empty() => {
                    self.on_node.entry(node.into()).or_default().push(number);
                    pool_home = pool_home.filter(|home| *home == node);
                }
                _ => {
                    self.shared.push(number);
                    pool_home = None;
                }
            }
        }
        let (pool_home, pool) = (pool_home.map(Into::into), slices().next().map(|slice| &slice.pool));
        if let Some(entry) = pool.and_then(|pool| self.pools.get_mut(pool)) {
            entry.home = pool_home;
        }
    }

    /// Which nodes have to look at a pool.
    pub(super) fn reach(&self, pool: &PoolId) -> Reach<'_> {
        match self.pools.get(pool).map(|entry| entry.home.as_deref()) {
            None => Reach::Nowhere,
            Some(Some(node)) => Reach::Node(node),
            Some(None) => Reach::Everywhere,
        }
    }

    fn edition(&self, slice: &Slice) -> EditionNo {
        self.pools[&slice.pool].generations[&slice.generation]
    }

    fn index_counters(&mut self, slice: &Slice) {
        let edition = self.edition(slice);
        for set in &slice.counters {
            let names = &self.counter_of[edition.index()];
            let known = (set.name.clone(), "".into());
            if names.range(known..).next().is_some_and(|((name, _), _)| *name == set.name) {
                self.editions[edition.index()].fault.get_or_insert(format!("duplicate counter set name {}", set.name));
                continue;
            }
            for (name, amount) in &set.counters {
                let counter = CounterNo(number_of(self.counters.len()));
                self.counters.push((amount.nanos(), edition));
                self.editions[edition.index()].counters.push(counter);
                self.counter_of[edition.index()].insert((set.name.clone(), name.clone()), counter);
            }
        }
    }

    fn index_devices(&mut self, number: u32, slice: &Slice) {
        let edition = self.edition(slice);
        self.first_listing.push(number_of(self.listings.len()));
        for (at, device) in (0..).zip(&slice.devices) {
            let first = number_of(self.draws.len());
            let mut draws: BTreeMap<CounterNo, i128> = BTreeMap::new();
            for set in &device.consumes {
                for (name, amount) in &set.counters {
                    match self.counter_of[edition.index()].get(&(set.name.clone(), name.clone())) {
                        Some(counter) => *draws.entry(*counter).or_insert(0) += amount.nanos(),
                        None => {
                            let fault = format!("device {} takes {name} of counter set {}", device.name, set.name);
                            self.editions[edition.index()].fault.get_or_insert(format!("{fault}, which is not there"));
                        }
                    }
                }
            }
            self.draws.extend(draws.into_iter().map(|(counter, nanos)| Draw { counter, nanos }));
            self.features.add(&slice.pool.driver, device);
            let id = DeviceId { pool: slice.pool.clone(), name: device.name.clone() };
            let listing = Listing(number_of(self.listings.len()));
            let entry = self.devices.entry(id);
            let device = DeviceNo(number_of(entry.index()));
            let listed = entry.or_default();
            let of_edition = |other: &Listing| self.edition_of[self.listings[other.index()].slice as usize] == edition;
            self.editions[edition.index()].has_duplicates |= listed.iter().any(of_edition);
            listed.push(listing);
            let draws = (first, number_of(self.draws.len()));
            self.listings.push(ListingEntry { slice: number, at, device, draws });
        }
    }

    /// The nodes, by name.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.nodes.values()
    }

    /// A node.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// A class.
    pub fn class(&self, name: &str) -> Option<&DeviceClass> {
        self.classes.get(name)
    }

    /// A device by its name, if any slice describes it.
    pub fn device_no(&self, id: &DeviceId) -> Option<DeviceNo> {
        self.devices.get_index_of(id).map(|at| DeviceNo(number_of(at)))
    }

    /// The name of a device.
    pub fn device_id(&self, device: DeviceNo) -> &DeviceId {
        self.devices.get_index(device.index()).expect("numbers are handed out with their devices").0
    }

    /// How many descriptions of devices there are.
    pub(super) fn listings(&self) -> usize {
        self.listings.len()
    }

    /// How many editions there are.
    pub(super) fn editions(&self) -> usize {
        self.editions.len()
    }

    /// Each counter's amount in billionths, and the edition that it is of.
    pub(super) fn counters(&self) -> &[(i128, EditionNo)] {
        &self.counters
    }

    /// How slices describe a device.
    pub(super) fn listings_of(&self, device: DeviceNo) -> &[Listing] {
        &self.devices[device.index()]
    }

    /// A description of a device.
    pub(super) fn device(&self, listing: Listing) -> &Device {
        let entry = &self.listings[listing.index()];
        &self.slices[entry.slice as usize].devices[entry.at as usize]
    }

    /// The slice that a description is in.
    pub(super) fn slice_of(&self, listing: Listing) -> &Slice {
        &self.slices[self.listings[listing.index()].slice as usize]
    }

    /// The device that is described.
    pub(super) fn described(&self, listing: Listing) -> DeviceNo {
        self.listings[listing.index()].device
    }

    /// What a device takes of counters.
    pub(super) fn draws(&self, listing: Listing) -> &[Draw] {
        let (from, to) = self.listings[listing.index()].draws;
        &self.draws[from as usize..to as usize]
    }

    /// What devices have, by number.
    pub(super) fn features(&self) -> &Features {
        &self.features
    }

    /// The driver of a device.
    pub(super) fn driver(&self, listing: Listing) -> &str {
        &self.slice_of(listing).pool.driver
    }

    /// All pools.
    pub(super) fn pools(&self) -> impl Iterator<Item = &PoolId> {
        self.pools.keys()
    }

    /// The devices of a slice.
    pub(super) fn listings_in(&self, slice: u32) -> impl Iterator<Item = Listing> {
        let first = self.first_listing[slice as usize];
        (first..first + number_of(self.slices[slice as usize].devices.len())).map(Listing)
    }

    /// The number of the edition that a description is in.
    pub(super) fn edition_number(&self, listing: Listing) -> u32 {
        self.edition_of[self.listings[listing.index()].slice as usize].0
    }

    /// A slice.
    pub(super) fn slice(&self, number: u32) -> &Slice {
        &self.slices[number as usize]
    }

    /// Slices that may be for a node: its own, then those that are not for one node only.
    pub(super) fn slices_for(&self, node: &str) -> impl Iterator<Item = u32> {
        self.on_node.get(node).into_iter().flatten().chain(&self.shared).copied()
    }

    /// What slices of a pool describe now.
    pub(super) fn listings_of_pool(&self, pool: &PoolId) -> impl Iterator<Item = Listing> {
        let slices = self.pools.get(pool).into_iter().flat_map(|entry| &entry.slices);
        slices.flat_map(|slice| self.listings_in(*slice))
    }

    /// The edition of a slice.
    pub(super) fn edition_of(&self, slice: u32) -> (EditionNo, &Edition) {
        let number = self.edition_of[slice as usize];
        (number, &self.editions[number.index()])
    }

    /// The newest generation of a pool.
    pub(super) fn newest(&self, pool: &PoolId) -> Option<i64> {
        self.pools.get(pool).and_then(|entry| entry.generations.keys().next_back().copied())
    }
}

fn number_of(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than four billion devices, counters and slices")
}
