//! What `deploy/` ships, on the control plane: its RBAC and accounts, its configurations, and testudo and the second
//! kube-scheduler run by them.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use testudo_e2e::{Adaptation, ControlPlane, Kubeconfig, Scheduler, Testudo, TestudoOptions, Tls, chart};
use tokio::sync::OnceCell;

pub const NAMESPACE: &str = "testudo-system";

/// Kinds by which somebody may do something.
const ACCESS: [&str; 5] = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];

/// The accounts and configurations of the chart, and one testudo with its scheduler for all scenarios that do not disturb them.
pub struct Deployed {
    pub cp: Arc<ControlPlane>,
    pub testudo_account: Kubeconfig,
    pub scheduler_account: Kubeconfig,
    /// Accounts and roles, those for claims and for nodes among them.
    pub rbac: Vec<Value>,
    /// What is installed with the chart's own values.
    shipped: Vec<Value>,
    shared: OnceCell<Result<Pair, String>>,
}

/// A testudo, and a scheduler that calls it. As shipped, they know each other by mutual TLS.
pub struct Pair {
    // Ends before its extender does.
    pub _scheduler: Scheduler,
    pub testudo: Testudo,
}

impl Deployed {
    /// Applies the accounts and roles of the chart. Certificates are the harness's own.
    pub async fn apply(cp: Arc<ControlPlane>) -> Result<Self> {
        cp.apply_file("deploy/manifests/namespace.yaml").await?;
        let certificates = "tls.method=secrets";
        let mut rbac = chart::render(&[
            certificates,
            "config.claims.deviceClasses={any}",
            "config.autoscaling.enabled=true",
            "config.autoscaling.provisioningClass=best-effort-atomic-scale-up",
            "page.expose=true",
            "uninstallHook.enabled=false",
        ])?;
        rbac.retain(|object| ACCESS.iter().any(|kind| object["kind"] == *kind));
        for object in &rbac {
            cp.apply(object.clone()).await?;
        }
        let shipped = chart::render(&[certificates])?;
        let testudo_account = cp.service_account_kubeconfig(NAMESPACE, "testudo").await?;
        let scheduler_account = cp.service_account_kubeconfig(NAMESPACE, "testudo-scheduler").await?;
        Ok(Self { cp, testudo_account, scheduler_account, rbac, shipped, shared: OnceCell::new() })
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
        self.pair_with(name, &[]).await
    }

    /// The same, where gangs of this namespace may evict.
    pub async fn preempting_pair(&self, name: &str, namespace: &str) -> Result<Pair> {
        self.pair_with(name, &[("/gangs/preemptingNamespaces", json!([namespace]))]).await
    }

    /// The same, where claims of these classes are testudo's to allocate, if at all of nodes with this taint, and lose soon
    /// what nobody uses.
    pub async fn allocating_pair(&self, name: &str, classes: &[&str], fence: Option<&str>) -> Result<Pair> {
        let changes = [
            ("/claims/deviceClasses", json!(classes)),
            ("/claims/releaseUnusedAfter", json!("3s")),
            ("/claims/fenceTaint", json!(fence.unwrap_or_default())),
        ];
        self.pair_with(name, &changes).await
    }

    /// The same, with other values at these places of its configuration.
    pub async fn pair_with(&self, name: &str, changes: &[(&str, Value)]) -> Result<Pair> {
        let options = self.testudo(&format!("testudo-{name}"))?.config(self.config(name, changes)?);
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
        let options = TestudoOptions::new(&self.testudo_account).named(name).config(chart::file(
            &self.shipped,
            "testudo",
            "testudo.yaml",
        )?);
        let options = options.variable("POD_NAME", name).variable("POD_NAMESPACE", NAMESPACE);
        Ok(options.tls(Tls::Mutual).with_own_metrics_port())
    }

    /// What is shipped beside the accounts: the configurations, and the scheduler's Deployment, without pods.
    pub fn configurations(&self) -> Vec<Value> {
        let is_wanted = |object: &&Value| {
            object["kind"] == "ConfigMap"
                || (object["kind"] == "Deployment" && object["metadata"]["name"] == "testudo-scheduler")
        };
        let mut wanted: Vec<Value> = self.shipped.iter().filter(is_wanted).cloned().collect();
        for deployment in wanted.iter_mut().filter(|object| object["kind"] == "Deployment") {
            deployment["spec"]["replicas"] = json!(0);
        }
        wanted
    }

    /// Starts a scheduler as it is shipped, calling this testudo.
    pub async fn scheduler(&self, name: Option<&str>, testudo: &Testudo) -> Result<Scheduler> {
        self.adapted_scheduler(&adaptation(name, testudo)).await
    }

    /// Starts a scheduler as it is shipped but for this.
    pub async fn adapted_scheduler(&self, adaptation: &Adaptation) -> Result<Scheduler> {
        let yaml = chart::file(&self.shipped, "testudo-scheduler", "kube-scheduler.yaml")?;
        Scheduler::start_shipped(&self.cp, &self.scheduler_account, yaml, adaptation).await
    }

    /// The shipped configuration of a testudo that a scheduler of this name calls, with other values at these places.
    pub fn config(&self, scheduler: &str, changes: &[(&str, Value)]) -> Result<String> {
        let called_by = [("/gangs/schedulerNames", json!([scheduler]))];
        let changes: Vec<(&str, Value)> = called_by.into_iter().chain(changes.iter().cloned()).collect();
        changed_config(&self.shipped, &changes)
    }
}

/// The configuration in a rendered chart, with other values at these places.
pub fn changed_config(rendered: &[Value], changes: &[(&str, Value)]) -> Result<String> {
    let shipped = chart::file(rendered, "testudo", "testudo.yaml")?;
    let mut config: Value = serde_saphyr::from_str(shipped).context("testudo.yaml is not YAML")?;
    for (place, value) in changes {
        *config.pointer_mut(place).with_context(|| format!("testudo.yaml has no {place} any more"))? = value.clone();
    }
    Ok(config.to_string())
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
