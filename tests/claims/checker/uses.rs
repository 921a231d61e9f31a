//! Who has what, all claims together.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::demands::Demand;
use super::held::Held;
use super::pools::{Device, DeviceId};
use super::quantity::Quantity;
use super::{Fault, capacity, ensure};

/// One device, or a share of one, for one request.
pub struct Use<'a> {
    pub claim: usize,
    pub demand: &'a Demand<'a>,
    pub result: &'a Value,
    pub device: Device<'a>,
}

/// Who takes a device whole is alone with it; admin access is beside others, but once a claim.
pub fn nothing_twice(uses: &[Use<'_>], held: &Held) -> Result<(), Fault> {
    let mut owners = BTreeSet::new();
    let mut in_claim = BTreeSet::new();
    for used in uses {
        let id = used.device.id();
        if !used.device.is_shared() {
            ensure("twice", in_claim.insert((used.claim, id.clone())), || format!("{id:?} twice in one claim"))?;
        }
        if used.demand.is_admin() {
            continue;
        }
        ensure("in use", !held.whole.contains(&id), || format!("{id:?}"))?;
        if !used.device.is_shared() {
            ensure("twice", owners.insert(id.clone()), || format!("{id:?} for two claims"))?;
        }
    }
    Ok(())
}

/// Shares have names of their own, say what they take, and take no more together than there is.
pub fn enough_capacity(uses: &[Use<'_>], held: &Held) -> Result<(), Fault> {
    let mut shares = held.shares.clone();
    let mut taken: BTreeMap<(DeviceId, String), Quantity> = BTreeMap::new();
    for used in uses {
        let (id, result) = (used.device.id(), used.result);
        let said: BTreeMap<String, Quantity> = result["consumedCapacity"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, quantity)| (name.clone(), Quantity::read(quantity)))
            .collect();
        let share = result["shareID"].as_str();
        if !used.device.is_shared() {
            ensure("shares", share.is_none() && said.is_empty(), || format!("{id:?} is not to be shared"))?;
            continue;
        }
        let fresh = share.is_some_and(|share| is_uid(share) && shares.insert(share.to_owned()));
        ensure("shares", fresh, || format!("{share:?} is no name for a new share of {id:?}"))?;
        let wanted = capacity::consumed(used.device.device, used.demand.spec).unwrap_or_default();
        ensure("capacity", said == wanted, || format!("{id:?} consumes {said:?} and should {wanted:?}"))?;
        for (name, quantity) in said {
            let before = held.consumed.get(&id).and_then(|consumed| consumed.get(&name)).copied();
            let sum = taken.entry((id.clone(), name.clone())).or_insert(before.unwrap_or_default());
            *sum = *sum + quantity;
            let value = Quantity::read(&used.device.device["capacity"][&name]["value"]);
            ensure("capacity", *sum <= value, || format!("{sum:?} of {value:?} {name} of {id:?}"))?;
        }
    }
    Ok(())
}

/// As RFC 4122 normalises it.
fn is_uid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && text.chars().all(|letter| letter == '-' || letter.is_ascii_digit() || ('a'..='f').contains(&letter))
}
