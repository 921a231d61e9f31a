//! Kueue, as far as it matters here: pods come with its gate, and it takes the gates away when it admits them. That takes a
//! moment or long, and it is done pod by pod: of a gang some may be let go while others are held back yet.

use std::collections::BTreeMap;

use serde_json::Value;
use testudo::sim::rng::Rng;

use crate::api::store::{Key, Kind, Store};
use crate::facts::KUEUES_GATE;
use crate::story::Story;

/// Kueue.
pub struct Kueue {
    rng: Rng,
    /// When pods that it holds back are admitted, by unique id.
    due: BTreeMap<String, (u64, Key)>,
    /// The version of the store that it has seen.
    read: u64,
}

impl Kueue {
    /// It has seen nobody yet.
    pub fn new(rng: Rng) -> Self {
        Self { rng, due: BTreeMap::new(), read: 0 }
    }

    /// When it admits a pod next.
    pub fn next_ms(&self) -> Option<u64> {
        self.due.values().map(|(due_ms, _)| *due_ms).min()
    }

    /// Does what is due.
    pub fn step(&mut self, store: &mut Store, story: &mut Story, now_ms: u64) {
        for happened in store.ever_since(Kind::Pod, self.read) {
            let pod = happened.object.pod();
            if pod.queued && !self.due.contains_key(&pod.uid) {
                let most = [800, 12_000][self.rng.below(2)];
                let due_ms = now_ms + 100 + self.rng.below(most) as u64;
                self.due.insert(pod.uid.clone(), (due_ms, pod.key.clone()));
            }
        }
        self.read = store.version();
        for (uid, (_, key)) in self.due.extract_if(.., |_, (due_ms, _)| *due_ms <= now_ms) {
            // It may be gone, and another of its name be there.
            if store.get(Kind::Pod, &key).is_some_and(|pod| pod.pod().uid == uid) {
                story.tell(now_ms, || format!("Kueue admits pod {key}"));
                let admitted = store.update(Kind::Pod, &key, |pod| {
                    open(&mut pod["spec"]);
                    Ok(())
                });
                admitted.expect("the pod was there just now");
            }
        }
    }
}

/// Takes its gate away, and the field with the last one.
fn open(spec: &mut Value) {
    let Some(spec) = spec.as_object_mut() else { return };
    let gates = spec.get_mut("schedulingGates").and_then(Value::as_array_mut);
    let are_left = gates.is_some_and(|gates| {
        gates.retain(|gate| gate["name"] != KUEUES_GATE);
        !gates.is_empty()
    });
    if !are_left {
        spec.remove("schedulingGates");
    }
}
