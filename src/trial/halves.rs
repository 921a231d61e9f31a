//! Gangs of which a part has nodes and the rest waits: what runs of them holds devices and does nothing with them.

use std::collections::BTreeSet;

use serde::Serialize;
use testudo_core::engine::GangView;

use super::ByGang;

/// Gangs that are half placed, and those that were.
#[derive(Debug, Default)]
pub struct Halves {
    /// Since when each that is one now, and how many devices it holds, last looked at.
    now: ByGang<Half>,
    ever: BTreeSet<testudo_core::model::gang::GangKey>,
    longest_ms: u64,
    device_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Half {
    since_ms: u64,
    looked_ms: u64,
    devices: u64,
}

/// What is told of them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HalvesReport {
    /// Gangs that were half placed at some time.
    pub half_placed: usize,
    /// Those that are now.
    pub half_placed_now: usize,
    /// For how long one was at most, in seconds.
    pub longest_seconds: u64,
    /// What they held meanwhile, in hours of devices.
    pub device_hours: f64,
}

impl Halves {
    /// Looks at all gangs.
    pub fn look(&mut self, gangs: impl Iterator<Item = GangView>, now_ms: u64) {
        let mut seen = BTreeSet::new();
        for gang in gangs {
            let Some(devices) = held_by_half(&gang) else { continue };
            seen.insert(gang.key.clone());
            self.ever.insert(gang.key.clone());
            let half = self.now.entry(gang.key).or_insert(Half { since_ms: now_ms, looked_ms: now_ms, devices });
            self.device_ms += half.devices * now_ms.saturating_sub(half.looked_ms);
            (half.looked_ms, half.devices) = (now_ms, devices);
        }
        for (_, half) in self.now.extract_if(.., |gang, _| !seen.contains(gang)) {
            self.device_ms += half.devices * now_ms.saturating_sub(half.looked_ms);
            self.longest_ms = self.longest_ms.max(now_ms.saturating_sub(half.since_ms));
        }
    }

    pub fn report(&self, now_ms: u64) -> HalvesReport {
        let open = self.now.values().map(|half| half.devices * now_ms.saturating_sub(half.looked_ms)).sum::<u64>();
        let longest = self.now.values().map(|half| now_ms.saturating_sub(half.since_ms)).max().unwrap_or(0);
        HalvesReport {
            half_placed: self.ever.len(),
            half_placed_now: self.now.len(),
            longest_seconds: self.longest_ms.max(longest) / 1000,
            device_hours: (self.device_ms + open) as f64 / 3_600_000.0,
        }
    }
}

/// How many devices a gang holds of which a part has nodes, and the rest exists and has none.
fn held_by_half(gang: &GangView) -> Option<u64> {
    let members = || gang.members.iter().filter(|member| !member.is_extra && member.pod.is_some());
    let waits = members().any(|member| !member.is_bound);
    let bound = || members().filter(|member| member.is_bound);
    let devices = || bound().map(|member| member.demand.devices().unsigned_abs()).sum();
    (waits && bound().next().is_some()).then(devices)
}
