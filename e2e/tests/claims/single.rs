//! Pods of no gang, each with claims of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::Version;
use testudo_e2e::devices::{self, ask, first_available, of_profile, request};

use super::Setting;
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    let mut scenarios = vec![stage.deployed("claims::a_pod_gets_devices_and_then_its_node", gets_its_devices)];
    // Before 1.36 the API server drops the counters that partitions share.
    if matches!(Version::from_env(), Ok(Version::V1_36)) {
        // Alone: what comes to be asked for most, all over the cluster, decides where instances are put.
        scenarios.push(stage.deployed_alone("claims::slices_are_made_on_demand", slices_on_demand));
    }
    scenarios
}

async fn gets_its_devices(d: Arc<Deployed>) -> Result<()> {
    let s = Setting::new(&d, "claims-single").await?;
    s.node("a", devices::whole_gpus).await?;
    // Two GPUs that are linked.
    let linked = json!({"matchAttribute": "resource.kubernetes.io/pcieRoot"});
    s.claim("pair", vec![request("r", &s.gpu, 2, None)], vec![linked]).await?;
    s.ns.create(s.pod("pair").device_claim("pair")).await?;
    s.ns.until_running("pair").await?;
    let pair = s.devices_of("pair").await?;
    let roots: Vec<Option<u32>> =
        pair.iter().map(|gpu| gpu.name.chars().last()?.to_digit(10).map(|gpu| gpu / 2)).collect();
    ensure!(roots.len() == 2 && roots[0] == roots[1], "{pair:?} hang on different PCIe roots");
    // The second choice, where there is no room for the first.
    let most = first_available("r", [("nine", ask(&s.gpu, 9, None)), ("six", ask(&s.gpu, 6, None))]);
    s.claim("choice", vec![most], vec![]).await?;
    s.ns.create(s.pod("choice").device_claim("choice")).await?;
    s.ns.until_running("choice").await?;
    ensure!(s.devices_of("choice").await?.len() == 6);
    s.ns.check_devices(&s.cp).await?;
    // There are none left, and the pod is told; it runs when there are.
    s.claim("late", vec![request("r", &s.gpu, 7, None)], vec![]).await?;
    s.ns.create(s.pod("late").device_claim("late")).await?;
    // kube-scheduler sees by itself that there are none, and does not ask us.
    let why = "no node has free devices: claim claims-single/late needs 7 devices";
    s.ns.until_event("late", |event| event.reason == "ClaimsWaiting" && event.note.contains(why)).await?;
    s.ns.delete_all(&["pair", "choice"]).await?;
    s.ns.until_running("late").await?;
    s.ns.check_devices(&s.cp).await?;
    s.ns.clear().await
}

async fn slices_on_demand(d: Arc<Deployed>) -> Result<()> {
    let s = Setting::new(&d, "claims-slices").await?;
    s.node("a", devices::dynamic_mig).await?;
    // A claim by its name, for a slice: where the GPU loses least by it, not at the first that fits.
    let profile = of_profile("1g.10gb");
    s.claim("slice", vec![request("r", &s.mig, 1, Some(&profile))], vec![]).await?;
    s.ns.create(s.pod("slice").device_claim("slice")).await?;
    s.ns.until_running("slice").await?;
    let device = s.devices_of("slice").await?;
    ensure!(
        !device.iter().any(|device| device.name.ends_with("-0")),
        "kube-scheduler would take the first: {device:?}"
    );
    // Claims that are made from a template.
    s.cp.apply(devices::template(s.ns.name(), "slices", vec![request("r", &s.mig, 1, Some(&profile))])).await?;
    let replicas: Vec<String> = (0..6).map(|at| format!("replica-{at}")).collect();
    s.ns.create_all(replicas.iter().map(|name| s.pod(name).device_claim_template("slices"))).await?;
    s.ns.until_all_running(&replicas).await?;
    s.ns.check_devices(&s.cp).await?;
    // All on one GPU: the others stay whole.
    let holdings = s.ns.holdings().await?;
    let devices = holdings.iter().flat_map(|holding| &holding.devices);
    let gpus: BTreeSet<&str> = devices.filter_map(|device| device.name.split("-mig-").next()).collect();
    ensure!(gpus.len() == 1, "seven slices are on {gpus:?}");
    s.ns.clear().await
}
