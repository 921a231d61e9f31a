//! The binding cycle: claims are reserved, testudo is asked to bind, and several pods are at it at the same time.

use serde_json::{Value, json};
use tokio::sync::oneshot::error::TryRecvError;

use super::{Around, Queue, Scheduler, Waiting, named};
use crate::actors::controllers::add_consumer;
use crate::api::store::{Key, Kind, Refused, text};
use crate::facts::{Claim, Device, Pod};
use crate::replica::BindCall;
use crate::service::{NoAnswer, TIMEOUT_MS};

/// A pod on its way to its node.
pub(super) struct Binding {
    pod: Pod,
    node: String,
    stage: Stage,
    /// Devices that the scheduler itself has chosen for claims.
    chosen: Vec<(Key, Vec<Device>)>,
}

enum Stage {
    /// What is to be done before the binding is done at this time.
    Before { due_ms: u64 },
    /// Testudo has been asked.
    Called { call: BindCall, until_ms: u64 },
}

impl Scheduler {
    pub(super) fn start_binding(&mut self, waiting: Waiting, node: String, around: &mut Around<'_>) {
        let pod = waiting.pod;
        let claims = self.claims_of(&pod).unwrap_or_default();
        let open = claims.iter().filter(|claim| claim.devices.is_none());
        let chosen: Option<Vec<_>> =
            { open }.map(|claim| Some((claim.key.clone(), self.first_free(claim, &node)?))).collect();
        let Some(chosen) = chosen else {
            return self.fail(&pod, "running Reserve plugin DynamicResources: cannot allocate", around);
        };
        let given = chosen.iter().map(|(claim, devices)| (claim.clone(), (devices.clone(), node.clone())));
        self.given.extend(given);
        self.assumed.insert(pod.uid.clone(), (pod.clone(), node.clone()));
        if let Some(waiting) = self.waiting.get_mut(&pod.uid) {
            waiting.place = Queue::Binding;
        }
        let due_ms = around.now_ms + self.rng.below(30) as u64;
        self.bindings.push(Binding { pod, node, stage: Stage::Before { due_ms }, chosen });
    }

    pub(super) fn go_on_binding(&mut self, around: &mut Around<'_>) {
        for binding in std::mem::take(&mut self.bindings) {
            let Binding { pod, node, stage, chosen } = binding;
            match stage {
                Stage::Before { due_ms } if around.now_ms < due_ms => {
                    self.bindings.push(Binding { pod, node, stage: Stage::Before { due_ms }, chosen });
                }
                Stage::Before { .. } => {
                    match prepare(&pod, &node, &chosen, around).and_then(|()| call(&pod, &node, around)) {
                        Ok(call) => {
                            let stage = Stage::Called { call, until_ms: around.now_ms + TIMEOUT_MS };
                            self.bindings.push(Binding { pod, node, stage, chosen });
                        }
                        Err(error) => {
                            let has = |key: &Key| around.store.get(Kind::Claim, key)?.claim().devices.clone();
                            let lost = chosen.iter().filter(|(claim, devices)| has(claim).as_ref() != Some(devices));
                            lost.for_each(|(claim, _)| _ = self.given.remove(claim));
                            self.undo(&pod, &error, around)
                        }
                    }
                }
                Stage::Called { mut call, until_ms } => match call.try_recv() {
                    Err(TryRecvError::Empty) if around.now_ms < until_ms => {
                        self.bindings.push(Binding { pod, node, stage: Stage::Called { call, until_ms }, chosen });
                    }
                    Err(TryRecvError::Empty) => {
                        self.undo(&pod, "Post \"http://testudo/bind\": context deadline exceeded", around)
                    }
                    Err(TryRecvError::Closed) => self.undo(&pod, "Post \"http://testudo/bind\": EOF", around),
                    Ok(answer) => {
                        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                        let error = text(&body, "/Error");
                        if answer.status != 200 {
                            self.undo(
                                &pod,
                                &format!("failed bind with extender at URL http://testudo, code {}", answer.status),
                                around,
                            );
                        } else if !error.is_empty() {
                            self.undo(&pod, error, around);
                        }
                        // Otherwise it is bound, and that will be seen.
                    }
                },
            }
        }
    }

    /// The pod is not bound: everything that was done for it is undone, and it is tried again.
    fn undo(&mut self, pod: &Pod, error: &str, around: &mut Around<'_>) {
        self.assumed.remove(&pod.uid);
        // What it was assumed to take is free again, which wakes others as if it had been deleted.
        self.wake(|against| against.room || against.extender, around.now_ms);
        for key in pod.claim_keys() {
            // A claim that is gone needs nothing.
            let _ = around.store.update(Kind::Claim, &key, |claim| {
                if let Some(consumers) = claim.pointer_mut("/status/reservedFor").and_then(Value::as_array_mut) {
                    consumers.retain(|consumer| consumer["uid"] != pod.uid.as_str());
                }
                Ok(())
            });
        }
        self.fail(pod, error, around);
    }
}

/// PreBind: the claims are reserved for the pod, and allocated where they are not yet.
fn prepare(pod: &Pod, node: &str, chosen: &[(Key, Vec<Device>)], around: &mut Around<'_>) -> Result<(), String> {
    for key in pod.claim_keys() {
        let own = chosen.iter().find(|(claim, _)| *claim == key).map(|(_, devices)| devices);
        let reserved = around.store.update(Kind::Claim, &key, |claim| {
            let seen = Claim::read(claim);
            match (&seen.devices, own) {
                (Some(_), None) if seen.node.as_deref().is_some_and(|of| of != node) => {
                    return Err(Refused::conflict("it is allocated on another node"));
                }
                (Some(_), None) => {}
                (None, Some(devices)) => allocate(claim, devices, node),
                (Some(_), Some(_)) => return Err(Refused::conflict("got allocated elsewhere in the meantime")),
                (None, None) => return Err(Refused::conflict("its allocation has changed")),
            }
            add_consumer(claim, pod);
            Ok(())
        });
        let claim = reserved
            .map_err(|error| format!("running PreBind plugin DynamicResources: claim {key}: {}", error.message))?;
        if own.is_some() {
            around.story.tell(around.now_ms, || format!("kube-scheduler: allocates claim {} itself", named(&claim)));
        }
    }
    Ok(())
}

fn allocate(claim: &mut Value, devices: &[Device], node: &str) {
    let request = text(claim, "/spec/devices/requests/0/name").to_owned();
    let result =
        |(driver, pool, device): &Device| json!({"request": request, "driver": driver, "pool": pool, "device": device});
    let results: Vec<Value> = devices.iter().map(result).collect();
    let field = json!({"key": "metadata.name", "operator": "In", "values": [node]});
    claim["metadata"]["finalizers"] = json!(["resource.kubernetes.io/delete-protection"]);
    claim["status"]["allocation"] =
        json!({"devices": {"results": results}, "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [field]}]}});
}

fn call(pod: &Pod, node: &str, around: &mut Around<'_>) -> Result<BindCall, String> {
    let Key { namespace, name } = &pod.key;
    let body = json!({"PodName": name, "PodNamespace": namespace, "PodUID": pod.uid, "Node": node});
    around.story.tell(around.now_ms, || format!("kube-scheduler: {} is at bind for {node}", pod.key));
    around.service.bind(&body).map_err(|error| match error {
        NoAnswer::Error(error) => error,
        NoAnswer::Hangs(_) => "it hangs".to_owned(),
    })
}
