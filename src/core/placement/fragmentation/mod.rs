//! Fragmentation: how much of what is free could typical pods not use?
//!
//! What is free on a node is worth as much of it as typical pods would still fill: the node is filled with sample streams
//! of the mix, and what they take counts, CPU and memory binding as they do. A pod goes where it destroys the least of
//! that worth. Devices of classes that are more in demand than others count more. In contrast to FGD (USENIX ATC'23),
//! which asks for each typical pod alone what it could not use, the streams see that what one pod takes is gone for the
//! next, and that CPUs run out before GPUs do.

mod classes;
mod fleet;
mod mix;
mod pressure;
mod room;
mod streams;

pub use fleet::Fleet;
pub use mix::{Expected, MAX_SHAPES, Mix, MixEntry, Prior};

use std::sync::{Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::cluster::{NodeState, Slot};
use crate::model::gpu_share;
use crate::placement::Asked;
use classes::{Class, Classes};
use room::{Bite, FlatRoom, What};
use streams::Typical;

/// Costs are counted in so many parts of a thousandth of a device.
const COST_PARTS: i64 = 16;

/// The worth of a thousandth of a device with 32 GiB, in parts, where its class is no more in demand than others.
const PRICE: i64 = 256;

/// The worth of a pod that needs several devices and still fits, in hundredths of its share of the demanded devices.
const PREMIUM_PERCENT: i64 = 30;

/// What a place costs of which nothing is known: dearer than those of which something is.
pub const UNKNOWN_COST: i32 = 1 << 25;

/// How many values of rooms are remembered; past that they are forgotten all at once.
const MAX_REMEMBERED: usize = 1 << 18;

/// What is free on a node, and how much of that is of use, in thousandths of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usable {
    /// What is free.
    pub free_milli: i64,
    /// What typical pods would fill of it, on the average of the sample streams.
    pub usable_milli: i64,
}

/// Says what placing a pod on a node costs the pods to come.
#[derive(Debug, Default)]
pub struct Scorer {
    classes: Classes,
    tables: Vec<Table>,
    values: Mutex<Values>,
}

/// What rooms are worth, as far as it has been asked.
#[derive(Debug, Default)]
struct Values {
    of_room: IndexMap<(u16, FlatRoom), Worth, FxBuildHasher>,
    /// What is free in each slot, and its worth, with the stamp of the state that it is of.
    of_slot: Vec<Option<(u64, FlatRoom, i64)>>,
}

/// What a room is worth to the pods to come.
#[derive(Debug, Clone, Copy, Default)]
struct Worth {
    /// The thousandths of devices that the streams fill, all streams together.
    filled: i64,
    /// That and what large pods it can still take, by the price of its class.
    value: i64,
}

/// What the worth of rooms of one class is computed from.
#[derive(Debug)]
struct Table {
    /// The worth of a thousandth of a device, in parts.
    price: i64,
    streams: Vec<Vec<Bite>>,
    /// What several devices at once are worth while they can be had, over all streams.
    premiums: Vec<(Bite, i64)>,
    /// The least that any pod of the streams takes.
    least_cpu: i64,
    least_memory: i64,
}

impl Scorer {
    /// A scorer for a fleet and a mix.
    pub fn new(mix: &Mix, fleet: &Fleet) -> Self {
        let classes = Classes::of(fleet, mix);
        let prices = pressure::prices(mix, &classes.classes);
        let tables = classes.classes.iter().zip(prices).map(|(class, price)| Table::new(mix, class, price)).collect();
        let values = Values { of_slot: vec![None; classes.of_slot.len()], ..Values::default() };
        Self { classes, tables, values: Mutex::new(values) }
    }

    /// How much of what is free on a node typical pods would still fill; nothing for nodes without accelerators.
    pub fn usable(&self, slot: Slot, state: &NodeState) -> Option<Usable> {
        let class = (*self.classes.of_slot.get(slot.index())?)?;
        let room = FlatRoom::of(state);
        let free_milli = room.free_milli(&self.classes.classes[usize::from(class)].pools);
        let Worth { filled, .. } = self.costs().worth(class, room);
        let usable_milli = (filled / streams::STREAMS as i64).min(free_milli);
        Some(Usable { free_milli, usable_milli })
    }

    /// Opens the memory of what rooms are worth, to ask what places cost.
    pub fn costs(&self) -> Costs<'_> {
        Costs { scorer: self, values: self.values.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// Tells what places cost; others wait meanwhile.
#[derive(Debug)]
pub struct Costs<'a> {
    scorer: &'a Scorer,
    values: MutexGuard<'a, Values>,
}

impl Costs<'_> {
    /// What it costs the pods to come when a pod is placed on the node in this slot: the expected use of the node that
    /// is lost, in sixteenths of thousandths of a device with 32 GiB that is not scarce; larger and scarcer ones count for
    /// more. [`UNKNOWN_COST`] where it cannot be said: beyond a limit, or when the pod does not fit. Nodes without
    /// accelerators cost a pod without them nothing.
    pub fn of(&mut self, asked: &Asked, slot: Slot, state: &NodeState) -> i32 {
        let unknown = if asked.wants_accelerators() { UNKNOWN_COST } else { 0 };
        self.known(asked, slot, state).unwrap_or(unknown)
    }

    fn known(&mut self, asked: &Asked, slot: Slot, state: &NodeState) -> Option<i32> {
        let class = (*self.scorer.classes.of_slot.get(slot.index())?)?;
        let bite = bite(asked, &self.scorer.classes.classes[usize::from(class)])?;
        let (before, worth) = self.before(class, slot, state);
        if !before.fits(&bite) {
            return None;
        }
        let mut after = before;
        after.take(&bite);
        let lost = worth - self.worth(class, after).value;
        let cost = lost * COST_PARTS / (PRICE * streams::STREAMS as i64);
        Some(cost.clamp(i32::MIN.into(), i32::MAX.into()) as i32)
    }

    /// What is free on a node, and what it is worth.
    fn before(&mut self, class: u16, slot: Slot, state: &NodeState) -> (FlatRoom, i64) {
        if let Some((stamp, room, value)) = self.values.of_slot[slot.index()]
            && state.stamp() == Some(stamp)
        {
            return (room, value);
        }
        let room = FlatRoom::of(state);
        let Worth { value, .. } = self.worth(class, room);
        if let Some(stamp) = state.stamp() {
            self.values.of_slot[slot.index()] = Some((stamp, room, value));
        }
        (room, value)
    }

    fn worth(&mut self, class: u16, room: FlatRoom) -> Worth {
        let values = &mut self.values.of_room;
        if let Some(worth) = values.get(&(class, room)) {
            return *worth;
        }
        if values.len() >= MAX_REMEMBERED {
            values.clear();
        }
        let worth = self.scorer.tables[usize::from(class)].worth(room);
        values.insert((class, room), worth);
        worth
    }
}

impl Table {
    fn new(mix: &Mix, class: &Class, price: i64) -> Self {
        let typical: Vec<Typical> = streams::typical(mix, class).into_iter().flatten().collect();
        let demanded: i128 = typical.iter().map(|pod| i128::from(pod.weight) * i128::from(pod.bite.milli)).sum();
        let premium = |pod: &Typical| {
            let milli = i128::from(pod.bite.milli);
            let share = i128::from(pod.weight) * milli * milli / demanded.max(1);
            let premium = share * i128::from(PREMIUM_PERCENT) * streams::STREAMS as i128 / 100;
            (pod.bite, premium as i64)
        };
        let several = typical.iter().filter(|pod| pod.fits && pod.bite.milli > gpu_share::WHOLE.into());
        let premiums = several.map(premium).collect();
        let streams = streams::streams(&typical, class);
        let bites = || streams.iter().flatten();
        Self {
            price,
            premiums,
            least_cpu: bites().map(|bite| bite.cpu).min().unwrap_or(0),
            least_memory: bites().map(|bite| bite.memory).min().unwrap_or(0),
            streams,
        }
    }

    /// What is free is worth: what the streams fill of it, and what large pods it can still take.
    fn worth(&self, room: FlatRoom) -> Worth {
        if !room.has_accelerators() || room.cpu < self.least_cpu || room.memory < self.least_memory {
            return Worth::default();
        }
        let filled: i64 = self.streams.iter().map(|stream| self.fill(room, stream)).sum();
        let premium: i64 = self.premiums.iter().filter(|(bite, _)| room.fits(bite)).map(|(_, milli)| milli).sum();
        Worth { filled, value: self.price * (filled + premium) }
    }

    /// The thousandths of devices that a stream fills. What does not fit passes by.
    fn fill(&self, mut room: FlatRoom, stream: &[Bite]) -> i64 {
        let mut filled = 0;
        for bite in stream {
            if !room.fits(bite) {
                continue;
            }
            room.take(bite);
            filled += bite.milli;
            if room.cpu < self.least_cpu || !room.has_accelerators() {
                break;
            }
        }
        filled
    }
}

/// What a pod takes from a node of a class.
fn bite(asked: &Asked, class: &Class) -> Option<Bite> {
    let (what, milli) = match asked.accelerators.first() {
        // CPUs and memory alone, of which devices need some.
        None => (What::Nothing, 0),
        Some(wanted) => class.what(wanted.name, wanted.count)?,
    };
    Some(Bite { cpu: asked.cpu_milli, memory: asked.memory, what, milli })
}
