//! Plain requests to a server on loopback: readiness, metrics, and the extender's verbs.
//!
//! This is kube's HTTP client pointed at something that is not an API server: it speaks HTTP and TLS with client
//! certificates, and is here anyway.

use std::time::Duration;

use anyhow::{Context, Result};
use http::{Request, StatusCode};
use kube::client::Body;

use crate::pki::{Authority, Identity};
use crate::process::Process;
use crate::wait::{self, Look};

/// The address of one server and how to talk to it.
#[derive(Clone)]
pub struct Endpoint {
    url: String,
    client: kube::Client,
    token: Option<String>,
}

/// What a server has answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: StatusCode,
    /// The body, as text.
    pub body: String,
}

impl Endpoint {
    /// A server that speaks plain HTTP, or one whose certificate one of `authorities` has signed, asked as `client` if
    /// given.
    pub fn new<'a>(
        url: &str,
        authorities: impl IntoIterator<Item = &'a Authority>,
        client: Option<&Identity>,
    ) -> Result<Self> {
        let mut config = kube::Config::new(url.parse().with_context(|| format!("{url} is not a URL"))?);
        let authorities: Vec<Vec<u8>> = authorities.into_iter().map(Authority::der).collect();
        config.root_cert = Some(authorities).filter(|authorities| !authorities.is_empty());
        config.connect_timeout = Some(Duration::from_secs(5));
        config.read_timeout = Some(Duration::from_secs(60));
        // A 503 of /readyz is an answer here and no reason to ask again.
        config.default_retry = false;
        if let Some(identity) = client {
            config.auth_info.client_certificate = Some(identity.cert.display().to_string());
            config.auth_info.client_key = Some(identity.key.display().to_string());
        }
        let client = kube::Client::try_from(config).with_context(|| format!("cannot make a client for {url}"))?;
        Ok(Self { url: url.to_owned(), client, token: None })
    }

    /// The same server, asked with this bearer token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Scheme, host and port.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.send(Request::get(path).body(Body::empty()).with_context(|| format!("{path} is not a path"))?).await
    }

    /// POST of a body that is sent as JSON, whatever it is.
    pub async fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Result<Reply> {
        let request = Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.into()))
            .with_context(|| format!("{path} is not a path"))?;
        self.send(request).await
    }

    /// Asks until the answer is 200; fails at once when `process`, which serves it, has ended.
    pub async fn until_ok(&self, path: &str, process: &mut Process, patience: Duration) -> Result<()> {
        let what = format!("{} of {} to answer 200", path, process.name());
        let outcome = wait::until(&what, patience, async || {
            process.check_running()?;
            Ok(match self.get(path).await {
                Ok(reply) if reply.status == StatusCode::OK => Look::Done(()),
                Ok(reply) => Look::NotYet(format!("{}: {}", reply.status, reply.body.trim())),
                Err(error) => Look::NotYet(format!("{error:#}")),
            })
        });
        let outcome = outcome.await;
        outcome.with_context(|| format!("{} did not become ready; {}", process.name(), process.log_tail()))
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Reply> {
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}").parse().context("not a token")?;
            request.headers_mut().insert(http::header::AUTHORIZATION, value);
        }
        let what = format!("{} {}{}", request.method(), self.url, request.uri());
        let response = self.client.send(request).await.with_context(|| what.clone())?;
        let status = response.status();
        let body = response.into_body().collect_bytes().await.with_context(|| format!("{what}: reading the answer"))?;
        Ok(Reply { status, body: String::from_utf8_lossy(&body).into_owned() })
    }
}
