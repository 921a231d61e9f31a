//! Pods that ask for a resource by name which devices serve: kube-scheduler makes their claims, beside those that testudo
//! gives their devices.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
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
    serve_by_name(&s).await?;
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

/// Partitions of one profile serve the resource, by a class of their own: whoever asks for another profile by claim goes on
/// to use the class of all.
pub async fn serve_by_name(s: &Setting) -> Result<()> {
    let mut class = devices::class(&format!("{}-by-name", s.mig), "mig");
    class["spec"]["extendedResourceName"] = json!(RESOURCE);
    let selectors = class["spec"]["selectors"].as_array_mut().context("a class has selectors")?;
    selectors.push(json!({"cel": {"expression": of_profile(PROFILE)}}));
    s.cp.apply(class).await.map(drop)
}
