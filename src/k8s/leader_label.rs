//! The label by which the Service finds the leader: on the leader's own pod, and on no other.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

/// The label.
pub const LEADER_LABEL: &str = "testudo.dev/leader";

/// Writes the label.
pub struct LeaderLabel {
    pods: Api<Pod>,
    own: String,
}

impl LeaderLabel {
    /// For this pod, written through `client`.
    pub fn new(client: Client, namespace: &str, pod: &str) -> Self {
        Self { pods: Api::namespaced(client, namespace), own: pod.to_owned() }
    }

    /// Puts the label on our own pod, and takes it off those that led before. Nothing is written where all is as it should
    /// be. The status subresource takes labels, too, and needs no permission to change what a pod runs.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn claim(&self) -> Result<(), kube::Error> {
        let labelled = self.pods.list_metadata(&ListParams::default().labels(&format!("{LEADER_LABEL}=true"))).await?;
        let mut is_ours = false;
        for pod in labelled.items.iter().map(ResourceExt::name_any) {
            is_ours |= pod == self.own;
            if pod != self.own {
                self.write(&pod, Value::Null).await?;
            }
        }
        if is_ours { Ok(()) } else { self.write(&self.own, json!("true")).await }
    }

    async fn write(&self, pod: &str, value: Value) -> Result<(), kube::Error> {
        let patch = Patch::Merge(json!({"metadata": {"labels": {LEADER_LABEL: value}}}));
        match self.pods.patch_status(pod, &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) if status.code == 404 && pod != self.own => Ok(()),
            written => written.map(drop),
        }
    }
}
