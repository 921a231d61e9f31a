//! A trial beside the scheduler that runs: what it does is watched, and what testudo would have done is worked out beside it.
//!
//! Nobody asks testudo for anything, so each pod that gets a node is judged by the state just before: would testudo have
//! refused that node, or had a better one? And the whole course is followed on a copy in which every such pod goes where
//! testudo would have put it, so that at the end both clusters can be compared. Nothing is written.
//!
//! On the copy members of gangs are placed one by one, when the running scheduler placed them: it can be told how many
//! gangs were half placed and what they held meanwhile, not what would have been done with the time.

mod course;
mod halves;

use std::collections::BTreeMap;

use serde::Serialize;
use testudo_core::engine::Offered;
use testudo_core::engine::{Change, Engine, Policy, Verdict};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::gang::GangKey;
use testudo_core::model::node::{Node, NodeName};
use testudo_core::model::pod::{Pod, PodUid, Stage};
use testudo_core::placement::Rank;

use crate::k8s::watch::ClusterEvent;
use crate::k8s::{node, pod};
use crate::overview::Overview;
use course::Course;
use halves::{Halves, HalvesReport};

/// Examples that are kept.
const MAX_EXAMPLES: usize = 20;

/// A trial under way.
pub struct Trial {
    catalogue: std::sync::Arc<Catalogue>,
    /// The cluster as it is.
    is: Engine,
    /// The cluster as it would be.
    would: Course,
    /// Everything that exists has been seen once: from then on it is news.
    nodes_listed: bool,
    pods_listed: bool,
    halves: Halves,
    tally: Tally,
    examples: Vec<Example>,
    began_ms: Option<u64>,
}

/// How the running scheduler has placed pods that ask for accelerators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// All that got a node.
    pub placed: usize,
    /// On a place as good as testudo's.
    pub as_good: usize,
    /// On a worse one.
    pub worse: usize,
    /// On a node that testudo would have refused.
    pub refused: usize,
}

/// A pod that is on another node than testudo would have given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// `namespace/name`.
    pub pod: String,
    /// Where it is.
    pub is_on: String,
    /// Where testudo would have put it; nowhere where there was no place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_be_on: Option<String>,
    /// What speaks against where it is.
    pub why: String,
}

/// What a cluster has left.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// Devices in use.
    pub used: f64,
    /// Free, and of no use to pods like those that come.
    pub stranded: f64,
    /// What share of the free devices that is, in percent.
    pub fragmentation_percent: f64,
    /// Nodes with accelerators of which none is in use.
    pub idle_nodes: usize,
}

/// What has come of a trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How long it has lasted, in seconds.
    pub seconds: u64,
    /// How pods were placed.
    pub pods: Tally,
    /// Gangs of which a part ran without the rest.
    pub gangs: HalvesReport,
    /// What the cluster has left.
    pub is: Left,
    /// What it would have left.
    pub would: Left,
    /// Pods that got a node and would find none on the copy: others are where they would have to be.
    pub without_place: usize,
    /// Some of the pods that would be elsewhere.
    pub examples: Vec<Example>,
}

impl Trial {
    /// One that has seen nothing yet.
    pub fn new(catalogue: std::sync::Arc<Catalogue>) -> Self {
        let mut is = Engine::new(Policy::default());
        // Gangs are known, and nothing is planned for them.
        is.lead(0);
        Self {
            catalogue,
            is,
            would: Course::default(),
            nodes_listed: false,
            pods_listed: false,
            halves: Halves::default(),
            tally: Tally::default(),
            examples: vec![],
            began_ms: None,
        }
    }

    /// Has everything that exists been seen?
    pub fn has_begun(&self) -> bool {
        self.began_ms.is_some()
    }

    /// Takes in what happens.
    pub fn take(&mut self, event: ClusterEvent, now_ms: u64) {
        match event {
            ClusterEvent::NodeApplied(object) => {
                let node = Node::new(node::decode(&object).0, &self.catalogue).0;
                self.apply_to_both(Change::NodeApplied(Box::new(node)), now_ms);
            }
            ClusterEvent::NodeDeleted(name) => self.apply_to_both(Change::NodeDeleted(name.as_str().into()), now_ms),
            ClusterEvent::NodesSynced(names) => {
                let names = names.iter().map(|name| NodeName::from(name.as_str())).collect();
                self.apply_to_both(Change::NodesListed(names), now_ms);
                self.nodes_listed = true;
            }
            ClusterEvent::PodApplied(object) => self.see(pod::decode(&object).0, now_ms),
            ClusterEvent::PodDeleted(uid) => self.apply_to_both(Change::PodDeleted(uid.as_str().into()), now_ms),
            ClusterEvent::PodsSynced(uids) => {
                let uids = uids.iter().map(|uid| PodUid::from(uid.as_str())).collect();
                self.apply_to_both(Change::PodsListed(uids), now_ms);
                self.pods_listed = true;
            }
            ClusterEvent::GroupApplied(group) => self.is.apply(Change::GroupApplied(group), now_ms),
            ClusterEvent::GroupDeleted(key) => self.is.apply(Change::GroupDeleted(key), now_ms),
            ClusterEvent::GroupsSynced(keys) => self.is.apply(Change::GroupsListed(keys), now_ms),
            // What claims have, they have on the copy as well: testudo is not asked for their devices. There are many of them,
            // and gangs are looked at with the next pod.
            ClusterEvent::ClaimApplied(claim) => return self.apply_to_both(Change::ClaimApplied(claim), now_ms),
            ClusterEvent::ClaimDeleted(uid) => return self.apply_to_both(Change::ClaimDeleted(uid), now_ms),
            ClusterEvent::ClaimsSynced(uids) => return self.apply_to_both(Change::ClaimsListed(uids), now_ms),
            ClusterEvent::SliceApplied(slice) => return self.apply_to_both(Change::SliceApplied(slice), now_ms),
            ClusterEvent::SliceDeleted(name) => return self.apply_to_both(Change::SliceDeleted(name), now_ms),
            ClusterEvent::SlicesSynced(names) => return self.apply_to_both(Change::SlicesListed(names), now_ms),
            ClusterEvent::ClassApplied(class) => return self.apply_to_both(Change::ClassApplied(class), now_ms),
            ClusterEvent::ClassDeleted(name) => return self.apply_to_both(Change::ClassDeleted(name), now_ms),
            ClusterEvent::ClassesSynced(names) => return self.apply_to_both(Change::ClassesListed(names), now_ms),
            _ => return,
        }
        if !self.has_begun() && self.nodes_listed && self.pods_listed {
            self.began_ms = Some(now_ms);
            self.would = Course::of(self.is.branch());
        }
        if self.has_begun() {
            self.is.keep_gangs(now_ms);
            self.halves.look(self.is.gangs(), now_ms);
        }
    }

    fn apply_to_both(&mut self, change: Change, now_ms: u64) {
        if self.has_begun() {
            self.would.apply(change.clone(), now_ms);
        }
        self.is.apply(change, now_ms);
    }

    fn see(&mut self, pod: Pod, now_ms: u64) {
        if self.has_begun() {
            let before = self.is.cluster().pod(&pod.uid).map_or(Stage::Pending, |known| known.stage.clone());
            match (&before, &pod.stage) {
                (Stage::Pending, Stage::Bound(node)) if pod.demand.wants_accelerators() => {
                    let node = node.clone();
                    self.judge(&pod, &node);
                    self.would.place(&pod, now_ms);
                }
                (Stage::Pending, Stage::Bound(_)) | (_, Stage::Finished(_)) => {
                    self.would.apply(Change::PodApplied(Box::new(pod.clone())), now_ms);
                }
                _ => {}
            }
        }
        self.is.apply(Change::PodApplied(Box::new(pod)), now_ms);
    }

    /// Compares the node that a pod got with what testudo would have said, by the state just before.
    fn judge(&mut self, pod: &Pod, node: &NodeName) {
        let asked = alone(pod);
        let snapshot = self.is.snapshot();
        let judgement = snapshot.judge(&asked);
        let best = judgement.best().cloned();
        self.tally.placed += 1;
        let rank_on = |node: &NodeName| judgement.of(Offered::Named(node.as_str())).rank();
        let why = match judgement.of(Offered::Named(node.as_str())) {
            Verdict::No(refusal) => {
                self.tally.refused += 1;
                format!("refused: {}", refusal.text)
            }
            Verdict::Fits(rank) => match best.as_ref().and_then(rank_on).filter(|best| best.packed() < rank.packed()) {
                Some(best) => {
                    self.tally.worse += 1;
                    difference(&rank, &best).to_owned()
                }
                None => {
                    self.tally.as_good += 1;
                    return;
                }
            },
        };
        if self.examples.len() < MAX_EXAMPLES {
            let would_be_on = best.map(|node| node.to_string());
            self.examples.push(Example { pod: pod.key.to_string(), is_on: node.to_string(), would_be_on, why });
        }
    }

    /// What has come of it so far.
    pub fn report(&mut self, now_ms: u64) -> Report {
        let began_ms = self.began_ms.unwrap_or(now_ms);
        Report {
            seconds: now_ms.saturating_sub(began_ms) / 1000,
            pods: self.tally,
            gangs: self.halves.report(now_ms),
            is: Left::of(&mut self.is),
            would: self.would.left(),
            without_place: self.would.without_place(),
            examples: self.examples.clone(),
        }
    }
}

/// The pod as one that is asked for by itself: members of gangs, too.
fn alone(pod: &Pod) -> Pod {
    Pod { stage: Stage::Pending, membership: None, ..pod.clone() }
}

/// What the first difference between two ranks is about.
fn difference(is: &Rank, best: &Rank) -> &'static str {
    let criteria = [
        (is.unwelcome > best.unwelcome, "the node is about to go, or discourages pods"),
        (is.unmet_preference > best.unmet_preference, "the pod prefers other nodes"),
        (is.misfit > best.misfit, "another kind of capacity suits its priority"),
        (is.form > best.form, "the node offers slices or replicas, or has accelerators that it does not ask for"),
        (is.link > best.link, "its devices are not linked by NVLink there"),
        (is.recuttable > best.recuttable, "it keeps the devices of an idle node from being cut otherwise"),
        (is.cost > best.cost, "it leaves gaps that pods to come cannot use"),
        (is.opens > best.opens, "it opens an idle node"),
        (is.left > best.left, "it leaves more over than a fuller node"),
    ];
    criteria
        .into_iter()
        .find(|(differs, _)| *differs)
        .map_or("it is further from its service, or nearer", |(_, why)| why)
}

impl Left {
    fn of(engine: &mut Engine) -> Self {
        let overview = Overview::of(&engine.snapshot(), []);
        let devices = overview.devices();
        Self {
            used: devices.used_milli as f64 / 1000.0,
            stranded: devices.stranded_milli as f64 / 1000.0,
            fragmentation_percent: devices.fragmentation_permille() as f64 / 10.0,
            idle_nodes: overview.pools.values().map(|pool| pool.idle_nodes).sum(),
        }
    }
}

/// Gangs by their key.
type ByGang<T> = BTreeMap<GangKey, T>;

#[cfg(test)]
mod tests;
