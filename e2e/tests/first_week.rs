//! The first week: `testudo check` says what is missing, and `testudo trial` what would be otherwise with it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testudo_e2e::command::ask;
use testudo_e2e::{ControlPlane, NodeBuilder, PodBuilder, Scheduler, SchedulerConfig, node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("first_week::check_says_what_is_wrong", check_says_what_is_wrong),
        // It watches the whole cluster.
        stage.scenario_alone("first_week::a_trial_beside_a_plain_scheduler", a_trial_beside_a_plain_scheduler),
    ]
}

/// How many findings about something are of this status, with a word of what they say.
fn found(answer: &Value, about: &str, status: &str, said: &str) -> bool {
    answer["findings"].as_array().into_iter().flatten().any(|finding| {
        let text = |field: &str| finding[field].as_str().unwrap_or_default();
        text("about") == about && text("status") == status && text("what").contains(said)
    })
}

async fn check_says_what_is_wrong(d: Arc<Deployed>) -> Result<()> {
    let ns = d.cp.namespace("first-week").await?;
    ns.create_node(node("first-week-a").product("NVIDIA-L40S", 46068).gpus(4)).await?;
    let before = ask(d.cp.admin(), &["check", "--pre"]).await?.json;
    ensure!(found(&before, "Kubernetes", "ok", "v1."), "{before:#}");
    ensure!(found(&before, "permissions", "ok", "you may install"), "{before:#}");
    ensure!(found(&before, "devices", "ok", "accelerators"), "{before:#}");

    let stranger = d.cp.kubeconfig("first-week-stranger", &[])?;
    let refused = ask(&stranger, &["check", "--pre"]).await;
    ensure!(refused.is_err(), "somebody who may list nothing gets an answer");

    let configurations = d.configurations();
    for object in &configurations {
        d.cp.apply(object.clone()).await?;
    }
    ns.create(pod("passes-by").gpus(1).scheduler("first-week-other").selector("none", "none")).await?;
    let answer = ask(d.cp.admin(), &["check"]).await?;
    let said = &answer.json;
    ensure!(found(said, "permissions", "ok", "testudo-system:testudo may do what testudo does"), "{said:#}");
    ensure!(found(said, "scheduler", "ok", "as testudo needs it"), "{said:#}");
    ensure!(found(said, "scheduler", "ok", "goes with the API server"), "{said:#}");
    ensure!(found(said, "certificates", "unknown", "there is no Secret"), "{said:#}");
    ensure!(found(said, "pods", "warning", "first-week-other"), "{said:#}");

    for object in &configurations {
        let changed = object.to_string().replace("weight: 200", "weight: 20");
        d.cp.apply(serde_json::from_str(&changed)?).await?;
    }
    let answer = ask(d.cp.admin(), &["check"]).await?;
    ensure!(!answer.is_yes, "a weight that is too small is no failure: {:#}", answer.json);
    ensure!(found(&answer.json, "scheduler", "failed", "weight 20"), "{:#}", answer.json);
    for object in configurations {
        d.cp.delete(object).await?;
    }
    ns.clear().await
}

fn h100(name: &str) -> NodeBuilder {
    node(name).gpus(8).product("NVIDIA-H100-80GB-HBM3", 81559).instance_type("p5.48xlarge")
}

fn member(gang: &str, index: usize, size: usize, scheduler: &str) -> PodBuilder {
    let pod = pod(&format!("{gang}-{index}")).gpus(8).scheduler(scheduler);
    pod.annotation("testudo.dev/pod-group", gang).annotation("testudo.dev/min-member", &size.to_string())
}

/// It spreads small pods over idle nodes, and starts four of five members of a gang.
async fn a_trial_beside_a_plain_scheduler(cp: Arc<ControlPlane>) -> Result<()> {
    let scheduler = "trial-scheduler";
    let _scheduler = Scheduler::start(&cp, &SchedulerConfig::default().named(scheduler)).await?;
    let ns = cp.namespace("trial").await?;
    ns.create_nodes((0..4).map(|at| h100(&format!("trial-{at}")))).await?;
    let trial = tokio::spawn({
        let admin = cp.admin().clone();
        async move { ask(&admin, &["trial", "--for", "25s"]).await }
    });
    // It begins when it has listed everything, which takes a moment.
    tokio::time::sleep(Duration::from_secs(5)).await;
    for at in 0..3 {
        let name = format!("small-{at}");
        ns.create(pod(&name).gpus(1).request("cpu", "8").scheduler(scheduler)).await?;
        ns.until_bound(&name).await?;
    }
    let nodes = ns.placements().await?;
    ensure!(nodes.values().collect::<std::collections::BTreeSet<_>>().len() == 3, "they are not spread: {nodes:?}");
    ns.create_all((0..2).map(|index| member("half", index, 2, scheduler))).await?;
    ns.until_count_bound(4).await?;
    let report = trial.await.context("the trial has ended badly")??.json;
    let figure = |place: &str| report.pointer(place).and_then(Value::as_f64).unwrap_or(-1.0);
    ensure!(figure("/pods/placed") == 4.0, "{report:#}");
    ensure!(figure("/pods/worse") >= 2.0 && figure("/pods/refused") == 0.0, "{report:#}");
    ensure!(figure("/gangs/halfPlacedNow") == 1.0 && figure("/gangs/deviceHours") > 0.0, "{report:#}");
    // Three small ones on one node, the member on another: not four nodes.
    ensure!(figure("/would/idleNodes") - figure("/is/idleNodes") == 2.0, "{report:#}");
    ensure!(report["examples"].as_array().is_some_and(|examples| !examples.is_empty()), "{report:#}");
    ns.clear().await
}
