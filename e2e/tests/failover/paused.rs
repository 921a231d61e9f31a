//! The leader is stopped, another takes over, and the first comes back with its old belief.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use kube::ResourceExt;
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::{Observer, node, pod};

use crate::deployed::Deployed;
use crate::replicas::Replicas;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed_alone("failover::comes_back_and_does_nothing", comes_back_and_does_nothing)]
}

async fn comes_back_and_does_nothing(d: Arc<Deployed>) -> Result<()> {
    let scheduler = "paused-scheduler";
    let mut replicas = Replicas::start(&d, scheduler, &[]).await?;
    let former = replicas.until_other_leads(None).await?;
    let ns = d.cp.namespace("failover-paused").await?;
    ns.create_nodes(["paused-a", "paused-b"].map(|name| node(name).product("NVIDIA-L40S", 46068).gpus(2))).await?;
    let observer = Observer::start(&ns).await?;
    ns.create(pod("before").gpus(1).scheduler(scheduler)).await?;
    ns.until_running("before").await?;

    // One that no scheduler takes up, and the former leader is asked to bind.
    let late = ns.create(pod("late").gpus(2).scheduler("nobody")).await?;
    let binding = json!({
        "PodName": "late", "PodNamespace": ns.name(), "PodUID": late.uid().context("a pod without uid")?, "Node": "paused-b",
    });
    let api = replicas.testudo(former).api().clone();
    // So there is a connection, and the pod has been seen.
    api.get("/readyz").await?;
    replicas.testudo(former).process()?.freeze(true)?;
    // The question is there when the leader wakes up, before that can have asked anybody whether it still leads.
    let asked = tokio::spawn(async move { api.post("/v1/bind", binding.to_string()).await });
    let leader = replicas.until_other_leads(Some(former)).await?;
    // The places that the former leader believes to be free.
    for name in ["a", "b", "c"] {
        ns.create(pod(name).gpus(1).scheduler(scheduler)).await?;
    }
    observer.until_bound(&["a", "b", "c"]).await?;
    replicas.testudo(former).process()?.freeze(false)?;
    let answer = asked.await??;
    ensure!(answer.status == StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");

    replicas.testudo(former).until_ready().await?;
    replicas.check_leader(leader).await?;
    observer.check_never_bound(|name| name == "late")?;
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await?;
    replicas.end().await
}
