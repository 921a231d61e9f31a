//! `mode: observe`: everything passes, and what would have been refused is counted.

use std::sync::Arc;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Metrics, Testudo, node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("observe::passes_everything_and_counts_refusals", passes_everything_and_counts_refusals),
        // It takes the lease, and the protection from all nodes.
        stage.deployed_alone("observe::lets_go_of_what_waits_for_decisions", lets_go_of_what_waits_for_decisions),
    ]
}

async fn passes_everything_and_counts_refusals(d: Arc<Deployed>) -> Result<()> {
    let name = "observing-scheduler";
    let observing = d.config(name, &[("/mode", json!("observe"))])?;
    let testudo = Testudo::start(&d.cp, d.testudo("testudo-observe")?.config(observing)).await?;
    let _scheduler = d.scheduler(Some(name), &testudo).await?;
    let ns = d.cp.namespace("observe").await?;
    ns.create_node(node("observe-a").product("NVIDIA-A10G", 23028).time_sliced(1, 4, false)).await?;
    let refusals = async || Metrics::read(testudo.metrics()).await?.count("testudo_observed_refusals_total", &[]);

    ns.create(pod("one").gpus(1).scheduler(name)).await?;
    ns.until_running("one").await?;
    ensure!(refusals().await? == 0, "a pod that fits counts as refused");
    ns.create(pod("two").gpus(2).scheduler(name)).await?;
    ns.until_running("two").await?;
    ensure!(refusals().await? >= 1, "nothing was counted");
    let metrics = Metrics::read(testudo.metrics()).await?;
    ensure!(metrics.count("testudo_bindings_total", &[("outcome", "bound")])? == 2);
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

/// As after a change from enforce: a member behind the gate, whose gang will never be whole, and a protected node.
async fn lets_go_of_what_waits_for_decisions(d: Arc<Deployed>) -> Result<()> {
    const PROTECTED: &str = "testudo.dev/protected";
    let name = "letting-go-scheduler";
    let ns = d.cp.namespace("observe-gates").await?;
    let kept = node("observe-kept").product("NVIDIA-A10G", 23028).gpus(1).annotation(PROTECTED, "");
    ns.create_node(kept).await?;
    let member = pod("half-0").gpus(1).scheduler(name).gate("testudo.dev/gang");
    ns.create(member.annotation("testudo.dev/pod-group", "half").annotation("testudo.dev/min-member", "2")).await?;

    let observing = d.config(name, &[("/mode", json!("observe"))])?;
    let mut testudo = Testudo::start(&d.cp, d.replica("testudo-letting-go")?.config(observing)).await?;
    let _scheduler = d.scheduler(Some(name), &testudo).await?;
    ns.until_running("half-0").await?;
    wait::until("the node to be free again", PATIENCE, async || {
        let node = ns.nodes().get("observe-kept").await?;
        let is_free = !node.annotations().contains_key(PROTECTED);
        Ok(if is_free { Look::Done(()) } else { Look::NotYet("it is protected".to_owned()) })
    })
    .await?;
    testudo.stop().await?;
    ns.clear().await
}
