//! The kubelets: they start what was bound to their nodes, reject what does not fit, and end what is to end.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Value, json};
use testudo::sim::rng::Rng;

use crate::api::store::{Key, Kind, Object, Store, text};
use crate::facts::{Amounts, Node, Pod};
use crate::story::Story;

/// The annotation that says how long a pod runs, in milliseconds.
pub const LASTS: &str = "simulation/lasts";

/// The pods of a node that is gone are taken away after this time.
const LOST_AFTER_MS: u64 = 3_000;

/// All kubelets.
pub struct Kubelets {
    rng: Rng,
    pods: BTreeMap<String, State>,
    /// The version of the store that they have seen.
    read: u64,
}

/// What a kubelet knows of a pod.
#[derive(Debug, Clone, Copy)]
struct State {
    /// When it turns to the pod next.
    due_ms: u64,
    is_running: bool,
    /// Since when it is to end.
    leaves_ms: Option<u64>,
    /// Since when its node is gone.
    lost_ms: Option<u64>,
}

impl Kubelets {
    /// With no pods.
    pub fn new(rng: Rng) -> Self {
        Self { rng, pods: BTreeMap::new(), read: 0 }
    }

    /// When one of them has something to do.
    pub fn next_ms(&self) -> Option<u64> {
        self.pods.values().map(|state| state.due_ms.min(state.leaves_ms.unwrap_or(u64::MAX))).min()
    }

    /// Does what is due.
    pub fn step(&mut self, store: &mut Store, story: &mut Story, now_ms: u64) {
        let is_due = self.next_ms().is_some_and(|due| due <= now_ms);
        if !is_due && self.read == store.version() {
            return;
        }
        self.read = store.version();
        let bound = store.all(Kind::Pod).filter(|(_, pod)| pod.pod().is_ours && pod.pod().node.is_some());
        let pods: Vec<Object> = bound.map(|(_, pod)| Rc::clone(pod)).collect();
        let uids: BTreeSet<&str> = pods.iter().map(|pod| pod.pod().uid.as_str()).collect();
        self.pods.retain(|uid, _| uids.contains(uid.as_str()));
        for pod in &pods {
            self.attend(pod, &pods, store, story, now_ms);
        }
    }

    fn attend(&mut self, object: &Object, pods: &[Object], store: &mut Store, story: &mut Story, now_ms: u64) {
        let pod = object.pod();
        let soon_ms = now_ms + 50 + self.rng.below(800) as u64;
        let fresh = State { due_ms: soon_ms, is_running: false, leaves_ms: None, lost_ms: None };
        let state = self.pods.get(&pod.uid).copied().unwrap_or(fresh);
        let name = pod.node.as_deref().unwrap_or_default();
        let node = store.get(Kind::Node, &Key::global(name)).cloned();
        let mut next = state;
        match node {
            None => {
                let lost_ms = *next.lost_ms.get_or_insert(now_ms);
                next.due_ms = lost_ms + LOST_AFTER_MS;
                if now_ms >= next.due_ms {
                    story.tell(now_ms, || format!("pod {} is lost with node {name}", pod.key));
                    store.remove(Kind::Pod, &pod.key);
                }
            }
            Some(node) => {
                next.lost_ms = None;
                if pod.leaving {
                    let leaves_ms = *next.leaves_ms.get_or_insert(now_ms + 50 + self.rng.below(pod.ends_ms) as u64);
                    if now_ms >= leaves_ms {
                        store.remove(Kind::Pod, &pod.key);
                    }
                } else if !pod.ended && now_ms >= state.due_ms {
                    if state.is_running {
                        set_phase(pod, "Succeeded", "", store);
                        story.tell(now_ms, || format!("pod {} has finished", pod.key));
                        next.due_ms = u64::MAX / 2;
                    } else {
                        next = self.start(object, node.node(), pods, store, story, now_ms);
                    }
                }
            }
        }
        match self.pods.get_mut(&pod.uid) {
            Some(state) => *state = next,
            None => _ = self.pods.insert(pod.uid.clone(), next),
        }
    }

    /// Starts a pod whose claims are ready for it and that has room; rejects one that has none.
    fn start(
        &self,
        object: &Object,
        node: &Node,
        pods: &[Object],
        store: &mut Store,
        story: &mut Story,
        now_ms: u64,
    ) -> State {
        let pod = object.pod();
        let state = State { due_ms: now_ms + 500, is_running: false, leaves_ms: None, lost_ms: None };
        let is_ready = |key: Key| {
            let claim = store.get(Kind::Claim, &key).map(|claim| claim.claim());
            claim.is_some_and(|claim| claim.devices.is_some() && claim.reserved.contains(&pod.uid))
        };
        if !pod.claim_keys().all(is_ready) {
            return state;
        }
        let is_admitted =
            |other: &&Pod| other.is_on(&node.name) && self.pods.get(&other.uid).is_some_and(|state| state.is_running);
        let used: Amounts = pods.iter().map(|pod| pod.pod()).filter(is_admitted).map(|pod| pod.asks).sum();
        if !node.has.covers(used + pod.asks) {
            let reason = "OutOfResources";
            story.tell(now_ms, || format!("the kubelet of {} rejects pod {}: {reason}", node.name, pod.key));
            set_phase(pod, "Failed", reason, store);
            return State { due_ms: u64::MAX / 2, ..state };
        }
        story.tell(now_ms, || format!("pod {} runs on {}", pod.key, node.name));
        set_phase(pod, "Running", "", store);
        let lasts_ms = object["metadata"]["annotations"][LASTS].as_str().and_then(|ms| ms.parse().ok());
        State { due_ms: now_ms + lasts_ms.unwrap_or(u64::MAX / 2), is_running: true, ..state }
    }
}

fn set_phase(pod: &Pod, phase: &str, reason: &str, store: &mut Store) {
    // Who is gone has no phase.
    let _ = store.update(Kind::Pod, &pod.key, |object| {
        if text(object, "/metadata/uid") == pod.uid {
            object["status"]["phase"] = json!(phase);
            if !reason.is_empty() {
                object["status"]["reason"] = Value::from(reason);
            }
        }
        Ok(())
    });
}
