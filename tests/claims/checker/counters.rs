//! Counters that devices of a pool share.

use std::collections::{BTreeMap, BTreeSet};

use super::held::Held;
use super::pools::{DeviceId, Pool};
use super::quantity::Quantity;
use super::uses::Use;
use super::{Fault, ensure};
use crate::case::{items, text};

/// What devices draw that are in use, each once, is no more than there is. Where it was too much before, nothing may
/// draw on it.
pub fn not_overdrawn(pools: &BTreeMap<(String, String), Pool<'_>>, uses: &[Use<'_>], held: &Held) -> Result<(), Fault> {
    let given: BTreeSet<DeviceId> = uses.iter().map(|used| used.device.id()).collect();
    for pool in pools.values() {
        let mut drawn = BTreeMap::<(&str, &str), Quantity>::new();
        let mut fresh = BTreeSet::new();
        for device in &pool.everywhere {
            let id = device.id();
            let before = held.whole.contains(&id) || held.shared.contains(&id);
            if !before && !given.contains(&id) {
                continue;
            }
            for draw in items(&device.device["consumesCounters"]) {
                for (name, counter) in draw["counters"].as_object().into_iter().flatten() {
                    let key = (text(&draw["counterSet"]), name.as_str());
                    let sum = drawn.entry(key).or_default();
                    *sum = *sum + Quantity::read(&counter["value"]);
                    if !before {
                        fresh.insert(key);
                    }
                }
            }
        }
        for (set, name) in fresh {
            let value = Quantity::read(&pool.counters[set]["counters"][name]["value"]);
            let sum = drawn[&(set, name)];
            ensure("counters", sum <= value, || format!("{sum:?} of {value:?} of {name} in {set}"))?;
        }
    }
    Ok(())
}
