//! The devices whose loss hurts least.

use std::collections::BTreeSet;

use super::sets::Sets;
use super::slices::{BEYOND_ANY_PART, MigCosts};
use super::{Scorer, Seat, Trial};
use crate::claims::allocator::Allocator;
use crate::claims::capacity::{Amounts, consumption};
use crate::claims::slice::{Capacity, Device, PoolId};

/// A device that has to be prepared before a pod can be bound is taken last: what it may cost is time.
const CONDITIONS: i64 = 1_000_000_000;

/// What is left unused of a device weighs less than what a fleet can still take, in millionths.
const WASTE: i64 = 1_000_000;

/// How much more what a GPU loses by a MIG instance weighs than waste.
const PART: i64 = 100;

/// A whole GPU that could be parted is taken after all parts, and before what has to be prepared.
const WHOLE: i64 = PART * BEYOND_ANY_PART;

/// Takes what is least missed. Its judgement follows from what is in use; [`Thrifty::refresh`] reads that anew.
#[derive(Debug, Clone)]
pub struct Thrifty {
    migs: MigCosts,
    sets: Sets,
}

impl Thrifty {
    /// For these devices, and what is in use of them now.
    pub fn new(allocator: &Allocator) -> Thrifty {
        Thrifty { migs: MigCosts::new(allocator), sets: Sets::default() }
    }

    /// Goes by the devices that there are now, and by what is in use of them: something has moved in these pools since it
    /// was made or last told. Returns whether it judges otherwise by that where [`Thrifty::take_consulted`] said yes; nowhere
    /// else it does.
    pub fn refresh(&mut self, allocator: &Allocator, moved: &BTreeSet<PoolId>) -> bool {
        self.migs.refresh(allocator, moved)
    }

    /// Whether it has gone by what else is in use since this was last asked, and not only by what the node offers.
    pub fn take_consulted(&mut self) -> bool {
        self.migs.take_consulted()
    }
}

impl Scorer for Thrifty {
    fn costs(&mut self, trial: &Trial, ask: usize, seats: &[Seat]) -> Vec<i64> {
        let migs = self.migs.costs(trial, seats);
        let largest = seats.iter().map(|seat| size(trial.device(*seat).1)).max().unwrap_or(0);
        let any_part = migs.iter().any(Option::is_some);
        let cost = |(seat, mig): (&Seat, Option<i64>)| {
            let (_, device) = trial.device(*seat);
            let conditions = if device.binding_conditions.is_some() { CONDITIONS } else { 0 };
            let own = match mig {
                Some(cost) => cost * PART,
                None if device.shareable => shared(trial, ask, *seat),
                None if !device.consumes.is_empty() => {
                    let whole = if any_part { WHOLE } else { 0 };
                    whole + trial.further(*seat).min(WASTE)
                }
                None => part(size(device), largest),
            };
            conditions + own
        };
        seats.iter().zip(migs).map(cost).collect()
    }

    fn favoured(&mut self, trial: &Trial, ask: usize, free: &[Seat], count: usize) -> Vec<Seat> {
        self.sets.best(trial, ask, free, count)
    }

    fn set_cost(&mut self, trial: &Trial) -> i64 {
        let sets: i64 = trial.asks().map(|ask| self.sets.cost(trial, ask)).sum();
        // Nodes that are in use already are filled first.
        let whole = |seat: &Seat| {
            let (_, device) = trial.device(*seat);
            device.consumes.is_empty() && !device.shareable && !trial.is_taken(*seat)
        };
        sets + trial.seats().filter(whole).count() as i64
    }
}

/// How much a device has, all told: only compared with others of its kind.
fn size(device: &Device) -> i128 {
    device.capacity.values().map(|capacity| capacity.value.nanos()).fold(0, i128::saturating_add)
}

/// A part of a whole, in millionths.
fn part(part: i128, whole: i128) -> i64 {
    // At most WASTE.
    part.saturating_mul(i128::from(WASTE)).checked_div(whole).unwrap_or(0).clamp(0, i128::from(WASTE)) as i64
}

/// What would be left of a shared device that nothing has yet: of several that suffice the fullest is filled.
fn shared(trial: &Trial, ask: usize, seat: Seat) -> i64 {
    let (_, device) = trial.device(seat);
    let given = trial.given_of(seat);
    let Some(taken) = consumption(&device.capacity, trial.capacity_of(ask), &given) else { return WASTE };
    let left = |name: &str, capacity: &Capacity| {
        let of = |amounts: &Amounts| amounts.get(name).map_or(0, |amount| amount.nanos());
        part(capacity.value.nanos() - of(&taken) - of(&given), capacity.value.nanos())
    };
    let parts: Vec<i64> = device.capacity.iter().map(|(name, capacity)| left(name, capacity)).collect();
    parts.iter().sum::<i64>().checked_div(parts.len() as i64).unwrap_or(0)
}

#[cfg(test)]
#[path = "thrifty_tests.rs"]
mod tests;
