//! HTTP around the page.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use tokio::task::JoinHandle;

use super::{Publisher, api, guard};
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
    /// May that be seen from other machines? There is no authentication.
    pub allow_unauthenticated: bool,
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
        "the page has no authentication, and {0} can be reached from other machines: use a loopback address, or allow it with web.allowUnauthenticated"
    )]
    Exposed(SocketAddr),
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
pub fn start(host: Arc<Host>, options: PageOptions) -> Result<Running, StartError> {
    let wanted = options.bind_address;
    if !wanted.ip().is_loopback() && !options.allow_unauthenticated {
        return Err(StartError::Exposed(wanted));
    }
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
            .wrap(from_fn(guard::own_pages_only))
            .wrap(guard::headers())
            .configure(api::routes)
    })
    .workers(1)
    .max_connections(MAX_CONNECTIONS)
    .client_request_timeout(HEAD_TIMEOUT)
    .tcp_nodelay(true)
    .shutdown_timeout(1)
    .disable_signals()
    .listen(listener)
    .map_err(|source| ListenError { address, source })?
    .run();
    let handle = server.handle();
    let serving = tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the page's server ended with an error");
        }
    });
    tracing::info!(%address, "serving the page");
    Ok(Running { address, server: handle, tasks: vec![serving, tokio::spawn(publisher.run())] })
}
