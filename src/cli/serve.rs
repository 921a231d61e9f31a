//! `testudo serve`.

use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::registry::Registry;
use testudo_core::engine::PlacementPolicy;
use testudo_core::model::catalogue::Catalogue;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::Outcome;
use super::election::{Election, OwnPod};
use super::source::Source;
use super::telemetry::{self, LogArgs};
use crate::admission::{self, Given, WebhookOptions};
use crate::config::{Authentication, Configuration, Mode, TlsSection};
use crate::extender::metrics::Metrics;
use crate::extender::{self, ServerOptions, TlsOptions};
use crate::host::{BATCH, Bindings, GangWriters, Host, LABEL_DEADLINE, Leadership, PolicyTeller};
use crate::k8s::bind::Binder;
use crate::k8s::claims::ClaimWriter;
use crate::k8s::client::Retries;
use crate::k8s::events::Events;
use crate::k8s::fence::fenced;
use crate::k8s::group_status::GroupStatuses;
use crate::k8s::leader_label::LeaderLabel;
use crate::k8s::protect::Protector;
use crate::k8s::provisioning::Provisioner;
use crate::k8s::pulse::{Pulse, listening};
use crate::k8s::reviews::Reviewer;
use crate::k8s::steer::Steerer;
use crate::k8s::watch::watch_cluster;
use crate::overview::Prices;
use crate::policy::Watched;
use crate::web::{self, Gatekeeper, PageOptions};

/// Flags of `testudo serve`. What is given here wins over the configuration file.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Decide (enforce), or answer everything with yes and report what would have been done (observe) [default: as the
    /// configuration file says; without one observe on a cluster that we do not run in, else enforce].
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Where the extender listens [default: 127.0.0.1:8888].
    #[arg(long, value_name = "ADDRESS")]
    bind_address: Option<SocketAddr>,
    /// Where metrics and health are served; by default on the extender's listener.
    #[arg(long, value_name = "ADDRESS")]
    metrics_bind_address: Option<SocketAddr>,
    /// Where the page is served [default: 127.0.0.1:8890].
    #[arg(long, value_name = "ADDRESS")]
    web_bind_address: Option<SocketAddr>,
    /// What nodes cost, for the page: a file as for `testudo top`.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Where the admission webhook is served, with the same certificate; by default it is not.
    #[arg(long, value_name = "ADDRESS")]
    webhook_bind_address: Option<SocketAddr>,
    /// PEM file with the server's certificate chain.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// PEM file with the server's private key.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    tls_private_key_file: Option<PathBuf>,
    /// PEM file with the authorities of client certificates; with it, a client certificate is required.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    client_ca_file: Option<PathBuf>,
    /// What places are chosen for, by pod: a policy file. It is read again when it changes.
    #[arg(long, value_name = "FILE")]
    policy_file: Option<PathBuf>,
    /// Whether other replicas may run: one of them leads, the others follow [default: in a pod].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: Option<bool>,
    #[command(flatten)]
    log: LogArgs,
}

/// How long bindings that have begun may take to come to their end when the server stops, and then whoever is still being
/// answered: with giving back the lease and closing the webhook less than the 30 s that a pod has to end.
const LEAVING: Duration = Duration::from_secs(5);
const STOPPING: Duration = Duration::from_secs(10);

/// For so long after the beginning of the end the webhook is served at least. The API server learns only after a moment that
/// this replica is not to be called any more, and makes members of gangs without their gate where it is not answered.
const STILL_CALLED: Duration = Duration::from_secs(5);

/// Runs the server until it is told to stop.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let configuration = configuration(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let telemetry = {
        let _on_runtime = runtime.enter();
        telemetry::start_with_traces(&args.log, &configuration.tracing)?
    };
    let served = runtime.block_on(serve(args, configuration));
    telemetry.end();
    served.map(|()| Outcome::Done)
}

/// The configuration file with the flags laid over it.
fn configuration(args: &Args) -> anyhow::Result<Configuration> {
    let mut configuration = match &args.config {
        Some(path) => Configuration::load(path)?,
        None => Configuration::default(),
    };
    let extender = &mut configuration.extender;
    if let Some(address) = args.bind_address {
        extender.bind_address = address;
    }
    if let (Some(cert_file), Some(key_file)) = (&args.tls_cert_file, &args.tls_private_key_file) {
        let (cert_file, key_file, client_ca_file) = (cert_file.clone(), key_file.clone(), args.client_ca_file.clone());
        extender.tls = Some(TlsSection { cert_file, key_file, client_ca_file });
    }
    if args.metrics_bind_address.is_some() {
        configuration.metrics.bind_address = args.metrics_bind_address;
    }
    if let Some(address) = args.web_bind_address {
        configuration.web.bind_address = address;
    }
    if let Some(file) = &args.prices {
        configuration.web.prices = Some(Prices::load(file)?);
    }
    if args.webhook_bind_address.is_some() {
        configuration.webhook.bind_address = args.webhook_bind_address;
    }
    if args.leader_elect.is_some() {
        configuration.leader_election.leader_elect = args.leader_elect;
    }
    if args.policy_file.is_some() {
        configuration.policy_file.clone_from(&args.policy_file);
    }
    if let Some(mode) = args.mode.or_else(|| unsaid_mode(args)) {
        configuration.mode = mode;
    }
    configuration.validate().map_err(|message| anyhow::anyhow!("flags: {message}"))?;
    Ok(configuration)
}

/// The mode where neither a flag nor a file speaks of any. Whoever looks at a cluster from outside may find another testudo
/// there, which decides already, and knows nothing of this one.
fn unsaid_mode(args: &Args) -> Option<Mode> {
    let is_from_outside = args.config.is_none() && args.source.is_foreign_cluster();
    is_from_outside.then_some(Mode::Observe)
}

/// May this process write of gangs? An observer opens gates, but not from outside: there it would open those of a testudo that
/// decides in the cluster.
fn may_write_of_gangs(source: &Source, configuration: &Configuration) -> bool {
    let is_elected = configuration.leader_election.leader_elect == Some(true);
    configuration.mode == Mode::Enforce || is_elected || !source.is_foreign_cluster()
}

async fn serve(args: Args, configuration: Configuration) -> anyhow::Result<()> {
    let stopped = stop_signal()?;
    if args.mode.is_none() && unsaid_mode(&args).is_some() {
        info!(
            "only observed: nothing is decided or written in a cluster that is looked at from outside, but with --mode=enforce"
        );
    }
    let catalogue = catalogue(&configuration)?;
    let (watched, placement) = placement(&configuration)?.unzip();
    let policy = configuration.policy(placement.unwrap_or_default());
    let claims_are_ours = policy.claims.is_on();
    let mut registry = Registry::default();
    let manifests = args.source.manifests()?;
    let client = if manifests.is_none() { Some(args.source.connect(Retries::ByCaller).await?) } else { None };
    let mut election = client.as_ref().and_then(|client| Election::of(&configuration, &args.source, client));
    let leadership = if election.is_some() { Leadership::contested() } else { Leadership::default() };
    leadership.register(&mut registry);
    // None of these ends by itself.
    let mut parts: JoinSet<&'static str> = JoinSet::new();
    let fence = leadership.clone();
    let writing = client.clone().map(|client| fenced(client, move || fence.may_write()));
    if let (Some(client), Some(pod), Some(_)) = (&writing, OwnPod::of_environment(), &election) {
        let label = LeaderLabel::new(client.clone(), &pod.namespace, &pod.name);
        let labelling = leadership.clone().keep_label(label, LABEL_DEADLINE);
        parts.spawn(async {
            labelling.await;
            "labelling the leader"
        });
    }
    let bindings = match &writing {
        None => Bindings::OwnCopy,
        Some(client) => Bindings::Cluster {
            binder: Binder::new(client.clone()),
            claims: ClaimWriter::new(client.clone()),
            // The answer must still reach kube-scheduler.
            timeout: configuration.extender.bind_timeout.mul_f64(0.9),
        },
    };
    let host = Host::new(policy, configuration.mode, catalogue, bindings, &mut registry);
    let host = Arc::new(host.with_leadership(leadership));
    if let Some(manifests) = manifests {
        info!(nodes = manifests.nodes.len(), pods = manifests.pods.len(), ignored = ?manifests.ignored, "files read");
        host.take_manifests(manifests);
    }
    let events = writing.clone().map(|client| Events::new(client, std::env::var("POD_NAME").ok()));
    if let Some(watched) = watched {
        let teller = events.clone().zip(OwnPod::of_environment()).map(|(events, pod)| {
            let OwnPod { namespace, name } = pod;
            PolicyTeller { events, namespace, name }
        });
        let host = Arc::clone(&host);
        tokio::spawn(async move { host.follow_policy(watched, teller).await });
    }
    let writers = writing.clone().zip(events).filter(|_| may_write_of_gangs(&args.source, &configuration));
    let writers = writers.map(|(client, events)| GangWriters {
        steerer: Steerer::new(client.clone()),
        provisioner: Provisioner::new(client.clone()),
        protector: Protector::new(client.clone()),
        claims: ClaimWriter::new(client.clone()),
        events,
        statuses: GroupStatuses::start(client),
    });
    let planning = Arc::clone(&host).plan_gangs(writers);
    parts.spawn(async {
        planning.await;
        "planning"
    });
    let (events, incoming) = mpsc::channel(BATCH);
    let metrics = Metrics::register(&mut registry);
    crate::metrics::register(&mut registry, &host);
    let pulse = Pulse::default();
    crate::metrics::register_watches(&mut registry, pulse.clone());
    let page = serve_page(&host, &configuration, client.as_ref(), &metrics);
    let reviews = admission::server::register(&mut registry);
    let webhook = match webhook_options(&configuration) {
        Some(options) => Some(admission::start(options, reviews, metrics.clone())?),
        None => None,
    };
    let server = extender::start(Arc::clone(&host), server_options(&configuration), metrics, Arc::new(registry))?;
    let taking_part = async {
        match &mut election {
            Some(election) => election.take_part(&host).await,
            None => pending().await,
        }
    };
    if let Some(client) = client {
        let watching = watch_cluster(listening(client, pulse), events, claims_are_ours);
        parts.spawn(async {
            watching.await;
            "watching"
        });
    }
    let served = tokio::select! {
        () = host.keep_up(incoming) => Ok(()),
        () = taking_part => Ok(()),
        () = stopped => Ok(()),
        // What is left would go on answering from what was known then: rather begin anew.
        Some(ended) = parts.join_next() => Err(anyhow::anyhow!("a part of testudo has ended, and the rest with it: {ended:?}")),
    };
    info!("stopping");
    let webhook_until = Instant::now() + STILL_CALLED;
    // First, since the lease is not renewed any more: others are to lead before it has run out.
    host.leave(LEAVING).await;
    if let Some(election) = election {
        election.give_back().await;
    }
    if let Some(page) = page {
        page.stop().await;
    }
    server.stop(true).await;
    if let Some(webhook) = webhook {
        sleep_until(webhook_until).await;
        webhook.stop().await;
    }
    served
}

/// Serves the page. Pods are placed without it, too: that it cannot be served stops nothing.
fn serve_page(
    host: &Arc<Host>,
    configuration: &Configuration,
    client: Option<&kube::Client>,
    metrics: &Metrics,
) -> Option<web::Running> {
    let section = &configuration.web;
    let defaults = PageOptions::default();
    let gatekeeper = match (section.authentication, client) {
        (Authentication::None, _) => None,
        // Asking who somebody is changes nothing: whoever follows may do so, too.
        (Authentication::Token, Some(client)) => {
            Some(Arc::new(Gatekeeper::new(Reviewer::new(client.clone(), section.audiences.clone()))))
        }
        (Authentication::Token, None) => {
            warn!("the page is not served: web.authentication: token needs a cluster to ask, and there are only files");
            return None;
        }
    };
    let options = PageOptions {
        bind_address: section.bind_address,
        allow_unauthenticated: section.allow_unauthenticated,
        gatekeeper,
        tls: section.tls.as_ref().map(tls_options),
        title: section.title.clone(),
        prices: section.prices.clone(),
        scheduler: configuration.gangs.scheduler_names.first().cloned().unwrap_or(defaults.scheduler),
    };
    if !section.enabled {
        return None;
    }
    web::start(Arc::clone(host), options, metrics).inspect_err(|error| warn!(%error, "the page is not served")).ok()
}

/// Waits for the signal to stop: from the call on none ends the process by itself.
///
/// # Errors
/// When signals cannot be listened to.
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The built-in catalogue, extended by the operator's file.
fn catalogue(configuration: &Configuration) -> anyhow::Result<Arc<Catalogue>> {
    let builtin = Catalogue::builtin();
    let Some(path) = &configuration.catalogue_file else { return Ok(builtin) };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the catalogue {}", path.display()))?;
    let extended = builtin.extended_with(&text).with_context(|| format!("catalogue {}", path.display()))?;
    Ok(Arc::new(extended))
}

fn tls_options(section: &TlsSection) -> TlsOptions {
    TlsOptions {
        client_ca_file: section.client_ca_file.clone(),
        ..TlsOptions::new(&section.cert_file, &section.key_file)
    }
}

/// What places are chosen for, as the policy file says, and the file to look at again.
fn placement(configuration: &Configuration) -> anyhow::Result<Option<(Watched, PlacementPolicy)>> {
    let Some(path) = &configuration.policy_file else { return Ok(None) };
    let (watched, read) = Watched::open(path)?;
    for warning in &read.warnings {
        warn!(policy_file = %path.display(), "{warning}");
    }
    Ok(Some((watched, read.policy)))
}

/// How the webhook is served, if it is: the API server shows no certificate.
fn webhook_options(configuration: &Configuration) -> Option<WebhookOptions> {
    let bind_address = configuration.webhook.bind_address?;
    // The API server shows no certificate.
    let tls = TlsOptions { client_ca_file: None, ..tls_options(configuration.extender.tls.as_ref()?) };
    // Who only observes would have to open a gate at once.
    let gate = configuration.mode == Mode::Enforce;
    let given = Given { schedulers: configuration.gangs.scheduler_names.clone(), gate };
    Some(WebhookOptions { bind_address, tls, given })
}

fn server_options(configuration: &Configuration) -> ServerOptions {
    let extender = &configuration.extender;
    if extender.tls.is_none() && !extender.bind_address.ip().is_loopback() {
        warn!(address = %extender.bind_address, "plain HTTP beyond this machine: set extender.tls");
    }
    ServerOptions {
        bind_address: extender.bind_address,
        tls: extender.tls.as_ref().map(tls_options),
        body_limit_bytes: extender.max_body_bytes,
        request_timeout: extender.request_timeout,
        bind_timeout: extender.bind_timeout,
        max_nodes: extender.max_nodes,
        metrics_bind_address: configuration.metrics.bind_address,
        shutdown_timeout: STOPPING,
        ..ServerOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_cluster_that_is_looked_at_from_outside_is_only_observed() {
        let mode = |flags: &[&str]| {
            let cli = Cli::parse_from(std::iter::once("serve").chain(flags.iter().copied()));
            configuration(&cli.args).expect("flags that go together").mode
        };
        assert_eq!(mode(&["--kubeconfig=somewhere"]), Mode::Observe);
        assert_eq!(mode(&["--kubeconfig=somewhere", "--mode=enforce"]), Mode::Enforce);
        assert_eq!(mode(&["--filename=cluster.yaml"]), Mode::Enforce, "a copy of its own");
    }

    #[test]
    fn the_webhook_gives_gates_where_somebody_opens_them() {
        let gives_gates = |mode: &str| {
            let flags = ["--webhook-bind-address=127.0.0.1:0", "--tls-cert-file=a", "--tls-private-key-file=b", mode];
            let args = Cli::parse_from(std::iter::once("serve").chain(flags)).args;
            let configuration = configuration(&args).expect("flags that go together");
            webhook_options(&configuration).expect("it is served").given.gate
        };
        assert!(gives_gates("--mode=enforce") && !gives_gates("--mode=observe"));
    }

    #[test]
    fn gates_of_a_cluster_that_is_looked_at_from_outside_are_left_alone() {
        let may_write = |flags: &[&str]| {
            let args = Cli::parse_from(std::iter::once("serve").chain(flags.iter().copied())).args;
            may_write_of_gangs(&args.source, &configuration(&args).expect("flags that go together"))
        };
        assert!(!may_write(&["--kubeconfig=somewhere"]));
        assert!(!may_write(&["--kubeconfig=somewhere", "--mode=observe"]));
        assert!(may_write(&["--kubeconfig=somewhere", "--mode=observe", "--leader-elect"]), "one of those inside");
        assert!(may_write(&["--kubeconfig=somewhere", "--mode=enforce"]));
    }
}
