//! Who is seen to have which devices, and what was given out more than once: a device that several claims have for
//! themselves, or devices that take more of their common counters than there is, such as MIG instances that overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::fleet::Fleet;
use crate::claims::{ClaimKey, DeviceId, Holding, HoldingKind, PoolId};

/// Something that was given out more than once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Collision {
    /// Several claims have the device for themselves.
    Device(DeviceId),
    /// Devices in use take more of the counters of a set than there is.
    Counters {
        /// The pool.
        pool: PoolId,
        /// The set.
        set: Box<str>,
    },
}

impl Collision {
    fn pool(&self) -> &PoolId {
        match self {
            Self::Device(device) => &device.pool,
            Self::Counters { pool, .. } => pool,
        }
    }
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => write!(f, "device {device} was given"),
            Self::Counters { pool, set } => write!(f, "devices that overlap ({set} of pool {pool}) were given"),
        }
    }
}

/// Who is seen to have which devices.
#[derive(Debug, Clone, Default)]
pub(super) struct Holders {
    /// By device: the claims, and whether each has it for itself.
    claims: BTreeMap<DeviceId, BTreeMap<ClaimKey, bool>>,
    /// What was told of, and between whom.
    told: BTreeMap<Collision, BTreeSet<ClaimKey>>,
}

impl Holders {
    /// A claim has these devices now, in the place of those.
    pub fn replace(&mut self, key: &ClaimKey, before: &[Holding], now: &[Holding], fleet: &Fleet) {
        for Holding { device, .. } in before {
            let Some(claims) = self.claims.get_mut(device) else { continue };
            claims.remove(key);
            if claims.is_empty() {
                self.claims.remove(device);
            }
        }
        for Holding { device, kind } in now.iter().filter(|holding| holding.kind != HoldingKind::Admin) {
            *self.claims.entry(device.clone()).or_default().entry(key.clone()).or_default() |=
                *kind == HoldingKind::Exclusive;
        }
        let pools: BTreeSet<&PoolId> = before.iter().map(|holding| &holding.device.pool).collect();
        let concerned = self.told.keys().filter(|collision| pools.contains(collision.pool()));
        for collision in concerned.cloned().collect::<Vec<_>>() {
            let left = self.parties(&collision, &[], fleet);
            match (left, self.told.get_mut(&collision)) {
                (Some(left), Some(told)) => told.retain(|claim| left.contains(claim)),
                _ => _ = self.told.remove(&collision),
            }
        }
    }

    /// How many collisions there are, as far as they were told of.
    pub fn collisions(&self) -> usize {
        self.told.len()
    }

    /// What was told of, and between whom it is.
    pub fn told(&self) -> impl Iterator<Item = (&Collision, &BTreeSet<ClaimKey>)> {
        self.told.iter()
    }

    /// The claims that have devices of a pool.
    pub fn claims_in(&self, pool: &PoolId) -> BTreeSet<ClaimKey> {
        self.in_pool(pool).flat_map(|(_, claims)| claims.keys().cloned()).collect()
    }

    /// The first collision of which one of these devices is a part and that was not told before, and between whom it is.
    pub fn new_collision(&mut self, holdings: &[Holding], fleet: &Fleet) -> Option<(Collision, BTreeSet<ClaimKey>)> {
        let (collision, parties) = { self.collisions_of(holdings, fleet) }
            .find(|(collision, parties)| self.told.get(collision) != Some(parties))?;
        self.told.insert(collision.clone(), parties.clone());
        Some((collision, parties))
    }

    /// The collisions of which one of these devices is a part, and between whom they are.
    pub fn collisions_of<'h>(
        &'h self,
        holdings: &'h [Holding],
        fleet: &'h Fleet,
    ) -> impl Iterator<Item = (Collision, BTreeSet<ClaimKey>)> + 'h {
        let devices = holdings.iter().filter(|holding| holding.kind != HoldingKind::Admin).map(|h| &h.device);
        let sets = devices.clone().flat_map(|device| {
            let sets = fleet.described(device).into_iter().flat_map(|(slice, at)| &slice.devices[at].consumes);
            sets.map(|set| Collision::Counters { pool: device.pool.clone(), set: set.name.clone() })
        });
        let possible = devices.cloned().map(Collision::Device).chain(sets);
        possible.filter_map(|collision| {
            let parties = self.parties(&collision, &[], fleet)?;
            Some((collision, parties))
        })
    }

    /// Between whom there is a collision, if there is one even without some claims.
    pub fn parties(&self, collision: &Collision, without: &[ClaimKey], fleet: &Fleet) -> Option<BTreeSet<ClaimKey>> {
        let counts = |claim: &&ClaimKey| !without.contains(claim);
        match collision {
            Collision::Device(device) => {
                let for_themselves = self.claims.get(device)?.iter().filter(|(_, for_itself)| **for_itself);
                let claims: BTreeSet<ClaimKey> =
                    for_themselves.map(|(claim, _)| claim).filter(counts).cloned().collect();
                (claims.len() > 1).then_some(claims)
            }
            Collision::Counters { pool, set } => {
                // By counter: what is taken of it in all, and by whom.
                let mut taken: BTreeMap<&str, (i128, BTreeSet<ClaimKey>)> = BTreeMap::new();
                for (device, claims) in self.in_pool(pool) {
                    let mut claims = claims.keys().filter(counts).peekable();
                    if claims.peek().is_none() {
                        continue;
                    }
                    let Some((slice, at)) = fleet.described(device) else { continue };
                    let claims: Vec<ClaimKey> = claims.cloned().collect();
                    let draws = slice.devices[at].consumes.iter().filter(|drawn| drawn.name == *set);
                    for (counter, amount) in draws.flat_map(|drawn| &drawn.counters) {
                        let (sum, by) = taken.entry(counter).or_default();
                        *sum += amount.nanos();
                        by.extend(claims.iter().cloned());
                    }
                }
                let there = fleet.counters(pool, set)?;
                let is_over = |(counter, (sum, _)): &(&str, (i128, BTreeSet<ClaimKey>))| {
                    there.get(*counter).is_some_and(|amount| *sum > amount.nanos())
                };
                let parties: BTreeSet<ClaimKey> =
                    taken.into_iter().filter(is_over).flat_map(|(_, (_, by))| by).collect();
                (parties.len() > 1).then_some(parties)
            }
        }
    }

    fn in_pool(&self, pool: &PoolId) -> impl Iterator<Item = (&DeviceId, &BTreeMap<ClaimKey, bool>)> {
        let first = DeviceId { pool: pool.clone(), name: "".into() };
        self.claims.range(first..).take_while(move |(device, _)| device.pool == *pool)
    }
}
