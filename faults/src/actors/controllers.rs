//! The controller of claims: makes them of templates, reserves them for pods that are on a node without that, lets go what
//! pods do not use any more, and removes what is to go.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testudo::sim::rng::Rng;

use crate::api::store::{Key, Kind, Object, Store, finalizers, is_leaving, text};
use crate::facts::{Claim, Pod};

/// It turns to each object so often.
const PERIOD_MS: usize = 400;

/// The controller of claims.
pub struct ClaimController {
    rng: Rng,
    due_ms: u64,
    /// The version of the store that it has seen.
    read: u64,
}

impl ClaimController {
    /// One that has done nothing yet.
    pub fn new(rng: Rng) -> Self {
        Self { rng, due_ms: 0, read: 0 }
    }

    /// Does what is due.
    pub fn step(&mut self, store: &mut Store, now_ms: u64) {
        if now_ms < self.due_ms {
            return;
        }
        if self.read == store.version() {
            return;
        }
        self.read = store.version();
        self.due_ms = now_ms + 20 + self.rng.below(PERIOD_MS) as u64;
        let pods: Vec<Object> = store.all(Kind::Pod).map(|(_, pod)| pod.clone()).collect();
        for pod in &pods {
            let is_there = |claim: Key| store.get(Kind::Claim, &claim).is_some();
            let facts = pod.pod();
            // A claim that is gone is made anew for a pod that waits.
            let is_templated = !pod["spec"]["resourceClaims"][0]["resourceClaimTemplateName"].is_null();
            let has_all = facts.claims.iter().all(Option::is_some) && facts.claim_keys().all(is_there);
            if facts.is_pending() && is_templated && !has_all {
                make_claims(pod, store);
            }
        }
        for pod in pods.iter().map(|pod| pod.pod()).filter(|pod| pod.node.is_some() && !pod.ended && !pod.leaving) {
            pod.claim_keys().for_each(|claim| reserve(&claim, pod, store));
        }
        let alive: BTreeMap<String, Pod> = pods
            .iter()
            .map(|pod| pod.pod())
            .filter(|pod| !pod.ended)
            .map(|pod| (pod.uid.clone(), pod.clone()))
            .collect();
        let claims: Vec<(Key, Object)> =
            store.all(Kind::Claim).map(|(key, claim)| (key.clone(), claim.clone())).collect();
        for (key, claim) in claims {
            let owner = text(&claim, "/metadata/ownerReferences/0/uid");
            if !owner.is_empty() && !alive.contains_key(owner) && !is_leaving(&claim) {
                store.delete(Kind::Claim, &key).expect("it was there just now");
            }
            tidy(&key, &alive, store);
        }
    }
}

fn make_claims(pod: &Value, store: &mut Store) {
    let (key, uid) = (Key::of(pod), text(pod, "/metadata/uid"));
    let mut made = vec![];
    for reference in pod["spec"]["resourceClaims"].as_array().into_iter().flatten() {
        let name = text(reference, "/name");
        let claim = format!("{}-{name}", key.name);
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": key.name, "uid": uid, "controller": true});
        let object = json!({
            "metadata": {"namespace": key.namespace, "name": claim, "ownerReferences": [owner]},
            "spec": {"devices": {"requests": [reference["request"]]}},
        });
        // The claim of an earlier pod of this name has to go first.
        if store.create(Kind::Claim, object).is_err() {
            return;
        }
        made.push(json!({"name": name, "resourceClaimName": claim}));
    }
    let written = store.update(Kind::Pod, &key, |pod| {
        pod["status"]["resourceClaimStatuses"] = json!(made);
        Ok(())
    });
    written.expect("the pod was there just now");
}

/// Reserves a claim that has devices for a pod that is on its node. Whoever brought it there may have missed to, or have
/// undone it: of two schedulers one has bound the pod, and the other has given up.
fn reserve(claim: &Key, pod: &Pod, store: &mut Store) {
    let is_missing = |claim: &Claim| claim.devices.is_some() && !claim.reserved.contains(&pod.uid);
    if !store.get(Kind::Claim, claim).is_some_and(|claim| is_missing(claim.claim())) {
        return;
    }
    let written = store.update(Kind::Claim, claim, |claim| {
        add_consumer(claim, pod);
        Ok(())
    });
    written.expect("the claim was there just now");
}

/// The pod uses the claim.
pub fn add_consumer(claim: &mut Value, pod: &Pod) {
    let consumer = json!({"resource": "pods", "name": pod.key.name, "uid": pod.uid});
    match claim.pointer_mut("/status/reservedFor").and_then(Value::as_array_mut) {
        Some(consumers) if consumers.contains(&consumer) => {}
        Some(consumers) => consumers.push(consumer),
        None => claim["status"]["reservedFor"] = json!([consumer]),
    }
}

/// Strikes consumers that have gone; with the last one the devices go, and then what protects the claim.
fn tidy(key: &Key, alive: &BTreeMap<String, Pod>, store: &mut Store) {
    // It may have gone by itself.
    let _ = store.update(Kind::Claim, key, |claim| {
        let consumers = claim["status"]["reservedFor"].as_array().cloned().unwrap_or_default();
        let left: Vec<Value> = consumers.iter().filter(|it| alive.contains_key(text(it, "/uid"))).cloned().collect();
        let is_free = left.is_empty() && (!consumers.is_empty() || is_leaving(claim));
        if left.len() < consumers.len() {
            claim["status"]["reservedFor"] = json!(left);
        }
        if is_free {
            claim["status"] = json!({});
            if !finalizers(claim).is_empty() {
                claim["metadata"]["finalizers"] = json!([]);
            }
        }
        Ok(())
    });
}
