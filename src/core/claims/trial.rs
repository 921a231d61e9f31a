//! Devices chosen so far, on top of what is in use: they come and go while a search looks for a set that fits.

use std::collections::BTreeMap;

use super::amount::Amount;
use super::capacity::{Amounts, consumption, suffices};
use super::claim::{ConstraintRule, Count};
use super::constraint::ConstraintState;
use super::inventory::Listing;
use super::nodes::Node;
use super::question::Question;
use super::slice::Device;
use super::view::{Seat, View};

/// A chosen device.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub ask: usize,
    pub seat: Seat,
    /// What is taken of it, where it is shared.
    pub taken: Option<Amounts>,
    /// Whether it took counters.
    drew: bool,
    /// What the choice is worth.
    pub worth: Worth,
}

/// What a choice is worth.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Worth {
    /// What it costs.
    pub cost: i64,
    /// No other device costs less, and it is one of those that belong together.
    pub is_best: bool,
}

/// Why a device cannot be chosen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It is in use, or lacks capacity or counters, or is tainted.
    Unavailable,
    /// A constraint forbids it.
    Constraint,
}

/// What one claim, or several, have of a shared device.
#[derive(Debug, Default)]
struct Given {
    shares: u32,
    taken: Amounts,
}

/// The devices chosen so far, and what they leave.
#[derive(Debug)]
pub struct Trial<'q, 'v> {
    question: &'q Question<'q>,
    view: &'v View<'v>,
    chosen: Vec<Chosen>,
    left: Vec<i128>,
    /// How often each seat is chosen without sharing it.
    marks: Vec<u16>,
    given: BTreeMap<Seat, Given>,
    constraints: Vec<Vec<ConstraintState<'v>>>,
}

impl<'q, 'v> Trial<'q, 'v> {
    pub(super) fn new(question: &'q Question<'q>, view: &'v View<'v>) -> Trial<'q, 'v> {
        let state = |rule: &ConstraintRule| match rule {
            ConstraintRule::Distinct(_) => ConstraintState::Distinct(vec![]),
            _ => ConstraintState::Match(vec![]),
        };
        let constraints = question.claims.iter();
        let constraints =
            constraints.map(|claim| claim.constraints.iter().map(|constraint| state(&constraint.rule)).collect());
        Trial {
            question,
            view,
            chosen: vec![],
            left: view.left.clone(),
            marks: vec![0; view.seats.len()],
            given: BTreeMap::new(),
            constraints: constraints.collect(),
        }
    }

    /// What is chosen, in the order of choice.
    pub(super) fn chosen(&self) -> &[Chosen] {
        &self.chosen
    }

    /// All devices that the node offers.
    pub(super) fn seats(&self) -> impl Iterator<Item = Seat> {
        // A view numbers its seats so.
        (0..self.view.seats.len() as u32).map(Seat)
    }

    /// The number of what the node can draw on: another time with the same number it has the same devices on the same seats.
    pub(super) fn layout(&self) -> u64 {
        self.view.layout.number
    }

    /// The node.
    pub(super) fn node(&self) -> &'v Node {
        self.view.node
    }

    /// Driver and device of a seat.
    pub(super) fn device(&self, seat: Seat) -> (&'v str, &'v Device) {
        let entry = &self.view.seats[seat.index()];
        (entry.driver, entry.device)
    }

    /// The description of a device.
    pub(super) fn listing(&self, seat: Seat) -> Listing {
        self.view.seats[seat.index()].listing
    }

    /// Which of the node's pools a device is in.
    pub(super) fn pool(&self, seat: Seat) -> usize {
        self.view.seats[seat.index()].pool
    }

    /// The asks of the question.
    pub(super) fn asks(&self) -> std::ops::Range<usize> {
        0..self.question.asks.len()
    }

    /// What an ask asks for of each device.
    pub(super) fn capacity_of(&self, ask: usize) -> &'q Amounts {
        &self.question.asks[ask].ask.capacity
    }

    /// What is chosen for an ask.
    pub(super) fn chosen_for(&self, ask: usize) -> impl Iterator<Item = Seat> {
        self.chosen.iter().filter(move |chosen| chosen.ask == ask).map(|chosen| chosen.seat)
    }

    /// How many more devices like this one its counters would serve, after it.
    pub(super) fn further(&self, seat: Seat) -> i64 {
        let draws = self.view.seats[seat.index()].draws.iter();
        let times = draws.filter_map(|(counter, nanos)| self.left[*counter].checked_div(*nanos));
        times.min().map_or(0, |times| i64::try_from(times - 1).unwrap_or(i64::MAX))
    }

    /// Whether a device is in use, be it by an allocated claim or by what is chosen.
    pub(super) fn is_taken(&self, seat: Seat) -> bool {
        self.view.seats[seat.index()].exclusive || self.marks[seat.index()] > 0
    }

    /// How many devices a claim has.
    pub(super) fn devices_of(&self, claim: usize) -> usize {
        self.chosen.iter().filter(|chosen| self.question.asks[chosen.ask].claim == claim).count()
    }

    /// Whether the first look at a device already sees that it is in use for an ask.
    pub(super) fn is_barred(&self, ask: usize, seat: Seat) -> bool {
        let entry = &self.question.asks[ask];
        if entry.ask.admin_access {
            let of_claim = |chosen: &&Chosen| self.question.asks[chosen.ask].claim == entry.claim;
            self.marks[seat.index()] > 0
                && self.chosen.iter().filter(of_claim).any(|chosen| chosen.seat == seat && chosen.taken.is_none())
        } else {
            self.is_taken(seat)
        }
    }

    /// Chooses a candidate of an ask.
    pub(super) fn choose(&mut self, ask: usize, seat: Seat, worth: Worth) -> Result<(), Obstacle> {
        let entry = &self.question.asks[ask];
        let device = self.view.seats[seat.index()].device;
        if self.is_barred(ask, seat) {
            return Err(Obstacle::Unavailable);
        }
        let part = if device.shareable || self.is_shared(seat) {
            consumption(&device.capacity, &entry.ask.capacity, &self.given_of(seat))
        } else {
            // It is given as a whole: nobody asks how much that is.
            suffices(&device.capacity, &entry.ask.capacity, &Amounts::new()).then(Amounts::new)
        };
        let drawn = device.shareable && self.is_shared(seat);
        let draws = !device.consumes.is_empty() && !drawn;
        if draws && !self.view.has_counters(seat, &self.left) {
            return Err(Obstacle::Unavailable);
        }
        // Only an ask for all devices has candidates with taints that it does not tolerate.
        if entry.ask.count == Count::All && !self.view.bears_taints(entry.ask, seat) {
            return Err(Obstacle::Unavailable);
        }
        for (done, constraint) in entry.constraints.iter().enumerate() {
            let values = self.view.values[entry.claim][*constraint][seat.index()];
            if !self.constraints[entry.claim][*constraint].add(values) {
                self.release(entry.claim, &entry.constraints[..done]);
                return Err(Obstacle::Constraint);
            }
        }
        // After the constraints, as upstream: of all devices, one that a constraint forbids is an error, whatever it has left.
        let Some(part) = part else {
            self.release(entry.claim, &entry.constraints);
            return Err(Obstacle::Unavailable);
        };
        if draws {
            for (counter, nanos) in self.view.seats[seat.index()].draws {
                self.left[*counter] -= nanos;
            }
        }
        let taken = device.shareable.then_some(part);
        match &taken {
            Some(part) => {
                let given = self.given.entry(seat).or_default();
                given.shares += 1;
                for (name, amount) in part {
                    let sum = given.taken.entry(name.clone()).or_insert(Amount::ZERO);
                    *sum = sum.plus(*amount);
                }
            }
            None => self.marks[seat.index()] += 1,
        }
        self.chosen.push(Chosen { ask, seat, taken, drew: draws, worth });
        Ok(())
    }

    /// Takes the last choice back.
    pub(super) fn undo(&mut self) {
        let Some(last) = self.chosen.pop() else { return };
        match &last.taken {
            Some(part) => {
                if let Some(given) = self.given.get_mut(&last.seat) {
                    given.shares -= 1;
                    for (name, amount) in part {
                        if let Some(sum) = given.taken.get_mut(name) {
                            *sum = sum.minus(*amount);
                        }
                    }
                    if given.shares == 0 {
                        self.given.remove(&last.seat);
                    }
                }
            }
            None => self.marks[last.seat.index()] -= 1,
        }
        if last.drew {
            for (counter, nanos) in self.view.seats[last.seat.index()].draws {
                self.left[*counter] += nanos;
            }
        }
        let entry = &self.question.asks[last.ask];
        self.release(entry.claim, &entry.constraints);
    }

    /// Constraints of a claim forget the device that was added last.
    fn release(&mut self, claim: usize, constraints: &[usize]) {
        constraints.iter().for_each(|constraint| self.constraints[claim][*constraint].remove());
    }

    /// What is given of a device, by allocated claims and by what is chosen.
    pub(super) fn given_of(&self, seat: Seat) -> Amounts {
        let mut given = self.view.seats[seat.index()].given.cloned().unwrap_or_default();
        for (name, amount) in self.given.get(&seat).iter().flat_map(|given| &given.taken) {
            let sum = given.entry(name.clone()).or_insert(Amount::ZERO);
            *sum = sum.plus(*amount);
        }
        given
    }

    fn is_shared(&self, seat: Seat) -> bool {
        self.view.seats[seat.index()].given.is_some() || self.given.contains_key(&seat)
    }

    /// What the requests from `claim` and `request` on can still be given depends on this only.
    pub(super) fn key(&self, claim: usize, request: usize) -> Vec<u32> {
        let admin = self.question.asks.iter().any(|entry| entry.ask.admin_access);
        let constrained = !self.question.claims[claim].constraints.is_empty();
        let tag = |chosen: &Chosen| {
            let told_apart = admin || chosen.taken.is_some() || !chosen.drew && self.draws(chosen.seat);
            let current = constrained && self.question.asks[chosen.ask].claim == claim;
            if told_apart || current { chosen.ask as u32 + 1 } else { 0 }
        };
        let mut devices: Vec<(u32, u32)> = self.chosen.iter().map(|chosen| (chosen.seat.0, tag(chosen))).collect();
        devices.sort_unstable();
        let place = [claim as u32, request as u32, self.devices_of(claim) as u32];
        place.into_iter().chain(devices.into_iter().flat_map(|(seat, tag)| [seat, tag])).collect()
    }

    fn draws(&self, seat: Seat) -> bool {
        !self.view.seats[seat.index()].draws.is_empty()
    }
}
