//! More pods than places, asked for at the same time by schedulers that know nothing of each other.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::namespace::pod_scheduled;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Metrics, node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("race::forty_pods_for_twenty_nodes", forty_pods_for_twenty_nodes),
        stage.deployed("race::a_place_that_is_gone_is_not_bound", a_place_that_is_gone_is_not_bound),
    ]
}

async fn forty_pods_for_twenty_nodes(d: Arc<Deployed>) -> Result<()> {
    let names = ["race-scheduler-1", "race-scheduler-2"];
    let pair = d.pair(names[0]).await?;
    let _second = d.scheduler(Some(names[1]), &pair.testudo).await?;
    let ns = d.cp.namespace("race").await?;
    let p5 = |index| node(&format!("race-{index:02}")).gpus(8).product("NVIDIA-H100-80GB-HBM3", 81559);
    ns.create_nodes((0..20).map(|index| p5(index).instance_type("p5.48xlarge"))).await?;
    let eight = |index: usize| pod(&format!("eight-{index:02}")).gpus(8).scheduler(names[index % 2]);
    ns.create_all((0..40).map(eight)).await?;

    ns.until_count_bound(20).await?;
    // Those that have lost know it, and want nothing more.
    let losers = wait::until("twenty pods to be told that nothing is left", PATIENCE, async || {
        let placed = ns.placements().await?.len();
        ensure!(placed <= 20, "{placed} pods are on 20 nodes");
        let told: Vec<Pod> = ns.list().await?.into_iter().filter(is_told).collect();
        Ok(if told.len() == 20 { Look::Done(told) } else { Look::NotYet(format!("{} are", told.len())) })
    })
    .await?;
    let placed = ns.placements().await?;
    ensure!(placed.len() == 20, "{} pods have a node", placed.len());
    ensure!(losers.iter().all(|pod| !placed.contains_key(&pod.name_any())));
    ns.check_nothing_is_overcommitted().await?;

    let mut scheduled = 0;
    for name in placed.keys() {
        ns.until_running(name).await?;
        let event = ns.until_event(name, |event| event.reason == "Scheduled").await?;
        ensure!(names.contains(&event.reporter.as_str()), "{event}");
        let events = ns.events_of(name).await?;
        scheduled += events.iter().filter(|event| event.reason == "Scheduled").count() as u64;
    }
    let metrics = Metrics::read(pair.testudo.metrics()).await?;
    let bound = metrics.count("testudo_bindings_total", &[("outcome", "bound")])?;
    ensure!((scheduled, bound) == (20, 20), "{scheduled} Scheduled events, {bound} bindings by testudo");
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

fn is_told(pod: &Pod) -> bool {
    let message = pod_scheduled(pod).and_then(|condition| condition.message.as_deref()).unwrap_or_default();
    message.contains("Insufficient nvidia.com/gpu") || message.contains("needs 8 nvidia.com/gpu, too few are free")
}

/// The same, step by step: a binding that was right when filter was asked and no longer is.
async fn a_place_that_is_gone_is_not_bound(d: Arc<Deployed>) -> Result<()> {
    let testudo = &d.shared().await?.testudo;
    let ns = d.cp.namespace("race-late").await?;
    ns.create_node(node("race-late-a").product("NVIDIA-L40S", 46068).gpus(4)).await?;
    ns.create(pod("late").gpus(4).scheduler("nobody")).await?;
    ns.create(pod("early").gpus(2)).await?;
    ns.until_bound("early").await?;
    let uid = ns.get("late").await?.uid().context("a pod without uid")?;
    let binding = json!({ "PodName": "late", "PodNamespace": "race-late", "PodUID": uid, "Node": "race-late-a" });
    // Until testudo has seen the pod.
    let answer = wait::until("testudo to know the pod", PATIENCE, async || {
        let answer = testudo.api().post("/v1/bind", binding.to_string()).await?.body;
        Ok(if answer.contains("is not known") { Look::NotYet(answer) } else { Look::Done(answer) })
    })
    .await?;
    let refusal = "pod race-late/late no longer fits on node race-late-a: needs 4 nvidia.com/gpu, too few are free";
    ensure!(answer.contains(refusal), "{answer}");
    ensure!(!ns.placements().await?.contains_key("late"));
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}
