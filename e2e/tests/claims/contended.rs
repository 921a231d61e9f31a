//! Somebody else gives out the devices that testudo has given: it is found, told, and ours gives way where it has not
//! started.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams};
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::devices::{self, DRIVER, request};
use testudo_e2e::wait::{self, Look, PATIENCE};

use super::Setting;
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("claims::a_device_given_twice_is_found", a_device_given_twice_is_found)]
}

/// So long it may take until it is known.
const FOUND_WITHIN: Duration = Duration::from_secs(2);

async fn a_device_given_twice_is_found(d: Arc<Deployed>) -> Result<()> {
    give_and_take_back(&d, "claims-twice").await
}

/// testudo gives a claim a device, which another allocator gives away as well, and takes it back.
pub async fn give_and_take_back(d: &Deployed, name: &str) -> Result<()> {
    let s = Setting::new(d, name).await?;
    s.node("a", devices::whole_gpus).await?;
    // Nobody brings this pod to bind, since its node has something that only kube-scheduler sees.
    s.claim("ours", vec![request("r", &s.gpu, 1, None)], vec![]).await?;
    s.ns.create(s.pod("ours").device_claim("ours").claim("missing-volume")).await?;
    let device = wait::until("our claim to have its device", PATIENCE, async || {
        let device = s.given().await?.remove("ours").flatten().and_then(|given| given.devices.into_iter().next());
        Ok(device.map_or_else(|| Look::NotYet("none".into()), Look::Done))
    })
    .await?;
    let (pool, device) = device.split_once('/').context("pool and device")?;
    // Another allocator has not seen that yet.
    s.claim("theirs", vec![request("r", &s.gpu, 1, None)], vec![]).await?;
    let result = json!({"request": "r", "driver": DRIVER, "pool": pool, "device": device});
    let status = json!({"status": {
        "allocation": {"devices": {"results": [result]}, "allocationTimestamp": "2026-01-01T00:00:00Z"},
        "reservedFor": [{"resource": "pods", "name": "theirs", "uid": "0"}],
    }});
    s.claims().patch_status("theirs", &PatchParams::default(), &Patch::Merge(&status)).await?;
    let begin = Instant::now();
    let events: Api<Event> = Api::namespaced(s.cp.client(), s.ns.name());
    wait::until("an event about the device", PATIENCE, async || {
        let events = events.list(&ListParams::default()).await.context("cannot list events")?.items;
        let told = events.iter().filter(|event| event.reason.as_deref() == Some("DeviceGivenTwice"));
        let claims: BTreeSet<Option<&str>> =
            told.map(|event| event.regarding.as_ref().and_then(|claim| claim.name.as_deref())).collect();
        Ok(if claims.len() == 2 { Look::Done(()) } else { Look::NotYet(format!("told: {claims:?}")) })
    })
    .await?;
    wait::until("ours to give way", PATIENCE, async || {
        let ours = s.given().await?.remove("ours").flatten();
        let still = ours.filter(|ours| ours.devices.iter().any(|held| held.ends_with(&format!("/{device}"))));
        Ok(if still.is_none() { Look::Done(()) } else { Look::NotYet("it has the device still".into()) })
    })
    .await?;
    ensure!(begin.elapsed() < FOUND_WITHIN, "found only after {:?}", begin.elapsed());
    s.ns.clear().await
}
