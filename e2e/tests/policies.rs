//! The admission policies of `policies/`, on the real API server.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::pod::PodBuilder;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{ControlPlane, Namespace, pod};

use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.scenario("policies::accelerators_go_through_one_scheduler", accelerators_go_through_one_scheduler)]
}

const OTHER: &str = "default-scheduler";

async fn accelerators_go_through_one_scheduler(cp: Arc<ControlPlane>) -> Result<()> {
    cp.apply_file("policies/one-scheduler.yaml").await?;
    let strict = cp.namespace("policy-strict").await?;
    let free = cp.namespace("policy-free").await?;
    let label = json!({"testudo.dev/scheduling": "required"});
    cp.apply(json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": strict.name(), "labels": label},
    }))
    .await?;

    // The API server takes a moment to compile a new policy.
    let refusal = wait::until("the policy to be in force", PATIENCE, async || {
        Ok(match refusal(&strict, pod("elsewhere").gpus(1).scheduler(OTHER)).await? {
            Some(text) => Look::Done(text),
            None => Look::NotYet("the pod is accepted".to_owned()),
        })
    })
    .await?;
    let expected = "pods with accelerators in namespace policy-strict need schedulerName: testudo-scheduler, \
                    this one has default-scheduler";
    ensure!(refusal.contains(expected), "{refusal}");
    for resource in ["nvidia.com/gpu.shared", "nvidia.com/mig-3g.20gb", "aws.amazon.com/neuroncore"] {
        let asks = pod("elsewhere").request(resource, 1).scheduler(OTHER);
        ensure!(self::refusal(&strict, asks).await?.is_some(), "{resource} passes by the policy");
    }

    let owner = OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "DaemonSet".to_owned(),
        name: "monitoring".to_owned(),
        uid: "0".to_owned(),
        ..OwnerReference::default()
    };
    let mut of_daemon_set = pod("daemon").gpus(1).scheduler(OTHER).build();
    of_daemon_set.metadata.owner_references = Some(vec![owner]);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    strict.pods().create(&dry_run, &of_daemon_set).await.context("a DaemonSet's pod is refused")?;

    let accepted = [
        (&strict, pod("through-testudo").gpus(1), "a pod of testudo's scheduler"),
        (&strict, pod("no-accelerator").scheduler(OTHER), "a pod that asks for none"),
        (&free, pod("not-opted-in").gpus(1).scheduler(OTHER), "a pod of a namespace that has not opted in"),
    ];
    for (namespace, pod, what) in accepted {
        let refused = self::refusal(namespace, pod).await?;
        ensure!(refused.is_none(), "{what} is refused: {refused:?}");
    }
    Ok(())
}

/// What the API server says against a pod, without making it.
async fn refusal(namespace: &Namespace, pod: PodBuilder) -> Result<Option<String>> {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    match namespace.pods().create(&dry_run, &pod.build()).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if status.code == 422 => Ok(Some(status.message)),
        Err(error) => Err(error).context("cannot try to create a pod"),
    }
}
