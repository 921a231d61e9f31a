//! The search for devices: depth first, claim by claim, request by request, device by device.
//!
//! It is complete unless its steps run out. Three things keep it short: constraints are monotonic, so a set that violates
//! one is not extended; of devices that are alike only one is tried; and what could not be completed once is not tried
//! again with the same devices in another order.
//!
//! Upstream looks at devices in the order of their names and stops at the first set that fits. Where its answer depends
//! on that order - a selector that fails on some device is an error only if upstream comes to look at that device - the
//! search goes the same way first ([`Order::Published`]). Which devices are taken is decided by another search, that looks
//! at the best devices first ([`Order::BestFirst`]), and then for better ones as long as its improvement steps last.

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

use super::choice::Scorer;
use super::claim::{Count, MAX_DEVICES};
use super::error::AllocationError;
use super::question::Question;
use super::symmetry::{Kind, Symmetry};
use super::trial::{Chosen, Obstacle, Trial, Worth};
use super::view::{Seat, View};

/// Most failures that are remembered.
const MAX_FAILURES: usize = 100_000;

/// How long a search may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Steps until it gives up.
    pub steps: u64,
    /// Of these, steps after the first set that fits, to find a better one.
    pub improvement: u64,
    /// Steps on all nodes together, where several are asked: what is asked for may be made to be hard to find.
    pub on_all_nodes: u64,
}

impl Default for Effort {
    /// About a second, next to nothing, and about ten seconds.
    fn default() -> Effort {
        Effort { steps: 2_000_000, improvement: 50, on_all_nodes: 20_000_000 }
    }
}

/// In which order devices are looked at.
pub(super) enum Order<'s> {
    /// As drivers publish them, as upstream does. The first set that fits is taken.
    Published,
    /// The best first.
    BestFirst(&'s mut dyn Scorer),
}

/// What a search found.
#[derive(Debug)]
pub(super) struct Found {
    /// What is chosen, by claim, request and device.
    pub chosen: Vec<Chosen>,
    /// What it costs.
    pub cost: i64,
    /// Which of its asks each request got, by claim and request.
    pub alternatives: Vec<Vec<usize>>,
}

/// How a search ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// With devices.
    Found(Found),
    /// There are none that fit. `deepest` is the request (by claim and number) that it came to.
    Nothing { deepest: (usize, usize) },
    /// The steps ran out.
    GaveUp { deepest: (usize, usize) },
    /// With an error.
    Error(AllocationError),
}

/// Whether a part of the search led to devices.
enum Outcome {
    Found,
    Failed,
    /// Every way has more devices than a claim can have, so what was chosen before for the claim is no matter.
    TooMany,
}

/// Why a search stops at once.
enum Halt {
    GaveUp,
    Error(AllocationError),
}

/// One search.
pub(super) struct Search<'q, 'v, 's> {
    question: &'q Question<'q>,
    view: &'v View<'v>,
    trial: Trial<'q, 'v>,
    order: Order<'s>,
    /// By claim and request: the only ask that may be used, where that is decided.
    fixed: Vec<Vec<Option<usize>>>,
    symmetry: Option<Symmetry>,
    failures: IndexSet<Vec<u32>, FxBuildHasher>,
    best: Option<Found>,
    steps: u64,
    limit: u64,
    improvement: u64,
    deepest: (usize, usize),
}

impl<'q, 'v, 's> Search<'q, 'v, 's> {
    pub fn new(question: &'q Question<'q>, view: &'v View<'v>, order: Order<'s>, effort: Effort) -> Self {
        let fixed = (0..question.claims.len()).map(|claim| vec![None; question.requests(claim)]).collect();
        Search {
            question,
            view,
            trial: Trial::new(question, view),
            order,
            fixed,
            symmetry: None,
            failures: IndexSet::default(),
            best: None,
            steps: 0,
            limit: effort.steps,
            improvement: effort.improvement,
            deepest: (0, 0),
        }
    }

    /// Allows only these asks, where one is given.
    pub fn fix(mut self, fixed: Vec<Vec<Option<usize>>>) -> Self {
        self.fixed = fixed;
        self
    }

    /// Searches. Also says how many steps that took.
    pub fn run(mut self) -> (Ending, u64) {
        let outcome = self.request(0, 0);
        let deepest = self.deepest;
        let ending = match (outcome, self.best.take()) {
            (Err(Halt::Error(error)), _) => Ending::Error(error),
            (_, Some(found)) => Ending::Found(found),
            (Err(Halt::GaveUp), None) => Ending::GaveUp { deepest },
            (Ok(_), None) => Ending::Nothing { deepest },
        };
        (ending, self.steps)
    }

    fn step(&mut self) -> Result<(), Halt> {
        self.steps += 1;
        if self.steps > self.limit { Err(Halt::GaveUp) } else { Ok(()) }
    }

    /// Everything from a request on.
    fn request(&mut self, claim: usize, request: usize) -> Result<Outcome, Halt> {
        self.step()?;
        if claim == self.question.claims.len() {
            return Ok(self.complete());
        }
        if request == self.question.requests(claim) {
            return Ok(match self.request(claim + 1, 0)? {
                // Other claims do not count towards this one's devices.
                Outcome::TooMany => Outcome::Failed,
                outcome => outcome,
            });
        }
        self.deepest = self.deepest.max((claim, request));
        let key = (!self.trial.chosen().is_empty()).then(|| self.trial.key(claim, request));
        if key.as_ref().is_some_and(|key| self.failures.contains(key)) {
            return Ok(Outcome::Failed);
        }
        let outcome = self.alternatives(claim, request)?;
        let failed = matches!(outcome, Outcome::Failed) && self.best.is_none();
        if let Some(key) = key.filter(|_| failed && self.failures.len() < MAX_FAILURES) {
            self.failures.insert(key);
        }
        Ok(outcome)
    }

    fn alternatives(&mut self, claim: usize, request: usize) -> Result<Outcome, Halt> {
        let asks = self.question.asks_of(claim, request);
        let only = self.fixed[claim][request];
        let mut all_too_many = true;
        for ask in asks.clone().filter(|ask| only.is_none_or(|only| asks.start + only == *ask)) {
            match self.devices(ask, 0, &mut vec![])? {
                Outcome::Found => return Ok(Outcome::Found),
                Outcome::TooMany => {}
                Outcome::Failed => all_too_many = false,
            }
        }
        Ok(if all_too_many { Outcome::TooMany } else { Outcome::Failed })
    }

    /// The rest of an ask, of which `done` devices are chosen. `barred` are candidates that were tried before, with the
    /// same devices.
    fn devices(&mut self, ask: usize, done: usize, barred: &mut Vec<Seat>) -> Result<Outcome, Halt> {
        let entry = &self.question.asks[ask];
        let (claim, request) = (entry.claim, entry.request);
        let candidates = self.view.candidates[ask].len();
        let count = match entry.ask.count {
            Count::All if candidates == 0 => return Ok(Outcome::Failed),
            Count::All => candidates,
            Count::Exactly(count) => usize::try_from(count).unwrap_or(usize::MAX),
        };
        if done >= count {
            return self.request(claim, request + 1);
        }
        if (self.trial.devices_of(claim) - done).saturating_add(count) > MAX_DEVICES {
            return Ok(Outcome::TooMany);
        }
        match entry.ask.count {
            Count::All => self.next_of_all(ask, done, barred),
            Count::Exactly(_) => self.next_of_some(ask, count, done, barred),
        }
    }

    /// All devices are wanted, so there is only one way.
    fn next_of_all(&mut self, ask: usize, done: usize, barred: &mut Vec<Seat>) -> Result<Outcome, Halt> {
        self.step()?;
        let seat = self.view.candidates[ask][done].seat;
        match self.choose(ask, seat) {
            Ok(()) => {}
            Err(Obstacle::Constraint) if matches!(self.order, Order::Published) => {
                let (claim, request) = self.question.name_of(ask);
                let device = self.view.seats[seat.index()].device.name.to_string();
                return Err(Halt::Error(AllocationError::ConstrainedAll { claim, request, device }));
            }
            Err(_) => return Ok(Outcome::Failed),
        }
        let outcome = self.devices(ask, done + 1, barred)?;
        if !matches!(outcome, Outcome::Found) {
            self.undo(seat);
        }
        Ok(outcome)
    }

    fn next_of_some(&mut self, ask: usize, count: usize, done: usize, barred: &mut Vec<Seat>) -> Result<Outcome, Halt> {
        let barred_before = barred.len();
        let mut tried: Vec<Kind> = vec![];
        for (at, worth) in self.in_order(ask, count, done) {
            let candidate = &self.view.candidates[ask][at];
            let seat = candidate.seat;
            if barred.contains(&seat) || self.trial.is_barred(ask, seat) {
                continue;
            }
            if let Some(error) = &candidate.poison {
                match self.order {
                    Order::Published => return Err(Halt::Error(error.clone())),
                    Order::BestFirst(_) => continue,
                }
            }
            if !tried.is_empty() && tried.contains(&self.kind(seat)) {
                barred.push(seat);
                continue;
            }
            self.step()?;
            if self.choose_at(ask, seat, worth).is_err() {
                continue;
            }
            // Also a device that can be shared serves a request only once.
            barred.push(seat);
            let outcome = self.devices(ask, done + 1, barred)?;
            if matches!(outcome, Outcome::Found) {
                return Ok(outcome);
            }
            self.undo(seat);
            if matches!(outcome, Outcome::TooMany) {
                barred.truncate(barred_before);
                return Ok(outcome);
            }
            tried.push(self.kind(seat));
        }
        barred.truncate(barred_before);
        Ok(Outcome::Failed)
    }

    /// The candidates of an ask in the order in which they are tried, with what they are worth now.
    fn in_order(&mut self, ask: usize, count: usize, done: usize) -> Vec<(usize, Worth)> {
        let candidates = &self.view.candidates[ask];
        let Order::BestFirst(scorer) = &mut self.order else {
            return (0..candidates.len()).map(|at| (at, Worth::default())).collect();
        };
        let free: Vec<usize> =
            (0..candidates.len()).filter(|at| !self.trial.is_barred(ask, candidates[*at].seat)).collect();
        let seats: Vec<Seat> = free.iter().map(|at| candidates[*at].seat).collect();
        let favoured = scorer.favoured(&self.trial, ask, &seats, count - done);
        let costs = scorer.costs(&self.trial, ask, &seats);
        let least = costs.iter().min().copied();
        let places = free.iter().zip(&seats).zip(costs);
        let mut order: Vec<(bool, i64, usize)> =
            places.map(|((at, seat), cost)| (!favoured.contains(seat), cost, *at)).collect();
        order.sort_unstable();
        let worth =
            |(other, cost, at): (bool, i64, usize)| (at, Worth { cost, is_best: !other && Some(cost) == least });
        order.into_iter().map(worth).collect()
    }

    fn choose(&mut self, ask: usize, seat: Seat) -> Result<(), Obstacle> {
        let cost = match &mut self.order {
            Order::Published => 0,
            Order::BestFirst(scorer) => scorer.costs(&self.trial, ask, &[seat]).first().copied().unwrap_or(0),
        };
        self.choose_at(ask, seat, Worth { cost, is_best: false })
    }

    fn choose_at(&mut self, ask: usize, seat: Seat, worth: Worth) -> Result<(), Obstacle> {
        self.trial.choose(ask, seat, worth)?;
        if let Some(symmetry) = &mut self.symmetry {
            symmetry.choose(seat);
        }
        Ok(())
    }

    fn undo(&mut self, seat: Seat) {
        self.trial.undo();
        if let Some(symmetry) = &mut self.symmetry {
            symmetry.drop(seat);
        }
    }

    /// What a seat is like. Most searches never go back, and never need to know.
    fn kind(&mut self, seat: Seat) -> Kind {
        if self.symmetry.is_none() {
            let mut symmetry = Symmetry::new(self.question, self.view);
            self.trial.chosen().iter().for_each(|chosen| symmetry.choose(chosen.seat));
            self.symmetry = Some(symmetry);
        }
        self.symmetry.as_ref().map_or(Kind::Itself(seat), |symmetry| symmetry.kind(seat))
    }

    /// Every request has its devices.
    fn complete(&mut self) -> Outcome {
        let chosen = self.trial.chosen();
        let cost = match &mut self.order {
            Order::Published => 0,
            Order::BestFirst(scorer) => {
                chosen.iter().map(|chosen| chosen.worth.cost).sum::<i64>() + scorer.set_cost(&self.trial)
            }
        };
        if self.best.is_none() {
            self.limit = self.limit.min(self.steps.saturating_add(self.improvement));
        }
        if self.best.as_ref().is_none_or(|best| cost < best.cost) {
            let mut alternatives: Vec<Vec<usize>> = self.fixed.iter().map(|requests| vec![0; requests.len()]).collect();
            for chosen in chosen {
                let entry = &self.question.asks[chosen.ask];
                alternatives[entry.claim][entry.request] = entry.alternative;
            }
            self.best = Some(Found { chosen: chosen.to_vec(), cost, alternatives });
        }
        // Of single devices the best is tried first, and so it is with sets that belong together.
        let chosen = self.trial.chosen();
        let is_best = chosen.len() <= 1 || self.question.asks.len() == 1 && chosen.iter().all(|c| c.worth.is_best);
        match self.order {
            Order::BestFirst(_) if self.improvement > 0 && !is_best => Outcome::Failed,
            _ => Outcome::Found,
        }
    }
}
