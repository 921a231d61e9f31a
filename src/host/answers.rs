//! The extender's questions, answered from the newest snapshot.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testudo_core::engine::{self, Fitting, Judgement, Offered, Snapshot, Stance, Told, Verdict};
use testudo_core::model::node::Node;
use testudo_core::model::pod::{Pod, PodUid};
use testudo_core::placement::{self, deciding};
use tracing::{debug, info};

use super::Host;
use super::decisions::{Considered, MAX_PLACES};
use super::fields::{gang, note_on_span};
use crate::config::Mode;
use crate::extender::{
    Binding, Candidate, Extender, MAX_SCORE, NodeRefusal, NodeVerdict, Offer, OfferedNode, Refusal, Verdicts,
};
use crate::k8s::{node, object, pod};

impl Extender for Host {
    fn filter(&self, object: &object::Pod, offer: &Offer<'_>) -> Result<Verdicts, Refusal> {
        let pod = self.question(object)?;
        self.recent.lock().remember(Arc::clone(&pod));
        let snapshot = self.snapshot();
        match snapshot.stance(&pod) {
            Stance::Placed => {}
            // What is kept for a gang is kept against everybody: labels by which a pod is excluded are its owner's to write.
            Stance::Unconcerned | Stance::Excluded
                if self.mode == Mode::Enforce && offer.names().any(|n| snapshot.is_promised(n)) =>
            {
                return Ok(self.beside_promises(&snapshot, &pod, offer));
            }
            Stance::Unconcerned | Stance::Excluded => return Ok(Verdicts::all_fit(offer.len())),
        }
        if let Some(why) = snapshot.unsettled(&pod, offer.names()).filter(|_| self.mode == Mode::Enforce) {
            return Err(Refusal::Error(why.to_string()));
        }
        let told = self.told(&snapshot, &pod, offer);
        let tally = Tally::of(&told);
        self.metrics.filtered(&tally.counts);
        let considered = tally.considered(offer.len());
        self.decisions.lock().filtered(&pod, considered, self.now_ms());
        debug!(pod = %pod.key, gang = gang(&pod), offered = offer.len(), fit = tally.fitting(), "filtered");
        if self.mode == Mode::Enforce {
            return Ok(verdicts(told));
        }
        let refused = offer.len() as u64 - tally.fitting();
        self.metrics.observed_refusals.inc_by(refused);
        info!(pod = %pod.key, gang = gang(&pod), offered = offer.len(), refused, reasons = ?tally.counts, "observed: would have filtered");
        Ok(Verdicts::all_fit(offer.len()))
    }

    fn prioritize(&self, object: &object::Pod, offer: &Offer<'_>) -> Result<Vec<u8>, Refusal> {
        let pod = self.question(object)?;
        let snapshot = self.snapshot();
        let scores = match snapshot.stance(&pod) {
            Stance::Excluded => vec![0; offer.len()],
            // Where there is a choice, accelerators are left alone; where there is none, those that miss it least.
            Stance::Unconcerned if offer.names().any(|name| !snapshot.has_accelerators(name)) => {
                away_from_accelerators(&snapshot, offer)
            }
            Stance::Unconcerned | Stance::Placed => self.levels(&snapshot, &pod, offer),
        };
        if self.mode == Mode::Enforce {
            return Ok(scores);
        }
        let best = offer.names().zip(&scores).max_by_key(|(_, score)| **score).map(|(name, _)| name);
        info!(pod = %pod.key, gang = gang(&pod), node = best, "observed: would have preferred");
        Ok(vec![0; offer.len()])
    }

    async fn bind(&self, binding: Binding) -> Result<(), Refusal> {
        self.bind_once(binding).await
    }

    fn preempt(
        &self,
        object: &object::Pod,
        mut candidates: BTreeMap<String, Candidate>,
    ) -> Result<BTreeMap<String, Candidate>, Refusal> {
        let pod = self.question(object)?;
        let snapshot = self.snapshot();
        if self.mode == Mode::Observe {
            return Ok(candidates);
        }
        let victims = |candidate: &Candidate| -> Vec<PodUid> {
            candidate.victim_uids.iter().map(|uid| PodUid::from(uid.as_str())).collect()
        };
        // Of a gang no member goes alone, whoever asks: the others would hold their devices in vain.
        let offered = candidates.len();
        candidates.retain(|node, it| !victims(it).iter().any(|victim| snapshot.breaks_a_gang(node, victim)));
        if snapshot.stance(&pod) != Stance::Placed {
            self.metrics.preempted(offered, candidates.len());
            return Ok(candidates);
        }
        // Whoever goes, its namespace has no more for it.
        if snapshot.over_quota(&pod).is_some() {
            return Ok(BTreeMap::new());
        }
        // One member alone is of no use, and what its gang needs is evicted for the whole gang or not at all.
        if snapshot.is_held_together(&pod) {
            self.metrics.preempted(offered, 0);
            return Ok(BTreeMap::new());
        }
        let judgement = snapshot.judge(&pod);
        candidates.retain(|node, candidate| {
            // Kube-scheduler looks at nodes of which filter was never asked, since they are full.
            !judgement.forbids(node) && snapshot.victims_help(&pod.demand, node, &victims(candidate))
        });
        self.metrics.preempted(offered, candidates.len());
        debug!(pod = %pod.key, gang = gang(&pod), offered, kept = candidates.len(), "preempted");
        Ok(candidates)
    }

    fn ready(&self) -> Result<(), String> {
        self.is_synced()?;
        if self.leadership.is_leaving() { Err("stopping".into()) } else { Ok(()) }
    }
}

impl Host {
    /// Have nodes and pods been listed?
    ///
    /// # Errors
    /// When not: what is missing.
    pub fn is_synced(&self) -> Result<(), String> {
        let is_missing = |(_, flag): &(_, &AtomicBool)| !flag.load(Ordering::Acquire);
        let missing: Vec<&str> = self.lists().into_iter().filter(is_missing).map(|(kind, _)| kind).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{} are not listed yet", missing.join(" and "))) }
    }
}

impl Host {
    /// Reads the pod of a request. What is asked for by a pod that cannot be read is not guessed.
    fn question(&self, object: &object::Pod) -> Result<Arc<Pod>, Refusal> {
        self.may_answer()?;
        let (pod, problems) = pod::decode(object);
        match problems.into_iter().find(|problem| problem.blocking) {
            Some(problem) => Err(Refusal::Error(problem.to_string())),
            None => {
                let pod = Arc::new(self.snapshot().as_planned(pod));
                note_on_span(&pod);
                Ok(pod)
            }
        }
    }

    /// The verdicts for a pod that goes wherever kube-scheduler lets it: only where places are kept is it our business.
    fn beside_promises(&self, snapshot: &Snapshot, pod: &Pod, offer: &Offer<'_>) -> Verdicts {
        let judgement = snapshot.judge(pod);
        // Where a place is kept the node is known. If it has gone since, nothing fits there.
        let verdict = |name: &str| match snapshot.is_promised(name).then(|| judgement.of(Offered::Named(name))) {
            Some(Verdict::No(why)) if why.preemption_can_help => NodeVerdict::Fails(Arc::clone(&why.text)),
            Some(Verdict::No(why)) => NodeVerdict::Unresolvable(Arc::clone(&why.text)),
            Some(Verdict::Fits(_)) | None => NodeVerdict::Fits,
        };
        offer.names().map(verdict).collect()
    }

    /// What the pod is told of the nodes of an offer, in its order.
    fn told(&self, snapshot: &Snapshot, pod: &Pod, offer: &Offer<'_>) -> Told {
        snapshot.judge(pod).told(self.described(snapshot, offer).nodes())
    }

    /// The nodes of an offer, read where they came with the request and are not known otherwise.
    fn described<'o>(&self, snapshot: &Snapshot, offer: &'o Offer<'_>) -> Described<'o> {
        let describe = |offered: &OfferedNode<'_>| {
            let is_unknown = snapshot.slot(offered.node.metadata.name.as_str()).is_none();
            is_unknown.then(|| Node::new(node::decode(&offered.node).0, &self.catalogue).0)
        };
        let nodes = match offer {
            Offer::Nodes(nodes) => nodes.iter().map(describe).collect(),
            Offer::Names(_) => vec![],
        };
        Described { offer, nodes }
    }

    fn levels(&self, snapshot: &Snapshot, pod: &Pod, offer: &Offer<'_>) -> Vec<u8> {
        let judgement = snapshot.judge(pod);
        let described = self.described(snapshot, offer);
        let fitting = judgement.fitting(described.nodes());
        let places: Vec<(&str, u64)> = fitting.iter().map(|place| (offer.name(place.at), place.packed)).collect();
        let levels = placement::levels(&places);
        let by_level = best_places(places.iter().zip(&levels).map(|((name, _), level)| (*name, *level)));
        self.decisions.lock().ordered(&pod.uid, by_level, merit(&judgement, &described, &fitting));
        let mut scores = vec![0; offer.len()];
        fitting.iter().zip(levels).for_each(|(place, level)| scores[place.at] = level);
        scores
    }
}

/// An offer, with what came in it of nodes that are not known otherwise: an autoscaler asks about nodes that it might add.
struct Described<'o> {
    offer: &'o Offer<'o>,
    /// As the nodes of the offer; none at all for names.
    nodes: Vec<Option<Node>>,
}

impl Described<'_> {
    fn nodes(&self) -> impl ExactSizeIterator<Item = Offered<'_>> {
        (0..self.offer.len()).map(|at| self.node(at))
    }

    fn node(&self, at: usize) -> Offered<'_> {
        match self.nodes.get(at) {
            Some(Some(node)) => Offered::Described(node),
            _ => Offered::Named(self.offer.name(at)),
        }
    }
}

/// Puts what the engine says into the extender's form.
fn verdicts(told: Told) -> Verdicts {
    let (of, refusals) = told.into_parts();
    let refusal = |why: &Arc<engine::Refusal>| NodeRefusal {
        text: Arc::clone(&why.text),
        preemption_can_help: why.preemption_can_help,
    };
    Verdicts::new(of, refusals.iter().map(refusal).collect())
}

/// The places with the highest levels, of equals the first in the offer.
fn best_places<'a>(places: impl Iterator<Item = (&'a str, u8)>) -> Vec<(Arc<str>, u8)> {
    let mut best: Vec<(&str, u8)> = Vec::with_capacity(MAX_PLACES + 1);
    for (name, level) in places {
        if best.len() < MAX_PLACES || best.last().is_some_and(|(_, worst)| level > *worst) {
            let at = best.partition_point(|(_, known)| *known >= level);
            best.insert(at, (name, level));
            best.truncate(MAX_PLACES);
        }
    }
    best.into_iter().map(|(name, level)| (name.into(), level)).collect()
}

/// What the best place has before the next one that is not its equal.
fn merit(judgement: &Judgement<'_>, described: &Described<'_>, fitting: &[Fitting]) -> Option<Arc<str>> {
    let best = fitting.iter().min_by_key(|place| place.packed)?;
    let next = fitting.iter().filter(|place| place.packed > best.packed).min_by_key(|place| place.packed)?;
    let rank = |place: &Fitting| judgement.of(described.node(place.at)).rank();
    let (mut first, mut second) = (rank(best)?, rank(next)?);
    if first.packed() == second.packed() {
        let refined = |place: &Fitting| judgement.refined(described.node(place.at));
        (first, second) = (refined(best)?, refined(next)?);
    }
    Some(deciding(&first, &second).to_string().into())
}

/// A pod without accelerators is best where there are none. Among those nodes kube-scheduler chooses by its own rules.
fn away_from_accelerators(snapshot: &Snapshot, offer: &Offer<'_>) -> Vec<u8> {
    offer.names().map(|name| if snapshot.has_accelerators(name) { 0 } else { MAX_SCORE }).collect()
}

/// Verdicts, counted by the short name of their reason.
struct Tally {
    counts: Vec<(&'static str, u64)>,
    /// The first text of each.
    texts: Vec<Option<Arc<str>>>,
}

impl Tally {
    fn of(told: &Told) -> Self {
        let (fitting, refusals) = told.tally();
        let mut tally = Self { counts: vec![(FITS, fitting)], texts: vec![None] };
        for (refusal, count) in refusals {
            match tally.counts.iter_mut().find(|(known, _)| *known == refusal.label) {
                Some((_, sum)) => *sum += count,
                None => {
                    tally.counts.push((refusal.label, count));
                    tally.texts.push(Some(Arc::clone(&refusal.text)));
                }
            }
        }
        tally
    }

    /// What people are shown of it.
    fn considered(&self, offered: usize) -> Considered {
        let refusals = self.counts.iter().zip(&self.texts);
        let mut refusals: Vec<(Arc<str>, u64)> =
            refusals.filter_map(|((_, count), text)| Some((Arc::clone(text.as_ref()?), *count))).collect();
        refusals.sort_by_key(|(_, count)| Reverse(*count));
        Considered { offered, fitting: self.fitting(), refusals, ..Considered::default() }
    }

    fn fitting(&self) -> u64 {
        self.counts[0].1
    }
}

const FITS: &str = "fits";
