//! A StatefulSet whose pods its controller makes one after the other, each when the one before it is ready.

use std::sync::Arc;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use kube::api::DeleteParams;
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::namespace::SCENARIO_LABEL;
use testudo_e2e::scheduler_config::SCHEDULER_NAME;
use testudo_e2e::{Namespace, Observer};

use super::{h100, h100s, intrude, is_intruder, names, until_turned_away};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("gangs::stateful_set_in_order", stateful_set_in_order)]
}

const SIZE: usize = 3;

/// A StatefulSet `web` of whole nodes; the annotations on its template make a gang of its pods.
async fn create_stateful_set(d: &Deployed, ns: &Namespace) -> Result<()> {
    let gpus = json!({"nvidia.com/gpu": "8"});
    d.cp.apply(json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web", "namespace": ns.name()},
        "spec": {
            "replicas": SIZE,
            "serviceName": "web",
            "podManagementPolicy": "OrderedReady",
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {
                    "labels": {"app": "web"},
                    "annotations": {"testudo.dev/pod-group": "web", "testudo.dev/min-member": SIZE.to_string()},
                },
                "spec": {
                    "schedulerName": SCHEDULER_NAME,
                    "nodeSelector": {SCENARIO_LABEL: ns.name()},
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{
                        "name": "main",
                        "image": "example.invalid/workload",
                        "resources": {"requests": gpus, "limits": gpus},
                    }],
                },
            },
        },
    }))
    .await?;
    Ok(())
}

async fn stateful_set_in_order(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-ordered").await?;
    ns.create_nodes(h100s(&ns, SIZE - 1)).await?;
    let observer = Observer::start(&ns).await?;
    create_stateful_set(&d, &ns).await?;
    ns.until_exists("web-0").await?;
    // Two of three nodes are there: the first pod would hold its GPUs for nothing.
    ns.until_pending_with_message("web-0", &["gang gang-ordered/web: needs 3 places"]).await?;
    observer.check_never_bound(|_| true)?;
    ns.create_node(h100(&format!("gang-ordered-{}", SIZE - 1))).await?;
    ns.until_bound("web-0").await?;
    let intruders = intrude(&ns, SIZE, 8).await?;
    for name in names("web", SIZE) {
        ns.until_exists(&name).await?;
        ns.until_running(&name).await?;
    }
    until_turned_away(&ns, &intruders).await?;
    observer.check_never_bound(is_intruder)?;
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    let sets: Api<StatefulSet> = Api::namespaced(d.cp.client(), ns.name());
    sets.delete("web", &DeleteParams::default()).await.context("cannot delete the StatefulSet")?;
    ns.clear().await
}
