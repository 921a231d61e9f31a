//! What allocated claims hold.

use std::collections::{BTreeMap, BTreeSet};

use super::pools::DeviceId;
use super::quantity::Quantity;
use crate::case::{Case, is_pending, items, text};

/// Devices and parts of devices that are not free.
#[derive(Default)]
pub struct Held {
    /// Given out whole.
    pub whole: BTreeSet<DeviceId>,
    /// Given out in part.
    pub shared: BTreeSet<DeviceId>,
    /// The shares' names.
    pub shares: BTreeSet<String>,
    /// What is gone of each capacity of a device.
    pub consumed: BTreeMap<DeviceId, BTreeMap<String, Quantity>>,
}

/// What the case's allocated claims hold. Admin access holds nothing.
pub fn held(case: &Case) -> Held {
    let mut held = Held::default();
    let claims = case.of("ResourceClaim").filter(|claim| !is_pending(claim));
    for result in claims.flat_map(|claim| items(&claim["status"]["allocation"]["devices"]["results"])) {
        if result["adminAccess"] == true {
            continue;
        }
        let id = [&result["driver"], &result["pool"], &result["device"]].map(|part| text(part).to_owned());
        let id: DeviceId = id.into();
        let Some(share) = result["shareID"].as_str() else {
            held.whole.insert(id);
            continue;
        };
        held.shares.insert(share.to_owned());
        held.shared.insert(id.clone());
        for (name, quantity) in result["consumedCapacity"].as_object().into_iter().flatten() {
            let consumed = held.consumed.entry(id.clone()).or_default().entry(name.clone()).or_default();
            *consumed = *consumed + Quantity::read(quantity);
        }
    }
    held
}
