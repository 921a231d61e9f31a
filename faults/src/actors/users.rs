//! Users, and the controllers that keep their workloads: a pod that is lost is made again.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testudo::sim::rng::Rng;

use super::kubelets::LASTS;
use crate::api::store::{Key, Kind, Store, text};
use crate::facts::{ENDS, GENERATION, KUEUES_GATE, MIN_COUNT, POD_INDEX, ROLE, SCHEDULER};
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
    /// The last pod of each number.
    made: Vec<Made>,
    /// Which generation its pods are to be of.
    generation: u64,
    due_ms: u64,
}

/// What was made of one number.
#[derive(Debug, Clone, Copy, Default)]
struct Made {
    /// How often a pod was.
    times: u64,
    /// Of which generation the last one is.
    generation: u64,
}

impl Users {
    /// Nobody wants anything yet.
    pub fn new(rng: Rng) -> Self {
        Self { rng, kept: BTreeMap::new() }
    }

    /// A user wants this to run.
    pub fn create(&mut self, workload: Workload, now_ms: u64) {
        let made = vec![Made::default(); workload.pods];
        self.kept.insert(workload.name.clone(), Kept { workload, made, generation: 1, due_ms: now_ms });
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

    /// All pods of it are deleted, and the next generation is made at once: whoever runs goes on for a while beside it.
    pub fn renew(&mut self, name: &str, store: &mut Store, now_ms: u64) {
        let Some(kept) = self.kept.get_mut(name) else { return };
        kept.generation += 1;
        kept.due_ms = kept.due_ms.min(now_ms + 1 + self.rng.below(100) as u64);
        for key in pods_of(name, store) {
            // What has ended stays as it is, as with the runs of a CronJob; who makes members in stages deletes it.
            let has_ended = store.get(Kind::Pod, &key).is_some_and(|pod| pod.pod().ended);
            if !has_ended || kept.workload.staged.is_some() {
                store.delete(Kind::Pod, &key).expect("it was there just now");
            }
        }
    }

    /// A pod of it that has a node fails, and with that the next generation is made.
    pub fn fail(&mut self, name: &str, store: &mut Store, now_ms: u64) {
        let runs = |key: &Key| {
            let pod = store.get(Kind::Pod, key).map(|pod| pod.pod());
            pod.is_some_and(|pod| pod.node.is_some() && !pod.ended && !pod.leaving)
        };
        let running: Vec<Key> = pods_of(name, store).into_iter().filter(runs).collect();
        if running.is_empty() || !self.kept.contains_key(name) {
            return;
        }
        let failed = store.update(Kind::Pod, &running[self.rng.below(running.len())], |pod| {
            pod["status"]["phase"] = json!("Failed");
            Ok(())
        });
        failed.expect("it was there just now");
        self.renew(name, store, now_ms);
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
            kept.made.push(Made::default());
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
            // Where they are made in stages, the next one has its turn when the one before it has come so far.
            let mut has_turn = true;
            for (index, made) in kept.made.iter_mut().enumerate() {
                let pod = store
                    .get(Kind::Pod, &key(name, index, made.times))
                    .map(|pod| text(pod, "/status/phase").to_owned());
                let is_up = pod.as_deref().is_some_and(|phase| matches!(phase, "Running" | "Succeeded"));
                let is_missing = made.generation < kept.generation || pod.is_none_or(|phase| phase == "Failed");
                let may_be_made =
                    std::mem::replace(&mut has_turn, kept.workload.staged.is_none() || (is_up && !is_missing));
                // One after the other, as controllers make them.
                if is_missing && may_be_made && !has_made {
                    *made = Made { times: made.times + 1, generation: kept.generation };
                    let object = pod_of(&kept.workload, index, *made);
                    story.tell(now_ms, || format!("pod {} is created", key(name, index, made.times)));
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
    for index in 0..pods {
        let requests = of_role(workload, index).claims.map(request);
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

/// Every third pod is of the second role, where there are two.
fn is_of_second_role(workload: &Workload, index: usize) -> bool {
    workload.second_role.is_some() && index % 3 == 1
}

/// What a pod asks for in its role.
fn of_role(workload: &Workload, index: usize) -> Asks {
    let (gpus, claims) = (workload.gpus, workload.claims);
    match workload.second_role.filter(|_| is_of_second_role(workload, index)) {
        None => Asks { gpus, claims },
        Some(devices) => match claims {
            None => Asks { gpus: devices, claims },
            Some((class, _)) => Asks { gpus, claims: Some((class, devices)) },
        },
    }
}

/// What a pod asks for of devices.
struct Asks {
    gpus: usize,
    claims: Option<(&'static str, usize)>,
}

fn pod_of(workload: &Workload, index: usize, made: Made) -> Value {
    let Key { namespace, name } = key(&workload.name, index, made.times);
    let asks = of_role(workload, index);
    let mut requests = json!({"cpu": format!("{}m", workload.cpu)});
    if asks.gpus > 0 {
        requests["nvidia.com/gpu"] = json!(asks.gpus.to_string());
    }
    let mut annotations = json!({GENERATION: made.generation.to_string(), ENDS: workload.ends_ms.to_string()});
    if workload.second_role.is_some() {
        annotations[ROLE] = json!(if is_of_second_role(workload, index) { "second" } else { "first" });
    }
    if let Some(together) = workload.together.filter(|_| workload.native) {
        annotations[MIN_COUNT] = json!(together.to_string());
    } else if let Some(together) = workload.together {
        annotations["testudo.dev/pod-group"] = json!(workload.name);
        annotations["testudo.dev/min-member"] = json!(together.to_string());
    }
    if let Some(lasts_ms) = workload.staged.filter(|_| index == 0).or(workload.lasts_ms) {
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
    let gates = [(workload.gated, "testudo.dev/gang"), (workload.queued, KUEUES_GATE)];
    let gates: Vec<Value> = gates.iter().filter(|(is, _)| *is).map(|(_, name)| json!({"name": name})).collect();
    if !gates.is_empty() {
        spec["schedulingGates"] = json!(gates);
    }
    if workload.keeps_claims {
        let claim = claim_of(&workload.name, index);
        spec["resourceClaims"] = json!([{"name": "devices", "resourceClaimName": claim}]);
    } else if let Some(claim) = asks.claims {
        // What a template says stands here beside the reference to it.
        let request = request(claim);
        spec["resourceClaims"] = json!([{"name": "devices", "resourceClaimTemplateName": "t", "request": request}]);
    }
    let mut labels = json!({WORKLOAD: workload.name});
    if workload.staged.is_some() {
        labels[POD_INDEX] = json!(index.to_string());
    }
    let run = json!({"apiVersion": "batch/v1", "kind": "Job", "name": format!("{}-{}", workload.name, made.generation), "controller": true});
    json!({
        "metadata": {
            "namespace": namespace, "name": name, "labels": labels, "annotations": annotations,
            "ownerReferences": [run],
        },
        "spec": spec,
        "status": {"phase": "Pending"},
    })
}
