//! Pods without GPUs: testudo refuses them nothing, and keeps them off GPU nodes where there are others.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::{node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("cpu::pods_without_gpus_are_left_to_the_scheduler", left_to_the_scheduler)]
}

async fn left_to_the_scheduler(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("cpu").await?;
    ns.create_nodes(["cpu-b", "cpu-d", "cpu-f"].map(node)).await?;
    ns.create_nodes(["cpu-a", "cpu-c"].map(|name| node(name).product("NVIDIA-L40S", 46068).gpus(8))).await?;
    let names: Vec<String> = (0..9).map(|index| format!("web-{index}")).collect();
    ns.create_all(names.iter().map(|name| pod(name).request("cpu", 8).request("memory", "8Gi"))).await?;
    for name in &names {
        ns.until_running(name).await?;
    }
    let mut count: BTreeMap<String, u32> = BTreeMap::new();
    for node in ns.placements().await?.into_values() {
        *count.entry(node).or_default() += 1;
    }
    let spread = BTreeMap::from(["cpu-b", "cpu-d", "cpu-f"].map(|name| (name.to_owned(), 3)));
    ensure!(count == spread, "nine pods are spread as {count:?}");

    // Where only a GPU node will do, that is where they go.
    ns.create(pod("on-gpu-node").request("cpu", 1).selector("nvidia.com/gpu.present", "true")).await?;
    ns.until_running("on-gpu-node").await?;
    ns.create(pod("too-large").request("cpu", 200)).await?;
    let message = ns.until_pending_with_message("too-large", &["Insufficient cpu"]).await?;
    ensure!(!message.contains("needs"), "testudo has a say about a pod without GPUs: {message}");
    ns.clear().await
}
