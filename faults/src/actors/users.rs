//! Users, and the controllers that keep their workloads: a pod that is lost is made again.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testudo::sim::rng::Rng;

use super::kubelets::LASTS;
use crate::api::store::{Key, Kind, Store, text};
use crate::facts::{MIN_COUNT, SCHEDULER};
use crate::script::Workload;
use crate::story::Story;

/// The namespace of all workloads.
pub const NAMESPACE: &str = "team";

/// The label that says which workload a pod belongs to.
const WORKLOAD: &str = "workload";

/// Keeps workloads.
pub struct Users {
    rng: Rng,
    kept: BTreeMap<String, Kept>,
}

struct Kept {
    workload: Workload,
    /// How often a pod of each number was made.
    made: Vec<u64>,
    due_ms: u64,
}

impl Users {
    /// Nobody wants anything yet.
    pub fn new(rng: Rng) -> Self {
        Self { rng, kept: BTreeMap::new() }
    }

    /// A user wants this to run.
    pub fn create(&mut self, workload: Workload, now_ms: u64) {
        let made = vec![0; workload.pods];
        self.kept.insert(workload.name.clone(), Kept { workload, made, due_ms: now_ms });
    }

    /// A user wants it no more: all pods of it are deleted.
    pub fn delete(&mut self, name: &str, store: &mut Store) {
        self.kept.remove(name);
        // Not all have one.
        let _ = store.delete(Kind::PodGroup, &Key::new(NAMESPACE, name));
        for key in pods_of(name, store) {
            store.delete(Kind::Pod, &key).expect("it was there just now");
        }
    }

    /// A pod of it is deleted.
    pub fn lose(&mut self, name: &str, store: &mut Store) {
        let pods = pods_of(name, store);
        if !pods.is_empty() {
            store.delete(Kind::Pod, &pods[self.rng.below(pods.len())]).expect("it was there just now");
        }
    }

    /// The claims of its pods are deleted.
    pub fn delete_claims(&self, name: &str, store: &mut Store) {
        let is_of = |key: &Key| key.name.starts_with(&format!("{name}-"));
        let claims: Vec<Key> = store.all(Kind::Claim).map(|(key, _)| key.clone()).filter(is_of).collect();
        for key in claims {
            store.delete(Kind::Claim, &key).expect("it was there just now");
        }
    }

    /// It gets one pod more.
    pub fn grow(&mut self, name: &str, now_ms: u64) {
        if let Some(kept) = self.kept.get_mut(name) {
            kept.made.push(0);
            kept.due_ms = kept.due_ms.max(now_ms);
        }
    }

    /// When a pod is to be made, at the earliest.
    pub fn next_ms(&self) -> Option<u64> {
        self.kept.values().map(|kept| kept.due_ms).min()
    }

    /// Makes the pods that are missing.
    pub fn step(&mut self, store: &mut Store, story: &mut Story, now_ms: u64) {
        for (name, kept) in &mut self.kept {
            if now_ms < kept.due_ms {
                continue;
            }
            let mut has_made = false;
            if kept.workload.native && store.get(Kind::PodGroup, &Key::new(NAMESPACE, name)).is_none() {
                store.create(Kind::PodGroup, group_of(&kept.workload)).expect("a new name");
            }
            if kept.workload.keeps_claims {
                make_claims(&kept.workload, kept.made.len(), store);
            }
            for (index, made) in kept.made.iter_mut().enumerate() {
                let pod =
                    store.get(Kind::Pod, &key(name, index, *made)).map(|pod| text(pod, "/status/phase").to_owned());
                let is_missing = *made == 0 || pod.is_none_or(|phase| phase == "Failed");
                // One after the other, as controllers make them.
                if is_missing && !has_made {
                    *made += 1;
                    let object = pod_of(&kept.workload, index, *made);
                    story.tell(now_ms, || format!("pod {} is created", key(name, index, *made)));
                    store.create(Kind::Pod, object).expect("a new name");
                    has_made = true;
                }
            }
            let pause = if has_made { 60 } else { 1_500 };
            kept.due_ms = now_ms + 10 + self.rng.below(pause) as u64;
        }
    }
}

/// The PodGroup of a native gang.
fn group_of(workload: &Workload) -> Value {
    let policy = json!({"gang": {"minCount": workload.together}});
    json!({"metadata": {"namespace": NAMESPACE, "name": workload.name}, "spec": {"schedulingPolicy": policy}})
}

/// Makes the claims of its own that are not there.
fn make_claims(workload: &Workload, pods: usize, store: &mut Store) {
    let requests = workload.claims.map(request);
    for index in 0..pods {
        let name = claim_of(&workload.name, index);
        if store.get(Kind::Claim, &Key::new(NAMESPACE, &name)).is_none() {
            let spec = json!({"devices": {"requests": [requests]}});
            let claim = json!({"metadata": {"namespace": NAMESPACE, "name": name}, "spec": spec});
            store.create(Kind::Claim, claim).expect("a new name");
        }
    }
}

fn claim_of(workload: &str, index: usize) -> String {
    format!("{workload}-{index}-devices")
}

fn request((class, count): (&str, usize)) -> Value {
    let exactly = json!({"deviceClassName": class, "allocationMode": "ExactCount", "count": count});
    json!({"name": "devices", "exactly": exactly})
}

fn key(workload: &str, index: usize, made: u64) -> Key {
    Key::new(NAMESPACE, &format!("{workload}-{index}-{made}"))
}

fn pods_of(workload: &str, store: &Store) -> Vec<Key> {
    let is_of = |pod: &Value| text(pod, "/metadata/labels/workload") == workload;
    store.all(Kind::Pod).filter(|(_, pod)| is_of(pod)).map(|(key, _)| key.clone()).collect()
}

fn pod_of(workload: &Workload, index: usize, made: u64) -> Value {
    let Key { namespace, name } = key(&workload.name, index, made);
    let mut requests = json!({"cpu": format!("{}m", workload.cpu)});
    if workload.gpus > 0 {
        requests["nvidia.com/gpu"] = json!(workload.gpus.to_string());
    }
    let mut annotations = json!({});
    if let Some(together) = workload.together.filter(|_| workload.native) {
        annotations[MIN_COUNT] = json!(together.to_string());
    } else if let Some(together) = workload.together {
        annotations["testudo.dev/pod-group"] = json!(workload.name);
        annotations["testudo.dev/min-member"] = json!(together.to_string());
    }
    if let Some(lasts_ms) = workload.lasts_ms {
        annotations[LASTS] = json!(lasts_ms.to_string());
    }
    let mut spec = json!({
        "schedulerName": SCHEDULER,
        "priority": workload.priority,
        "containers": [{"name": "main", "resources": {"requests": requests, "limits": requests}}],
    });
    if workload.native {
        spec["schedulingGroup"] = json!({"podGroupName": workload.name});
    }
    if workload.gated {
        spec["schedulingGates"] = json!([{"name": "testudo.dev/gang"}]);
    }
    if workload.keeps_claims {
        let claim = claim_of(&workload.name, index);
        spec["resourceClaims"] = json!([{"name": "devices", "resourceClaimName": claim}]);
    } else if let Some(claim) = workload.claims {
        // What a template says stands here beside the reference to it.
        let request = request(claim);
        spec["resourceClaims"] = json!([{"name": "devices", "resourceClaimTemplateName": "t", "request": request}]);
    }
    json!({
        "metadata": {
            "namespace": namespace, "name": name, "labels": {WORKLOAD: workload.name}, "annotations": annotations,
        },
        "spec": spec,
        "status": {"phase": "Pending"},
    })
}
