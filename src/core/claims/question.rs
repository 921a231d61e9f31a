//! What is asked for, checked once: every ask of every request of the claims of one pod, with its class and selectors.

use std::ops::Range;

use super::claim::{Ask, Claim, ConstraintRule, Count, DeviceClass, MAX_DEVICES, Selector};
use super::error::AllocationError;
use super::inventory::{Inventory, Listing};
use super::selectors::{SelectorFault, SelectorNo, Selectors};

/// An ask with all that belongs to it.
#[derive(Debug)]
pub(super) struct AskEntry<'a> {
    pub claim: usize,
    pub request: usize,
    /// Which of the request's asks it is.
    pub alternative: usize,
    pub ask: &'a Ask,
    pub class: &'a DeviceClass,
    /// Those of the class, then its own.
    selectors: Vec<SelectorNo>,
    /// The constraints of its claim that are for it.
    pub constraints: Vec<usize>,
}

impl AskEntry<'_> {
    /// Does it ask for all devices under a constraint? One that the constraint forbids is an error then.
    pub fn is_constrained_all(&self) -> bool {
        self.ask.count == Count::All && !self.constraints.is_empty()
    }
}

/// The claims of one pod that have no devices yet.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub claims: &'a [Claim],
    pub asks: Vec<AskEntry<'a>>,
    /// The asks of each request of each claim.
    ranges: Vec<Vec<Range<usize>>>,
}

impl<'a> Question<'a> {
    /// Checks what can be checked without a node.
    pub fn new(
        claims: &'a [Claim],
        inventory: &'a Inventory,
        selectors: &mut Selectors,
    ) -> Result<Question<'a>, AllocationError> {
        selectors.make_room(selector_count(claims, inventory));
        let mut question = Question { claims, asks: vec![], ranges: vec![] };
        for (at, claim) in claims.iter().enumerate() {
            question.add(at, claim, inventory, selectors)?;
        }
        Ok(question)
    }

    fn add(
        &mut self,
        at: usize,
        claim: &'a Claim,
        inventory: &'a Inventory,
        selectors: &mut Selectors,
    ) -> Result<(), AllocationError> {
        let mut ranges = vec![];
        for (number, request) in claim.requests.iter().enumerate() {
            let first = self.asks.len();
            for (alternative, ask) in request.asks().enumerate() {
                let name = || request.name_of(alternative);
                let unknown = |part| AllocationError::UnknownKind { claim: claim.key.to_string(), part };
                if let Some(at) = ask.selectors.iter().position(|selector| *selector == Selector::Unknown) {
                    return Err(unknown(format!("request {}, selector #{at}", name())));
                }
                let class = inventory.class(&ask.class).ok_or_else(|| AllocationError::UnknownClass {
                    claim: claim.key.to_string(),
                    request: name(),
                    class: ask.class.to_string(),
                })?;
                let mut numbers = vec![];
                for (at, selector) in class.selectors.iter().chain(&ask.selectors).enumerate() {
                    match selector {
                        Selector::Cel(expression) => numbers.push(selectors.number(expression)),
                        Selector::Unknown => return Err(unknown(format!("class {}, selector #{at}", class.name))),
                    }
                }
                let constraints = claim.constraints.iter().enumerate();
                let constraints =
                    constraints.filter(|(_, constraint)| constraint.is_for(request, alternative)).map(|(at, _)| at);
                let constraints = constraints.collect();
                let (claim, request) = (at, number);
                self.asks.push(AskEntry { claim, request, alternative, ask, class, selectors: numbers, constraints });
            }
            ranges.push(first..self.asks.len());
        }
        self.ranges.push(ranges);
        if let Some(at) = claim.constraints.iter().position(|constraint| constraint.rule == ConstraintRule::Unknown) {
            let part = format!("constraint #{at}");
            return Err(AllocationError::UnknownKind { claim: claim.key.to_string(), part });
        }
        Ok(())
    }

    /// The asks of a request.
    pub fn asks_of(&self, claim: usize, request: usize) -> Range<usize> {
        self.ranges[claim][request].clone()
    }

    /// How many requests there are in a claim.
    pub fn requests(&self, claim: usize) -> usize {
        self.ranges[claim].len()
    }

    /// How errors and reasons call an ask's request.
    pub fn name_of(&self, ask: usize) -> (String, String) {
        let entry = &self.asks[ask];
        let claim = &self.claims[entry.claim];
        (claim.key.to_string(), claim.requests[entry.request].name_of(entry.alternative))
    }

    /// Whether an ask's selectors take a device, in their order: what comes behind a no is not asked.
    pub fn selects(
        &self,
        ask: usize,
        inventory: &Inventory,
        selectors: &mut Selectors,
        listing: Listing,
    ) -> Result<bool, AllocationError> {
        let entry = &self.asks[ask];
        for (at, number) in entry.selectors.iter().enumerate() {
            match selectors.takes(*number, inventory, listing) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(fault) => return Err(self.fault(ask, at, inventory, listing, fault)),
            }
        }
        Ok(true)
    }

    fn fault(
        &self,
        ask: usize,
        at: usize,
        inventory: &Inventory,
        listing: Listing,
        fault: SelectorFault,
    ) -> AllocationError {
        let class = self.asks[ask].class;
        let of_class = class.selectors.len();
        let (owner, selector) = match at.checked_sub(of_class) {
            None => (format!("class {}", class.name), at),
            Some(own) => {
                let (claim, request) = self.name_of(ask);
                (format!("claim {claim}, request {request}"), own)
            }
        };
        let device = inventory.device_id(inventory.described(listing)).to_string();
        match fault {
            SelectorFault::Expression(what) => AllocationError::Expression { owner, selector, what },
            SelectorFault::Evaluation(what) => AllocationError::Evaluation { owner, selector, device, what },
        }
    }

    /// Refuses claims that need more devices than one can have, whatever alternatives are taken. `all` tells how many
    /// devices an ask for all of them is for.
    pub fn check_counts(&self, all: impl Fn(usize) -> usize) -> Result<(), AllocationError> {
        for (at, claim) in self.claims.iter().enumerate() {
            let count = |ask: usize| match self.asks[ask].ask.count {
                Count::Exactly(count) => count,
                Count::All => all(ask) as u64,
            };
            let least = |request: &Range<usize>| request.clone().map(count).min().unwrap_or(0);
            let devices = self.ranges[at].iter().map(least).fold(0u64, u64::saturating_add);
            if devices > MAX_DEVICES as u64 {
                let claim = claim.key.to_string();
                return Err(AllocationError::TooManyDevices { claim, devices, most: MAX_DEVICES });
            }
        }
        Ok(())
    }
}

fn selector_count(claims: &[Claim], inventory: &Inventory) -> usize {
    let asks = claims.iter().flat_map(|claim| &claim.requests).flat_map(|request| request.asks());
    let of_class = |class: &str| inventory.class(class).map_or(0, |class| class.selectors.len());
    asks.map(|ask| ask.selectors.len() + of_class(&ask.class)).sum()
}
