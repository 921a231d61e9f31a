//! How much of a device a request takes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::quantity::Quantity;
use crate::case::items;

/// What a request consumes of each capacity of a device that can be shared; none if the device does not offer it.
pub fn consumed(device: &Value, demand: &Value) -> Option<BTreeMap<String, Quantity>> {
    let requests = &demand["capacity"]["requests"];
    let offered = &device["capacity"];
    if requests.as_object().into_iter().flatten().any(|(name, _)| offered[name].is_null()) {
        return None;
    }
    let mut consumed = BTreeMap::new();
    for (name, capacity) in offered.as_object().into_iter().flatten() {
        let wanted = Some(&requests[name]).filter(|wanted| !wanted.is_null()).map(Quantity::read);
        let taken = one(capacity, wanted)?;
        if taken > Quantity::read(&capacity["value"]) {
            return None;
        }
        consumed.insert(name.clone(), taken);
    }
    Some(consumed)
}

/// The least that a policy lets a request take.
fn one(capacity: &Value, wanted: Option<Quantity>) -> Option<Quantity> {
    let policy = &capacity["requestPolicy"];
    let Some(wanted) = wanted else {
        let default = if policy["default"].is_null() { &capacity["value"] } else { &policy["default"] };
        return Some(Quantity::read(default));
    };
    let values = items(&policy["validValues"]);
    if !values.is_empty() {
        return values.iter().map(Quantity::read).filter(|value| *value >= wanted).min();
    }
    let range = &policy["validRange"];
    if range.is_null() {
        return Some(wanted);
    }
    let low = Quantity::read(&range["min"]);
    let mut taken = wanted.max(low);
    if !range["step"].is_null() && wanted > low {
        let step = Quantity::read(&range["step"]).whole();
        let steps = (wanted.whole() - low.whole() + step - 1).div_euclid(step);
        taken = Quantity::of(low.whole() + steps * step);
    }
    let fits = range["max"].is_null() || taken <= Quantity::read(&range["max"]);
    fits.then_some(taken)
}
