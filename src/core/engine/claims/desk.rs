//! Where devices are looked for. A search takes long, so the desk leaves the engine with the task that needs it and comes
//! back with what came of it; it is told then what has changed meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::fleet::Fleet;
use crate::claims::choice::Thrifty;
use crate::claims::{AllocationError, Allocator, Answer, BestFit, Claim, ClaimKey, Fit, Holding, Inventory, Verdict};
use crate::cluster::Cluster;

/// Devices that can be allocated, what is in use of them, and the judgement which are the best.
#[derive(Debug, Clone)]
pub struct Desk {
    allocator: Allocator,
    scorer: Thrifty,
    /// What each claim has, as far as the desk has heard.
    taken: BTreeMap<ClaimKey, Vec<Holding>>,
}

/// Why claims get no devices on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// Which of them, if it is one of them.
    pub claim: Option<usize>,
    /// What it asks for, or what is wrong with that.
    pub wish: String,
}

impl Desk {
    /// One that has heard of nothing.
    pub fn new() -> Self {
        let allocator = Allocator::new(Inventory::default());
        Self { scorer: Thrifty::new(&allocator), allocator, taken: BTreeMap::new() }
    }

    /// Hears of what has changed: of the fleet, and of claims that hold something else than before.
    pub(super) fn hear(
        &mut self,
        fleet: &mut Fleet,
        cluster: &Cluster,
        changed: BTreeSet<ClaimKey>,
        held: impl Fn(&ClaimKey) -> Vec<Holding>,
    ) {
        fleet.tell(&mut self.allocator, cluster);
        for key in changed {
            let now = held(&key);
            let before = self.taken.remove(&key).unwrap_or_default();
            if before != now {
                self.allocator.release(before);
                self.allocator.take(now.iter().cloned());
            }
            if !now.is_empty() {
                self.taken.insert(key, now);
            }
        }
        self.scorer.refresh(&self.allocator);
    }

    /// Devices on a node for the claims of one pod; nothing is taken.
    ///
    /// # Errors
    /// Why there are none.
    pub fn look(&mut self, node: &str, claims: &[Claim]) -> Result<Fit, Refused> {
        match self.allocator.allocate_on(node, claims, &mut self.scorer) {
            Ok(Answer { verdict: Verdict::Fits(fit), .. }) => Ok(fit),
            Ok(Answer { verdict: Verdict::Refused(refusal), .. }) => {
                let claim = claims.iter().position(|claim| claim.key.to_string() == refusal.claim);
                Err(Refused { claim, wish: refusal.wish() })
            }
            Err(error) => Err(Refused { claim: None, wish: error.to_string() }),
        }
    }

    /// The node where one claim fits best, or what stands against it on each; nothing is taken.
    ///
    /// # Errors
    /// When it asks for what cannot be judged.
    pub fn best(&mut self, claim: &Claim) -> Result<BestFit, AllocationError> {
        let answer = self.allocator.allocate(std::slice::from_ref(claim), &mut self.scorer)?;
        Ok(answer.verdict)
    }

    /// For how many pods in a row, `most` at most, whose claims ask for the same, a node has devices; and what the first
    /// of them would get.
    ///
    /// # Errors
    /// Why there are none for the first.
    pub fn room(&mut self, node: &str, claims: &[Claim], most: u32) -> Result<(u32, Fit), Refused> {
        let first = self.look(node, claims)?;
        let mut taken = vec![];
        let mut next = Some(first.clone());
        let mut count = 0;
        while let Some(fit) = next.take() {
            count += 1;
            if count < most {
                taken.extend(self.take(&fit));
                next = self.look(node, claims).ok();
            }
        }
        self.allocator.release(taken);
        Ok((count, first))
    }

    /// Takes devices; what is returned gives them back.
    pub fn take(&mut self, fit: &Fit) -> Vec<Holding> {
        let holdings: Vec<Holding> = fit.allocations.iter().flat_map(|allocation| allocation.holdings()).collect();
        self.allocator.take(holdings.iter().cloned());
        holdings
    }

    /// Takes what was given back.
    pub fn take_all(&mut self, holdings: Vec<Holding>) {
        self.allocator.take(holdings);
    }

    /// Gives devices back.
    pub fn give_back(&mut self, holdings: Vec<Holding>) {
        self.allocator.release(holdings);
    }
}
