//! A question, put to one node after the other.

use super::allocation::{Allocation, allocations};
use super::allocator::{Answer, BestFit, Fit, Verdict};
use super::choice::Scorer;
use super::claim::{Claim, Count};
use super::error::AllocationError;
use super::inventory::{DeviceNo, Inventory};
use super::layout::Layouts;
use super::nodes::Node;
use super::question::{AskEntry, Question};
use super::refusal::{NodeRefusal, refusal};
use super::search::{Effort, Ending, Found, Order, Search};
use super::selectors::Selectors;
use super::usage::{HoldingKind, Usage};
use super::view::View;

/// The claims of one pod: what stands behind them was looked up once for all nodes.
#[derive(Debug)]
pub struct Inquiry<'a> {
    question: Question<'a>,
    inventory: &'a Inventory,
    usage: &'a mut Usage,
    selectors: &'a mut Selectors,
    layouts: &'a mut Layouts,
    effort: Effort,
    /// Steps that are left for all nodes.
    left: u64,
}

/// For how many pods a node has devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// For so many.
    pub pods: u32,
    /// There may be devices for more: no more were asked for.
    pub may_have_more: bool,
    /// As [`Fit::alternatives`], for the first of them.
    pub alternatives: Vec<Vec<usize>>,
    /// As [`Fit::cost`], for the first of them.
    pub cost: i64,
}

impl Room {
    /// Between nodes, for the same claims and scorer: less is better, as [`Fit::rank`].
    pub fn rank(&self) -> (&[Vec<usize>], i64) {
        (&self.alternatives, self.cost)
    }
}

struct NodeAnswer {
    verdict: Verdict,
    steps: u64,
    /// A pool of the node that contradicts itself.
    invalid: Option<AllocationError>,
}

impl<'a> Inquiry<'a> {
    pub(super) fn new(
        claims: &'a [Claim],
        inventory: &'a Inventory,
        usage: &'a mut Usage,
        selectors: &'a mut Selectors,
        layouts: &'a mut Layouts,
        effort: Effort,
    ) -> Result<Inquiry<'a>, AllocationError> {
        let question = Question::new(claims, inventory, selectors)?;
        Ok(Inquiry { question, inventory, usage, selectors, layouts, effort, left: effort.on_all_nodes })
    }

    /// Looks for devices on one node.
    ///
    /// # Errors
    /// Where upstream's allocator fails too: the question cannot be answered.
    pub fn on(&mut self, node: &str, scorer: &mut dyn Scorer) -> Result<Answer<Verdict>, AllocationError> {
        self.on_with(node, self.effort, scorer)
    }

    fn on_with(
        &mut self,
        node: &str,
        effort: Effort,
        scorer: &mut dyn Scorer,
    ) -> Result<Answer<Verdict>, AllocationError> {
        let node = self.inventory.node(node).ok_or_else(|| AllocationError::UnknownNode(node.to_owned()))?;
        let NodeAnswer { verdict, steps, invalid } = self.look(node, effort, scorer)?;
        match (&verdict, invalid) {
            (Verdict::Refused(_), Some(error)) => Err(error),
            _ => Ok(Answer { verdict, steps }),
        }
    }

    /// For how many pods in a row, `most` at most, whose claims ask for the same, a node has devices. They are compared by the
    /// first set that is found, the best devices being looked at first.
    ///
    /// # Errors
    /// As [`Inquiry::on`], for the first pod.
    pub fn room(
        &mut self,
        node: &str,
        most: u32,
        scorer: &mut dyn Scorer,
    ) -> Result<Result<Room, NodeRefusal>, AllocationError> {
        let first = match self.on_quickly(node, scorer)?.verdict {
            Verdict::Refused(refusal) => return Ok(Err(refusal)),
            Verdict::Fits(fit) => fit,
        };
        let (mut pods, mut taken) = (1, vec![]);
        let mut last = Some(self.holdings(&first));
        while let Some(holdings) = last.take_if(|_| pods < most) {
            holdings.iter().for_each(|(device, kind)| self.usage.take_device(self.inventory, *device, kind));
            taken.extend(holdings);
            if let Ok(Answer { verdict: Verdict::Fits(fit), .. }) = self.on_quickly(node, scorer) {
                pods += 1;
                last = Some(self.holdings(&fit));
            }
        }
        taken.iter().for_each(|(device, kind)| self.usage.release_device(self.inventory, *device, kind));
        let Fit { alternatives, cost, .. } = first;
        Ok(Ok(Room { pods, may_have_more: last.is_some(), alternatives, cost }))
    }

    fn holdings(&self, fit: &Fit) -> Vec<(DeviceNo, HoldingKind)> {
        let holdings = fit.allocations.iter().flat_map(Allocation::holdings);
        holdings.filter_map(|holding| Some((self.inventory.device_no(&holding.device)?, holding.kind))).collect()
    }

    /// Looks for the node where the claims fit best. Of equals it is the first by name.
    ///
    /// # Errors
    /// As [`Inquiry::on`] on any node. Only a pool that contradicts itself is no error as long as there is a node that fits.
    pub fn best(&mut self, scorer: &mut dyn Scorer) -> Result<Answer<BestFit>, AllocationError> {
        let (mut best, mut refusals, mut steps) = (None::<Fit>, vec![], 0);
        let mut invalid = None;
        for node in self.inventory.nodes() {
            let answer = self.look(node, self.quick(), scorer)?;
            steps += answer.steps;
            self.left = self.left.saturating_sub(answer.steps);
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
                if let Some(node) = self.inventory.node(&fit.node) {
                    let answer = self.look(node, self.effort, scorer)?;
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

    /// Has it taken all steps that there are for all nodes together? Of the last nodes it is then not known whether they fit.
    pub fn is_exhausted(&self) -> bool {
        self.left == 0
    }

    fn on_quickly(&mut self, node: &str, scorer: &mut dyn Scorer) -> Result<Answer<Verdict>, AllocationError> {
        let answer = self.on_with(node, self.quick(), scorer)?;
        self.left = self.left.saturating_sub(answer.steps);
        Ok(answer)
    }

    /// Enough to compare nodes.
    fn quick(&self) -> Effort {
        Effort { improvement: 0, steps: self.effort.steps.min(self.left), ..self.effort }
    }

    fn look(&mut self, node: &Node, effort: Effort, scorer: &mut dyn Scorer) -> Result<NodeAnswer, AllocationError> {
        let Inquiry { question, inventory, usage, selectors, layouts, .. } = self;
        let layout = layouts.of(inventory, node)?;
        let view = View::new(question, inventory, usage, selectors, layout, node)?;
        let invalid = view.invalid_pool();
        let mut steps = 0;
        let verdict = match decide(question, &view, effort, scorer, &mut steps) {
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
    view.is_poisoned() || question.asks.iter().any(AskEntry::is_constrained_all)
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
