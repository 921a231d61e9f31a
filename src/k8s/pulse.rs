//! When the API server was last heard of on each watch.
//!
//! Events do not tell: a watch on which nothing happens and one whose connection has died look alike. What arrives on the
//! wire does: the API server sends a bookmark about every minute on a watch on which nothing happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tower::service_fn;

/// When the API server was last heard of, by resource. Clones share what they hear.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<BTreeMap<String, Beat>>>);

#[derive(Debug, Clone, Copy)]
struct Beat {
    asked: Instant,
    heard: Instant,
}

/// What nobody has asked for in so long is not watched any more: its kind is gone from the cluster. Longer than any pause
/// between two tries.
const FORGOTTEN: Duration = Duration::from_secs(20 * 60);

impl Pulse {
    /// For how long nothing was heard, by resource (`pods`, `podgroups.scheduling.x-k8s.io`). Resources of which nothing was
    /// ever heard are not there.
    pub fn silences(&self) -> Vec<(String, Duration)> {
        self.silences_at(Instant::now())
    }

    fn silences_at(&self, now: Instant) -> Vec<(String, Duration)> {
        let mut beats = self.0.lock();
        beats.retain(|_, beat| now.duration_since(beat.asked) < FORGOTTEN);
        beats.iter().map(|(resource, beat)| (resource.clone(), now.duration_since(beat.heard))).collect()
    }

    fn asked(&self, resource: &str) {
        if let Some(beat) = self.0.lock().get_mut(resource) {
            beat.asked = Instant::now();
        }
    }

    /// Something has arrived of a resource.
    pub fn heard(&self, resource: &str) {
        let now = Instant::now();
        let mut beats = self.0.lock();
        match beats.get_mut(resource) {
            Some(beat) => beat.heard = now,
            None => drop(beats.insert(resource.to_owned(), Beat { asked: now, heard: now })),
        }
    }
}

/// The same client, but what arrives of lists and watches is noted.
pub fn listening(client: Client, pulse: Pulse) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = service_fn(move |request: Request<Body>| {
        let (client, pulse, resource) = (client.clone(), pulse.clone(), collection(&request));
        async move {
            if let Some(resource) = &resource {
                pulse.asked(resource);
            }
            let response = client.send(request).await?;
            let resource = resource.filter(|_| response.status().is_success());
            Ok::<_, kube::Error>(response.map(|body| {
                body.map_frame(move |frame| {
                    if let Some(resource) = &resource {
                        pulse.heard(resource);
                    }
                    frame
                })
            }))
        }
    });
    Client::new(service, namespace)
}

/// The resource of which all objects are asked for, in all namespaces.
fn collection(request: &Request<Body>) -> Option<String> {
    if request.method() != Method::GET {
        return None;
    }
    let path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    match path.as_slice() {
        ["api", _, resource] => Some((*resource).to_owned()),
        ["apis", group, _, resource] => Some(format!("{resource}.{group}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use k8s_openapi::api::core::v1::{Node, Pod};
    use kube::Api;
    use kube::api::ListParams;

    use super::super::mock::{ApiServer, failure};
    use super::*;

    #[tokio::test]
    async fn what_is_heard_is_noted_by_resource() {
        let pods = serde_json::json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []}).to_string();
        let is_up = Arc::new(AtomicBool::new(true));
        let up = Arc::clone(&is_up);
        let server = ApiServer::new(move |line| match line.starts_with("GET /api/v1/pods") {
            true if up.load(Ordering::Relaxed) => Some((200, pods.clone())),
            _ => Some(failure(503, "ServiceUnavailable", "not now")),
        });
        let pulse = Pulse::default();
        let client = listening(server.client, pulse.clone());
        let list = async |client: &Client| {
            let _ = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await;
            let _ = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
        };
        list(&client).await;
        let heard = Instant::now();
        let resources: Vec<String> = pulse.silences().into_iter().map(|(resource, _)| resource).collect();
        assert_eq!(resources, ["pods"], "of nodes nothing was heard");
        is_up.store(false, Ordering::Relaxed);
        list(&client).await;
        let (_, silence) = pulse.silences_at(heard + Duration::from_secs(60)).remove(0);
        assert!(silence >= Duration::from_secs(60), "an error is no news of pods: {silence:?}");
        let asked = Instant::now();
        assert_eq!(pulse.silences_at(asked + FORGOTTEN - Duration::from_secs(1)).len(), 1);
        assert!(pulse.silences_at(asked + FORGOTTEN).is_empty(), "nobody asks any more");
    }

    #[test]
    fn collections_are_told_from_objects_and_from_discovery() {
        let of = |path: &str| collection(&Request::get(path).body(Body::empty()).expect("a request"));
        assert_eq!(of("/api/v1/pods?watch=true").as_deref(), Some("pods"));
        assert_eq!(
            of("/apis/scheduling.k8s.io/v1alpha1/podgroups?limit=500").as_deref(),
            Some("podgroups.scheduling.k8s.io")
        );
        for path in ["/api/v1", "/apis/scheduling.k8s.io/v1alpha1", "/api/v1/namespaces/team/pods/p", "/version"] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
