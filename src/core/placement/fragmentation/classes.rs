//! Classes of nodes: nodes of one class are worth the same when the same is free on them.

use std::collections::BTreeMap;
use std::ops::Deref;

use super::fleet::{Fleet, Kind};
use super::mix::Mix;

/// A class of nodes: those of one kind that the same typical pods accept.
#[derive(Debug)]
pub(super) struct Class {
    kind: Kind,
    /// Which conditions of the mix accept its nodes.
    accepted_with: u64,
    /// The thousandths of devices of all its nodes together.
    pub milli: i64,
}

impl Class {
    /// Do pods with these conditions, by their position in the mix, accept nodes of this class?
    pub fn accepted_with(&self, conditions: usize) -> bool {
        self.accepted_with >> conditions & 1 == 1
    }
}

impl Deref for Class {
    type Target = Kind;

    fn deref(&self) -> &Kind {
        &self.kind
    }
}

/// The classes of a fleet.
#[derive(Debug, Default)]
pub(super) struct Classes {
    /// In the order of kinds and conditions.
    pub classes: Vec<Class>,
    /// The class of each slot; none for free slots and nodes without accelerators.
    pub of_slot: Vec<Option<u16>>,
}

/// Most classes that are told apart. Places on the others are all equal.
const MAX_CLASSES: usize = 1024;

impl Classes {
    pub fn of(fleet: &Fleet, mix: &Mix) -> Self {
        let mut accepted_with = vec![0u64; fleet.kind_of_slot.len()];
        for (at, conditions) in mix.conditions.iter().enumerate() {
            for (set, accepts) in accepted_with.iter_mut().zip(&*fleet.admission(conditions)) {
                *set |= u64::from(*accepts) << at;
            }
        }
        let key_of = |slot: usize| fleet.kind_of_slot[slot].map(|kind| (kind, accepted_with[slot]));
        let mut sizes: BTreeMap<(u16, u64), i64> = BTreeMap::new();
        for key in (0..accepted_with.len()).filter_map(key_of) {
            *sizes.entry(key).or_default() += fleet.kinds[usize::from(key.0)].capacity();
        }
        let numbers: BTreeMap<(u16, u64), u16> = sizes.keys().take(MAX_CLASSES).copied().zip(0..).collect();
        let class = |(key, milli): (&(u16, u64), &i64)| Class {
            kind: fleet.kinds[usize::from(key.0)].clone(),
            accepted_with: key.1,
            milli: *milli,
        };
        Self {
            classes: sizes.iter().take(MAX_CLASSES).map(class).collect(),
            of_slot: (0..accepted_with.len()).map(|slot| numbers.get(&key_of(slot)?).copied()).collect(),
        }
    }
}
