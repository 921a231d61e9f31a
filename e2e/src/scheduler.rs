//! A kube-scheduler process beside the control plane.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::components::{feature_gates, flags};
use crate::control_plane::{ControlPlane, spawn};
use crate::endpoint::Endpoint;
use crate::kubeconfig::Kubeconfig;
use crate::ports::free_port;
use crate::process::Process;
use crate::scheduler_config::{Adaptation, SCHEDULER_NAME, SchedulerConfig, adapt_shipped};
use crate::wait::PATIENCE;

/// A running kube-scheduler; it ends when this is dropped.
pub struct Scheduler {
    process: Option<Process>,
    endpoint: Endpoint,
}

impl Scheduler {
    /// Starts one as `system:kube-scheduler`, with the permissions that every cluster gives to it, and waits until its
    /// caches are filled. The log is `logs/kube-scheduler-<scheduler name>.log`.
    pub async fn start(cp: &ControlPlane, config: &SchedulerConfig) -> Result<Self> {
        let kubeconfig = cp.kubeconfig("system:kube-scheduler", &[])?;
        let json = config.to_json(kubeconfig.path());
        Self::start_with(cp, &config.scheduler_name, &kubeconfig, &json).await
    }

    /// Starts the default scheduler, for pods that name none.
    pub async fn start_default(cp: &ControlPlane) -> Result<Self> {
        Self::start(cp, &SchedulerConfig::default().named("default-scheduler")).await
    }

    /// Starts one as `kubeconfig`'s user with a configuration as `deploy/` ships it (see [`adapt_shipped`]).
    pub async fn start_shipped(
        cp: &ControlPlane,
        kubeconfig: &Kubeconfig,
        yaml: &str,
        adaptation: &Adaptation,
    ) -> Result<Self> {
        let name = adaptation.scheduler_name.as_deref().unwrap_or(SCHEDULER_NAME);
        Self::start_with(cp, name, kubeconfig, &adapt_shipped(yaml, kubeconfig.path(), adaptation)?).await
    }

    async fn start_with(cp: &ControlPlane, name: &str, kubeconfig: &Kubeconfig, config: &Value) -> Result<Self> {
        let name = format!("kube-scheduler-{name}");
        let port = free_port()?;
        let serving = cp.server_identity(&format!("{name}-{port}"))?;
        let config = cp.dir().write(format!("{name}.yaml"), format!("{config:#}\n"))?;
        let mut args = flags([
            ("config", config.display().to_string()),
            ("authentication-kubeconfig", kubeconfig.path().display().to_string()),
            ("authorization-kubeconfig", kubeconfig.path().display().to_string()),
            ("bind-address", "127.0.0.1".to_owned()),
            ("secure-port", port.to_string()),
            ("tls-cert-file", serving.cert.display().to_string()),
            ("tls-private-key-file", serving.key.display().to_string()),
            ("v", "3".to_owned()),
        ]);
        args.extend(flags(feature_gates(cp.options())));
        let process = spawn(cp.dir(), &name, &cp.tools().scheduler, args)?;
        let endpoint = Endpoint::new(&format!("https://127.0.0.1:{port}"), Some(cp.authority()), None)?;
        let mut scheduler = Self { process: Some(process), endpoint };
        scheduler.until_ready().await?;
        Ok(scheduler)
    }

    /// Waits until it has its caches filled.
    pub async fn until_ready(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("the scheduler is not running")?;
        self.endpoint.until_ok("/readyz", process, PATIENCE).await
    }

    /// The process, while it runs.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the scheduler is not running")
    }

    /// Ends it as Kubernetes would, with SIGTERM.
    pub async fn stop(&mut self) -> Result<()> {
        self.process()?.stop(Duration::from_secs(30)).await.map(|_| ())
    }

    /// Ends it at once.
    pub fn kill(&mut self) -> Result<()> {
        self.process()?.kill()
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill`](Self::kill), same configuration and port.
    pub async fn restart(&mut self) -> Result<()> {
        let ended = self.process.take().context("the scheduler was never started")?;
        self.process = Some(ended.again()?);
        self.until_ready().await
    }
}
