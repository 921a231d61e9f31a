//! A LeaderWorkerSet's group, tensor parallel over 8 GPUs and pipeline parallel over 2 nodes: a leader, and workers that
//! its controller makes right after it (`startupPolicy: LeaderCreated`) or once it is ready (`LeaderReady`).

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::{Namespace, Observer, PodBuilder, pod};

use super::{WINDOW, h100, h100s, intrude, is_intruder, until_turned_away};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("gangs::leader_worker_set_with_leader_created", leader_created),
        stage.deployed("gangs::leader_worker_set_with_leader_ready", leader_ready),
    ]
}

/// Two members form a tensor-parallel set, two sets a pipeline.
pub const SIZE: usize = 4;

pub fn name(index: usize) -> String {
    if index == 0 { "vllm-0".to_owned() } else { format!("vllm-0-{index}") }
}

pub fn group() -> Vec<String> {
    (0..SIZE).map(name).collect()
}

/// A pod of the first group of the set `vllm`, as the webhooks of LeaderWorkerSet and the StatefulSet controller leave it.
pub fn member(index: usize) -> PodBuilder {
    let (name, number) = (name(index), index.to_string());
    let pod = pod(&name)
        .gpus(4)
        .label("leaderworkerset.sigs.k8s.io/name", "vllm")
        .label("leaderworkerset.sigs.k8s.io/group-index", "0")
        .label("leaderworkerset.sigs.k8s.io/group-key", "689ce1b5f1cb9ab0b3a5cb1a3a8a0d0c8c4a9b0e")
        .label("leaderworkerset.sigs.k8s.io/worker-index", &number)
        .label("leaderworkerset.sigs.k8s.io/template-revision-hash", "5b7f8d9c6d")
        .label("statefulset.kubernetes.io/pod-name", &name)
        .label("apps.kubernetes.io/pod-index", &number)
        .annotation("leaderworkerset.sigs.k8s.io/size", &SIZE.to_string())
        .annotation("testudo.dev/tensor-parallel-size", "8")
        .annotation("testudo.dev/pipeline-parallel-size", "2");
    if index == 0 { pod } else { pod.annotation("leaderworkerset.sigs.k8s.io/leader-name", "vllm-0") }
}

pub fn check_sets(nodes: &[String]) -> Result<()> {
    let [a, b, c, d] = nodes else { anyhow::bail!("not four members: {nodes:?}") };
    ensure!(a == b && c == d && a != c, "the two sets are not on a node each: {nodes:?}");
    Ok(())
}

async fn leader_created(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("lws-created").await?;
    ns.create_nodes(h100s(&ns, 2)).await?;
    let observer = Observer::start(&ns).await?;
    ns.create_all((0..SIZE).map(member)).await?;
    // From here on all places are taken, whoever is bound already.
    until_planned(&ns).await?;
    let intruders = intrude(&ns, 4, 4).await?;
    let nodes = observer.until_bound_together(&group(), WINDOW).await?;
    check_sets(&nodes)?;
    until_turned_away(&ns, &intruders).await?;
    ns.until_all_running(&group()).await?;
    observer.check_never_bound(is_intruder)?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

async fn leader_ready(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("lws-ready").await?;
    ns.create_node(h100("lws-ready-0")).await?;
    let observer = Observer::start(&ns).await?;
    // There is room for the leader, but not for the workers that will come.
    ns.create(member(0)).await?;
    ns.until_pending_with_message("vllm-0", &["gang lws-ready/vllm/0: needs "]).await?;
    observer.check_never_bound(|_| true)?;
    ns.create_node(h100("lws-ready-1")).await?;
    ns.until_running("vllm-0").await?;
    let intruders = intrude(&ns, 4, 4).await?;
    until_turned_away(&ns, &intruders).await?;
    ns.create_all((1..SIZE).map(member)).await?;
    observer.until_bound_together(&group()[1..], WINDOW).await?;
    check_sets(&observer.until_bound(&group()).await?)?;
    ns.until_all_running(&group()).await?;
    observer.check_never_bound(is_intruder)?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

/// Waits until the leader has been pointed to its place, which it is only when the workers have theirs, too.
async fn until_planned(ns: &Namespace) -> Result<()> {
    ns.until_pod("vllm-0", "a nomination", |pod| {
        let nominated = pod.status.as_ref().and_then(|status| status.nominated_node_name.as_ref());
        let bound = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
        nominated.or(bound).map(drop)
    })
    .await
}
