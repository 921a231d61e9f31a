//! Pods that were filtered a moment ago.
//!
//! The watch can lag behind kube-scheduler: it may ask us to bind a pod that we have not seen yet. What it told us about
//! the pod when it asked filter serves instead. Nothing is decided by this memory, and it is bounded.

use std::collections::VecDeque;
use std::sync::Arc;

use testudo_core::model::pod::{Pod, PodUid};

/// Between filter and bind, kube-scheduler has at most some hundred pods under way.
const CAPACITY: usize = 2048;

/// The pods filtered last, oldest first.
#[derive(Debug, Default)]
pub struct RecentPods(VecDeque<Arc<Pod>>);

impl RecentPods {
    /// Remembers a pod, in its newest form.
    pub fn remember(&mut self, pod: Arc<Pod>) {
        if self.0.back().is_some_and(|last| last.uid == pod.uid) {
            self.0.pop_back();
        } else if self.0.len() == CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(pod);
    }

    /// The pod with this unique id.
    pub fn get(&self, uid: &PodUid) -> Option<&Arc<Pod>> {
        self.0.iter().rev().find(|pod| pod.uid == *uid)
    }
}
