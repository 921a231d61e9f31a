//! Preemption: pods are evicted where that makes room, and nowhere else.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use libtest_mimic::Trial;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Metrics, Namespace, Testudo, node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("preemption::evicts_where_it_helps", evicts_where_it_helps),
        stage.deployed("preemption::evicts_nobody_where_it_cannot_help", evicts_nobody_where_it_cannot_help),
    ]
}

/// Three priority classes.
pub const CLASSES: &str = "
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: { name: e2e-lowest }
value: 1
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: { name: e2e-low }
value: 10
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: { name: e2e-high }
value: 1000
";

/// Fills a node with pods of one GPU.
async fn fill(ns: &Namespace, on: &str, count: u32, class: &str, scheduler: &str) -> Result<()> {
    for index in 0..count {
        let name = format!("{on}-{index}");
        let one = pod(&name).gpus(1).priority_class(class).scheduler(scheduler);
        ns.create(one.selector("kubernetes.io/hostname", on)).await?;
    }
    for index in 0..count {
        ns.until_running(&format!("{on}-{index}")).await?;
    }
    Ok(())
}

/// The pods that nobody has begun to evict.
async fn untouched(ns: &Namespace) -> Result<BTreeSet<String>> {
    let pods = ns.list().await?.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(pods.map(|pod| pod.name_any()).collect())
}

async fn preempt_calls(testudo: &Testudo) -> Result<u64> {
    let labels = [("verb", "preempt"), ("code", "200")];
    Metrics::read(testudo.metrics()).await?.count("testudo_extender_requests_total", &labels)
}

async fn evicts_where_it_helps(d: Arc<Deployed>) -> Result<()> {
    let name = "preempting-scheduler";
    let pair = d.pair(name).await?;
    d.cp.apply_yaml(CLASSES).await?;
    let ns = d.cp.namespace("evict").await?;
    ns.create_nodes([
        node("evict-whole").product("NVIDIA-L40S", 46068).gpus(4),
        node("evict-sliced").product("NVIDIA-L40S", 46068).time_sliced(1, 4, false),
    ])
    .await?;
    fill(&ns, "evict-whole", 4, "e2e-low", name).await?;
    // kube-scheduler would rather evict these, whose priority is lower.
    fill(&ns, "evict-sliced", 4, "e2e-lowest", name).await?;
    let before = untouched(&ns).await?;

    ns.create(pod("high").gpus(2).priority_class("e2e-high").scheduler(name)).await?;
    ns.until_running("high").await?;
    ensure!(ns.until_bound("high").await? == "evict-whole");
    let after = untouched(&ns).await?;
    let evicted: Vec<&String> = before.difference(&after).collect();
    ensure!(
        evicted.len() == 2 && evicted.iter().all(|name| name.starts_with("evict-whole-")),
        "two pods of evict-whole had to go, gone are {evicted:?}"
    );
    ensure!(preempt_calls(&pair.testudo).await? >= 1, "testudo was not asked");
    ns.check_nothing_is_overcommitted().await?;
    ns.clear().await
}

async fn evicts_nobody_where_it_cannot_help(d: Arc<Deployed>) -> Result<()> {
    let name = "sparing-scheduler";
    let pair = d.pair(name).await?;
    d.cp.apply_yaml(CLASSES).await?;
    let ns = d.cp.namespace("spare").await?;
    ns.create_node(node("spare-a").product("NVIDIA-L40S", 46068).time_sliced(1, 4, false)).await?;
    fill(&ns, "spare-a", 4, "e2e-low", name).await?;
    ns.create(pod("high").gpus(2).priority_class("e2e-high").scheduler(name)).await?;
    ns.until_pending_with_message("high", &["Insufficient nvidia.com/gpu"]).await?;
    // The eviction would come after the answer; a second question comes after that.
    let asked = async |times| {
        wait::until(&format!("testudo to be asked about preemption {times} times"), PATIENCE, async || {
            let left = untouched(&ns).await?;
            ensure!(left.len() == 5, "somebody was evicted: {left:?} are left");
            let calls = preempt_calls(&pair.testudo).await?;
            Ok(if calls >= times { Look::Done(calls) } else { Look::NotYet(format!("{calls} times")) })
        })
        .await
    };
    let calls = asked(1).await?;
    // A pod without GPUs on a new node: an event for which rejected pods are looked at again.
    ns.create_node(node("spare-b")).await?;
    asked(calls + 1).await?;
    ns.until_pending_with_message("high", &["Insufficient nvidia.com/gpu"]).await?;
    ensure!(untouched(&ns).await?.len() == 5);
    ns.clear().await
}
