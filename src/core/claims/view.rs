//! What one node has to offer for a question: devices and counters by small numbers, and which devices each ask can use.

use std::collections::BTreeMap;

use super::attribute::ValueSet;
use super::capacity::{Amounts, suffices};
use super::claim::{Ask, Claim, ConstraintRule, Count};
use super::error::AllocationError;
use super::features::Facet;
use super::inventory::{DeviceNo, Inventory, Listing};
use super::layout::{Berth, Layout};
use super::nodes::Node;
use super::pools::PoolState;
use super::question::Question;
use super::selectors::Selectors;
use super::slice::Device;
use super::usage::{DeviceUse, Usage};

/// A device of a [`View`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(pub(super) u32);

impl Seat {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A device as one node sees it.
#[derive(Debug)]
pub(super) struct SeatEntry<'a> {
    pub listing: Listing,
    pub no: DeviceNo,
    pub device: &'a Device,
    pub driver: &'a str,
    /// Which of the view's pools it is in.
    pub pool: usize,
    /// Whether a claim has it for itself.
    pub exclusive: bool,
    /// What shares of it have taken.
    pub given: Option<&'a Amounts>,
    /// Whether its pool hands out no counters any more.
    pub overdrawn: bool,
    /// Counters of the view that it takes, in billionths.
    pub draws: &'a [(usize, i128)],
}

/// What stands against a device by itself, in the order in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// A claim has it.
    InUse,
    /// A selector of the class or the request does not take it.
    NotSelected,
    /// It is not for this node.
    OtherNode,
    /// It cannot give as much as is asked for.
    Capacity,
    /// Counters that it takes are used up by others.
    Counters,
    /// It has a taint that is not tolerated.
    Tainted,
}

impl Rejection {
    const ALL: [Rejection; 6] = [
        Rejection::InUse,
        Rejection::NotSelected,
        Rejection::OtherNode,
        Rejection::Capacity,
        Rejection::Counters,
        Rejection::Tainted,
    ];
}

/// How many devices something stands against.
#[derive(Debug, Clone, Default)]
pub(super) struct Rejections([usize; 6]);

impl Rejections {
    /// By what it is.
    pub fn counts(&self) -> BTreeMap<Rejection, usize> {
        let counts = Rejection::ALL.into_iter().zip(self.0);
        counts.filter(|(_, count)| *count > 0).collect()
    }

    fn add(&mut self, rejection: Rejection) {
        self.0[rejection as usize] += 1;
    }
}

/// A device that an ask may come to look at.
#[derive(Debug)]
pub(super) struct Candidate {
    pub seat: Seat,
    /// What looking at it costs: the whole allocation, if a selector fails on it.
    pub poison: Option<AllocationError>,
}

/// What a node has for each ask.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub node: &'a Node,
    pub inventory: &'a Inventory,
    pub layout: &'a Layout,
    pub seats: Vec<SeatEntry<'a>>,
    /// What is left of each counter.
    pub left: Vec<i128>,
    /// By ask: what it can use, in the order of the pools.
    pub candidates: Vec<Vec<Candidate>>,
    /// By ask: what stands against the others.
    pub rejections: Vec<Rejections>,
    /// By claim, constraint and seat: the values that the constraint compares.
    pub values: Vec<Vec<Vec<Option<&'a ValueSet>>>>,
}

impl<'a> View<'a> {
    /// Looks at a node.
    ///
    /// # Errors
    /// When the question cannot be answered for this node, however devices are chosen.
    pub fn new(
        question: &Question,
        inventory: &'a Inventory,
        usage: &'a Usage,
        selectors: &mut Selectors,
        layout: &'a Layout,
        node: &'a Node,
    ) -> Result<View<'a>, AllocationError> {
        let mut view = View {
            node,
            inventory,
            layout,
            seats: seats(inventory, usage, layout),
            left: layout.counters.iter().map(|counter| usage.left(*counter)).collect(),
            candidates: Vec::with_capacity(question.asks.len()),
            rejections: Vec::with_capacity(question.asks.len()),
            values: vec![],
        };
        for ask in 0..question.asks.len() {
            view.look(question, ask, selectors)?;
        }
        question.check_counts(|ask| view.candidates[ask].len())?;
        view.values = question.claims.iter().map(|claim| view.values_for(claim)).collect();
        Ok(view)
    }

    /// Finds the candidates of an ask.
    fn look(&mut self, question: &Question, ask: usize, selectors: &mut Selectors) -> Result<(), AllocationError> {
        let inventory = self.inventory;
        let wanted = question.asks[ask].ask;
        let all = wanted.count == Count::All;
        if all {
            self.check_pools(question, ask)?;
        }
        let mut candidates = vec![];
        let mut rejections = Rejections::default();
        for seat in (0..self.seats.len() as u32).map(Seat) {
            let entry = &self.seats[seat.index()];
            if !all && entry.exclusive && !wanted.admin_access {
                rejections.add(Rejection::InUse);
                continue;
            }
            let poison = match question.selects(ask, inventory, selectors, entry.listing) {
                Ok(false) => {
                    rejections.add(Rejection::NotSelected);
                    continue;
                }
                Ok(true) if inventory.slice_of(entry.listing).per_device_nodes => {
                    let slice = inventory.slice_of(entry.listing);
                    match entry.device.nodes.include(self.node) {
                        Ok(false) => {
                            rejections.add(Rejection::OtherNode);
                            continue;
                        }
                        Ok(true) => None,
                        Err(what) => {
                            Some(AllocationError::NodeSelector { slice: slice.name.to_string(), what: what.to_owned() })
                        }
                    }
                }
                Ok(true) => None,
                Err(error) => Some(error),
            };
            match poison {
                Some(error) if all => return Err(error),
                Some(_) => candidates.push(Candidate { seat, poison }),
                None => match self.stands_against(wanted, seat) {
                    Some(Rejection::Tainted | Rejection::Counters) if all => {
                        candidates.push(Candidate { seat, poison: None });
                    }
                    Some(rejection) => rejections.add(rejection),
                    None => candidates.push(Candidate { seat, poison: None }),
                },
            }
        }
        self.candidates.push(candidates);
        self.rejections.push(rejections);
        Ok(())
    }

    /// All devices of a node are known only when all of its pools are.
    fn check_pools(&self, question: &Question, ask: usize) -> Result<(), AllocationError> {
        for pool in &self.layout.pools {
            let what = match &pool.state {
                PoolState::Usable(_) => continue,
                PoolState::Incomplete => "is being updated".to_owned(),
                PoolState::Invalid(what) => format!("is invalid: {what}"),
            };
            let (claim, request) = question.name_of(ask);
            return Err(AllocationError::UncertainPool { claim, request, pool: pool.id.to_string(), what });
        }
        Ok(())
    }

    /// What stands against a selected device before anything is chosen. It would stand against it later, too.
    fn stands_against(&self, wanted: &Ask, seat: Seat) -> Option<Rejection> {
        let entry = &self.seats[seat.index()];
        let none = Amounts::new();
        if !suffices(&entry.device.capacity, &wanted.capacity, entry.given.unwrap_or(&none)) {
            return Some(Rejection::Capacity);
        }
        if self.needs_counters(seat) && !self.has_counters(seat, &self.left) {
            return Some(Rejection::Counters);
        }
        (!self.bears_taints(wanted, seat)).then_some(Rejection::Tainted)
    }

    /// Whether a device still has to take its counters: a share of it has done so for all others.
    fn needs_counters(&self, seat: Seat) -> bool {
        let entry = &self.seats[seat.index()];
        let drawn = entry.device.shareable && entry.given.is_some();
        !entry.device.consumes.is_empty() && !drawn
    }

    /// Whether so much of each counter is left that a device can take what it needs.
    pub fn has_counters(&self, seat: Seat, left: &[i128]) -> bool {
        let entry = &self.seats[seat.index()];
        !entry.overdrawn && entry.draws.iter().all(|(counter, nanos)| left[*counter] >= *nanos)
    }

    /// Whether an ask tolerates the taints of a device.
    pub fn bears_taints(&self, wanted: &Ask, seat: Seat) -> bool {
        let taints = &self.seats[seat.index()].device.taints;
        taints.iter().all(|taint| wanted.tolerations.iter().any(|toleration| toleration.tolerates(taint)))
    }

    fn values_for(&self, claim: &Claim) -> Vec<Vec<Option<&'a ValueSet>>> {
        let features = self.inventory.features();
        let of_constraint = |rule: &ConstraintRule| {
            let (ConstraintRule::Match(name) | ConstraintRule::Distinct(name)) = rule else { return vec![] };
            let full = features.name(Facet::Attributes, name);
            let own = name.split_once('/').and_then(|(of, id)| Some((of, features.name(Facet::Attributes, id)?)));
            let value = |entry: &SeatEntry| {
                let own = own.filter(|(driver, _)| *driver == entry.driver).map(|(_, name)| name);
                let name = full.filter(|name| features.value(entry.listing, *name).is_some()).or(own)?;
                features.value_set(entry.listing, name)
            };
            self.seats.iter().map(value).collect()
        };
        claim.constraints.iter().map(|constraint| of_constraint(&constraint.rule)).collect()
    }

    /// Whether looking at some candidate ends the allocation with an error.
    pub fn is_poisoned(&self) -> bool {
        self.candidates.iter().flatten().any(|candidate| candidate.poison.is_some())
    }

    /// A pool that contradicts itself.
    pub fn invalid_pool(&self) -> Option<AllocationError> {
        self.layout.pools.iter().find_map(|pool| match &pool.state {
            PoolState::Invalid(what) => {
                Some(AllocationError::InvalidPool { pool: pool.id.to_string(), what: what.clone() })
            }
            _ => None,
        })
    }
}

fn seats<'a>(inventory: &'a Inventory, usage: &'a Usage, layout: &'a Layout) -> Vec<SeatEntry<'a>> {
    let overdrawn: Vec<bool> = layout.pools.iter().map(|pool| usage.is_overdrawn(pool.edition)).collect();
    let seat = |berth: &'a Berth| {
        let in_use = usage.of(berth.no);
        SeatEntry {
            listing: berth.listing,
            no: berth.no,
            device: inventory.device(berth.listing),
            driver: inventory.driver(berth.listing),
            pool: berth.pool,
            exclusive: in_use.is_some_and(DeviceUse::is_exclusive),
            given: in_use.and_then(DeviceUse::shares),
            overdrawn: overdrawn[berth.pool],
            draws: layout.draws(berth),
        }
    };
    layout.berths.iter().map(seat).collect()
}
