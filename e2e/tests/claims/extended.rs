//! Pods that ask for a resource by name which devices serve: kube-scheduler makes their claims, beside those that testudo
//! gives their devices.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::Version;
use testudo_e2e::devices::{self, of_profile, request};

use super::Setting;
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    // Before 1.36 kube-scheduler makes no such claims by default.
    match Version::from_env() {
        Ok(Version::V1_36) => vec![stage.deployed("claims::pods_that_ask_by_resource", ask_by_resource)],
        _ => vec![],
    }
}

pub const RESOURCE: &str = "nvidia.com/mig-2g.20gb";
pub const PROFILE: &str = "2g.20gb";

async fn ask_by_resource(d: Arc<Deployed>) -> Result<()> {
    let s = Setting::new(&d, "claims-extended").await?;
    s.node("a", devices::dynamic_mig).await?;
    serve_by_name(&s).await.context("cannot change the class")?;
    // Three of that profile fit on each of the eight GPUs.
    let by_name: Vec<String> = (0..8).map(|at| format!("named-{at}")).collect();
    let by_claim: Vec<String> = (0..8).map(|at| format!("claimed-{at}")).collect();
    for name in &by_claim {
        s.claim(name, vec![request("r", &s.mig, 1, Some(&of_profile(PROFILE)))], vec![]).await?;
    }
    for (named, claimed) in by_name.iter().zip(&by_claim) {
        s.ns.create(s.pod(named).request(RESOURCE, 1)).await?;
        s.ns.create(s.pod(claimed).device_claim(claimed)).await?;
    }
    s.ns.until_all_running(&by_name).await?;
    s.ns.until_all_running(&by_claim).await?;
    s.ns.check_devices(&s.cp).await?;
    ensure!(s.ns.holdings().await?.len() == 16, "a claim for each pod");
    s.ns.clear().await
}

/// Devices of the class of partitions, of one profile only, serve the resource.
pub async fn serve_by_name(s: &Setting) -> Result<()> {
    let kind = GroupVersionKind::gvk("resource.k8s.io", "v1", "DeviceClass");
    let classes: Api<DynamicObject> =
        Api::all_with(s.cp.client(), &ApiResource::from_gvk_with_plural(&kind, "deviceclasses"));
    let expression = of_profile(PROFILE);
    let mig = classes.get(&s.mig).await?;
    let mut selectors = mig.data["spec"]["selectors"].as_array().cloned().unwrap_or_default();
    selectors.push(json!({"cel": {"expression": expression}}));
    let patch = json!({"spec": {"selectors": selectors, "extendedResourceName": RESOURCE}});
    classes.patch(&s.mig, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}
