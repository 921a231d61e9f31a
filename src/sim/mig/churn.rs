//! The experiment: Poisson arrivals, exponential durations, blocked is lost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter;
use std::sync::Arc;

use testudo_core::model::mig::{LayoutTable, MigGeometry, Placement, ProfileId};
use thiserror::Error;

use super::fleet::Fleet;
use super::mix::Mix;
use super::policy::PolicyKind;
use crate::sim::rng::Rng;

/// A fleet, what comes to it, and for how long. Times are in mean durations.
#[derive(Clone, Debug)]
pub struct Churn {
    table: Arc<LayoutTable>,
    mix: Mix,
    /// Number of GPUs.
    pub gpus: usize,
    /// Memory slices asked for per time, divided by those of the fleet: 1.0 could just be served without any gap and
    /// without chance.
    pub load: f64,
    /// When arrivals end.
    pub horizon: f64,
    /// Before this nothing is counted, as the fleet starts empty.
    pub warmup: f64,
}

/// An experiment that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChurnError {
    /// The geometry has no [`LayoutTable`].
    #[error("{0} has too many layouts to enumerate")]
    TooManyLayouts(String),
}

/// An instance that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// When.
    pub at: f64,
    /// What.
    pub profile: ProfileId,
    /// When it ends, if it is placed.
    pub ends: f64,
}

/// What became of the arrivals of one profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileOutcome {
    /// The profile.
    pub profile: ProfileId,
    /// Memory slices of one instance.
    pub size: u32,
    /// Instances asked for after the warm-up.
    pub offered: u32,
    /// Of these, those that were placed.
    pub accepted: u32,
    /// Of these, those that were refused though enough slices were free in the fleet.
    pub fragmented: u32,
}

/// A run as it stands when an instance is asked for, before a place is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// When.
    pub at: f64,
    /// Memory slices that no instance has.
    pub free: u32,
    /// The GPUs; empty throughout for a policy without places.
    pub fleet: &'a Fleet,
    /// What was counted so far; the allocation only at the end.
    pub so_far: &'a Outcome,
}

/// What one seed gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// By profile, in the order of the mix.
    pub profiles: Vec<ProfileOutcome>,
    /// Memory slices in use, averaged over time after the warm-up, of all slices.
    pub allocated_percent: f64,
}

impl ProfileOutcome {
    /// Accepted share of what was offered.
    pub fn accepted_percent(&self) -> f64 {
        percent(u64::from(self.accepted), u64::from(self.offered))
    }
}

impl Outcome {
    fn slices(&self, count: impl Fn(&ProfileOutcome) -> u32) -> u64 {
        self.profiles.iter().map(|profile| u64::from(count(profile)) * u64::from(profile.size)).sum()
    }

    /// Accepted share of the memory slices that were offered.
    pub fn accepted_slice_percent(&self) -> f64 {
        percent(self.slices(|p| p.accepted), self.slices(|p| p.offered))
    }

    /// Share of the offered memory slices that was refused though enough slices were free in the fleet.
    pub fn rejected_by_fragmentation_percent(&self) -> f64 {
        // Where nothing was offered nothing was refused.
        percent(self.slices(|p| p.fragmented), self.slices(|p| p.offered).max(1))
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 100.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// An instance that runs: when it ends, its number, and where it is. Times are kept as bits, whose order is that of
/// times from 0 on.
type Running = Reverse<(u64, u64, Option<(usize, Placement)>, u32)>;

impl Churn {
    /// The usual experiment: 100 GPUs at load 1 for 60 mean durations, of which 10 are warm-up.
    ///
    /// # Errors
    /// When the layouts of the geometry cannot be enumerated.
    pub fn new(geometry: &Arc<MigGeometry>, mix: Mix) -> Result<Churn, ChurnError> {
        let table = LayoutTable::new(geometry).ok_or_else(|| ChurnError::TooManyLayouts(geometry.name().to_owned()))?;
        Ok(Churn { table: Arc::new(table), mix, gpus: 100, load: 1.0, horizon: 60.0, warmup: 10.0 })
    }

    /// The same experiment with another mix of the same product.
    pub fn with_mix(&self, mix: Mix) -> Churn {
        Churn { mix, ..self.clone() }
    }

    /// The product.
    pub fn geometry(&self) -> &Arc<MigGeometry> {
        self.table.geometry()
    }

    /// What comes.
    pub fn mix(&self) -> &Mix {
        &self.mix
    }

    /// How many arrivals to expect.
    pub fn arrivals(&self) -> f64 {
        self.rate() * self.horizon
    }

    fn total(&self) -> f64 {
        f64::from(self.geometry().memory_slices()) * self.gpus as f64
    }

    /// Arrivals in a unit of time.
    fn rate(&self) -> f64 {
        self.load * self.total() / self.mix.mean_size(self.geometry())
    }

    /// What comes with this seed, whatever becomes of it.
    pub fn sequence(&self, seed: u64) -> impl Iterator<Item = Arrival> + '_ {
        let (rate, mut rng, mut now) = (self.rate(), Rng::new(seed), 0.0);
        iter::from_fn(move || {
            now += rng.exponential() / rate;
            (now < self.horizon).then(|| {
                let profile = self.mix.pick(rng.unit());
                Arrival { at: now, profile, ends: now + rng.exponential() }
            })
        })
    }

    /// Runs one policy on the arrivals of one seed.
    pub fn run(&self, policy: PolicyKind, seed: u64) -> Outcome {
        self.watched(policy, seed, |_| {})
    }

    /// The same; `watch` is shown every moment at which an instance is asked for.
    pub fn watched(&self, policy: PolicyKind, seed: u64, mut watch: impl FnMut(&Moment<'_>)) -> Outcome {
        let geometry = self.geometry();
        // What arrives does not depend on how often a policy draws.
        let mut chance = Rng::new(!seed);
        let mut policy = policy.build(&self.table, &self.mix);
        let mut fleet = Fleet::new(Arc::clone(&self.table), self.gpus);
        let mut pool = fleet.free();
        let mut running: BinaryHeap<Running> = BinaryHeap::new();
        let profiles = (self.mix.shares().iter())
            .map(|&(profile, _)| {
                let size = u32::from(geometry.profile(profile).size);
                ProfileOutcome { profile, size, offered: 0, accepted: 0, fragmented: 0 }
            })
            .collect();
        let mut outcome = Outcome { profiles, allocated_percent: 0.0 };
        let mut used = 0.0;
        for (number, Arrival { at: now, profile: wanted, ends }) in (0u64..).zip(self.sequence(seed)) {
            while let Some(&Reverse((end, _, place, size))) = running.peek()
                && f64::from_bits(end) <= now
            {
                running.pop();
                pool += size;
                if let Some((gpu, placement)) = place {
                    fleet.release(gpu, placement);
                }
            }
            watch(&Moment { at: now, free: pool, fleet: &fleet, so_far: &outcome });
            let entry = outcome.profiles.iter_mut().find(|p| p.profile == wanted).expect("the mix drew it");
            // Without a policy there is no geometry: any free slices will do.
            let place = match &mut policy {
                Some(policy) => policy.place(&fleet, wanted, &mut chance).map(|choice| {
                    fleet.place(choice);
                    Some((choice.gpu, choice.step.placement))
                }),
                None => (pool >= entry.size).then_some(None),
            };
            let counted = u32::from(now >= self.warmup);
            entry.offered += counted;
            match place {
                Some(place) => {
                    entry.accepted += counted;
                    pool -= entry.size;
                    running.push(Reverse((ends.to_bits(), number, place, entry.size)));
                    let overlap = (ends.min(self.horizon) - now.max(self.warmup)).max(0.0);
                    used += overlap * f64::from(entry.size);
                }
                None => entry.fragmented += counted * u32::from(pool >= entry.size),
            }
        }
        outcome.allocated_percent = used * 100.0 / (self.total() * (self.horizon - self.warmup));
        outcome
    }
}

#[cfg(test)]
#[path = "churn_tests.rs"]
mod tests;
