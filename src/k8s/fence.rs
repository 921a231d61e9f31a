//! A client that writes only while it may.

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use tower::service_fn;

/// Nothing is written any more: another replica may lead by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not written: this replica does not lead any more")]
pub struct Fenced;

/// The same client, but whatever changes something is refused with [`Fenced`] unless `may_write` says yes at the moment at
/// which it is sent.
pub fn fenced(client: Client, may_write: impl Fn() -> bool + Clone + Send + 'static) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = service_fn(move |request: Request<Body>| {
        let (client, may_write) = (client.clone(), may_write.clone());
        async move {
            let is_harmless = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
            if !is_harmless && !may_write() {
                return Err(kube::Error::Service(Box::new(Fenced)));
            }
            client.send(request).await
        }
    });
    Client::new(service, namespace)
}

/// Was a request refused because this replica does not lead?
pub fn is_fenced(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Service(source) if source.is::<Fenced>())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use k8s_openapi::api::core::v1::Pod;
    use kube::Api;
    use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
    use serde_json::json;

    use super::super::mock::{ApiServer, failure};
    use super::*;

    #[tokio::test]
    async fn reading_goes_on_when_writing_does_not() {
        let server = ApiServer::new(|_| Some(failure(404, "NotFound", "no such pod")));
        let may_write = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&may_write);
        let client = fenced(server.client, move || asked.load(Ordering::Relaxed));
        let pods: Api<Pod> = Api::namespaced(client, "team");
        let write = async || {
            let patch = Patch::Merge(json!({}));
            [
                pods.patch("p", &PatchParams::default(), &patch).await.err(),
                pods.create(&PostParams::default(), &Pod::default()).await.err(),
                pods.replace("p", &PostParams::default(), &Pod::default()).await.err(),
                pods.delete("p", &DeleteParams::default()).await.err(),
            ]
            .map(|error| error.expect("an error"))
        };
        assert!(!write().await.iter().any(is_fenced));
        assert_eq!(server.requests.lock().len(), 4);
        may_write.store(false, Ordering::Relaxed);
        assert!(write().await.iter().all(is_fenced));
        assert_eq!(server.requests.lock().len(), 4, "none of these was sent");
        assert!(pods.get("p").await.is_err_and(|error| !is_fenced(&error)));
        assert_eq!(server.requests.lock().len(), 5);
    }
}
