//! The `testudo` binary as a process: started, stopped, killed and started again.

use std::path::PathBuf;
use std::time::Duration;
use std::{env, path::Path};

use anyhow::{Context, Result, bail};

use crate::components::flags;
use crate::control_plane::{ControlPlane, spawn_in};
use crate::endpoint::Endpoint;
use crate::kubeconfig::Kubeconfig;
use crate::manifests;
use crate::pki::Identity;
use crate::ports::free_port;
use crate::process::Process;
use crate::scheduler_config::{Extender, ExtenderTls};
use crate::wait::PATIENCE;

/// How `testudo serve` listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tls {
    /// Plain HTTP.
    #[default]
    Off,
    /// TLS; anybody may ask.
    Server,
    /// TLS, and who asks must show a certificate of the control plane's authority.
    Mutual,
}

/// How to start testudo.
#[derive(Debug, Clone)]
pub struct TestudoOptions {
    /// Tells several apart in file names.
    pub name: String,
    /// Who it is towards the API server.
    pub kubeconfig: Kubeconfig,
    /// The text of the configuration file; `None`: no `--config`.
    pub config: Option<String>,
    /// Plain, TLS or mutual TLS.
    pub tls: Tls,
    /// The serving certificate's files, if they are not to be made here.
    pub serving: Option<Identity>,
    /// Whether `/livez`, `/readyz` and `/metrics` get a plain listener of their own (`--metrics-bind-address`).
    pub own_metrics_port: bool,
    /// Whether the page is served where scenarios find it: [`Testudo::page`].
    pub page: bool,
    /// The program; `None`: the one that is tested.
    pub program: Option<PathBuf>,
    /// More arguments of `testudo serve`.
    pub extra_args: Vec<String>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
}

impl TestudoOptions {
    /// Defaults: plain HTTP, one listener, no configuration file.
    pub fn new(kubeconfig: &Kubeconfig) -> Self {
        Self {
            name: "testudo".to_owned(),
            kubeconfig: kubeconfig.clone(),
            config: None,
            tls: Tls::Off,
            serving: None,
            own_metrics_port: false,
            page: false,
            program: None,
            extra_args: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Another name: every scenario with a testudo of its own needs one.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// A configuration file with this text.
    pub fn config(mut self, text: impl Into<String>) -> Self {
        self.config = Some(text.into());
        self
    }

    /// TLS or not.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// These files for the serving certificate.
    pub fn serving(mut self, files: Identity) -> Self {
        self.serving = Some(files);
        self
    }

    /// A plain listener for `/livez`, `/readyz` and `/metrics`: probes have no client certificate.
    pub fn with_own_metrics_port(mut self) -> Self {
        self.own_metrics_port = true;
        self
    }

    /// Another program, of another version.
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// The page, for somebody who looks.
    pub fn with_page(mut self) -> Self {
        self.page = true;
        self
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.extra_args.push(arg.into());
        self
    }

    /// One more variable of its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A `testudo serve` process; it ends when this is dropped.
pub struct Testudo {
    process: Option<Process>,
    api: Endpoint,
    metrics: Endpoint,
    page: Option<String>,
    tls: Option<ExtenderTls>,
    serving: Option<Identity>,
}

impl Testudo {
    /// Starts it and waits until `/readyz` answers 200.
    pub async fn start(cp: &ControlPlane, options: TestudoOptions) -> Result<Self> {
        let mut testudo = Self::start_unready(cp, options)?;
        testudo.until_ready().await?;
        Ok(testudo)
    }

    /// Starts it and does not wait.
    pub fn start_unready(cp: &ControlPlane, options: TestudoOptions) -> Result<Self> {
        let TestudoOptions { name, kubeconfig, config, tls, serving, own_metrics_port, page, .. } = options;
        let TestudoOptions { program, extra_args, environment, .. } = options;
        let binary = program.map_or_else(binary, Ok)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        // Several run beside each other, and mostly nobody looks.
        let page = if page { Some(format!("127.0.0.1:{}", free_port()?)) } else { None };
        let mut args = vec!["serve".to_owned()];
        args.extend(flags([
            ("web-bind-address", page.clone().unwrap_or_else(|| "127.0.0.1:0".to_owned())),
            ("kubeconfig", kubeconfig.path().display().to_string()),
            ("bind-address", address.clone()),
        ]));
        if let Some(text) = config {
            let text = text.replace(MOUNTED_POLICY, &shipped_policy(cp, &name)?.display().to_string());
            let file = cp.dir().write(format!("{name}-config.yaml"), text)?;
            args.extend(flags([("config", file.display().to_string())]));
        } else if !extra_args.iter().any(|arg| arg.starts_with("--mode")) {
            // From outside it would only observe.
            args.extend(flags([("mode", "enforce".to_owned())]));
        }
        let serving = match (tls, serving) {
            (Tls::Off, _) => None,
            (_, Some(files)) => Some(files),
            (Tls::Server | Tls::Mutual, None) => Some(cp.server_identity(&format!("{name}-server"))?),
        };
        let client = match tls {
            Tls::Off | Tls::Server => None,
            Tls::Mutual => Some(cp.client_identity(&format!("{name}-client"))?),
        };
        if let Some(identity) = &serving {
            args.extend(flags([
                ("tls-cert-file", identity.cert.display().to_string()),
                ("tls-private-key-file", identity.key.display().to_string()),
            ]));
        }
        if client.is_some() {
            args.extend(flags([("client-ca-file", cp.authority().cert().display().to_string())]));
        }
        let authority = serving.as_ref().map(|_| cp.authority());
        let scheme = if serving.is_some() { "https" } else { "http" };
        let api = Endpoint::new(&format!("{scheme}://{address}"), authority, client.as_ref())?;
        let metrics = if own_metrics_port {
            let address = format!("127.0.0.1:{}", free_port()?);
            args.extend(flags([("metrics-bind-address", address.clone())]));
            Endpoint::new(&format!("http://{address}"), None, None)?
        } else {
            api.clone()
        };
        args.extend(extra_args);
        let tls = serving.is_some().then(|| ExtenderTls {
            ca_file: cp.authority().cert().to_owned(),
            client,
            server_name: None,
        });
        let process = Some(spawn_in(cp.dir(), &name, &binary, args, &environment)?);
        Ok(Self { process, api, metrics, page, tls, serving })
    }

    /// Waits until `/readyz` answers 200.
    pub async fn until_ready(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("testudo is not running")?;
        self.metrics.until_ok("/readyz", process, PATIENCE).await
    }

    /// The entry for a scheduler's configuration that calls this testudo.
    pub fn extender(&self) -> Extender {
        Extender { tls: self.tls.clone(), ..Extender::new(format!("{}/v1", self.url())) }
    }

    /// Scheme, host and port of the extender.
    pub fn url(&self) -> &str {
        self.api.url()
    }

    /// Where the verbs are: `api().post("/v1/filter", body)`.
    pub fn api(&self) -> &Endpoint {
        &self.api
    }

    /// Host and port of the page, if somebody was to look.
    pub fn page(&self) -> Option<&str> {
        self.page.as_deref()
    }

    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub fn metrics(&self) -> &Endpoint {
        &self.metrics
    }

    /// The serving certificate's files, to change them under a running server.
    pub fn serving_files(&self) -> Option<&Identity> {
        self.serving.as_ref()
    }

    /// The process: its id, its log, and whether it runs.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("testudo is not running")
    }

    /// Ends it as Kubernetes would, with SIGTERM; an exit status other than 0 is an error.
    pub async fn stop(&mut self) -> Result<()> {
        let process = self.process()?;
        let status = process.stop(Duration::from_secs(30)).await?;
        if !status.success() {
            bail!("testudo ended with {status} after SIGTERM. The end of {}", process.log_tail());
        }
        Ok(())
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) -> Result<()> {
        self.process()?.kill()
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill`](Self::kill), same arguments and ports, and waits until it
    /// is ready.
    pub async fn restart(&mut self) -> Result<()> {
        let ended = self.process.take().context("testudo was never started")?;
        self.process = Some(ended.again()?);
        self.until_ready().await
    }
}

/// Where the chart mounts the placement policy.
const MOUNTED_POLICY: &str = "/etc/testudo/policy/policy.yaml";

/// The placement policy that ships, where this machine has a place for it.
fn shipped_policy(cp: &ControlPlane, name: &str) -> Result<PathBuf> {
    let maps = manifests::documents("deploy/manifests/placement-policy.yaml")?;
    let text = maps.iter().find_map(|map| map["data"]["policy.yaml"].as_str());
    let text = text.context("deploy/manifests/placement-policy.yaml has no policy.yaml")?;
    cp.dir().write(format!("{name}-policy.yaml"), text)
}

/// The binary that is tested: `TESTUDO_BIN`, else the one that cargo has put where it has put this test.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("TESTUDO_BIN").filter(|path| !path.is_empty()).map(PathBuf::from) {
        if !path.is_file() {
            bail!("TESTUDO_BIN={} is not a file", path.display());
        }
        return Ok(path);
    }
    // Tests are in target/<profile>/deps.
    let test = env::current_exe().context("where is this test's own binary?")?;
    let path = test.parent().and_then(Path::parent).context("not below a target folder")?.join("testudo");
    if !path.is_file() {
        bail!("there is no {}; build it with `cargo build -p testudo`, or set TESTUDO_BIN", path.display());
    }
    Ok(path)
}
