//! How many pods there are of each shape, by namespace, and how many wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::pod::{Pod, Stage};
use crate::model::shape::Shape;

/// How many pods of each shape are waiting or running in one namespace.
pub type ShapeCounts = BTreeMap<Arc<Shape>, u32>;

/// How many pods of each shape are waiting or running, by namespace. It grows with the pods that the cluster holds.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    by_namespace: BTreeMap<String, ShapeCounts>,
    generation: u64,
    waiting: usize,
}

impl Tally {
    /// Grows with every change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Namespaces with their counts, in the order of their names.
    pub fn namespaces(&self) -> impl Iterator<Item = (&str, &ShapeCounts)> {
        self.by_namespace.iter().map(|(namespace, counts)| (namespace.as_str(), counts))
    }

    /// How many pods wait for accelerators.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn add(&mut self, pod: &Pod) {
        self.waiting += usize::from(waits(pod));
        let Some(shape) = counted(pod) else { return };
        self.generation += 1;
        let counts = match self.by_namespace.get_mut(&pod.key.namespace) {
            Some(counts) => counts,
            None => self.by_namespace.entry(pod.key.namespace.clone()).or_default(),
        };
        *counts.entry(Arc::new(shape)).or_default() += 1;
    }

    pub(super) fn remove(&mut self, pod: &Pod) {
        self.waiting -= usize::from(waits(pod));
        let Some(shape) = counted(pod) else { return };
        self.generation += 1;
        let Some(counts) = self.by_namespace.get_mut(&pod.key.namespace) else { return };
        if let Some(count) = counts.get_mut(&shape) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&shape);
            }
        }
        if counts.is_empty() {
            self.by_namespace.remove(&pod.key.namespace);
        }
    }
}

/// Does it wait for accelerators?
fn waits(pod: &Pod) -> bool {
    pod.stage == Stage::Pending && pod.is_alive() && pod.demand.wants_accelerators()
}

fn counted(pod: &Pod) -> Option<Shape> {
    if pod.has_ended() { None } else { Shape::of(&pod.demand) }
}
