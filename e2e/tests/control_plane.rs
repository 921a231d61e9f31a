//! The harness itself: a plain kube-scheduler places GPU pods on the control plane, with no extender in sight.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::{ControlPlane, Scheduler, SchedulerConfig, node, pod, tools};

use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.scenario("control_plane::is_the_version_asked_for", is_the_version_asked_for),
        stage.scenario("control_plane::a_plain_scheduler_places_gpu_pods", a_plain_scheduler_places_gpu_pods),
        stage.scenario("control_plane::rbac_holds", rbac_holds),
    ]
}

async fn is_the_version_asked_for(cp: Arc<ControlPlane>) -> Result<()> {
    let version = cp.client().apiserver_version().await?;
    let wanted = format!("v{}.", cp.version());
    ensure!(
        tools::has_assets() || version.git_version.starts_with(&wanted),
        "asked for {wanted}, got {}",
        version.git_version
    );
    Ok(())
}

async fn a_plain_scheduler_places_gpu_pods(cp: Arc<ControlPlane>) -> Result<()> {
    let name = "plain-scheduler";
    let mut scheduler = Scheduler::start(&cp, &SchedulerConfig::default().named(name)).await?;
    let ns = cp.namespace("plain").await?;
    ns.create_nodes([
        node("plain-gpu-8").gpus(8).product("NVIDIA-A100-SXM4-40GB", 40960).instance_type("p4d.24xlarge"),
        node("plain-gpu-4").gpus(4).product("NVIDIA-L40S", 46068),
        node("plain-cpu"),
    ])
    .await?;

    ns.create(pod("eight").gpus(8).scheduler(name)).await?;
    let bound = ns.until_bound("eight").await?;
    ensure!(bound == "plain-gpu-8", "eight GPUs are on plain-gpu-8 only, the pod is on {bound}");
    ns.until_running("eight").await?;
    let event = ns.until_event("eight", |event| event.reason == "Scheduled").await?;
    ensure!(event.reporter == name, "{event} is not from {name}");

    ns.create(pod("another-eight").gpus(8).scheduler(name)).await?;
    ns.until_pending_with_message("another-eight", &["Insufficient nvidia.com/gpu"]).await?;

    // Stopped, it places nothing; started again, it places what has waited.
    scheduler.stop().await?;
    ns.delete("eight").await?;
    // On the eight GPUs it would be in the other's way, and which of the two comes first is anybody's guess.
    ns.create(pod("four").gpus(4).selector("nvidia.com/gpu.product", "NVIDIA-L40S").scheduler(name)).await?;
    scheduler.restart().await?;
    ns.until_running("another-eight").await?;
    ensure!(ns.until_bound("four").await? == "plain-gpu-4");
    Ok(())
}

async fn rbac_holds(cp: Arc<ControlPlane>) -> Result<()> {
    cp.apply_yaml(
        "
apiVersion: v1
kind: Namespace
metadata: { name: rbac }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: reader, namespace: rbac }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: e2e-reader }
rules:
- { apiGroups: [''], resources: [nodes], verbs: [list] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: e2e-reader }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-reader }
subjects:
- { kind: ServiceAccount, name: reader, namespace: rbac }
- { kind: User, apiGroup: rbac.authorization.k8s.io, name: e2e-user }
",
    )
    .await?;
    let account = cp.service_account_kubeconfig("rbac", "reader").await?;
    let certificate = cp.kubeconfig("e2e-user", &["e2e-group", "another-group"])?;
    for kubeconfig in [account, certificate] {
        let client = kubeconfig.client().await?;
        let user = kubeconfig.user();
        let nodes: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(client.clone());
        let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::all(client);
        nodes.list(&Default::default()).await?;
        ensure!(pods.list(&Default::default()).await.is_err(), "{user} can list pods and must not");
        let used = cp.accesses_of(user)?;
        ensure!(used.iter().any(|access| access.resource == "nodes" && access.verb == "list" && access.allowed));
        ensure!(used.iter().any(|access| access.resource == "pods" && access.verb == "list" && !access.allowed));
    }
    Ok(())
}
