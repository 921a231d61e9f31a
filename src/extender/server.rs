//! HTTP around [`Answers`]: listeners, limits, time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::Extender;
use super::answer::Answers;
use super::metrics::Metrics;
use super::routes::{self, Shared, Turns};
pub use super::tls::TlsOptions;
use super::tls::{self, TlsError};
use crate::listener::{Admission, HEAD_TIMEOUT, ListenError, listen};

/// Longer than the 90 s after which the HTTP clients of kube-scheduler and of kubelet drop an idle connection: were we
/// the first to close, they could send a request into a connection that is just going away.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// How the extender is served.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where the extender listens: the verbs under `/v1/`, `/livez` and `/readyz`. Port 0 takes a free one.
    pub bind_address: SocketAddr,
    /// TLS on [`Self::bind_address`]; plain HTTP without.
    pub tls: Option<TlsOptions>,
    /// Where `/metrics`, `/livez` and `/readyz` are served in plain HTTP. Without it `/metrics` is on
    /// [`Self::bind_address`]. Needed when client certificates are required, which probes do not have.
    pub metrics_bind_address: Option<SocketAddr>,
    /// The largest body that is read. The default, 96 MB, takes 5,000 Node objects of 19 kB each. All bodies together may have
    /// twice as much in memory, and 250 kB each beside.
    pub body_limit_bytes: usize,
    /// Within this the head of a request must have arrived, the first one counted from the beginning of the connection.
    pub head_timeout: Duration,
    /// Within this a TLS connection must be established.
    pub handshake_timeout: Duration,
    /// The most connections at a time, on each listener. Others wait until one is closed.
    pub max_connections: usize,
    /// The most questions at a time that have been read and wait for their answer; others get a 503 at once. Neither bodies
    /// that are still coming nor bindings are among them. kube-scheduler asks one question at a time.
    pub max_in_flight: usize,
    /// Within this the body of a request must have arrived.
    pub request_timeout: Duration,
    /// Within this [`Extender::bind`] must come to an end. Keep it below the `httpTimeout` of kube-scheduler's
    /// configuration, and the extender's own deadlines below this.
    pub bind_timeout: Duration,
    /// The most nodes that one request may name.
    pub max_nodes: usize,
    /// Threads that answer requests.
    pub workers: usize,
    /// How long a graceful stop waits for requests that are being answered.
    pub shutdown_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            bind_address: SocketAddr::from(([127, 0, 0, 1], 8888)),
            tls: None,
            metrics_bind_address: None,
            body_limit_bytes: 96_000_000,
            head_timeout: HEAD_TIMEOUT,
            handshake_timeout: Duration::from_secs(3),
            max_connections: 1024,
            max_in_flight: 64,
            request_timeout: Duration::from_secs(1),
            bind_timeout: Duration::from_secs(30),
            max_nodes: 20_000,
            workers: 4,
            shutdown_timeout: Duration::from_secs(35),
        }
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A server that runs. It goes on when this is dropped.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    servers: Vec<(ServerHandle, JoinHandle<io::Result<()>>)>,
    reloader: Option<JoinHandle<()>>,
}

impl Running {
    /// Where the extender listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics and health are served, if elsewhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Stops to listen and returns when all connections are closed. A graceful stop first answers the requests that are
    /// there, within [`ServerOptions::shutdown_timeout`]; metrics and health are served until then.
    pub async fn stop(self, graceful: bool) {
        for (handle, task) in self.servers {
            handle.stop(graceful).await;
            match task.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "the server ended with an error"),
                Err(error) => tracing::error!(%error, "the server did not end well"),
            }
        }
        if let Some(reloader) = self.reloader {
            reloader.abort();
        }
    }
}

/// Starts to serve. `registry` is what `/metrics` shows; `metrics` have been registered there.
///
/// # Panics
/// Outside of a tokio runtime: binds run there, and so does what reloads certificates.
pub fn start<E: Extender>(
    extender: Arc<E>,
    options: ServerOptions,
    metrics: Metrics,
    registry: Arc<Registry>,
) -> Result<Running, StartError> {
    let (tls, reloader) = match &options.tls {
        Some(tls) => {
            let (config, reloader) = tls::load(tls.clone(), metrics.clone())?;
            (Some(config), Some(reloader))
        }
        None => (None, None),
    };
    let shared = web::Data::new(Shared {
        answers: Answers { extender, max_nodes: options.max_nodes, metrics },
        registry,
        runtime: Handle::current(),
        body_limit_bytes: options.body_limit_bytes,
        large_bodies: Semaphore::new(options.body_limit_bytes.saturating_mul(2).min(Semaphore::MAX_PERMITS)),
        request_timeout: options.request_timeout,
        bind_timeout: options.bind_timeout,
        admission: Admission::up_to(options.max_in_flight),
    });

    let (listener, address) = listen(options.bind_address)?;
    let with_metrics = options.metrics_bind_address.is_none();
    let of_extender = shared.clone();
    let server = HttpServer::new(move || {
        let turns = web::Data::new(Turns::of_a_worker());
        let app = App::new().app_data(of_extender.clone()).app_data(turns);
        let app = app.configure(routes::verbs::<E>).configure(routes::health::<E>);
        if with_metrics { app.configure(routes::metrics::<E>) } else { app }
            .default_service(web::to(routes::not_found::<E>))
    })
    .workers(options.workers.max(1))
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(options.head_timeout)
    .tls_handshake_timeout(options.handshake_timeout)
    // Counted by each worker for itself.
    .max_connections(options.max_connections.div_ceil(options.workers.max(1)))
    .tcp_nodelay(true)
    .shutdown_timeout(options.shutdown_timeout.as_secs())
    .disable_signals();
    let listening = |source| ListenError { address, source };
    let server = match tls {
        Some(config) => server.listen_rustls_0_23(listener, config).map_err(listening)?,
        None => server.listen(listener).map_err(listening)?,
    };

    let side = match options.metrics_bind_address {
        Some(address) => {
            let (listener, address) = listen(address)?;
            let server = HttpServer::new(move || {
                App::new()
                    .app_data(shared.clone())
                    .configure(routes::health::<E>)
                    .configure(routes::metrics::<E>)
                    .default_service(web::to(routes::not_found::<E>))
            })
            .workers(1)
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(options.head_timeout)
            .max_connections(options.max_connections)
            .shutdown_timeout(1)
            .disable_signals()
            .listen(listener)
            .map_err(|source| ListenError { address, source })?;
            Some((server, address))
        }
        None => None,
    };

    let mut servers = vec![spawn(server.run())];
    let metrics_address = side.as_ref().map(|(_, address)| *address);
    servers.extend(side.map(|(server, _)| spawn(server.run())));
    tracing::info!(%address, ?metrics_address, tls = options.tls.is_some(), "serving the extender protocol");
    Ok(Running { address, metrics_address, servers, reloader: reloader.map(|reloader| tokio::spawn(reloader.run())) })
}

fn spawn(server: actix_web::dev::Server) -> (ServerHandle, JoinHandle<io::Result<()>>) {
    (server.handle(), tokio::spawn(server))
}
