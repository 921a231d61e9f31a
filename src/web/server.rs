//! HTTP around the page.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use tokio::task::JoinHandle;

use super::authentication::{self, Gatekeeper};
use super::{Publisher, api, guard};
use crate::extender::metrics::Metrics;
use crate::extender::tls::{self, TlsError, TlsOptions};
use crate::host::Host;
use crate::listener::{HEAD_TIMEOUT, ListenError, listen};
use crate::overview::Prices;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 512;

/// How the page is served.
#[derive(Debug, Clone)]
pub struct PageOptions {
    /// Where it listens; port 0 takes a free one.
    pub bind_address: SocketAddr,
    /// May it be seen from other machines by whoever comes?
    pub allow_unauthenticated: bool,
    /// Who asks for a token, and whether its owner may see the page; without one nobody does.
    pub gatekeeper: Option<Arc<Gatekeeper>>,
    /// TLS; plain HTTP without.
    pub tls: Option<TlsOptions>,
    /// What the page calls the cluster.
    pub title: String,
    /// What nodes cost.
    pub prices: Option<Prices>,
    /// The scheduler that pods are taken to have which are tried on the page and name none.
    pub scheduler: String,
}

impl Default for PageOptions {
    fn default() -> Self {
        Self {
            bind_address: SocketAddr::from(([127, 0, 0, 1], 8890)),
            allow_unauthenticated: false,
            gatekeeper: None,
            tls: None,
            title: "cluster".into(),
            prices: None,
            scheduler: "testudo-scheduler".into(),
        }
    }
}

/// Why the page is not served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Others could see it.
    #[error(
        "the page asks nobody who they are, and {0} can be reached from other machines: use a loopback address, set web.authentication: token, or allow it with web.allowUnauthenticated"
    )]
    Exposed(SocketAddr),
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A page that is served. It goes on when this is dropped.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    server: ServerHandle,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops to listen. Who looks is cut off: their connections have no end of their own.
    pub async fn stop(self) {
        self.server.stop(false).await;
        for task in self.tasks {
            task.abort();
        }
    }
}

/// What the handlers share.
pub(super) struct Shared {
    pub host: Arc<Host>,
    pub publisher: Arc<Publisher>,
    pub options: PageOptions,
    /// One question that takes long at a time.
    pub long_questions: tokio::sync::Semaphore,
}

/// Starts to serve the page of what `host` knows.
///
/// # Errors
/// When the address cannot be listened on, or must not be.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn start(host: Arc<Host>, options: PageOptions, metrics: &Metrics) -> Result<Running, StartError> {
    let wanted = options.bind_address;
    if !wanted.ip().is_loopback() && !options.allow_unauthenticated && options.gatekeeper.is_none() {
        return Err(StartError::Exposed(wanted));
    }
    let tls = options.tls.clone().map(|tls| tls::load(tls, metrics.clone())).transpose()?;
    let (listener, address) = listen(wanted)?;
    let publisher = Arc::new(Publisher::new(Arc::clone(&host), options.title.clone(), options.prices.clone()));
    let shared = Data::new(Shared {
        host,
        publisher: Arc::clone(&publisher),
        options,
        long_questions: tokio::sync::Semaphore::new(1),
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .wrap(from_fn(authentication::admit))
            .wrap(from_fn(guard::own_pages_only))
            .wrap(guard::headers())
            .configure(api::routes)
    })
    .workers(1)
    .max_connections(MAX_CONNECTIONS)
    .client_request_timeout(HEAD_TIMEOUT)
    .tcp_nodelay(true)
    .shutdown_timeout(1)
    .disable_signals();
    let (server, reloader) = match tls {
        Some((config, reloader)) => (
            server.listen_rustls_0_23(listener, config).map_err(|source| ListenError { address, source })?,
            Some(reloader),
        ),
        None => (server.listen(listener).map_err(|source| ListenError { address, source })?, None),
    };
    let server = server.run();
    let handle = server.handle();
    let serving = tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the page's server ended with an error");
        }
    });
    tracing::info!(%address, tls = reloader.is_some(), "serving the page");
    let mut tasks = vec![serving, tokio::spawn(publisher.run())];
    tasks.extend(reloader.map(|reloader| tokio::spawn(reloader.run())));
    Ok(Running { address, server: handle, tasks })
}
