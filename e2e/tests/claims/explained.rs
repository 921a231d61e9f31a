//! What `testudo explain claim` says stands against a claim: once that is gone, the pod starts.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use libtest_mimic::Trial;
use serde_json::Value;
use testudo_e2e::command::{Answer, ask};
use testudo_e2e::devices::{self, request};

use super::Setting;
use crate::deployed::Deployed;
use crate::stage::Stage;

/// Alone: a claim would take the free devices of other scenarios' nodes.
pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed_alone("explain::a_claim_whose_devices_are_in_use", in_use),
        stage.deployed_alone("explain::a_claim_that_selects_no_device", not_selected),
        stage.deployed_alone("explain::a_claim_that_does_not_exist", missing),
    ]
}

/// What is said of a claim, and of it on a node.
async fn explain(d: &Deployed, s: &Setting, claim: &str, node: &str) -> Result<(Value, Value)> {
    let Answer { is_yes, json } = ask(d.cp.admin(), &["explain", "claim", &format!("{}/{claim}", s.ns.name())]).await?;
    ensure!(!is_yes && json["verdict"] == "fits-nowhere", "{json}");
    let miss = json["misses"].as_array().into_iter().flatten().find(|miss| miss["node"] == node).cloned();
    let miss = miss.with_context(|| format!("nothing is said of {node}: {json}"))?;
    Ok((json, miss))
}

fn is_advised(json: &Value, words: &str) -> Result<()> {
    let advice = json["whatToDo"].as_array().into_iter().flatten().filter_map(Value::as_str);
    ensure!(advice.clone().any(|advice| advice.contains(words)), "{words:?} is not in {json}");
    Ok(())
}

async fn has_devices(d: &Deployed, s: &Setting, claim: &str) -> Result<()> {
    let Answer { is_yes, json } = ask(d.cp.admin(), &["explain", "claim", &format!("{}/{claim}", s.ns.name())]).await?;
    ensure!(is_yes && json["verdict"] == "allocated", "{json}");
    Ok(())
}

async fn in_use(d: Arc<Deployed>) -> Result<()> {
    let s = Setting::new(&d, "explain-claim-used").await?;
    s.node("a", devices::whole_gpus).await?;
    s.claim("holder", vec![request("r", &s.gpu, 7, None)], vec![]).await?;
    s.ns.create(s.pod("holder").device_claim("holder")).await?;
    s.ns.until_running("holder").await?;
    s.claim("wants", vec![request("r", &s.gpu, 2, None)], vec![]).await?;
    s.ns.create(s.pod("wants").device_claim("wants")).await?;
    s.ns.until_event("wants", |event| event.reason == "ClaimsWaiting").await?;

    let (json, miss) = explain(&d, &s, "wants", &s.node_name("a")).await?;
    ensure!(miss["usable"] == 1 && miss["needed"] == 2, "{miss}");
    ensure!(miss["reason"].as_str().is_some_and(|reason| reason.contains("7 in use")), "{miss}");
    is_advised(&json, "devices that would do are in use")?;
    let of_pod = ask(d.cp.admin(), &["explain", "pod", &format!("{}/wants", s.ns.name())]).await?;
    ensure!(!of_pod.is_yes && of_pod.json["verdict"] == "waits-for-claims", "{}", of_pod.json);
    s.ns.delete_all(&["holder"]).await?;
    s.ns.until_running("wants").await?;
    has_devices(&d, &s, "wants").await?;
    s.ns.clear().await
}

async fn not_selected(d: Arc<Deployed>) -> Result<()> {
    let s = Setting::new(&d, "explain-claim-picky").await?;
    s.node("a", devices::whole_gpus).await?;
    let other = format!("device.attributes['{}'].productName == 'NVIDIA A30'", devices::DRIVER);
    s.claim("picky", vec![request("r", &s.gpu, 1, Some(&other))], vec![]).await?;
    s.ns.create(s.pod("picky").device_claim("picky")).await?;
    s.ns.until_event("picky", |event| event.reason == "ClaimsWaiting").await?;

    let (json, miss) = explain(&d, &s, "picky", &s.node_name("a")).await?;
    ensure!(miss["usable"] == 0 && miss["reason"].as_str().is_some_and(|why| why.contains("8 not selected")), "{miss}");
    is_advised(&json, "widen the selectors")?;
    s.ns.device_claims().delete("picky", &DeleteParams::default()).await.context("cannot delete the claim")?;
    s.claim("picky", vec![request("r", &s.gpu, 1, None)], vec![]).await?;
    s.ns.until_running("picky").await?;
    has_devices(&d, &s, "picky").await?;
    s.ns.clear().await
}

async fn missing(d: Arc<Deployed>) -> Result<()> {
    let s = Setting::new(&d, "explain-claim-missing").await?;
    s.node("a", devices::whole_gpus).await?;
    s.ns.create(s.pod("early").device_claim("late")).await?;
    let name = format!("{}/late", s.ns.name());
    let of_pod = ask(d.cp.admin(), &["explain", "pod", &format!("{}/early", s.ns.name())]).await?;
    ensure!(!of_pod.is_yes && of_pod.json["verdict"] == "waits-for-claims", "{}", of_pod.json);
    let said = of_pod.json["reason"].as_str().unwrap_or_default();
    ensure!(said.contains(&format!("claim {name} does not exist")), "{said}");
    s.claim("late", vec![request("r", &s.gpu, 1, None)], vec![]).await?;
    s.ns.until_running("early").await?;
    has_devices(&d, &s, "late").await?;
    s.ns.clear().await
}
