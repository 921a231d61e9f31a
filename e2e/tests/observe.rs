//! `mode: observe`: everything passes, and what would have been refused is counted.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::{Metrics, Testudo, node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("observe::passes_everything_and_counts_refusals", passes_everything_and_counts_refusals)]
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
