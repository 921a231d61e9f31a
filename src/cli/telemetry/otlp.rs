//! Traces over OTLP: a span for each call of the extender and for each plan, sent as protobuf over HTTP.
//!
//! Plain HTTP: collectors run as agents beside those who send to them, and speak TLS and authenticate from there on.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, ensure};
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::{Level, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;

use super::BoxedLayer;
use crate::config::TracingSection;

/// For one request to the collector.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// For what is left at the end.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// Traces that are being sent.
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Sends what is left.
    pub fn end(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(END_TIMEOUT) {
            warn!(%error, "not all traces were sent");
        }
    }
}

/// Begins to send traces to this collector, such as `http://127.0.0.1:4318`.
pub(super) fn start(endpoint: &str, section: &TracingSection) -> anyhow::Result<(BoxedLayer, Traces)> {
    ensure!(
        endpoint.starts_with("http://"),
        "tracing.endpoint {endpoint:?}: traces are sent by plain HTTP, to a collector nearby such as http://127.0.0.1:4318"
    );
    let client = reqwest::Client::builder().timeout(SEND_TIMEOUT).build().context("tracing: no HTTP client")?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender { client, runtime: Handle::current() })
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(SEND_TIMEOUT)
        .build()
        .with_context(|| format!("tracing.endpoint {endpoint:?}"))?;
    let share = f64::from(section.sampling_rate_per_million) / 1e6;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
        .with_resource(Resource::builder().with_service_name("testudo").build())
        .build();
    let ours = filter_fn(|metadata| metadata.target().starts_with("testudo") && *metadata.level() <= Level::INFO);
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("testudo"));
    let layer = layer.with_location(false).with_threads(false).with_filter(ours).boxed();
    Ok((layer, Traces { provider }))
}

/// Sends on our runtime: whoever exports runs on a thread without one.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
}

impl HttpClient for Sender {
    fn send_bytes<'a, 'f>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        'a: 'f,
        Self: 'f,
    {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let response = client.execute(request.try_into()?).await?;
            let status = response.status();
            let body = response.bytes().await?;
            Ok::<_, HttpError>(Response::builder().status(status).body(body)?)
        });
        Box::pin(async move { sending.await? })
    }
}
