//! What is in use: devices, shares of devices, counters. It can be taken and given back exactly.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::amount::Amount;
use super::capacity::Amounts;
use super::inventory::{CounterNo, DeviceNo, EditionNo, Inventory};
use super::slice::{DeviceId, PoolId};

/// A device, or a share of one, that an allocated claim has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The device.
    pub device: DeviceId,
    /// How it is held.
    pub kind: HoldingKind,
}

/// How a device is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldingKind {
    /// By one claim only.
    Exclusive,
    /// A share of it; of how much, if that is known.
    Share(Option<Amounts>),
    /// For administration: that keeps nobody from anything.
    Admin,
}

/// What is in use of one device.
#[derive(Debug, Clone, Default)]
pub(super) struct DeviceUse {
    exclusive: u32,
    shares: u32,
    /// Shares of which it is known how much they take.
    measured: u32,
    taken: Amounts,
}

impl DeviceUse {
    fn holders(&self) -> u32 {
        self.exclusive + self.shares
    }

    /// Whether one claim has the device for itself.
    pub fn is_exclusive(&self) -> bool {
        self.exclusive > 0
    }

    /// What shares of it have taken, as far as that is known; none when nothing is.
    pub fn shares(&self) -> Option<&Amounts> {
        (self.measured > 0).then_some(&self.taken)
    }
}

/// What is in use of an [`Inventory`].
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// Devices in use.
    devices: IndexMap<DeviceNo, DeviceUse, FxBuildHasher>,
    /// How much is left of each counter, in billionths. It can be less than nothing.
    left: Vec<i128>,
    /// How many counters of each edition have less than nothing left.
    overdrawn: Vec<u32>,
}

impl Usage {
    /// Nothing is in use.
    pub fn new(inventory: &Inventory) -> Usage {
        let mut usage = Usage {
            devices: IndexMap::default(),
            left: inventory.counters().iter().map(|(amount, _)| *amount).collect(),
            overdrawn: vec![0; inventory.editions()],
        };
        for (amount, edition) in inventory.counters() {
            usage.overdrawn[edition.index()] += u32::from(*amount < 0);
        }
        usage
    }

    /// What is in use stays so when the slices of a pool are others: counters that are new are drawn from.
    pub(super) fn keep_up(&mut self, inventory: &Inventory, pool: &PoolId) {
        let known = self.left.len();
        for (amount, _) in &inventory.counters()[known..] {
            self.left.push(*amount);
        }
        self.overdrawn.resize(inventory.editions(), 0);
        for listing in inventory.listings_of_pool(pool) {
            if self.is_in_use(inventory.described(listing)) {
                inventory.draws(listing).iter().for_each(|draw| self.left[draw.counter.index()] -= draw.nanos);
            }
        }
        for (left, (_, edition)) in self.left[known..].iter().zip(&inventory.counters()[known..]) {
            self.overdrawn[edition.index()] += u32::from(*left < 0);
        }
    }

    /// The same in an inventory that numbers devices alike.
    pub(super) fn moved_to(self, inventory: &Inventory) -> Usage {
        let mut usage = Usage { devices: IndexMap::default(), ..Usage::new(inventory) };
        for (device, entry) in self.devices {
            usage.devices.insert(device, entry);
            usage.draw(inventory, device, -1);
        }
        usage
    }

    /// Takes what is held.
    pub(super) fn take(&mut self, inventory: &mut Inventory, holding: &Holding) {
        let device = inventory.register(&holding.device);
        self.take_device(inventory, device, &holding.kind);
    }

    /// Takes a device, or a share of it.
    pub(super) fn take_device(&mut self, inventory: &Inventory, device: DeviceNo, kind: &HoldingKind) {
        if *kind == HoldingKind::Admin {
            return;
        }
        let entry = self.devices.entry(device).or_default();
        let first = entry.holders() == 0;
        match kind {
            HoldingKind::Share(amounts) => {
                entry.shares += 1;
                entry.measured += u32::from(amounts.is_some());
                for (name, amount) in amounts.iter().flatten() {
                    let taken = entry.taken.entry(name.clone()).or_insert(Amount::ZERO);
                    *taken = taken.plus(*amount);
                }
            }
            _ => entry.exclusive += 1,
        }
        if first {
            self.draw(inventory, device, -1);
        }
    }

    /// Gives back what was taken.
    pub fn release(&mut self, inventory: &Inventory, holding: &Holding) {
        let Some(device) = inventory.device_no(&holding.device) else { return };
        self.release_device(inventory, device, &holding.kind);
    }

    /// Gives back a device, or a share of it.
    pub(super) fn release_device(&mut self, inventory: &Inventory, device: DeviceNo, kind: &HoldingKind) {
        let Some(entry) = self.devices.get_mut(&device) else { return };
        match kind {
            HoldingKind::Admin => return,
            HoldingKind::Share(amounts) => {
                entry.shares = entry.shares.saturating_sub(1);
                entry.measured = entry.measured.saturating_sub(u32::from(amounts.is_some()));
                for (name, amount) in amounts.iter().flatten() {
                    if let Some(taken) = entry.taken.get_mut(name) {
                        *taken = taken.minus(*amount);
                    }
                }
            }
            HoldingKind::Exclusive => entry.exclusive = entry.exclusive.saturating_sub(1),
        }
        if entry.holders() == 0 {
            self.devices.swap_remove(&device);
            self.draw(inventory, device, 1);
        }
    }

    fn draw(&mut self, inventory: &Inventory, device: DeviceNo, sign: i128) {
        for &listing in inventory.listings_of(device) {
            for draw in inventory.draws(listing) {
                let left = &mut self.left[draw.counter.index()];
                let edition = inventory.counters()[draw.counter.index()].1;
                let overdrawn = &mut self.overdrawn[edition.index()];
                *overdrawn -= u32::from(*left < 0);
                *left += sign * draw.nanos;
                *overdrawn += u32::from(*left < 0);
            }
        }
    }

    /// Whether anybody has the device or a share of it.
    pub fn is_in_use(&self, device: DeviceNo) -> bool {
        self.devices.contains_key(&device)
    }

    /// What is in use of a device, if anything is.
    pub(super) fn of(&self, device: DeviceNo) -> Option<&DeviceUse> {
        self.devices.get(&device)
    }

    /// What is left of a counter, in billionths.
    pub(super) fn left(&self, counter: CounterNo) -> i128 {
        self.left[counter.index()]
    }

    /// Whether more is taken of some counter of an edition than there is. Then nothing more is handed out that needs
    /// counters of the pool, as upstream.
    pub(super) fn is_overdrawn(&self, edition: EditionNo) -> bool {
        self.overdrawn[edition.index()] > 0
    }
}

/// Equal when the same is in use, however that came about.
impl PartialEq for Usage {
    fn eq(&self, other: &Usage) -> bool {
        let facts = |entry: &DeviceUse| {
            let taken: Vec<_> = entry.taken.iter().filter(|(_, amount)| !amount.is_zero()).collect();
            format!("{} {} {} {taken:?}", entry.exclusive, entry.shares, entry.measured)
        };
        self.left == other.left
            && self.overdrawn == other.overdrawn
            && self.devices.len() == other.devices.len()
            && self.devices.iter().all(|(no, entry)| other.of(*no).is_some_and(|other| facts(entry) == facts(other)))
    }
}
