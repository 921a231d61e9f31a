//! No device, and no counter that devices share, is given twice.
//!
//! Where testudo's claim is allocated according to testudo, and not according to kube-scheduler, since the watches of both are
//! behind, kube-scheduler gives it devices by itself, of those that it takes for free. Filter is asked about nodes, not about
//! claims, so nobody can keep it from that; bind has to refuse the pod then, and the claim has to lose them again. So a claim
//! that kube-scheduler has given its devices counts as soon as a pod runs with them, and at the end in any case.

use std::collections::BTreeMap;

use super::{Auditor, Rule, Violation, wrong};
use crate::api::store::{Kind, Store};
use crate::facts::{Claim, Counter, Device, Devices};

/// Which claims are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    /// Those that testudo has given devices, and those that are in use.
    OursAndUsed,
    /// All.
    All,
}

impl Auditor {
    pub(super) fn devices_kept(&self, store: &Store, counting: Counting) -> Option<Violation> {
        let counts = |(name, claim): &(&String, &Claim)| {
            counting == Counting::All || !self.given_by_scheduler.contains(*name) || self.user_of(claim).is_some()
        };
        let claims: Vec<&Claim> = self.claims.iter().filter(counts).map(|(_, claim)| claim).collect();
        devices_once(&claims).or_else(|| counters_kept(&claims, store))
    }
}

fn devices_once(claims: &[&Claim]) -> Option<Violation> {
    let mut holders: BTreeMap<&Device, &Claim> = BTreeMap::new();
    for claim in claims {
        for device in claim.devices.iter().flatten() {
            if let Some(other) = holders.insert(device, claim) {
                let (_, pool, name) = device;
                let text = format!("device {pool}/{name} was given to claims {} and {}", other.key, claim.key);
                return wrong(Rule::DeviceOnce, text);
            }
        }
    }
    None
}

fn counters_kept(claims: &[&Claim], store: &Store) -> Option<Violation> {
    let published = Devices::read(store.all(Kind::Slice).map(|(_, slice)| &***slice));
    let mut drawn: BTreeMap<&Counter, i64> = BTreeMap::new();
    let held = claims.iter().flat_map(|claim| claim.devices.iter().flatten());
    for (counter, amount) in held.filter_map(|device| published.devices.get(device)).flat_map(|it| &it.draws) {
        *drawn.entry(counter).or_default() += amount;
    }
    let beyond = drawn.iter().find(|(counter, drawn)| published.counters.get(*counter).is_some_and(|has| has < drawn));
    let ((_, pool, set, counter), drawn) = beyond?;
    wrong(Rule::CounterKept, format!("{drawn} are drawn of counter {counter} of {pool}/{set}"))
}
