//! Allocates the claims of a pod on a node, and keeps what is in use.

use std::sync::Arc;

use super::allocation::{Allocation, allocations};
use super::choice::Scorer;
use super::claim::{Claim, Count};
use super::error::AllocationError;
use super::inventory::Inventory;
use super::nodes::Node;
use super::question::{AskEntry, Question};
use super::refusal::{NodeRefusal, refusal};
use super::search::{Effort, Ending, Found, Order, Search};
use super::selectors::Selectors;
use super::slice::{PoolId, Slice};
use super::usage::{Holding, Usage};
use super::view::View;

/// Devices that can be allocated, and what is in use of them.
///
/// A plan for many claims is made by asking ([`Allocator::allocate_on`]) and taking ([`Allocator::take`]) in turn; giving
/// back ([`Allocator::release`]) undoes exactly what taking did.
#[derive(Debug, Clone)]
pub struct Allocator {
    inventory: Inventory,
    usage: Usage,
    selectors: Selectors,
    effort: Effort,
    /// How often the inventory was made anew.
    renewals: u64,
}

/// Devices for the claims of a pod on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// The node.
    pub node: Box<str>,
    /// One for each claim, in their order.
    pub allocations: Vec<Allocation>,
    /// Which alternative each request got, by claim and request: 0 for the first, and where there is no choice.
    pub alternatives: Vec<Vec<usize>>,
    /// What they cost: less is better.
    pub cost: i64,
}

impl Fit {
    /// Between nodes, for the same claims and scorer: less is better. What is asked for first comes first, at any cost.
    pub fn rank(&self) -> (&[Vec<usize>], i64) {
        (&self.alternatives, self.cost)
    }
}

/// Whether the claims of a pod fit on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They fit.
    Fits(Fit),
    /// They do not.
    Refused(NodeRefusal),
}

/// An answer, and how many steps it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The answer.
    pub verdict: T,
    /// Steps of the search.
    pub steps: u64,
}

/// Whether the claims of a pod fit on any node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BestFit {
    /// They fit, and best there.
    Fits(Fit),
    /// They fit nowhere; by node.
    Refused(Vec<NodeRefusal>),
}

impl Allocator {
    /// Devices of which none is in use.
    pub fn new(inventory: Inventory) -> Allocator {
        let usage = Usage::new(&inventory);
        Allocator { inventory, usage, selectors: Selectors::default(), effort: Effort::default(), renewals: 0 }
    }

    /// The same, with another bound on each search.
    #[must_use]
    pub fn with_effort(self, effort: Effort) -> Allocator {
        Allocator { effort, ..self }
    }

    /// What there is.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// What is in use of it.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Nodes and classes, to be brought up to date.
    pub fn inventory_mut(&mut self) -> &mut Inventory {
        &mut self.inventory
    }

    /// From now on these are all slices of a pool. What is in use of it stays so.
    pub fn set_pool(&mut self, pool: &PoolId, slices: Vec<Arc<Slice>>) {
        self.inventory.set_pool(pool, slices);
        self.usage.keep_up(&self.inventory, pool);
        if self.inventory.is_worn() {
            self.inventory = self.inventory.renewed();
            self.usage = std::mem::take(&mut self.usage).moved_to(&self.inventory);
            self.selectors.forget_devices();
            self.renewals += 1;
        }
    }

    /// Grows when numbers of listings have another meaning.
    pub(super) fn renewals(&self) -> u64 {
        self.renewals
    }

    /// From now on this is in use.
    pub fn take(&mut self, holdings: impl IntoIterator<Item = Holding>) {
        for holding in holdings {
            self.usage.take(&mut self.inventory, &holding);
        }
    }

    /// It no longer is.
    pub fn release(&mut self, holdings: impl IntoIterator<Item = Holding>) {
        for holding in holdings {
            self.usage.release(&self.inventory, &holding);
        }
    }

    /// Looks for devices on one node for the claims of one pod.
    ///
    /// # Errors
    /// Where upstream's allocator fails too: the question cannot be answered.
    pub fn allocate_on(
        &mut self,
        node: &str,
        claims: &[Claim],
        scorer: &mut dyn Scorer,
    ) -> Result<Answer<Verdict>, AllocationError> {
        let Allocator { inventory, usage, selectors, effort, .. } = self;
        let node = inventory.node(node).ok_or_else(|| AllocationError::UnknownNode(node.to_owned()))?;
        selectors.make_room(selector_count(claims, inventory));
        let question = Question::new(claims, inventory, selectors)?;
        let answer = on_node(&question, inventory, usage, selectors, *effort, node, scorer)?;
        if let (Verdict::Refused(_), Some(error)) = (&answer.verdict, answer.invalid) {
            return Err(error);
        }
        Ok(Answer { verdict: answer.verdict, steps: answer.steps })
    }

    /// Looks for the node where the claims of one pod fit best. Of equals it is the first by name.
    ///
    /// # Errors
    /// As [`Allocator::allocate_on`] on any node: what is wrong is not better for being elsewhere. Only a pool that
    /// contradicts itself is no error as long as there is a node that fits.
    pub fn allocate(&mut self, claims: &[Claim], scorer: &mut dyn Scorer) -> Result<Answer<BestFit>, AllocationError> {
        let Allocator { inventory, usage, selectors, effort, .. } = self;
        selectors.make_room(selector_count(claims, inventory));
        let question = Question::new(claims, inventory, selectors)?;
        let (mut best, mut refusals, mut steps) = (None::<Fit>, vec![], 0);
        let mut invalid = None;
        let quick = Effort { improvement: 0, ..*effort };
        for node in inventory.nodes() {
            let answer = on_node(&question, inventory, usage, selectors, quick, node, scorer)?;
            steps += answer.steps;
            match answer.verdict {
                Verdict::Fits(fit) => {
                    if best.as_ref().is_none_or(|best| fit.rank() < best.rank()) {
                        best = Some(fit);
                    }
                }
                Verdict::Refused(refusal) => {
                    refusals.push(refusal);
                    invalid = invalid.or(answer.invalid);
                }
            }
        }
        match (best, invalid) {
            (Some(mut fit), _) => {
                // Nodes are compared by the first set that is found on each, the best devices being looked at first.
                if let Some(node) = inventory.node(&fit.node) {
                    let answer = on_node(&question, inventory, usage, selectors, *effort, node, scorer)?;
                    steps += answer.steps;
                    if let Verdict::Fits(improved) = answer.verdict {
                        fit = improved;
                    }
                }
                Ok(Answer { verdict: BestFit::Fits(fit), steps })
            }
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Answer { verdict: BestFit::Refused(refusals), steps }),
        }
    }
}

fn selector_count(claims: &[Claim], inventory: &Inventory) -> usize {
    let asks = claims.iter().flat_map(|claim| &claim.requests).flat_map(|request| request.asks());
    let of_class = |class: &str| inventory.class(class).map_or(0, |class| class.selectors.len());
    asks.map(|ask| ask.selectors.len() + of_class(&ask.class)).sum()
}

struct NodeAnswer {
    verdict: Verdict,
    steps: u64,
    /// A pool of the node that contradicts itself.
    invalid: Option<AllocationError>,
}

fn on_node(
    question: &Question,
    inventory: &Inventory,
    usage: &Usage,
    selectors: &mut Selectors,
    effort: Effort,
    node: &Node,
    scorer: &mut dyn Scorer,
) -> Result<NodeAnswer, AllocationError> {
    let view = View::new(question, inventory, usage, selectors, node)?;
    let invalid = view.invalid_pool();
    let mut steps = 0;
    let ending = decide(question, &view, effort, scorer, &mut steps);
    let verdict = match ending {
        Ending::Error(error) => return Err(error),
        Ending::Found(found) => {
            let allocations = allocations(question, &view, inventory, &found).map_err(|(slice, terms)| {
                AllocationError::NodeSelector { slice, what: format!("has {terms} terms, one is allowed") }
            })?;
            let Found { alternatives, cost, .. } = found;
            Verdict::Fits(Fit { node: node.name.clone(), allocations, alternatives, cost })
        }
        Ending::Nothing { deepest } => Verdict::Refused(refusal(question, &view, deepest, true)),
        Ending::GaveUp { deepest } => Verdict::Refused(refusal(question, &view, deepest, false)),
    };
    Ok(NodeAnswer { verdict, steps, invalid })
}

/// Decides whether the question fits, as upstream does, and with which devices.
fn decide(question: &Question, view: &View, effort: Effort, scorer: &mut dyn Scorer, steps: &mut u64) -> Ending {
    if is_decided_by_order(question, view) {
        let (ending, taken) = Search::new(question, view, Order::Published, effort).run();
        *steps += taken;
        if !matches!(ending, Ending::Found(_)) {
            return ending;
        }
    }
    if let Some(deepest) = hopeless(question, view) {
        return Ending::Nothing { deepest };
    }
    let (ending, taken) = Search::new(question, view, Order::BestFirst(scorer), effort).run();
    *steps += taken;
    match ending {
        Ending::Found(found) => preferred(question, view, effort, scorer, found, steps),
        ending => ending,
    }
}

/// Whether it matters in which order devices are looked at: where looking at one can be an error.
fn is_decided_by_order(question: &Question, view: &View) -> bool {
    let all = |entry: &AskEntry| entry.ask.count == Count::All && !entry.constraints.is_empty();
    view.is_poisoned() || question.asks.iter().any(all)
}

/// A request that has too few candidates by itself, if there is one: then nothing has to be searched.
fn hopeless(question: &Question, view: &View) -> Option<(usize, usize)> {
    let lacks = |ask: usize| match question.asks[ask].ask.count {
        Count::All => view.candidates[ask].is_empty(),
        Count::Exactly(count) => {
            (view.candidates[ask].iter().filter(|candidate| candidate.poison.is_none()).count() as u64) < count
        }
    };
    let requests =
        (0..question.claims.len()).flat_map(|claim| (0..question.requests(claim)).map(move |request| (claim, request)));
    let mut requests = requests.filter(|(claim, request)| question.asks_of(*claim, *request).all(lacks));
    requests.next()
}

/// The devices for the first alternatives that can be had: earlier requests come first, and no score goes before that.
fn preferred(
    question: &Question,
    view: &View,
    effort: Effort,
    scorer: &mut dyn Scorer,
    mut found: Found,
    steps: &mut u64,
) -> Ending {
    let mut fixed: Vec<Vec<Option<usize>>> =
        (0..question.claims.len()).map(|claim| vec![None; question.requests(claim)]).collect();
    for claim in 0..question.claims.len() {
        for request in 0..question.requests(claim) {
            for earlier in 0..found.alternatives[claim][request] {
                fixed[claim][request] = Some(earlier);
                let search = Search::new(question, view, Order::BestFirst(scorer), effort).fix(fixed.clone());
                let (ending, taken) = search.run();
                *steps += taken;
                if let Ending::Found(better) = ending {
                    found = better;
                    break;
                }
            }
            fixed[claim][request] = Some(found.alternatives[claim][request]);
        }
    }
    Ending::Found(found)
}

#[cfg(test)]
#[path = "allocator_tests.rs"]
mod tests;
