//! The extender's questions, answered from the newest snapshot.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testudo_core::engine::{Judgement, Offered, Snapshot, Stance, Verdict};
use testudo_core::model::node::{Node, NodeName};
use testudo_core::model::pod::{Pod, PodUid};
use testudo_core::placement::{self, Rank, deciding};
use tracing::{debug, info};

use super::Host;
use super::decisions::{Considered, MAX_PLACES};
use super::fields::{gang, note_on_span};
use crate::config::Mode;
use crate::extender::{Binding, Candidate, Extender, MAX_SCORE, NodeVerdict, Offer, Refusal};
use crate::k8s::{node, object, pod};

impl Extender for Host {
    fn filter(&self, object: &object::Pod, offer: &Offer<'_>) -> Result<Vec<NodeVerdict>, Refusal> {
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
            Stance::Unconcerned | Stance::Excluded => return Ok(vec![NodeVerdict::Fits; offer.len()]),
        }
        if let Some(why) = snapshot.unsettled(&pod).filter(|_| self.mode == Mode::Enforce) {
            return Err(Refusal::Error(why.to_string()));
        }
        let mut tally = Tally::default();
        let verdicts: Vec<NodeVerdict> =
            self.judged(&snapshot, &pod, offer).map(|verdict| tally.note(verdict)).collect();
        self.metrics.filtered(&tally.counts);
        let considered = tally.considered(offer.len());
        self.decisions.lock().filtered(&pod, considered, self.now_ms());
        debug!(pod = %pod.key, gang = gang(&pod), offered = offer.len(), fit = tally.fitting(), "filtered");
        if self.mode == Mode::Enforce {
            return Ok(verdicts);
        }
        let refused = offer.len() as u64 - tally.fitting();
        self.metrics.observed_refusals.inc_by(refused);
        info!(pod = %pod.key, gang = gang(&pod), offered = offer.len(), refused, reasons = ?tally.counts, "observed: would have filtered");
        Ok(vec![NodeVerdict::Fits; offer.len()])
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
        if self.mode == Mode::Observe || snapshot.stance(&pod) != Stance::Placed {
            return Ok(candidates);
        }
        // Whoever goes, its namespace has no more for it.
        if snapshot.over_quota(&pod).is_some() {
            return Ok(BTreeMap::new());
        }
        // One member alone is of no use, and what its gang needs is evicted for the whole gang or not at all.
        let offered = candidates.len();
        if snapshot.is_held_together(&pod) {
            self.metrics.preempted(offered, 0);
            return Ok(BTreeMap::new());
        }
        candidates.retain(|node, candidate| {
            let victims: Vec<PodUid> = candidate.victim_uids.iter().map(|uid| PodUid::from(uid.as_str())).collect();
            !victims.iter().any(|victim| snapshot.breaks_a_gang(node, victim))
                && snapshot.victims_help(&pod.demand, node, &victims)
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
    pub(super) fn is_synced(&self) -> Result<(), String> {
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
    fn beside_promises(&self, snapshot: &Snapshot, pod: &Pod, offer: &Offer<'_>) -> Vec<NodeVerdict> {
        let judgement = snapshot.judge(pod);
        let mut tally = Tally::default();
        let verdict = |(at, name): (usize, &str)| match snapshot.is_promised(name) {
            true => tally.note(self.verdict(snapshot, &judgement, offer, at)),
            false => NodeVerdict::Fits,
        };
        offer.names().enumerate().map(verdict).collect()
    }

    /// The verdicts on the nodes of an offer, in its order.
    fn judged<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        pod: &Pod,
        offer: &'a Offer<'_>,
    ) -> impl Iterator<Item = Verdict> + 'a {
        let judgement = snapshot.judge(pod);
        (0..offer.len()).map(move |at| self.verdict(snapshot, &judgement, offer, at))
    }

    fn verdict(&self, snapshot: &Snapshot, judgement: &Judgement<'_>, offer: &Offer<'_>, at: usize) -> Verdict {
        let name = offer.name(at);
        match offer {
            // The node came with the request and is not known otherwise: an autoscaler asks about a node it might add.
            Offer::Nodes(nodes) if snapshot.node(name).is_none_or(|state| state.node().is_none()) => {
                let (described, _) = Node::new(node::decode(&nodes[at].node).0, &self.catalogue);
                judgement.of(Offered::Described(&described))
            }
            _ => judgement.of(Offered::Named(name)),
        }
    }

    fn levels(&self, snapshot: &Snapshot, pod: &Pod, offer: &Offer<'_>) -> Vec<u8> {
        let judgement = snapshot.judge(pod);
        let mut ranks: Vec<Option<Rank>> =
            (0..offer.len()).map(|at| self.verdict(snapshot, &judgement, offer, at).rank()).collect();
        // Who is around decides between the best, if there are several.
        let best = ranks.iter().flatten().map(|rank| rank.packed()).min();
        for (name, rank) in offer.names().zip(&mut ranks) {
            *rank = rank.map(|rank| match best {
                Some(best) if rank.packed() == best => judgement.refined(rank, &NodeName::from(name)),
                _ => rank,
            });
        }
        let places: Vec<(&str, u64)> =
            offer.names().zip(&ranks).filter_map(|(name, rank)| Some((name, (*rank)?.packed()))).collect();
        let levels = placement::levels(&places);
        let by_level = best_places(places.iter().zip(&levels).map(|((name, _), level)| (*name, *level)));
        self.decisions.lock().ordered(&pod.uid, by_level, merit(&ranks));
        let mut levels = levels.into_iter();
        ranks.iter().map(|rank| rank.and_then(|_| levels.next()).unwrap_or(0)).collect()
    }
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
fn merit(ranks: &[Option<Rank>]) -> Option<Arc<str>> {
    let best = ranks.iter().flatten().min_by_key(|rank| rank.packed())?;
    let others = ranks.iter().flatten().filter(|rank| rank.packed() > best.packed());
    let next = others.min_by_key(|rank| rank.packed())?;
    Some(deciding(best, next).to_string().into())
}

/// A pod without accelerators is best where there are none. Among those nodes kube-scheduler chooses by its own rules.
fn away_from_accelerators(snapshot: &Snapshot, offer: &Offer<'_>) -> Vec<u8> {
    offer.names().map(|name| if snapshot.has_accelerators(name) { 0 } else { MAX_SCORE }).collect()
}

/// Counts verdicts by the short name of their reason.
#[derive(Default)]
struct Tally {
    counts: Vec<(&'static str, u64)>,
    /// The first text of each.
    texts: Vec<Option<Arc<str>>>,
}

impl Tally {
    /// Counts a verdict and puts it into the extender's form.
    fn note(&mut self, verdict: Verdict) -> NodeVerdict {
        match verdict {
            Verdict::Fits(_) => {
                self.count(FITS, None);
                NodeVerdict::Fits
            }
            Verdict::No(refusal) => {
                self.count(refusal.label, Some(&refusal.text));
                let text = Arc::clone(&refusal.text);
                if refusal.preemption_can_help { NodeVerdict::Fails(text) } else { NodeVerdict::Unresolvable(text) }
            }
        }
    }

    fn count(&mut self, label: &'static str, text: Option<&Arc<str>>) {
        match self.counts.iter_mut().find(|(known, _)| *known == label) {
            Some((_, count)) => *count += 1,
            None => {
                self.counts.push((label, 1));
                self.texts.push(text.cloned());
            }
        }
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
        self.counts.iter().find(|(label, _)| *label == FITS).map_or(0, |(_, count)| *count)
    }
}

const FITS: &str = "fits";
