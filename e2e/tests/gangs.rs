//! Gangs: nothing of a set starts until all of it fits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{ControlPlane, Namespace, NodeBuilder, PodBuilder, Scheduler, SchedulerConfig, node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("gangs::one_of_two_starts_and_then_the_other", one_of_two_starts_and_then_the_other),
        stage.deployed("gangs::a_gate_goes_when_there_is_a_place", a_gate_goes_when_there_is_a_place),
        stage.scenario("gangs::plain_kube_scheduler_deadlocks", plain_kube_scheduler_deadlocks),
    ]
}

/// The gate that testudo takes away when its pod has a place.
const GATE: &str = "testudo.dev/gang";

fn h100(name: &str) -> NodeBuilder {
    node(name).gpus(8).product("NVIDIA-H100-80GB-HBM3", 81559).instance_type("p5.48xlarge")
}

/// A member of a gang of so many that asks for a whole node.
fn member(gang: &str, index: usize, size: usize) -> PodBuilder {
    let name = format!("{gang}-{index}");
    let size = size.to_string();
    pod(&name).gpus(8).annotation("testudo.dev/pod-group", gang).annotation("testudo.dev/min-member", &size)
}

/// How many members of each gang have a node, by the part of the name before the last dash.
async fn bound(ns: &Namespace) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for name in ns.placements().await?.into_keys() {
        let gang = name.rsplit_once('-').map_or(name.clone(), |(gang, _)| gang.to_owned());
        *counts.entry(gang).or_default() += 1;
    }
    Ok(counts)
}

/// Waits until some gang has so many members bound, and says which.
async fn until_whole(ns: &Namespace, size: usize) -> Result<String> {
    wait::until("a gang to be whole", PATIENCE, async || {
        let counts = bound(ns).await?;
        let whole = counts.iter().find(|(_, count)| **count == size).map(|(gang, _)| gang.clone());
        Ok(whole.map_or_else(|| Look::NotYet(format!("bound: {counts:?}")), Look::Done))
    })
    .await
}

async fn one_of_two_starts_and_then_the_other(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-two").await?;
    ns.create_nodes((0..10).map(|at| h100(&format!("gang-two-{at}")))).await?;
    for index in 0..6 {
        ns.create(member("a", index, 6)).await?;
        ns.create(member("b", index, 6)).await?;
    }
    let first = until_whole(&ns, 6).await?;
    let second = if first == "a" { "b" } else { "a" };
    let why = format!("gang gang-two/{second}: ");
    ns.until_pending_with_message(&format!("{second}-0"), &[&why]).await?;
    ensure!(bound(&ns).await? == BTreeMap::from([(first.clone(), 6)]), "the other has begun");
    for index in 0..6 {
        ns.until_running(&format!("{first}-{index}")).await?;
    }
    for index in 0..6 {
        ns.delete(&format!("{first}-{index}")).await?;
    }
    ensure!(until_whole(&ns, 6).await? == second);
    d.cp.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

async fn a_gate_goes_when_there_is_a_place(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-gate").await?;
    ns.create_nodes((0..2).map(|at| h100(&format!("gang-gate-{at}")))).await?;
    ns.create(member("g", 0, 2).gate(GATE)).await?;
    ns.until_pending_with_message("g-0", &["SchedulingGated"]).await.err();
    ns.create(member("g", 1, 2).gate(GATE)).await?;
    let placed = ns.until_count_bound(2).await?;
    ensure!(placed.values().collect::<BTreeSet<_>>().len() == 2, "{placed:?}");
    for name in ["g-0", "g-1"] {
        let pod = ns.until_running(name).await?;
        ensure!(pod.spec.and_then(|spec| spec.scheduling_gates).unwrap_or_default().is_empty());
    }
    ns.clear().await
}

/// Why testudo exists.
async fn plain_kube_scheduler_deadlocks(cp: Arc<ControlPlane>) -> Result<()> {
    let name = "plain-scheduler";
    let _scheduler = Scheduler::start(&cp, &SchedulerConfig::default().named(name)).await?;
    let ns = cp.namespace("gang-plain").await?;
    ns.create_nodes((0..10).map(|at| h100(&format!("gang-plain-{at}")))).await?;
    for index in 0..6 {
        ns.create(member("a", index, 6).scheduler(name)).await?;
        ns.create(member("b", index, 6).scheduler(name)).await?;
    }
    ns.until_count_bound(10).await?;
    let counts = bound(&ns).await?;
    ensure!(counts.values().all(|count| *count < 6), "a gang is whole: {counts:?}");
    ns.clear().await
}
