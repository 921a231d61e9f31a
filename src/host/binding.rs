//! Bindings: assumed, checked once more, written, and then committed or rolled back.

use std::sync::Arc;
use std::time::Duration;

use testudo_core::engine::Change;
use testudo_core::model::node::NodeName;
use testudo_core::model::pod::{Pod, PodKey, PodUid, Stage};
use tokio::time::Instant;
use tracing::{info, warn};

use super::Host;
use crate::config::Mode;
use crate::extender::{Binding, Refusal};
use crate::k8s::bind::{self, BindOutcome, Binder};

/// Where bindings are written.
pub enum Bindings {
    /// To the cluster.
    Cluster {
        /// Writes them.
        binder: Binder,
        /// For how long at most.
        timeout: Duration,
    },
    /// Into our own copy of a cluster: there is no other.
    OwnCopy,
}

impl Host {
    /// Binds a pod as kube-scheduler asks.
    pub(super) async fn bind_once(&self, binding: Binding) -> Result<(), Refusal> {
        let key = PodKey { namespace: binding.pod_namespace.clone(), name: binding.pod_name.clone() };
        let node = NodeName::from(binding.node.as_str());
        let pod = self.pod_to_bind(&key, &PodUid::from(binding.pod_uid.as_str()))?;
        self.assume(&pod, &node)?;
        let outcome = match &self.bindings {
            Bindings::OwnCopy => {
                let bound = Pod { stage: Stage::Bound(node.clone()), ..Pod::clone(&pod) };
                self.apply([Change::PodApplied(Box::new(bound))]);
                BindOutcome::Bound
            }
            Bindings::Cluster { binder, timeout } => {
                let request = bind::Binding {
                    namespace: binding.pod_namespace,
                    name: binding.pod_name,
                    uid: binding.pod_uid,
                    node: binding.node,
                };
                binder.bind(&request, Instant::now() + *timeout).await
            }
        };
        self.settle(&pod, &node, outcome)
    }

    /// The pod as the watch shows it, or as filter was told it a moment ago.
    fn pod_to_bind(&self, key: &PodKey, uid: &PodUid) -> Result<Arc<Pod>, Refusal> {
        let watched = self.engine.lock().cluster().pod(uid).cloned();
        let pod = watched.or_else(|| self.recent.lock().get(uid).cloned());
        let refuse = |text: String| {
            self.metrics.bound("unknown_pod");
            Refusal::Error(text)
        };
        match pod {
            None => {
                Err(refuse(format!("pod {key} (uid {uid}) is not known here: neither watched nor filtered lately")))
            }
            Some(pod) if pod.key != *key => Err(refuse(format!("uid {uid} is that of pod {}, not of {key}", pod.key))),
            Some(pod) => Ok(pod),
        }
    }

    fn assume(&self, pod: &Pod, node: &NodeName) -> Result<(), Refusal> {
        let now_ms = self.now_ms();
        let mut engine = self.engine.lock();
        let assumed = engine.assume(pod, node, now_ms);
        self.publish(&engine);
        drop(engine);
        match assumed {
            Ok(()) => Ok(()),
            Err(error) if self.mode == Mode::Observe => {
                info!(%error, "observed: would have refused the binding");
                Ok(())
            }
            Err(error) => {
                self.metrics.bound("no_longer_fits");
                warn!(%error, "binding refused");
                Err(Refusal::Error(error.to_string()))
            }
        }
    }

    fn settle(&self, pod: &Pod, node: &NodeName, outcome: BindOutcome) -> Result<(), Refusal> {
        let key = &pod.key;
        let mut engine = self.engine.lock();
        let result = match outcome {
            BindOutcome::Bound | BindOutcome::AlreadyThere => {
                self.metrics.bound(if outcome == BindOutcome::Bound { "bound" } else { "already_bound" });
                engine.commit(&pod.uid);
                info!(pod = %key, %node, "bound");
                Ok(())
            }
            BindOutcome::Refused { code, message } => {
                self.metrics.bound("refused");
                engine.roll_back(&pod.uid);
                warn!(pod = %key, %node, code, message, "the API server refused the binding");
                Err(Refusal::Error(format!("binding pod {key} to node {node} was refused ({code}): {message}")))
            }
            // Neither committed nor rolled back: the watch will show the pod on its node, or the assumption expires.
            BindOutcome::Unknown { message } => {
                self.metrics.bound("unknown");
                warn!(pod = %key, %node, message, "it is not known whether the pod was bound");
                Err(Refusal::Error(format!("it is not known whether pod {key} was bound to node {node}: {message}")))
            }
        };
        self.publish(&engine);
        result
    }
}
