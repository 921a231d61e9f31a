//! What of the slices a node may use.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::nodes::reaches;
use crate::case::{Case, items, text};

/// Driver, pool and device.
pub type DeviceId = (String, String, String);

/// A device, and what it is part of.
#[derive(Clone, Copy)]
pub struct Device<'a> {
    pub slice: &'a Value,
    pub device: &'a Value,
}

impl<'a> Device<'a> {
    /// The part of the slice that says from where this device can be used.
    pub fn place(&self) -> &'a Value {
        if self.slice["spec"]["perDeviceNodeSelection"] == true { self.device } else { &self.slice["spec"] }
    }

    /// Its driver.
    pub fn driver(&self) -> &'a str {
        text(&self.slice["spec"]["driver"])
    }

    /// Its name in full.
    pub fn id(&self) -> DeviceId {
        let pool = text(&self.slice["spec"]["pool"]["name"]).to_owned();
        (self.driver().to_owned(), pool, text(&self.device["name"]).to_owned())
    }

    /// Whether several may have it.
    pub fn is_shared(&self) -> bool {
        self.device["allowMultipleAllocations"] == true
    }
}

/// The pool as one node sees it.
pub struct Pool<'a> {
    /// Some slices are missing: nobody gets anything.
    pub incomplete: bool,
    /// It contradicts itself: nobody gets anything.
    pub invalid: bool,
    /// Devices that the node can use.
    pub devices: Vec<Device<'a>>,
    /// Devices for other nodes too, since they draw on the same counters.
    pub everywhere: Vec<Device<'a>>,
    /// Counter sets by name.
    pub counters: BTreeMap<&'a str, &'a Value>,
}

/// All pools that a node has something of, by driver and name.
pub fn pools<'a>(case: &'a Case, node: &Value) -> BTreeMap<(String, String), Pool<'a>> {
    let mut slices = BTreeMap::<(String, String), Vec<&Value>>::new();
    for slice in case.of("ResourceSlice") {
        let spec = &slice["spec"];
        let id = (text(&spec["driver"]).to_owned(), text(&spec["pool"]["name"]).to_owned());
        slices.entry(id).or_default().push(slice);
    }
    slices.into_iter().filter_map(|(id, slices)| Some((id, pool(&slices, node)?))).collect()
}

fn pool<'a>(all: &[&'a Value], node: &Value) -> Option<Pool<'a>> {
    let generation = |slice: &Value| slice["spec"]["pool"]["generation"].as_i64().unwrap_or(0);
    let has_counters = |slice: &Value| !items(&slice["spec"]["sharedCounters"]).is_empty();
    let is_seen = |slice: &&Value| {
        let spec = &slice["spec"];
        let by_device = spec["perDeviceNodeSelection"] == true;
        has_counters(slice)
            || reaches(spec, node)
            || by_device && items(&spec["devices"]).iter().any(|device| reaches(device, node))
    };
    let newest = all.iter().copied().filter(is_seen).map(generation).max()?;
    let current: Vec<&Value> = all.iter().copied().filter(|slice| generation(slice) == newest).collect();
    let seen: Vec<&Value> = current.iter().copied().filter(is_seen).collect();
    // As many as the first that is seen says.
    let wanted = seen[0]["spec"]["pool"]["resourceSliceCount"].as_u64().unwrap_or(0) as usize;
    if seen.len() != wanted && all.iter().any(|slice| generation(slice) > newest) {
        // Replaced, though the node is not told.
        return None;
    }
    let incomplete = seen.len() != wanted && current.len() != wanted;
    let devices_of = |slices: &[&'a Value]| -> Vec<Device<'a>> {
        let of_slice =
            |slice: &'a Value| items(&slice["spec"]["devices"]).iter().map(move |device| Device { slice, device });
        slices.iter().copied().flat_map(of_slice).collect()
    };
    let devices = devices_of(&seen);
    let everywhere = devices_of(if seen.len() == wanted { &seen } else { &current });

    let mut names = BTreeSet::new();
    let mut invalid = devices.iter().any(|device| !names.insert(text(&device.device["name"])));
    let mut counters = BTreeMap::new();
    for set in seen.iter().flat_map(|slice| items(&slice["spec"]["sharedCounters"])) {
        invalid |= counters.insert(text(&set["name"]), set).is_some();
    }
    invalid |= everywhere.iter().flat_map(|device| items(&device.device["consumesCounters"])).any(|draw| {
        let set = counters.get(text(&draw["counterSet"]));
        let known = |counter: &String| set.is_some_and(|set| !set["counters"][counter].is_null());
        !draw["counters"].as_object().into_iter().flatten().all(|(counter, _)| known(counter)) || set.is_none()
    });
    Some(Pool { incomplete, invalid, devices, everywhere, counters })
}
