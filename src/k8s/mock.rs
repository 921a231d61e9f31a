//! An API server that answers from a script, for tests.

use std::sync::Arc;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;

/// One request, and its answer: status and body. Requests that `answer` has none for wait for ever.
pub(crate) struct ApiServer {
    /// `GET /api/v1/nodes?limit=500`, with the body behind it where there is one.
    pub requests: Arc<Mutex<Vec<String>>>,
    /// Speaks to the server.
    pub client: Client,
}

impl ApiServer {
    pub(crate) fn new(answer: impl FnMut(&str) -> Option<(u16, String)> + Send + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(Mutex::new(answer));
        let log = requests.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (log, answer) = (log.clone(), answer.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.expect("a body in memory");
                let line = format!("{} {} {}", head.method, head.uri, String::from_utf8_lossy(&body));
                let line = line.trim_end().to_owned();
                let answer = answer.lock()(&line);
                log.lock().push(line);
                match answer {
                    Some((0, message)) => Err(std::io::Error::other(message)),
                    Some((status, body)) => {
                        Ok(Response::builder().status(status).body(Body::from(body.into_bytes())).expect("a response"))
                    }
                    None => std::future::pending().await,
                }
            }
        });
        Self { requests, client: Client::new(service, "default") }
    }
}

/// A `Status` as the API server answers it.
pub(crate) fn failure(code: u16, reason: &str, message: &str) -> (u16, String) {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code,
    });
    (code, status.to_string())
}
