//! The cluster as it would be if testudo had placed the pods.

use std::collections::BTreeMap;

use testudo_core::engine::{Change, Engine, Policy};
use testudo_core::model::pod::{Pod, PodUid, Stage};

use super::{Left, alone};

/// A copy that goes its own way from the beginning of the trial.
pub struct Course {
    engine: Engine,
    /// Pods that run and find no place on it. They are tried again when something goes.
    without: BTreeMap<PodUid, Pod>,
}

impl Default for Course {
    fn default() -> Self {
        Self::of(Engine::new(Policy::default()))
    }
}

impl Course {
    /// The copy, as things are now.
    pub fn of(engine: Engine) -> Self {
        Self { engine, without: BTreeMap::new() }
    }

    /// Takes in what happens all the same: nodes come and go, pods end.
    pub fn apply(&mut self, change: Change, now_ms: u64) {
        let frees = match &change {
            Change::PodDeleted(uid) => {
                self.without.remove(uid);
                true
            }
            Change::PodApplied(pod) => {
                self.without.remove(&pod.uid);
                pod.has_ended()
            }
            Change::NodeApplied(_) => true,
            _ => false,
        };
        self.engine.apply(change, now_ms);
        if frees && !self.without.is_empty() {
            let waiting = std::mem::take(&mut self.without);
            waiting.into_values().for_each(|pod| self.place(&pod, now_ms));
        }
    }

    /// Puts a pod that got a node where testudo would have put it.
    pub fn place(&mut self, pod: &Pod, now_ms: u64) {
        let asked = alone(pod);
        let best = self.engine.snapshot().judge(&asked).best().cloned();
        let assumed = best.and_then(|node| self.engine.assume(&asked, &node, u64::MAX).ok().map(|gpus| (node, gpus)));
        match assumed {
            Some((node, gpus)) => {
                let placed = Pod { stage: Stage::Bound(node), gpus, ..asked };
                self.engine.apply(Change::PodApplied(Box::new(placed)), now_ms);
            }
            None => drop(self.without.insert(pod.uid.clone(), pod.clone())),
        }
    }

    /// What it has left.
    pub fn left(&mut self) -> Left {
        Left::of(&mut self.engine)
    }

    /// How many pods find no place on it.
    pub fn without_place(&self) -> usize {
        self.without.len()
    }
}
