//! A copy of a cluster in which workloads are tried out.

use std::collections::BTreeMap;
use std::sync::Arc;

use testudo_core::engine::{Change, Engine, GangStage, Policy};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::gang::GangKey;
use testudo_core::model::node::{Node, NodeName};
use testudo_core::model::pod::{Pod, PodUid, Stage};
use testudo_core::placement;

use super::Workload;
use crate::host::offline::{NOW_MS, engine_of, settle};
use crate::k8s::manifests::Manifests;
use crate::k8s::pod;

/// A copy of a cluster.
#[derive(Debug)]
pub struct Room {
    engine: Engine,
    /// How many copies of workloads have been tried.
    tried: usize,
}

/// Where the pods of a copy go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The nodes, in the order of the pods.
    pub nodes: Vec<NodeName>,
}

/// Why a copy does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In one sentence.
    pub reason: String,
    /// What nodes say, and how many say it: the reason that most share first. Empty for gangs, which are refused as a whole.
    pub nodes: Vec<(String, usize)>,
}

impl Room {
    /// The cluster that manifests describe, and `more` nodes.
    pub fn new(manifests: &Manifests, catalogue: &Catalogue, more: &[Node]) -> Self {
        // Who waits already would compete for the room: that is for `explain` to tell.
        let mut engine = engine_of(manifests, catalogue, Policy::default(), |pod| pod.stage != Stage::Pending);
        more.iter().for_each(|node| engine.apply(Change::NodeApplied(Box::new(node.clone())), NOW_MS));
        Self { engine, tried: 0 }
    }

    /// The cluster that an engine knows: one that nobody else decides with.
    pub fn on(engine: Engine) -> Self {
        Self { engine, tried: 0 }
    }

    /// All nodes, by name.
    pub fn nodes(&mut self) -> Vec<Arc<Node>> {
        let snapshot = self.engine.snapshot();
        snapshot.nodes().into_iter().filter_map(|state| state.node().cloned()).collect()
    }

    /// Finds places for a copy and takes them.
    ///
    /// # Errors
    /// When it does not fit; then nothing is taken.
    pub fn place(&mut self, workload: &Workload) -> Result<Placed, Refusal> {
        let number = self.tried;
        self.tried += 1;
        let (objects, groups) = workload.copy(number);
        let pods: Vec<Pod> = objects.iter().map(|object| pod::decode(object).0).collect();
        for group in groups {
            self.engine.apply(Change::GroupApplied(Box::new(group)), NOW_MS);
        }
        let placed = if workload.is_gang() { self.place_gang(&pods) } else { self.place_each(&pods) };
        if placed.is_err() {
            pods.iter().for_each(|pod| self.engine.apply(Change::PodDeleted(pod.uid.clone()), NOW_MS));
        }
        placed
    }

    fn place_each(&mut self, pods: &[Pod]) -> Result<Placed, Refusal> {
        let mut nodes = vec![];
        for pod in pods {
            let best = self.engine.snapshot().judge(pod).best().cloned();
            let Some(node) = best else { return Err(self.refusal(pod)) };
            self.bind(pod, &node)?;
            nodes.push(node);
        }
        Ok(Placed { nodes })
    }

    fn bind(&mut self, pod: &Pod, node: &NodeName) -> Result<(), Refusal> {
        let assumed = self.engine.assume(pod, node, u64::MAX);
        let gpus = assumed.map_err(|error| Refusal { reason: error.to_string(), nodes: vec![] })?;
        let bound = Pod { gpus, stage: Stage::Bound(node.clone()), ..pod.clone() };
        self.engine.apply(Change::PodApplied(Box::new(bound)), NOW_MS);
        Ok(())
    }

    /// Makes the pods known, has the engine plan them, and binds those that have places: others of the gang may start only
    /// then. Goes on until all are bound, or no more get places.
    fn place_gang(&mut self, pods: &[Pod]) -> Result<Placed, Refusal> {
        for pod in pods {
            self.engine.apply(Change::PodApplied(Box::new(pod.clone())), NOW_MS);
        }
        let mut nodes: BTreeMap<PodUid, NodeName> = BTreeMap::new();
        loop {
            settle(&mut self.engine);
            let planned: Vec<(&Pod, NodeName)> = {
                let snapshot = self.engine.snapshot();
                let place = |pod: &PodUid| snapshot.unconfirmed().get(pod).cloned();
                pods.iter().filter_map(|pod| Some((pod, place(&pod.uid)?))).collect()
            };
            if planned.is_empty() {
                break;
            }
            for (pod, node) in planned {
                self.bind(pod, &node)?;
                nodes.insert(pod.uid.clone(), node);
            }
        }
        let found: Vec<NodeName> = pods.iter().filter_map(|pod| nodes.get(&pod.uid).cloned()).collect();
        if found.len() == pods.len() {
            return Ok(Placed { nodes: found });
        }
        Err(self.gang_refusal(pods, found.len()))
    }

    fn gang_refusal(&mut self, pods: &[Pod], found: usize) -> Refusal {
        let gang = pods.first().and_then(|pod| pod.membership.as_ref()).map(|membership| membership.gang.clone());
        let is_it = |key: &GangKey| Some(key) == gang.as_ref();
        let view = self.engine.gangs().find(|view| is_it(&view.key));
        match view {
            Some(view) if view.stage < GangStage::Planned => {
                let reason = view.why.map_or_else(|| "the gang waits".to_owned(), |why| why.to_string());
                Refusal { reason, nodes: vec![] }
            }
            Some(_) => {
                let reason = format!("{found} of {} members have places, the others have none", pods.len());
                Refusal { reason, nodes: vec![] }
            }
            // Its members start each for itself.
            None => match pods.iter().try_for_each(|pod| match self.engine.snapshot().judge(pod).best() {
                Some(_) => Ok(()),
                None => Err(pod),
            }) {
                Err(pod) => self.refusal(pod),
                Ok(()) => {
                    Refusal { reason: "the members start each for itself, and not all fit".into(), nodes: vec![] }
                }
            },
        }
    }

    fn refusal(&mut self, pod: &Pod) -> Refusal {
        let snapshot = self.engine.snapshot();
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let nodes = snapshot.nodes();
        for state in &nodes {
            if let Err(reason) = placement::check(&pod.demand, state) {
                *reasons.entry(reason.to_string()).or_default() += 1;
            }
        }
        let mut reasons: Vec<(String, usize)> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let most = reasons.first().map_or("there are no nodes".to_owned(), |(reason, _)| reason.clone());
        Refusal { reason: format!("none of {} nodes has a place: {most}", nodes.len()), nodes: reasons }
    }
}
