//! A control plane on loopback: etcd, kube-apiserver, kube-controller-manager, and kwok in place of kubelets.

use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;

use crate::components;
use crate::endpoint::Endpoint;
use crate::kubeconfig::Kubeconfig;
use crate::pki::{Authority, Identity};
use crate::ports::free_port;
use crate::process::Process;
use crate::tools::{Tools, Version};
use crate::wait::PATIENCE;
use crate::workdir::Workdir;

/// How the processes are called that [`ControlPlane::crash`] can kill.
pub const ETCD: &str = "etcd";
/// See [`ETCD`].
pub const APISERVER: &str = "kube-apiserver";

/// The label that makes kwok the kubelet of a node: `type=kwok`.
pub const KWOK_LABEL: (&str, &str) = ("type", "kwok");

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Which Kubernetes.
    pub version: Version,
    /// `--feature-gates` of every component.
    pub feature_gates: Vec<(String, bool)>,
    /// `--runtime-config` of kube-apiserver, as in `resource.k8s.io/v1beta1=true`.
    pub runtime_config: Vec<String>,
}

impl From<Version> for Options {
    fn from(version: Version) -> Self {
        Self { version, ..Self::default() }
    }
}

/// A running control plane. Dropping it ends every process of it and removes its folder.
pub struct ControlPlane {
    options: Options,
    tools: Tools,
    server: String,
    etcd: String,
    authority: Authority,
    admin: Kubeconfig,
    client: kube::Client,
    // In the order in which they are to end: nobody complains about an API server that has gone.
    processes: Mutex<Vec<Process>>,
    /// Parts of the audit log, in bytes, in which the API server was away or coming back.
    upheavals: Mutex<Vec<Range<u64>>>,
    // Last, so that it goes when nobody writes to it any more.
    dir: Workdir,
}

impl ControlPlane {
    /// Starts everything and waits until it answers.
    pub async fn start(options: impl Into<Options>) -> Result<Self> {
        let options = options.into();
        let tools = Tools::find(options.version)?;
        let dir = Workdir::new()?;
        let started = Self::start_in(&dir, options, tools).await;
        match started {
            Ok(parts) => Ok(parts.into_control_plane(dir)),
            Err(error) => {
                dir.keep();
                Err(error.context("the control plane did not start"))
            }
        }
    }

    async fn start_in(dir: &Workdir, options: Options, tools: Tools) -> Result<Parts> {
        let begin = Instant::now();
        let authority = Authority::new(dir, "ca")?;
        let etcd_url = format!("http://127.0.0.1:{}", free_port()?);
        let port = free_port()?;
        let server = format!("https://127.0.0.1:{port}");

        let mut etcd = spawn(dir, ETCD, &tools.etcd, components::etcd(dir, &etcd_url)?)?;
        Endpoint::new(&etcd_url, None, None)?.until_ok("/health", &mut etcd, PATIENCE).await?;
        let mut apiserver = spawn(
            dir,
            APISERVER,
            &tools.apiserver,
            components::apiserver(dir, &options, &authority, &etcd_url, port)?,
        )?;
        Endpoint::new(&server, Some(&authority), None)?.until_ok("/readyz", &mut apiserver, PATIENCE).await?;

        let user = |name: &str, groups: &[&str]| -> Result<Kubeconfig> {
            let identity = authority.client(dir, name, groups)?;
            Kubeconfig::with_certificate(dir, &server, authority.cert(), name, &identity)
        };
        let admin = user("e2e-admin", &["system:masters"])?;
        let client = admin.client().await?;

        let manager_port = free_port()?;
        let manager = user("system:kube-controller-manager", &[])?;
        let mut manager = spawn(
            dir,
            "kube-controller-manager",
            &tools.controller_manager,
            components::controller_manager(dir, &options, &authority, manager.path(), manager_port)?,
        )?;
        let kwok_port = free_port()?;
        // kwok is no part of what is tested: it may do what it likes.
        let kwok = user("kwok", &["system:masters"])?;
        let mut kwok = spawn(dir, "kwok", &tools.kwok, components::kwok(dir, kwok.path(), kwok_port)?)?;

        Endpoint::new(&format!("https://127.0.0.1:{manager_port}"), Some(&authority), None)?
            .until_ok("/healthz", &mut manager, PATIENCE)
            .await?;
        Endpoint::new(&format!("http://127.0.0.1:{kwok_port}"), None, None)?
            .until_ok("/healthz", &mut kwok, PATIENCE)
            .await?;

        let running = client.apiserver_version().await.context("kube-apiserver does not say its version")?;
        eprintln!(
            "testudo-e2e: control plane {} up in {:.1} s, files in {}",
            running.git_version,
            begin.elapsed().as_secs_f64(),
            dir.path().display()
        );
        let processes = vec![kwok, manager, apiserver, etcd];
        Ok(Parts { options, tools, server, etcd: etcd_url, authority, admin, client, processes })
    }

    /// Which Kubernetes was asked for.
    pub fn version(&self) -> Version {
        self.options.version
    }

    /// What it was started with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The API server's URL.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The authority that has signed every certificate here.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The folder with the logs and all other files.
    pub fn dir(&self) -> &Workdir {
        &self.dir
    }

    /// The binaries that run.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// A client that may do everything. For setting a scene and for looking; never for what is tested.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The kubeconfig of that client.
    pub fn admin(&self) -> &Kubeconfig {
        &self.admin
    }

    /// A kubeconfig with a client certificate for `user` in `groups`; it may do what RBAC gives to them.
    pub fn kubeconfig(&self, user: &str, groups: &[&str]) -> Result<Kubeconfig> {
        let identity = self.authority.client(&self.dir, user, groups)?;
        Kubeconfig::with_certificate(&self.dir, &self.server, self.authority.cert(), user, &identity)
    }

    /// A kubeconfig with a token of an existing service account.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<Kubeconfig> {
        let user = format!("system:serviceaccount:{namespace}:{name}");
        let token = self.service_account_token(namespace, name, None).await?;
        Kubeconfig::with_token(&self.dir, &self.server, self.authority.cert(), &user, &token)
    }

    /// A token of an existing service account, for the API server or for another audience.
    pub async fn service_account_token(&self, namespace: &str, name: &str, audience: Option<&str>) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(24 * 3600),
                audiences: audience.map(str::to_owned).into_iter().collect(),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(name, &Default::default(), &request)
            .await
            .with_context(|| format!("no token for {namespace}/{name}"))?;
        Ok(answer.status.with_context(|| format!("the token request for {namespace}/{name} has no status"))?.token)
    }

    /// A serving certificate for a server on loopback.
    pub fn server_identity(&self, name: &str) -> Result<Identity> {
        self.authority.server(&self.dir, name)
    }

    /// A client certificate without a kubeconfig, for mutual TLS.
    pub fn client_identity(&self, user: &str) -> Result<Identity> {
        self.authority.client(&self.dir, user, &[])
    }

    /// Ends kube-apiserver and starts it again on the same port and data: watches break, as in an upgrade.
    pub async fn restart_apiserver(&self) -> Result<()> {
        let begin = self.audit_log_size();
        let (at, mut apiserver) = self.take(APISERVER)?;
        apiserver.stop(Duration::from_secs(90)).await?;
        self.start_again(at, apiserver, begin).await
    }

    /// Kills etcd or kube-apiserver, or both, as `kill -9` does, and starts them again after a while.
    pub async fn crash(&self, names: &[&str], away: Duration) -> Result<()> {
        let begin = self.audit_log_size();
        let mut crashed = Vec::new();
        for name in names {
            let (at, mut process) = self.take(name)?;
            process.kill()?;
            crashed.push((at, process));
        }
        tokio::time::sleep(away).await;
        // In the order in which they are needed, the last of the list first.
        for (at, process) in crashed.into_iter().rev() {
            self.start_again(at, process, begin).await?;
        }
        Ok(())
    }

    /// A process, to be ended, and its place in the list.
    fn take(&self, name: &str) -> Result<(usize, Process)> {
        let mut processes = self.processes();
        let at = processes.iter().position(|process| process.name() == name);
        let at = at.with_context(|| format!("{name} is not running"))?;
        Ok((at, processes.remove(at)))
    }

    async fn start_again(&self, at: usize, process: Process, begin: u64) -> Result<()> {
        let mut process = process.again()?;
        let (endpoint, path) = if process.name() == ETCD {
            (Endpoint::new(&self.etcd, None, None)?, "/health")
        } else {
            (Endpoint::new(&self.server, Some(&self.authority), None)?, "/readyz")
        };
        let ready = endpoint.until_ok(path, &mut process, PATIENCE).await;
        let upheaval = begin..self.audit_log_size();
        self.upheavals.lock().unwrap_or_else(PoisonError::into_inner).push(upheaval);
        let mut processes = self.processes();
        let at = at.min(processes.len());
        processes.insert(at, process);
        ready
    }

    /// Leaves the folder in place after the end.
    pub fn keep_files(&self) {
        self.dir.keep();
    }

    /// Whether a place in the audit log is from a time in which the API server was away or coming back: until it has
    /// read its roles it denies everything to everybody.
    pub(crate) fn is_in_upheaval(&self, offset: u64) -> bool {
        self.upheavals.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|range| range.contains(&offset))
    }

    fn audit_log_size(&self) -> u64 {
        self.dir.file("audit.log").metadata().map_or(0, |file| file.len())
    }

    fn processes(&self) -> MutexGuard<'_, Vec<Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A control plane before it owns its folder, which has to outlive a failed start.
struct Parts {
    options: Options,
    tools: Tools,
    server: String,
    etcd: String,
    authority: Authority,
    admin: Kubeconfig,
    client: kube::Client,
    processes: Vec<Process>,
}

impl Parts {
    fn into_control_plane(self, dir: Workdir) -> ControlPlane {
        let Self { options, tools, server, etcd, authority, admin, client, processes } = self;
        ControlPlane {
            options,
            tools,
            server,
            etcd,
            authority,
            admin,
            client,
            processes: Mutex::new(processes),
            upheavals: Mutex::default(),
            dir,
        }
    }
}

/// Starts a process of the control plane, its log under `logs/`.
pub(crate) fn spawn(dir: &Workdir, name: &str, binary: &Path, args: Vec<String>) -> Result<Process> {
    spawn_in(dir, name, binary, args, &[])
}

/// The same with variables in its environment.
pub(crate) fn spawn_in(
    dir: &Workdir,
    name: &str,
    binary: &Path,
    args: Vec<String>,
    environment: &[(String, String)],
) -> Result<Process> {
    // An empty write makes the folder.
    let log = dir.file(format!("logs/{name}.log"));
    if !log.exists() {
        dir.write(format!("logs/{name}.log"), "")?;
    }
    Process::spawn(name, binary, &args, environment, &log)
}
