//! Replicas of GPUs: time-slicing under the name of whole GPUs or under one of its own, and MPS.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::{node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("sharing::replicas_serve_single_requests", replicas_serve_single_requests),
        stage.deployed("sharing::replicas_are_no_sets", replicas_are_no_sets),
    ]
}

const STRATEGY: &str = "nvidia.com/gpu.sharing-strategy";
const SHARED: &str = "nvidia.com/gpu.shared";
const SHARED_SLICE: &str = "nvidia.com/mig-1g.5gb.shared";

async fn replicas_serve_single_requests(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("replicas").await?;
    ns.create_nodes([
        node("replicas-a").product("NVIDIA-A10G", 23028).time_sliced(1, 4, false),
        node("replicas-b").product("NVIDIA-A10G", 23028).time_sliced(1, 4, true),
        node("replicas-c").product("NVIDIA-A10G", 23028).mps(1, 4),
        node("replicas-e").product("NVIDIA-A100-SXM4-40GB", 40960).extended(SHARED_SLICE, 14),
        // Larger, and whole: what a plain request means.
        node("replicas-d").product("NVIDIA-L40S", 46068).gpus(2),
    ])
    .await?;
    for (pod, wanted) in [
        (pod("sliced").gpus(1).selector(STRATEGY, "time-slicing"), "replicas-a"),
        (pod("renamed").request(SHARED, 1), "replicas-b"),
        (pod("slice").request(SHARED_SLICE, 1), "replicas-e"),
        (pod("mps").gpus(1).selector(STRATEGY, "mps"), "replicas-c"),
        (pod("whole-1").gpus(1), "replicas-d"),
        (pod("whole-2").gpus(1), "replicas-d"),
    ] {
        let name = pod.name().to_owned();
        ns.create(pod).await?;
        let on = ns.until_bound(&name).await?;
        ensure!(on == wanted, "{name} is on {on} and belongs on {wanted}");
    }
    // Nothing whole is left: a replica is better than to wait.
    ns.create(pod("any").gpus(1)).await?;
    let on = ns.until_bound("any").await?;
    ensure!(on == "replicas-a" || on == "replicas-c", "any is on {on}");
    ns.check_nothing_is_overcommitted().await?;
    ns.clear().await
}

async fn replicas_are_no_sets(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("replica-sets").await?;
    ns.create_nodes([
        node("replica-sets-a").product("NVIDIA-A10G", 23028).time_sliced(1, 4, false),
        node("replica-sets-b").product("NVIDIA-A10G", 23028).time_sliced(1, 4, true),
        node("replica-sets-c").product("NVIDIA-A10G", 23028).mps(1, 4),
    ])
    .await?;
    ns.create_all([
        pod("two").gpus(2),
        pod("two-mps").gpus(2).selector(STRATEGY, "mps"),
        pod("two-shared").request(SHARED, 2),
    ])
    .await?;
    ns.until_pending_with_message(
        "two",
        &[
            "1 needs 2 nvidia.com/gpu as one set, node offers time-slicing replicas of GPUs",
            "1 needs 2 nvidia.com/gpu as one set, node offers MPS replicas of GPUs",
            "1 Insufficient nvidia.com/gpu",
        ],
    )
    .await?;
    // The kubelet would refuse these even to a pod that has chosen them.
    ns.until_pending_with_message("two-mps", &["needs 2 nvidia.com/gpu as one set, node offers MPS replicas"]).await?;
    // A pod that names them has chosen them.
    ensure!(ns.until_bound("two-shared").await? == "replica-sets-b");
    ns.clear().await
}
