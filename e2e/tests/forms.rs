//! Both forms of requests: names of nodes (`nodeCacheCapable: true`), and whole nodes.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::{Adaptation, node, pod};

use crate::deployed::{Deployed, adaptation};
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("forms::names_of_nodes", |d| places_alike(d, "form-names", true)),
        stage.deployed("forms::whole_nodes", |d| places_alike(d, "form-nodes", false)),
    ]
}

async fn places_alike(d: Arc<Deployed>, name: &'static str, node_cache_capable: bool) -> Result<()> {
    let testudo = &d.shared().await?.testudo;
    let shipped = adaptation(Some(name), testudo);
    let _scheduler =
        d.adapted_scheduler(&Adaptation { node_cache_capable: Some(node_cache_capable), ..shipped }).await?;
    let ns = d.cp.namespace(name).await?;
    let named = |suffix: &str| node(&format!("{name}-{suffix}"));
    ns.create_nodes([
        named("a").gpus(2).product("NVIDIA-A100-SXM4-40GB", 40960).mig_mixed(&[("1g.5gb", 14)]),
        named("b").gpus(2).product("NVIDIA-A100-SXM4-40GB", 40960).mig_mixed(&[("1g.5gb", 14)]),
        named("c").product("NVIDIA-A10G", 23028).time_sliced(1, 4, false),
        named("d"),
    ])
    .await?;
    let mut slices = Vec::new();
    for slice in ["slice-1", "slice-2", "slice-3", "slice-4"] {
        ns.create(pod(slice).mig("1g.5gb", 1).scheduler(name)).await?;
        slices.push(ns.until_bound(slice).await?);
    }
    ensure!(slices.iter().all(|on| *on == slices[0]), "slices are scattered over {slices:?}");
    ns.create(pod("cpu").request("cpu", 1).scheduler(name)).await?;
    let on = ns.until_bound("cpu").await?;
    ensure!(on == format!("{name}-d"), "a pod without GPUs is on {on}");
    ns.create(pod("two").gpus(2).scheduler(name)).await?;
    ns.until_pending_with_message("two", &["needs 2 nvidia.com/gpu as one set"]).await?;
    ns.clear().await
}
