//! Where devices are looked for. A search takes long, so the desk leaves the engine with the task that needs it and comes
//! back with what came of it; it is told then what has changed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::fleet::Fleet;
use super::rooms::{Kept, Rooms};
use crate::claims::choice::Thrifty;
use crate::claims::{
    AllocationError, Allocator, Answer, BestFit, Claim, ClaimKey, Fit, Holding, Inventory, NodeRefusal, PoolId, Room,
    Verdict,
};
use crate::cluster::Cluster;

/// Devices that can be allocated, what is in use of them, and the judgement which are the best.
#[derive(Debug, Clone)]
pub struct Desk {
    allocator: Allocator,
    scorer: Thrifty,
    /// What each claim has, as far as the desk has heard.
    taken: BTreeMap<ClaimKey, Vec<Holding>>,
    /// For how many pods there is room on nodes, as long as nothing of them moves.
    rooms: Rooms,
    /// Pools of which something has moved since the judgement was last brought up to date.
    moved: BTreeSet<PoolId>,
}

/// Why claims get no devices on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// Which of them, if it is one of them.
    pub claim: Option<usize>,
    /// What it asks for, or what is wrong with that.
    pub wish: String,
}

impl Refused {
    fn by_node(refusal: &NodeRefusal, claims: &[Claim]) -> Self {
        let claim = claims.iter().position(|claim| claim.key.to_string() == refusal.claim);
        Self { claim, wish: refusal.wish() }
    }

    fn by_error(error: &AllocationError) -> Self {
        Self { claim: None, wish: error.to_string() }
    }
}

impl Desk {
    /// One that has heard of nothing.
    pub fn new() -> Self {
        let allocator = Allocator::new(Inventory::default());
        let scorer = Thrifty::new(&allocator);
        Self { allocator, scorer, taken: BTreeMap::new(), rooms: Rooms::default(), moved: BTreeSet::new() }
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
        self.judge_anew();
    }

    /// Devices on a node for the claims of one pod; nothing is taken.
    ///
    /// # Errors
    /// Why there are none.
    pub fn look(&mut self, node: &str, claims: &[Claim]) -> Result<Fit, Refused> {
        match self.allocator.allocate_on(node, claims, &mut self.scorer) {
            Ok(Answer { verdict: Verdict::Fits(fit), .. }) => Ok(fit),
            Ok(Answer { verdict: Verdict::Refused(refusal), .. }) => Err(Refused::by_node(&refusal, claims)),
            Err(error) => Err(Refused::by_error(&error)),
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

    /// For how many pods in a row, `most` at most, whose claims ask for the same, each of these nodes has devices; or why it
    /// has none for the first.
    pub fn rooms<'n>(
        &mut self,
        nodes: impl Iterator<Item = &'n str>,
        claims: &[Claim],
        most: u32,
    ) -> Vec<Result<Arc<Room>, Arc<Refused>>> {
        self.forget_moved();
        let Self { allocator, scorer, rooms, .. } = self;
        let mut inquiry = match allocator.ask(claims) {
            Ok(inquiry) => inquiry,
            Err(error) => {
                let refused = Arc::new(Refused::by_error(&error));
                return nodes.map(|_| Err(Arc::clone(&refused))).collect();
            }
        };
        let book = rooms.of(claims);
        let room = |node: &str| {
            if let Some(answer) = book.get(node).and_then(|kept| kept.answer(most)) {
                return answer;
            }
            scorer.take_consulted();
            let room = match inquiry.room(node, most, scorer) {
                Ok(Ok(room)) => Ok(Arc::new(room)),
                Ok(Err(refusal)) => Err(Arc::new(Refused::by_node(&refusal, claims))),
                // Not kept: it names the claim, and whoever asks for the same next has another.
                Err(error) => return Err(Arc::new(Refused::by_error(&error))),
            };
            // What was given up for want of steps is not what there is on the node.
            if !inquiry.is_exhausted() {
                book.insert(node.into(), Kept { room: room.clone(), goes_by_mix: scorer.take_consulted() });
            }
            room
        };
        nodes.map(room).collect()
    }

    /// Brings the judgement up to date with all that has moved.
    fn judge_anew(&mut self) {
        self.forget_moved();
        if self.scorer.refresh(&self.allocator, &std::mem::take(&mut self.moved)) {
            self.rooms.forget_mix();
        }
    }

    fn forget_moved(&mut self) {
        let moves = self.allocator.take_moves();
        self.rooms.forget(&moves);
        self.moved.extend(moves.pools);
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

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
