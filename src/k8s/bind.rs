//! Binding pods to nodes.

use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use testudo_core::model::fabric::DeviceSet;
use testudo_core::model::gpu_share::{INDEX_ANNOTATION, format_indices};
use tokio::time::{Instant, timeout_at};

use super::fence::{Fenced, is_fenced};
use super::object;
use super::watched::Watched;

/// Which pod goes where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Unique id of the pod that is meant: another pod of that name is not bound.
    pub uid: String,
    /// Name of the node.
    pub node: String,
    /// The shareable GPUs that the pod is given; the API server copies the annotation onto the pod.
    pub gpus: Option<DeviceSet>,
}

/// What became of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindOutcome {
    /// The pod is bound.
    Bound,
    /// The pod was bound to that very node already, as after a try whose answer got lost.
    AlreadyThere,
    /// The pod is not bound to that node by this: it is gone, going, another one, or bound elsewhere; or we may not.
    Refused {
        /// The HTTP status.
        code: u16,
        /// What the API server says.
        message: String,
    },
    /// No clear answer: the pod may or may not be bound, now or in a moment. Only a watch or another try can tell.
    Unknown {
        /// What went wrong.
        message: String,
    },
}

/// Binds pods through the API server.
#[derive(Clone)]
pub struct Binder {
    client: Client,
}

impl Binder {
    /// A binder that speaks through `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Binds the pod to the node, with an answer at `deadline` at the latest.
    pub async fn bind(&self, binding: &Binding, deadline: Instant) -> BindOutcome {
        timeout_at(deadline, self.post(binding))
            .await
            .unwrap_or_else(|_| BindOutcome::Unknown { message: "the API server did not answer in time".into() })
    }

    async fn post(&self, binding: &Binding) -> BindOutcome {
        let pods: Api<Watched<object::Pod>> = Api::namespaced(self.client.clone(), &binding.namespace);
        let mut body = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"namespace": binding.namespace, "name": binding.name, "uid": binding.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": binding.node},
        });
        if let Some(gpus) = binding.gpus {
            body["metadata"]["annotations"] = json!({INDEX_ANNOTATION: format_indices(gpus)});
        }
        let answer = pods.create_subresource::<_, Value>("binding", &binding.name, &PostParams::default(), &body).await;
        match answer {
            Ok(_) => BindOutcome::Bound,
            Err(kube::Error::Api(status)) if status.code == 409 => conflict(&pods, binding, status.message).await,
            Err(error) => outcome_of(error),
        }
    }
}

/// A conflict is what a second try meets after the first one, too: the pod tells which it is.
async fn conflict(pods: &Api<Watched<object::Pod>>, binding: &Binding, message: String) -> BindOutcome {
    match pods.get(&binding.name).await.map(|pod| pod.object) {
        Ok(Ok(pod)) if pod.metadata.uid == binding.uid && pod.spec.node_name.as_ref() == Some(&binding.node) => {
            BindOutcome::AlreadyThere
        }
        Ok(Ok(_)) => BindOutcome::Refused { code: 409, message },
        Ok(Err(unreadable)) => {
            BindOutcome::Unknown { message: format!("{message}; the pod cannot be read: {unreadable}") }
        }
        Err(kube::Error::Api(status)) if status.code == 404 => {
            BindOutcome::Refused { code: 404, message: status.message }
        }
        Err(error) => BindOutcome::Unknown { message: format!("{message}; the pod cannot be looked up: {error}") },
    }
}

fn outcome_of(error: kube::Error) -> BindOutcome {
    match error {
        // Timed out in the API server, or on the way to it (408), a request may still take effect.
        kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 408 => {
            BindOutcome::Refused { code: status.code, message: status.message }
        }
        error if is_fenced(&error) => BindOutcome::Refused { code: 503, message: Fenced.to_string() },
        kube::Error::BuildRequest(error) => BindOutcome::Refused { code: 400, message: error.to_string() },
        error => BindOutcome::Unknown { message: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use testudo_core::model::gpu_share;

    use super::super::fence::fenced;
    use super::super::mock::{ApiServer, failure};
    use super::*;

    fn binding() -> Binding {
        Binding { namespace: "team".into(), name: "p".into(), uid: "u-1".into(), node: "n-1".into(), gpus: None }
    }

    /// The outcome when the API server answers `post` to the binding and `get` to the look at the pod.
    async fn bind(post: Option<(u16, String)>, get: Option<(u16, String)>) -> (BindOutcome, Vec<String>) {
        let answers_all = post.is_some() && get.is_some();
        let deadline = Instant::now() + Duration::from_millis(if answers_all { 10_000 } else { 50 });
        let server =
            ApiServer::new(move |request| if request.starts_with("POST") { post.clone() } else { get.clone() });
        let outcome = Binder::new(server.client).bind(&binding(), deadline).await;
        (outcome, server.requests.lock().clone())
    }

    fn pod(uid: &str, node: Option<&str>) -> Option<(u16, String)> {
        let pod = json!({"metadata": {"name": "p", "namespace": "team", "uid": uid}, "spec": {"nodeName": node}});
        Some((200, pod.to_string()))
    }

    fn refused(code: u16, message: &str) -> BindOutcome {
        BindOutcome::Refused { code, message: message.into() }
    }

    #[tokio::test]
    async fn binds_exactly_this_pod() {
        let success = json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201});
        let (outcome, requests) = bind(Some((201, success.to_string())), pod("unasked", None)).await;
        assert_eq!(outcome, BindOutcome::Bound);
        let (line, body) = requests[0].split_once(" {").unwrap();
        assert!(line.starts_with("POST /api/v1/namespaces/team/pods/p/binding"), "{line}");
        let body: Value = serde_json::from_str(&format!("{{{body}")).unwrap();
        assert_eq!(body["target"], json!({"apiVersion": "v1", "kind": "Node", "name": "n-1"}));
        assert_eq!(body["metadata"], json!({"namespace": "team", "name": "p", "uid": "u-1"}));
        assert_eq!(requests.len(), 1);
    }

    #[tokio::test]
    async fn tells_the_pod_which_gpus_it_is_given() {
        let server = ApiServer::new(|_| Some((201, json!({"kind": "Status", "status": "Success"}).to_string())));
        let given = Binding { gpus: gpu_share::parse_indices("1-3"), ..binding() };
        let outcome = Binder::new(server.client).bind(&given, Instant::now() + Duration::from_secs(10)).await;
        assert_eq!(outcome, BindOutcome::Bound);
        let request = server.requests.lock()[0].clone();
        assert!(request.contains(r#""annotations":{"alibabacloud.com/gpu-index":"1-3"}"#), "{request}");
    }

    #[tokio::test]
    async fn after_a_conflict_the_pod_tells() {
        let conflict = || Some(failure(409, "Conflict", "already assigned"));
        assert_eq!(bind(conflict(), pod("u-1", Some("n-1"))).await.0, BindOutcome::AlreadyThere);
        assert_eq!(bind(conflict(), pod("u-1", Some("n-2"))).await.0, refused(409, "already assigned"));
        assert_eq!(bind(conflict(), pod("u-2", Some("n-1"))).await.0, refused(409, "already assigned"));
        assert_eq!(bind(conflict(), pod("u-1", None)).await.0, refused(409, "already assigned"));
        let gone = Some(failure(404, "NotFound", "pods \"p\" not found"));
        assert_eq!(bind(conflict(), gone).await.0, refused(404, "pods \"p\" not found"));
        let away = Some(failure(500, "InternalError", "etcd is away"));
        assert!(matches!(bind(conflict(), away).await.0, BindOutcome::Unknown { .. }));
        let malformed = Some((200, json!({"metadata": {"uid": "u-1"}, "spec": 7}).to_string()));
        assert!(matches!(bind(conflict(), malformed).await.0, BindOutcome::Unknown { .. }));
    }

    #[tokio::test]
    async fn a_clear_no_is_a_refusal() {
        for (code, reason) in [(403, "Forbidden"), (404, "NotFound"), (422, "Invalid"), (429, "TooManyRequests")] {
            assert_eq!(bind(Some(failure(code, reason, "no")), pod("u-1", None)).await.0, refused(code, "no"));
        }
    }

    #[tokio::test]
    async fn what_was_not_sent_is_a_refusal() {
        let server = ApiServer::new(|_| None);
        let binder = Binder::new(fenced(server.client, || false));
        let outcome = binder.bind(&binding(), Instant::now() + Duration::from_secs(10)).await;
        assert_eq!(outcome, refused(503, "not written: this replica does not lead any more"));
        assert!(server.requests.lock().is_empty());
    }

    #[tokio::test]
    async fn no_clear_answer_is_unknown() {
        for (code, reason) in [(408, "Timeout"), (500, "InternalError"), (503, "ServiceUnavailable"), (504, "Timeout")]
        {
            let outcome = bind(Some(failure(code, reason, "hm")), pod("u-1", None)).await.0;
            assert!(matches!(outcome, BindOutcome::Unknown { .. }), "{code}: {outcome:?}");
        }
        let cut_off = bind(Some((0, "connection reset".into())), pod("u-1", None)).await.0;
        assert!(matches!(&cut_off, BindOutcome::Unknown { message } if message.contains("reset")), "{cut_off:?}");
        assert!(matches!(bind(Some((200, "{".into())), pod("u-1", None)).await.0, BindOutcome::Unknown { .. }));
        assert!(matches!(bind(None, None).await.0, BindOutcome::Unknown { message } if message.contains("in time")));
        let conflict_then_silence = bind(Some(failure(409, "Conflict", "taken")), None).await.0;
        assert!(matches!(conflict_then_silence, BindOutcome::Unknown { .. }));
    }
}
