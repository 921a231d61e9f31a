//! Pods of no gang, each with claims of its own.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::devices::{self, of_profile, request};

use super::Setting;
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("claims::a_pod_gets_devices_and_then_its_node", gets_devices_and_then_its_node)]
}

async fn gets_devices_and_then_its_node(d: Arc<Deployed>) -> Result<()> {
    let s = Setting::new(&d, "claims-single").await?;
    s.node("mig", devices::dynamic_mig).await?;
    s.node("whole", devices::whole_gpus).await?;
    // A claim by its name, for a slice: where the GPU loses least by it, not at the first that fits.
    let profile = of_profile("1g.10gb");
    s.claim("slice", vec![request("r", &s.mig, 1, Some(&profile))], vec![]).await?;
    s.ns.create(s.pod("slice").device_claim("slice")).await?;
    s.ns.until_running("slice").await?;
    let device = s.devices_of("slice").await?;
    ensure!(device.iter().all(|name| name.ends_with("-6")), "a slice at the end leaves most: {device:?}");
    // Two GPUs that are linked.
    let linked = json!({"matchAttribute": "resource.kubernetes.io/pcieRoot"});
    s.claim("pair", vec![request("r", &s.gpu, 2, None)], vec![linked]).await?;
    s.ns.create(s.pod("pair").device_claim("pair")).await?;
    s.ns.until_running("pair").await?;
    s.check_books().await?;
    s.ns.clear().await
}
