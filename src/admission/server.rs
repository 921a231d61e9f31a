//! HTTP around [`review`](super::review): a listener of its own, since the API server has no certificate that the extender asks
//! of its clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::{Data, Payload, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer, web};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::review::{self, Given, ReviewError};
use crate::extender::metrics::Metrics;
use crate::extender::tls::{self, TlsError, TlsOptions};
use crate::listener::{Admission, ListenError, listen};

/// etcd takes no object larger than 1.5 MiB; a review has one, and something around it.
const MAX_BODY_BYTES: usize = 3 << 20;

/// Within this the head of a request must have arrived. The API server waits for 5 s in all.
const HEAD_TIMEOUT: Duration = Duration::from_secs(3);

/// Within this the body must have come after it.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// The most connections, and the most bodies that are read at a time. Whoever reaches the port may send anything: there is no
/// certificate to ask for.
const MAX_CONNECTIONS: usize = 128;
const MAX_IN_FLIGHT: usize = 16;

/// How the webhook is served.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// Where it listens.
    pub bind_address: SocketAddr,
    /// The API server speaks TLS only.
    pub tls: TlsOptions,
    /// What members get.
    pub given: Given,
}

/// Why the webhook is not served.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The address cannot be listened on.
    #[error("the admission webhook: {0}")]
    Listen(#[from] ListenError),
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A webhook that is served.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    reloader: JoinHandle<()>,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers who is there, and ends.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        self.reloader.abort();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

struct Shared {
    given: Given,
    admission: Admission,
    reviews: Family<OutcomeLabels, Counter>,
}

impl Shared {
    fn new(given: Given, reviews: Reviews) -> Self {
        Self { given, admission: Admission::up_to(MAX_IN_FLIGHT), reviews: reviews.0 }
    }

    fn count(&self, outcome: &'static str) {
        self.reviews.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}

/// Registers what is counted.
pub fn register(registry: &mut Registry) -> Reviews {
    let reviews = Reviews::default();
    registry.register(
        "testudo_admission_reviews",
        "Pods that the admission webhook was asked about, by what became of them",
        reviews.0.clone(),
    );
    for outcome in ["changed", "untouched", "bad_request", "overloaded"] {
        drop(reviews.0.get_or_create(&OutcomeLabels { outcome }));
    }
    reviews
}

/// What is counted.
#[derive(Debug, Clone, Default)]
pub struct Reviews(Family<OutcomeLabels, Counter>);

/// Starts to serve. Changes of the certificate are counted with those of the extender's.
///
/// # Errors
/// When the address or the TLS files cannot be used.
pub fn start(options: WebhookOptions, reviews: Reviews, of_extender: Metrics) -> Result<Running, WebhookError> {
    let (config, reloader) = tls::load(options.tls, of_extender)?;
    let (listener, address) = listen(options.bind_address)?;
    let shared = Data::from(Arc::new(Shared::new(options.given, reviews)));
    let server = HttpServer::new(move || App::new().configure(routes(shared.clone())))
        .workers(1)
        .max_connections(MAX_CONNECTIONS)
        .client_request_timeout(HEAD_TIMEOUT)
        .shutdown_timeout(5)
        .disable_signals()
        .listen_rustls_0_23(listener, config)
        .map_err(|source| ListenError { address, source })?
        .run();
    let handle = server.handle();
    tokio::spawn(server);
    tracing::info!(%address, "serving the admission webhook");
    Ok(Running { address, handle, reloader: tokio::spawn(reloader.run()) })
}

/// What is served.
fn routes(shared: Data<Shared>) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        config.app_data(shared).route("/mutate", web::post().to(mutate));
    }
}

async fn mutate(payload: Payload, shared: Data<Shared>) -> HttpResponse {
    let Some(_admitted) = shared.admission.admit() else {
        shared.count("overloaded");
        return HttpResponse::ServiceUnavailable().force_close().body("testudo: overloaded");
    };
    let body = match timeout(BODY_TIMEOUT, payload.to_bytes_limited(MAX_BODY_BYTES)).await {
        Ok(Ok(Ok(body))) => body,
        unread => {
            shared.count("bad_request");
            return match unread {
                Ok(Err(_)) => HttpResponse::PayloadTooLarge().force_close().finish(),
                Ok(Ok(_)) => HttpResponse::BadRequest().force_close().finish(),
                Err(_) => HttpResponse::RequestTimeout().force_close().finish(),
            };
        }
    };
    match review::answer(&body, &shared.given) {
        Ok((answer, is_changed)) => {
            shared.count(if is_changed { "changed" } else { "untouched" });
            HttpResponse::Ok().json(answer)
        }
        Err(error) => {
            shared.count("bad_request");
            refused(&error)
        }
    }
}

fn refused(error: &ReviewError) -> HttpResponse {
    tracing::warn!(%error, "an admission review could not be answered");
    HttpResponse::BadRequest().body(format!("testudo: {error}"))
}

#[cfg(test)]
mod tests {
    use actix_web::dev::Payload;
    use actix_web::http::StatusCode;
    use actix_web::test::{TestRequest, call_service, init_service};
    use serde_json::json;

    use super::*;

    #[actix_web::test]
    async fn what_makes_no_sense_to_the_webhook_is_refused_and_counted() {
        let reviews = Reviews::default();
        let given = Given { schedulers: ["testudo-scheduler".to_owned()].into(), gate: true };
        let shared = Data::new(Shared::new(given, reviews.clone()));
        let app = init_service(App::new().configure(routes(shared))).await;
        let post = async |body: Vec<u8>| {
            call_service(&app, TestRequest::post().uri("/mutate").set_payload(body).to_request()).await.status()
        };
        let counted = |outcome| reviews.0.get_or_create(&OutcomeLabels { outcome }).get();
        assert_eq!(post(b"no review".to_vec()).await, StatusCode::BAD_REQUEST);
        assert_eq!(post(json!({"kind": "AdmissionReview"}).to_string().into_bytes()).await, StatusCode::BAD_REQUEST);
        assert_eq!(post(vec![b'['; 100_000]).await, StatusCode::BAD_REQUEST, "nested without an end");
        assert_eq!(counted("bad_request"), 3);
        assert_eq!(post(vec![b' '; MAX_BODY_BYTES + 1]).await, StatusCode::PAYLOAD_TOO_LARGE);
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": []}});
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "object": pod}});
        assert_eq!(post(review.to_string().into_bytes()).await, StatusCode::OK);
        assert_eq!((counted("untouched"), counted("changed"), counted("bad_request")), (1, 0, 4));
    }

    #[actix_web::test]
    async fn who_sends_nothing_is_not_waited_for_and_many_take_no_memory() {
        let reviews = Reviews::default();
        let shared = Data::new(Shared::new(Given::default(), reviews.clone()));
        let app = init_service(App::new().configure(routes(shared.clone()))).await;
        let silent = || {
            let payload: Payload = Payload::Stream { payload: Box::pin(futures::stream::pending()) };
            TestRequest::post().uri("/mutate").to_request().replace_payload(payload).0
        };
        let waiting = futures::future::join_all((0..MAX_IN_FLIGHT).map(|_| call_service(&app, silent())));
        let one_too_many = async {
            tokio::task::yield_now().await;
            call_service(&app, silent()).await.status()
        };
        let (waited, refused) = tokio::join!(waiting, one_too_many);
        assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
        assert!(waited.iter().all(|answer| answer.status() == StatusCode::REQUEST_TIMEOUT));
        assert!(shared.admission.admit().is_some(), "all have gone");
    }
}
