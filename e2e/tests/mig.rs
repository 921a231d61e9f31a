//! MIG slices: on nodes of strategy mixed they have resources of their own, with strategy single they look like GPUs.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::node::NodeBuilder;
use testudo_e2e::{Namespace, node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("mig::slices_land_where_the_profile_is_free", slices_land_where_the_profile_is_free),
        stage.deployed("mig::slices_fill_used_nodes_before_idle_ones", slices_fill_used_nodes_before_idle_ones),
        stage.deployed("mig::single_strategy_nodes_are_selected_by_product", single_strategy_nodes_are_selected),
    ]
}

fn a100(name: &str, gpus: u32) -> NodeBuilder {
    node(name).gpus(gpus).product("NVIDIA-A100-SXM4-40GB", 40960)
}

/// A pod of one slice, on a node of our choice.
async fn put(ns: &Namespace, name: &str, profile: &str, count: u32, on: &str) -> Result<()> {
    ns.create(pod(name).mig(profile, count).selector("kubernetes.io/hostname", on)).await?;
    let node = ns.until_bound(name).await?;
    ensure!(node == on);
    Ok(())
}

async fn slices_land_where_the_profile_is_free(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("mig-free").await?;
    ns.create_nodes([
        a100("mig-free-small", 2).mig_mixed(&[("1g.5gb", 14)]),
        a100("mig-free-taken", 1).mig_mixed(&[("3g.20gb", 2)]),
        a100("mig-free-open", 1).mig_mixed(&[("3g.20gb", 1), ("2g.10gb", 1), ("1g.5gb", 2)]),
    ])
    .await?;
    put(&ns, "holder", "3g.20gb", 2, "mig-free-taken").await?;

    ns.create(pod("three").mig("3g.20gb", 1)).await?;
    ensure!(ns.until_bound("three").await? == "mig-free-open");
    ns.until_running("three").await?;
    let event = ns.until_event("three", |event| event.reason == "Scheduled").await?;
    ensure!(event.reporter == "testudo-scheduler", "{event}");
    // No slice of it is left, though there are others.
    ns.create(pod("another").mig("3g.20gb", 1)).await?;
    ns.until_pending_with_message("another", &["Insufficient nvidia.com/mig-3g.20gb"]).await?;
    ns.delete("three").await?;
    ensure!(ns.until_bound("another").await? == "mig-free-open");
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

async fn slices_fill_used_nodes_before_idle_ones(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("mig-fit").await?;
    ns.create_nodes([
        // Idle, and would be the fullest afterwards: opening it is worse all the same.
        a100("mig-fit-a", 1).mig_mixed(&[("1g.5gb", 7)]),
        a100("mig-fit-b", 4).mig_mixed(&[("1g.5gb", 28)]),
        a100("mig-fit-c", 2).mig_mixed(&[("1g.5gb", 14)]),
    ])
    .await?;
    put(&ns, "holder-b", "1g.5gb", 8, "mig-fit-b").await?;
    put(&ns, "holder-c", "1g.5gb", 2, "mig-fit-c").await?;

    // 20 are free on b, 12 on c.
    for index in 0..4 {
        let name = format!("slice-{index}");
        ns.create(pod(&name).mig("1g.5gb", 3)).await?;
        let on = ns.until_bound(&name).await?;
        ensure!(on == "mig-fit-c", "{name} is on {on}, mig-fit-c has the fewest left");
    }
    // c is full: now b, and a only when nothing else is left.
    ns.create(pod("slice-4").mig("1g.5gb", 1)).await?;
    ensure!(ns.until_bound("slice-4").await? == "mig-fit-b");
    ns.clear().await
}

async fn single_strategy_nodes_are_selected(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("mig-single").await?;
    ns.create_nodes([
        node("mig-single-a").product("NVIDIA-A100-SXM4-40GB", 40960).mig_single("1g.5gb", 7),
        node("mig-single-b").product("NVIDIA-A100-SXM4-40GB", 40960).mig_single("3g.20gb", 2),
        a100("mig-single-c", 2),
    ])
    .await?;
    let product = "nvidia.com/gpu.product";
    for (name, label, wanted) in [
        ("small", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "mig-single-a"),
        ("large", "NVIDIA-A100-SXM4-40GB-MIG-3g.20gb", "mig-single-b"),
    ] {
        ns.create(pod(name).gpus(1).selector(product, label)).await?;
        let on = ns.until_bound(name).await?;
        ensure!(on == wanted, "{name} selects {label} and is on {on}");
    }
    // Who asks for a GPU and says no more gets a whole one, though the others are in use already.
    for name in ["whole-1", "whole-2"] {
        ns.create(pod(name).gpus(1)).await?;
        let on = ns.until_bound(name).await?;
        ensure!(on == "mig-single-c", "{name} is on {on}");
    }
    // And two slices are no set of two GPUs.
    ns.create(pod("pair").gpus(2)).await?;
    ns.until_pending_with_message("pair", &["needs 2 nvidia.com/gpu as one set, node offers MIG slices 1g.5gb"])
        .await?;
    ns.clear().await
}
