//! What `deploy/` ships, on the control plane: its RBAC and accounts, its configurations, and testudo and the second
//! kube-scheduler run by them.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use testudo_e2e::manifests::workspace;
use testudo_e2e::{Adaptation, ControlPlane, Kubeconfig, Scheduler, Testudo, TestudoOptions, Tls};
use tokio::sync::OnceCell;

pub const NAMESPACE: &str = "testudo-system";

/// The accounts of `deploy/rbac.yaml`, and one testudo with its scheduler for all scenarios that do not disturb them.
pub struct Deployed {
    pub cp: Arc<ControlPlane>,
    pub testudo_account: Kubeconfig,
    pub scheduler_account: Kubeconfig,
    shared: OnceCell<Result<Pair, String>>,
}

/// A testudo, and a scheduler that calls it. As shipped, they know each other by mutual TLS.
pub struct Pair {
    // Runs as long as this lives; ends before its extender does.
    _scheduler: Scheduler,
    pub testudo: Testudo,
}

impl Deployed {
    /// Applies `deploy/rbac.yaml`.
    pub async fn apply(cp: Arc<ControlPlane>) -> Result<Self> {
        cp.apply_file("deploy/rbac.yaml").await?;
        let testudo_account = cp.service_account_kubeconfig(NAMESPACE, "testudo").await?;
        let scheduler_account = cp.service_account_kubeconfig(NAMESPACE, "testudo-scheduler").await?;
        Ok(Self { cp, testudo_account, scheduler_account, shared: OnceCell::new() })
    }

    /// The testudo and the `testudo-scheduler` that scenarios share.
    pub async fn shared(&self) -> Result<&Pair> {
        let pair = self.shared.get_or_init(async || {
            let start = async {
                let testudo = Testudo::start(&self.cp, self.testudo("testudo")?).await?;
                let scheduler = self.scheduler(None, &testudo).await?;
                anyhow::Ok(Pair { _scheduler: scheduler, testudo })
            };
            start.await.map_err(|error| format!("{error:#}"))
        });
        pair.await.as_ref().map_err(|error| anyhow!("{error}"))
    }

    /// A testudo and a scheduler of this name for one scenario.
    pub async fn pair(&self, name: &str) -> Result<Pair> {
        self.pair_with(name, testudo_for(name)?).await
    }

    /// The same, where gangs of these namespaces may evict.
    pub async fn preempting_pair(&self, name: &str, namespaces: &str) -> Result<Pair> {
        let none = "preemptingNamespaces: []";
        let config = testudo_for(name)?;
        ensure!(config.contains(none), "deploy/testudo.yaml has no {none:?}");
        self.pair_with(name, config.replace(none, &format!("preemptingNamespaces: [{namespaces}]"))).await
    }

    /// The same, where claims of these classes are testudo's to allocate, and lose soon what nobody uses.
    pub async fn allocating_pair(&self, name: &str, classes: &[&str]) -> Result<Pair> {
        let classes = format!("deviceClasses: [{}]", classes.join(", "));
        let mut config = testudo_for(name)?;
        for (shipped, wanted) in
            [("deviceClasses: []", classes.as_str()), ("releaseUnusedAfter: 1m", "releaseUnusedAfter: 3s")]
        {
            ensure!(config.contains(shipped), "deploy/testudo.yaml has no {shipped:?}");
            config = config.replace(shipped, wanted);
        }
        self.pair_with(name, config).await
    }

    async fn pair_with(&self, name: &str, config: String) -> Result<Pair> {
        let options = self.testudo(&format!("testudo-{name}"))?.config(config);
        let testudo = Testudo::start(&self.cp, options).await?;
        let scheduler = self.scheduler(Some(name), &testudo).await?;
        Ok(Pair { _scheduler: scheduler, testudo })
    }

    /// How to start testudo as it is shipped, but as the only replica: its account, its configuration file, mutual TLS.
    pub fn testudo(&self, name: &str) -> Result<TestudoOptions> {
        Ok(self.replica(name)?.arg("--leader-elect=false"))
    }

    /// How to start one of several replicas, as it is shipped. All of them have one lease.
    pub fn replica(&self, name: &str) -> Result<TestudoOptions> {
        let options = TestudoOptions::new(&self.testudo_account).named(name).config(shipped("testudo.yaml")?);
        let options = options.variable("POD_NAME", name).variable("POD_NAMESPACE", NAMESPACE);
        Ok(options.tls(Tls::Mutual).with_own_metrics_port())
    }

    /// Starts a scheduler as it is shipped, calling this testudo.
    pub async fn scheduler(&self, name: Option<&str>, testudo: &Testudo) -> Result<Scheduler> {
        self.adapted_scheduler(&adaptation(name, testudo)).await
    }

    /// Starts a scheduler as it is shipped but for this.
    pub async fn adapted_scheduler(&self, adaptation: &Adaptation) -> Result<Scheduler> {
        let yaml = shipped("kube-scheduler.yaml")?;
        Scheduler::start_shipped(&self.cp, &self.scheduler_account, &yaml, adaptation).await
    }
}

/// What the shipped configuration has to be told to call this testudo.
pub fn adaptation(name: Option<&str>, testudo: &Testudo) -> Adaptation {
    Adaptation {
        scheduler_name: name.map(str::to_owned),
        url: testudo.url().to_owned(),
        tls: testudo.extender().tls,
        node_cache_capable: None,
    }
}

/// The shipped configuration of a testudo that a scheduler of this name calls.
pub fn testudo_for(scheduler: &str) -> Result<String> {
    let shipped = shipped("testudo.yaml")?;
    let names = "schedulerNames: [testudo-scheduler]";
    ensure!(shipped.contains(names), "deploy/testudo.yaml has no {names:?}");
    Ok(shipped.replace(names, &format!("schedulerNames: [{scheduler}]")))
}

/// A file of `deploy/`.
pub fn shipped(name: &str) -> Result<String> {
    let path = workspace().join("deploy").join(name);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}
