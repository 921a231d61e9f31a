//! NVLink: sets of GPUs go where the GPUs are connected and healthy.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::node::NodeBuilder;
use testudo_e2e::{node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("topology::eight_gpus_go_where_nvlink_is_complete", eight_gpus_go_where_nvlink_is_complete),
        stage.deployed("topology::sets_avoid_nodes_with_failed_gpus", sets_avoid_nodes_with_failed_gpus),
    ]
}

fn p4d(name: &str) -> NodeBuilder {
    node(name).gpus(8).product("NVIDIA-A100-SXM4-40GB", 40960).instance_type("p4d.24xlarge")
}

async fn eight_gpus_go_where_nvlink_is_complete(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("nvlink").await?;
    let g6e = |name: &str| node(name).gpus(8).product("NVIDIA-L40S", 46068).instance_type("g6e.48xlarge");
    ns.create_nodes([
        // PCIe only, first and last by name, and with the smaller and the larger memory of the two others between.
        g6e("nvlink-a"),
        p4d("nvlink-b"),
        node("nvlink-c").gpus(8).product("NVIDIA-H100-80GB-HBM3", 81559).instance_type("p5.48xlarge"),
        g6e("nvlink-d"),
    ])
    .await?;
    let mut places = Vec::new();
    for name in ["eight-1", "eight-2", "eight-3"] {
        ns.create(pod(name).gpus(8)).await?;
        places.push(ns.until_bound(name).await?);
    }
    // The smaller GPUs that will do, the larger ones, and then, rather than wait, those without NVLink.
    ensure!(places[..2] == ["nvlink-b", "nvlink-c"], "eight GPUs went to {places:?}");
    ensure!(places[2] == "nvlink-a" || places[2] == "nvlink-d", "eight GPUs went to {places:?}");
    ns.clear().await
}

async fn sets_avoid_nodes_with_failed_gpus(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("failed-gpu").await?;
    ns.create_nodes([
        p4d("failed-gpu-a").allocatable("nvidia.com/gpu", "7"),
        p4d("failed-gpu-b"),
        p4d("failed-gpu-c").allocatable("nvidia.com/gpu", "6"),
    ])
    .await?;
    for name in ["four-1", "four-2"] {
        ns.create(pod(name).gpus(4)).await?;
        let on = ns.until_bound(name).await?;
        ensure!(on == "failed-gpu-b", "{name} is on {on}, of which a GPU has failed");
    }
    // Better there than nowhere.
    ns.create(pod("four-3").gpus(4)).await?;
    ns.until_bound("four-3").await?;
    ns.create(pod("eight").gpus(8)).await?;
    ns.until_pending_with_message("eight", &["Insufficient nvidia.com/gpu"]).await?;
    ns.clear().await
}
