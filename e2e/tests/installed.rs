//! The chart as `helm` installs it, upgrades it and takes it away: its certificates and its RBAC in use, and nothing left
//! behind that waits for testudo.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testudo_e2e::manifests::workspace;
use testudo_e2e::pki::Identity;
use testudo_e2e::scheduler_config::ExtenderTls;
use testudo_e2e::secret_mount::SecretMount;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{
    Adaptation, ControlPlane, Metrics, Namespace, Scheduler, Testudo, TestudoOptions, Version, node, pod,
};
use testudo_e2e::{testudo, tools};

use crate::stage::Stage;

const NAMESPACE: &str = "chart";
const SCHEDULER: &str = "chart-scheduler";

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    // Its policy for gangs has the name that `policies/` has, too.
    vec![stage.scenario_alone("installed::by_helm_and_taken_away", by_helm_and_taken_away)]
}

async fn by_helm_and_taken_away(cp: Arc<ControlPlane>) -> Result<()> {
    let chart = Chart { cp: Arc::clone(&cp), mutates: cp.version() >= Version::V1_36 };
    let restricted = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    let namespace = cp.namespace(NAMESPACE).await?;
    cp.apply(
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE, "labels": restricted } }),
    )
    .await?;
    chart.helm(&["install"], &[])?;
    pods_are_admitted(&namespace).await?;

    let ns = cp.namespace("chart-pods").await?;
    ns.create_node(node("chart-a").product("NVIDIA-L40S", 46068).gpus(8)).await?;
    let mut pair = chart.pair(&namespace).await?;
    place(&ns, "first").await?;
    certificates_are_kept_until_their_time_and_then_renewed(&chart, &mut pair).await?;
    place(&ns, "second").await?;
    ensure!(
        Metrics::read(pair.testudo.metrics()).await?.count("testudo_bindings_total", &[("outcome", "bound")])? == 2
    );

    gates_are_opened(&chart, &ns).await?;
    drop(pair);
    chart.helm(&["uninstall", "--no-hooks"], &[])?;
    nothing_is_left(&cp).await?;
    ns.clear().await
}

/// The release `shields` of the chart.
struct Chart {
    cp: Arc<ControlPlane>,
    /// Whether the API server has policies that change pods.
    mutates: bool,
}

/// testudo and a kube-scheduler by what is installed, and the folders that stand for their mounted secrets.
struct Pair {
    testudo: Testudo,
    _scheduler: Scheduler,
    server: SecretMount,
    client: SecretMount,
}

impl Chart {
    /// Runs helm on the release; returns what it prints.
    fn helm(&self, verb: &[&str], more: &[&str]) -> Result<String> {
        let mut command = Command::new(tools::helm()?);
        command.args(verb).arg("shields");
        if matches!(verb[0], "install" | "upgrade") {
            command.arg("deploy/chart/testudo");
            command.args(["--set", &format!("scheduler.name={SCHEDULER}"), "--set", "config.mode=enforce"]);
            command.args(["--set", &format!("policies.gangs.enabled={}", self.mutates)]);
        }
        let home = self.cp.dir().file("helm");
        command.args(more).args(["--namespace", NAMESPACE]).arg("--kubeconfig").arg(self.cp.admin().path());
        command.env("HELM_CACHE_HOME", &home).env("HELM_CONFIG_HOME", &home).env("HELM_DATA_HOME", &home);
        let output = command.current_dir(workspace()).output().context("cannot run helm")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm {verb:?}: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    async fn secret(&self, name: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let secrets: Api<Secret> = Api::namespaced(self.cp.client(), NAMESPACE);
        let data = secrets.get(name).await.with_context(|| format!("secret {name}"))?.data.unwrap_or_default();
        Ok(data.into_iter().map(|(key, value)| (key, value.0)).collect())
    }

    /// The certificate and key of a secret, as files.
    async fn identity(&self, name: &str) -> Result<Identity> {
        let data = self.secret(name).await?;
        let write = |key: &str| -> Result<PathBuf> {
            let bytes = data.get(key).with_context(|| format!("secret {name} has no {key}"))?;
            self.cp.dir().write(format!("chart/{name}/{key}"), bytes)
        };
        Ok(Identity { cert: write("tls.crt")?, key: write("tls.key")? })
    }

    async fn config(&self, name: &str, key: &str) -> Result<String> {
        let maps: Api<ConfigMap> = Api::namespaced(self.cp.client(), NAMESPACE);
        let data = maps.get(name).await.with_context(|| format!("ConfigMap {name}"))?.data.unwrap_or_default();
        data.get(key).cloned().with_context(|| format!("ConfigMap {name} has no {key}"))
    }

    /// testudo and its kube-scheduler by their installed configurations, certificates and accounts.
    async fn pair(&self, namespace: &Namespace) -> Result<Pair> {
        let cp = &self.cp;
        let server = SecretMount::new(cp.dir(), "chart-server", &self.identity("shields-testudo-tls").await?)?;
        let client =
            SecretMount::new(cp.dir(), "chart-client", &self.identity("shields-testudo-scheduler-tls").await?)?;
        let authority = cp.dir().write("chart/ca.crt", &self.secret("shields-testudo-tls").await?["ca.crt"])?;
        let installed = self.config("shields-testudo", "testudo.yaml").await?;
        let mut config: Value = serde_saphyr::from_str(&installed).context("testudo.yaml")?;
        let files = server.files();
        config["extender"]["tls"] = json!({ "certFile": files.cert, "keyFile": files.key, "clientCAFile": authority });
        let policy = self.config("shields-testudo-policy", "policy.yaml").await?;
        config["policyFile"] = json!(cp.dir().write("chart/policy.yaml", policy)?);
        let account = cp.service_account_kubeconfig(namespace.name(), "shields-testudo").await?;
        // The process stands for one of the pods that are there.
        let replicas = ListParams::default().labels("app.kubernetes.io/component=extender");
        let replica = namespace.pods().list(&replicas).await?.items.first().context("no pod of testudo")?.name_any();
        let options = TestudoOptions::new(&account).named("testudo-chart").config(config.to_string());
        let options = options.variable("POD_NAME", &replica).variable("POD_NAMESPACE", NAMESPACE);
        let testudo = Testudo::start(cp, options.with_own_metrics_port()).await?;
        until_the_service_selects(namespace, &replica).await?;
        let adaptation = Adaptation {
            scheduler_name: Some(SCHEDULER.to_owned()),
            url: testudo.url().replace("http://", "https://"),
            tls: Some(ExtenderTls {
                ca_file: authority,
                client: Some(client.files()),
                // It is reached on loopback; the certificate is for the service.
                server_name: Some(format!("shields-testudo.{NAMESPACE}.svc")),
            }),
            node_cache_capable: None,
        };
        let account = cp.service_account_kubeconfig(namespace.name(), "shields-testudo-scheduler").await?;
        let config = self.config("shields-testudo-scheduler", "kube-scheduler.yaml").await?;
        let scheduler = Scheduler::start_shipped(cp, &account, &config, &adaptation).await?;
        Ok(Pair { testudo, _scheduler: scheduler, server, client })
    }
}

/// The pods of both Deployments exist: the restricted standard and the priority let them pass.
async fn pods_are_admitted(namespace: &Namespace) -> Result<()> {
    let client = namespace.pods().into_client();
    let deployments: Api<Deployment> = Api::namespaced(client, namespace.name());
    for name in ["shields-testudo", "shields-testudo-scheduler"] {
        wait::until(&format!("all pods of {name}"), PATIENCE, async || {
            let deployment = deployments.get(name).await?;
            let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
            let there = deployment.status.as_ref().and_then(|status| status.replicas);
            Ok(if wanted == there { Look::Done(()) } else { Look::NotYet(format!("{:?}", deployment.status)) })
        })
        .await?;
    }
    let pods = namespace.pods().list(&ListParams::default()).await?.items;
    let other =
        |pod: &Pod| pod.spec.as_ref().is_some_and(|spec| spec.scheduler_name.as_deref() == Some("default-scheduler"));
    ensure!(!pods.is_empty() && pods.iter().all(other), "{pods:?}");
    Ok(())
}

/// The pod of the one that leads is what the Service selects, and no other.
async fn until_the_service_selects(namespace: &Namespace, replica: &str) -> Result<()> {
    let services: Api<Service> = Api::namespaced(namespace.pods().into_client(), NAMESPACE);
    let spec = services.get("shields-testudo").await?.spec.context("a Service without spec")?;
    let selector = spec.selector.unwrap_or_default();
    ensure!(selector.contains_key("testudo.dev/leader"), "{selector:?}");
    let selector: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let selected = ListParams::default().labels(&selector.join(","));
    wait::until("the Service to select the leader", PATIENCE, async || {
        let pods: Vec<String> = namespace.pods().list(&selected).await?.iter().map(ResourceExt::name_any).collect();
        Ok(if pods == [replica] { Look::Done(()) } else { Look::NotYet(format!("{pods:?}")) })
    })
    .await
}

/// A pod goes through the installed pair: kube-scheduler and testudo accept each other's certificates.
async fn place(ns: &Namespace, name: &str) -> Result<()> {
    ns.create(pod(name).gpus(1).scheduler(SCHEDULER)).await?;
    ns.until_running(name).await?;
    let events = ns.events_of(name).await?;
    ensure!(events.iter().all(|event| event.reason == "Scheduled"), "{events:?}");
    Ok(())
}

async fn certificates_are_kept_until_their_time_and_then_renewed(chart: &Chart, pair: &mut Pair) -> Result<()> {
    let names = ["shields-testudo-ca", "shields-testudo-tls", "shields-testudo-scheduler-tls"];
    let all = async || {
        anyhow::Ok([chart.secret(names[0]).await?, chart.secret(names[1]).await?, chart.secret(names[2]).await?])
    };
    let first = all().await?;
    chart.helm(&["upgrade"], &[])?;
    ensure!(all().await? == first, "an upgrade has changed certificates that have time left");

    let secrets: Api<Secret> = Api::namespaced(chart.cp.client(), NAMESPACE);
    let over = json!({ "metadata": { "annotations": { "testudo.dev/renew-after": "1" } } });
    for name in &names[1..] {
        secrets.patch(name, &PatchParams::default(), &Patch::Merge(&over)).await?;
    }
    // The annotation is ours now, and helm's again.
    chart.helm(&["upgrade"], &["--force-conflicts"])?;
    let renewed = all().await?;
    ensure!(renewed[0] == first[0], "the authority has changed, and kube-scheduler reads that only when it starts");
    for (old, new) in first.iter().zip(&renewed).skip(1) {
        ensure!(old["tls.crt"] != new["tls.crt"] && old["ca.crt"] == new["ca.crt"], "not renewed");
    }
    chart.helm(&["upgrade"], &[])?;
    ensure!(all().await? == renewed, "renewed twice");

    pair.server.replace(&chart.identity(names[1]).await?)?;
    pair.client.replace(&chart.identity(names[2]).await?)?;
    wait::until("testudo to read its new certificate", PATIENCE, async || {
        let metrics = Metrics::read(pair.testudo.metrics()).await?;
        let reloads = metrics.count("testudo_extender_certificate_reloads_total", &[("outcome", "ok")])?;
        Ok(if reloads >= 1 { Look::Done(()) } else { Look::NotYet("not yet".to_owned()) })
    })
    .await
}

/// What the hook does before everything is taken away, with the rights that it has.
async fn gates_are_opened(chart: &Chart, ns: &Namespace) -> Result<()> {
    if chart.mutates {
        let labels = json!({ "testudo.dev/scheduling": "required" });
        chart
            .cp
            .apply(
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": ns.name(), "labels": labels } }),
            )
            .await?;
    }
    // It waits for a second one that never comes.
    let member = |name: &str| {
        let pod = pod(name).gpus(1).scheduler("default-scheduler");
        pod.annotation("testudo.dev/pod-group", "half").annotation("testudo.dev/min-member", "2")
    };
    let is_gated = async |name: &str| {
        let gates = ns.get(name).await?.spec.and_then(|spec| spec.scheduling_gates).unwrap_or_default();
        anyhow::Ok(gates.iter().any(|gate| gate.name == "testudo.dev/gang"))
    };
    if chart.mutates {
        // The API server may take a moment to know the namespace's new label.
        wait::until("the policy to close gates", PATIENCE, async || {
            ns.create(member("half-0")).await?;
            if is_gated("half-0").await? {
                return Ok(Look::Done(()));
            }
            ns.delete("half-0").await?;
            Ok(Look::NotYet("a member has none".to_owned()))
        })
        .await?;
    } else {
        ns.create(member("half-0").scheduler(SCHEDULER).gate("testudo.dev/gang")).await?;
    }
    ns.create(pod("of-another").scheduler(SCHEDULER).gate("kueue.x-k8s.io/admission")).await?;

    for hook in chart.hooks()? {
        if hook["kind"] != "Job" {
            chart.cp.apply(hook).await?;
        }
    }
    let account = chart.cp.service_account_kubeconfig(NAMESPACE, "shields-testudo-uninstall").await?;
    let uninstall = |flags: &[&str]| -> Result<String> {
        let mut command = Command::new(testudo::binary()?);
        let output = command.arg("uninstall").args(flags).arg("--kubeconfig").arg(account.path()).output()?;
        ensure!(output.status.success(), "testudo uninstall: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let would = uninstall(&["--dry-run"])?;
    ensure!(would.contains("would open the gate of chart-pods/half-0"), "{would}");
    ensure!(is_gated("half-0").await?, "a dry run has opened a gate");
    let did = uninstall(&[])?;
    ensure!(did.contains("opened the gate of chart-pods/half-0"), "{did}");
    ensure!(!is_gated("half-0").await?, "the gate is still there");
    let other = ns.get("of-another").await?.spec.and_then(|spec| spec.scheduling_gates).unwrap_or_default();
    ensure!(other.len() == 1, "the gate of another is gone");
    // From here on nobody closes gates any more.
    ns.create(member("half-1")).await?;
    ensure!(!is_gated("half-1").await?, "a gate was closed after the uninstallation");
    for hook in chart.hooks()? {
        chart.cp.delete(hook).await?;
    }
    Ok(())
}

impl Chart {
    /// What is rendered to run before the release is taken away.
    fn hooks(&self) -> Result<Vec<Value>> {
        let hooks: Vec<Value> = serde_saphyr::from_multiple(&self.helm(&["get", "hooks"], &[])?).context("hooks")?;
        let hooks: Vec<Value> = hooks.into_iter().filter(Value::is_object).collect();
        ensure!(hooks.len() == 4, "{hooks:?}");
        Ok(hooks)
    }
}

/// The release has left nothing of its own.
async fn nothing_is_left(cp: &ControlPlane) -> Result<()> {
    let of_release = ListParams::default().labels("app.kubernetes.io/instance=shields");
    let roles: Api<ClusterRole> = Api::all(cp.client());
    let accounts: Api<ServiceAccount> = Api::namespaced(cp.client(), NAMESPACE);
    let secrets: Api<Secret> = Api::namespaced(cp.client(), NAMESPACE);
    wait::until("everything of the release to be gone", PATIENCE, async || {
        let mut left: Vec<String> = roles.list(&of_release).await?.iter().map(ResourceExt::name_any).collect();
        left.extend(accounts.list(&of_release).await?.iter().map(ResourceExt::name_any));
        left.extend(secrets.list(&of_release).await?.iter().map(ResourceExt::name_any));
        Ok(if left.is_empty() { Look::Done(()) } else { Look::NotYet(format!("left: {left:?}")) })
    })
    .await
}
