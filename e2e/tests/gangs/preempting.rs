//! Gangs of higher priority, where the policy lets them evict.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use libtest_mimic::Trial;
use testudo_e2e::{Namespace, Observer, PodBuilder, pod};

use super::{GATE, WINDOW, h100s, member, names};
use crate::deployed::Deployed;
use crate::preemption::CLASSES;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("gangs::a_gang_evicts_whole_gangs_and_only_if_it_fits", evicts_only_if_it_fits)]
}

const SCHEDULER: &str = "evict-scheduler";

/// The names of the pods that nobody has begun to evict.
async fn untouched(ns: &Namespace) -> Result<BTreeSet<String>> {
    let pods = ns.list().await?.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(pods.map(|pod| pod.name_any()).collect())
}

async fn evicts_only_if_it_fits(d: Arc<Deployed>) -> Result<()> {
    let _pair = d.preempting_pair(SCHEDULER, "gang-evict").await?;
    d.cp.apply_yaml(CLASSES).await?;
    let ns = d.cp.namespace("gang-evict").await?;
    ns.create_nodes(h100s(&ns, 4)).await?;
    let low = |pod: PodBuilder| pod.priority_class("e2e-low").scheduler(SCHEDULER);
    let high = |gang: &str, size: usize| -> Vec<PodBuilder> {
        let of_class = |index| member(gang, index, size).priority_class("e2e-high").scheduler(SCHEDULER);
        (0..size).map(of_class).collect()
    };
    ns.create_all((0..2).map(|index| low(member("cheap", index, 2)))).await?;
    ns.create_all(["single-0", "single-1"].map(|name| low(pod(name).gpus(8)))).await?;
    let running = ["cheap-0", "cheap-1", "single-0", "single-1"];
    ns.until_all_running(&running).await?;
    let observer = Observer::start(&ns).await?;

    // Five nodes there will never be.
    ns.create_all(high("huge", 5)).await?;
    for name in names("huge", 5) {
        ns.until_pending_with_message(&name, &["nvidia.com/gpu"]).await?;
    }
    let left = untouched(&ns).await?;
    ensure!(running.iter().all(|name| left.contains(*name)), "for a gang that does not fit: only {left:?} are left");
    ns.delete_all(&names("huge", 5)).await?;

    // Of a gang one member would not do: two pods that stand for themselves are the smaller loss.
    ns.create_all(high("first", 2)).await?;
    observer.until_bound_together(&names("first", 2), WINDOW).await?;
    let left = untouched(&ns).await?;
    ensure!(left == BTreeSet::from(["cheap-0", "cheap-1", "first-0", "first-1"].map(str::to_owned)), "{left:?}");

    // The gang goes as a whole.
    ns.create_all(high("second", 2).into_iter().map(|pod| pod.gate(GATE))).await?;
    observer.until_bound_together(&names("second", 2), WINDOW).await?;
    let left = untouched(&ns).await?;
    ensure!(!left.contains("cheap-0") && !left.contains("cheap-1"), "half a gang was evicted: {left:?}");
    ensure!(left.contains("first-0") && left.contains("first-1"), "equals were evicted: {left:?}");
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}
