//! Pointing kube-scheduler to the place of a pod, and taking that back.
//!
//! The place is written in one patch of the pod's status: the nomination, which kube-scheduler follows, and the annotation
//! by which a later leader finds the plan again (annotations may be written with the status). The pod changes with each
//! attempt, so that kube-scheduler looks at it again. Where our scheduling gate is on the pod it goes last: by then the
//! scheduler knows the place.

use std::time::{Duration, UNIX_EPOCH};

use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use testudo_core::engine::Mark;
use testudo_core::model::node::NodeName;
use testudo_core::model::pod::{Gate, Pod, Promise};

use super::gang::promise::{self, PLAN_ANNOTATION};
use super::steering::CONFLICT_CONDITION;
use super::watched::Watched;
use super::{gates, object};

/// When a pod was last brought to the scheduler's attention.
const RETRY_ANNOTATION: &str = "testudo.dev/retry";

/// Writes on pods where they are to go.
#[derive(Clone)]
pub struct Steerer {
    client: Client,
}

/// Why a pod could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    /// It is gone, or another pod has its name.
    #[error("pod {0} is gone")]
    Gone(String),
    /// The API server refuses, or does not answer.
    #[error("pod {pod}: {error}")]
    Api {
        /// The pod.
        pod: String,
        /// What the API server says.
        error: Box<kube::Error>,
    },
}

impl Steerer {
    /// One that writes through `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Points the scheduler to the pod's place. `attempt` tells one writing from the next.
    pub async fn steer(&self, pod: &Pod, promise: &Promise, attempt: u32) -> Result<(), SteerError> {
        let steering = &pod.steering;
        let is_gated = steering.gate == Gate::Ours;
        let shows_it = steering.promise.as_ref() == Some(promise) && steering.nominated.as_ref() == Some(&promise.node);
        // Where the place was written ahead, opening the gate is what makes the scheduler look.
        if !(is_gated && shows_it && attempt == 0) {
            self.nominate(pod, promise, attempt).await?;
        }
        if is_gated { self.show(pod).await } else { Ok(()) }
    }

    /// Writes the pod's place on it, and leaves our gate where it is.
    pub async fn nominate(&self, pod: &Pod, promise: &Promise, attempt: u32) -> Result<(), SteerError> {
        let patch = json!({
            "metadata": {"uid": pod.uid.as_str(), "annotations": {PLAN_ANNOTATION: promise::encode(promise, attempt)}},
            "status": {"nominatedNodeName": promise.node.as_str()},
        });
        self.patch_status(pod, patch).await
    }

    /// Shows the scheduler a node for the pod, which it looks at first.
    pub async fn hint(&self, pod: &Pod, node: &NodeName) -> Result<(), SteerError> {
        let patch = json!({"metadata": {"uid": pod.uid.as_str()}, "status": {"nominatedNodeName": node.as_str()}});
        self.patch_status(pod, patch).await
    }

    /// Takes our gate away: from then on the scheduler and autoscalers see the pod.
    pub async fn show(&self, pod: &Pod) -> Result<(), SteerError> {
        let patch = Patch::Strategic(gates::opening(pod.uid.as_str()));
        let result = self.pods(pod).patch(&pod.key.name, &PatchParams::default(), &patch).await;
        result.map(drop).map_err(|error| failure(pod, error))
    }

    /// The pod has no place any more.
    pub async fn withdraw(&self, pod: &Pod) -> Result<(), SteerError> {
        let patch = json!({
            "metadata": {"uid": pod.uid.as_str(), "annotations": {PLAN_ANNOTATION: null}},
            "status": {"nominatedNodeName": null},
        });
        self.patch_status(pod, patch).await
    }

    /// Makes the scheduler look at the pod again. The time, in milliseconds since 1970, tells one waking from the next.
    pub async fn wake(&self, pod: &Pod, now_ms: u64) -> Result<(), SteerError> {
        let now = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(now_ms)).to_string();
        let patch = json!({"metadata": {"uid": pod.uid.as_str(), "annotations": {RETRY_ANNOTATION: now}}});
        self.patch_status(pod, patch).await
    }

    /// Shows on a pod that a device of it was given to another claim, too, or that this is over; since this time, in
    /// milliseconds since 1970.
    pub async fn mark(&self, Mark { pod, conflict }: &Mark, now_ms: u64) -> Result<(), SteerError> {
        let now = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(now_ms)).to_string();
        let (status, reason) = if conflict.is_some() { ("True", "GivenTwice") } else { ("False", "GivenOnce") };
        let condition = json!({
            "type": CONFLICT_CONDITION,
            "status": status,
            "reason": reason,
            "message": conflict.as_deref().unwrap_or("no other claim has its devices any more"),
            "lastTransitionTime": now,
        });
        let patch = json!({"metadata": {"uid": pod.uid.as_str()}, "status": {"conditions": [condition]}});
        self.patch_status(pod, patch).await
    }

    /// Asks for the eviction of a pod. Says whether its disruption budget allows it now.
    pub async fn evict(&self, pod: &Pod) -> Result<bool, SteerError> {
        let body = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"namespace": pod.key.namespace, "name": pod.key.name},
            "deleteOptions": {"preconditions": {"uid": pod.uid.as_str()}},
        });
        let pods = self.pods(pod);
        match pods.create_subresource::<_, Value>("eviction", &pod.key.name, &PostParams::default(), &body).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 429 => Ok(false),
            Err(error) => Err(failure(pod, error)),
        }
    }

    async fn patch_status(&self, pod: &Pod, patch: Value) -> Result<(), SteerError> {
        let patched =
            self.pods(pod).patch_status(&pod.key.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        patched.map(drop).map_err(|error| failure(pod, error))
    }

    fn pods(&self, pod: &Pod) -> Api<Watched<object::Pod>> {
        Api::namespaced(self.client.clone(), &pod.key.namespace)
    }
}

fn failure(pod: &Pod, error: kube::Error) -> SteerError {
    let pod = pod.key.to_string();
    match error {
        // With another unique id the API server takes the patch for a conflict.
        kube::Error::Api(status) if status.code == 404 || status.code == 409 => SteerError::Gone(pod),
        error => SteerError::Api { pod, error: Box::new(error) },
    }
}

#[cfg(test)]
mod tests {
    use testudo_core::model::pod::{Demand, PodKey, PodUid, Steering};

    use super::super::mock::ApiServer;
    use super::*;

    /// The paths that are written, one after the other, to steer a pod that shows this.
    async fn writes(steering: Steering, attempt: u32) -> Vec<String> {
        let shown = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}).to_string();
        let server = ApiServer::new(move |_| Some((200, shown.clone())));
        let key = PodKey { namespace: "default".into(), name: "p".into() };
        let pod = Pod { steering, ..Pod::new(key, PodUid::from("u"), Demand::default()) };
        Steerer::new(server.client).steer(&pod, &promise(), attempt).await.unwrap();
        let requests = server.requests.lock();
        let path = |line: &String| line.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
        requests.iter().map(path).collect()
    }

    fn promise() -> Promise {
        Promise { plan: "1-1".into(), node: "n".into(), until_s: 7 }
    }

    #[tokio::test]
    async fn a_place_that_was_written_ahead_is_not_written_again() {
        let (place, gate) = ("/api/v1/namespaces/default/pods/p/status", "/api/v1/namespaces/default/pods/p");
        let gated = Steering { gate: Gate::Ours, ..Steering::default() };
        let ahead = Steering { promise: Some(promise()), nominated: Some("n".into()), ..gated.clone() };
        assert_eq!(writes(gated.clone(), 0).await, [place, gate]);
        assert_eq!(writes(ahead.clone(), 0).await, [gate]);
        assert_eq!(writes(ahead.clone(), 1).await, [place, gate], "nothing came of it");
        assert_eq!(writes(Steering { nominated: None, ..ahead.clone() }, 0).await, [place, gate]);
        let of_before = Promise { plan: "0-9".into(), ..promise() };
        assert_eq!(writes(Steering { promise: Some(of_before), ..ahead.clone() }, 0).await, [place, gate]);
        assert_eq!(writes(Steering { gate: Gate::Open, ..ahead }, 0).await, [place], "the scheduler has to look");
    }
}
