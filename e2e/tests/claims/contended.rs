//! Somebody else gives out the devices that testudo has given: it is found, told, and ours gives way where it has not
//! started.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::Metrics;
use testudo_e2e::devices::{self, DRIVER, request};
use testudo_e2e::doubles::CONDITION;
use testudo_e2e::wait::{self, Look, PATIENCE};

use super::{FOUND_WITHIN, Setting};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("claims::a_device_given_twice_is_found", a_device_given_twice_is_found)]
}

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
        let holding = s.ns.holdings().await?.into_iter().find(|it| it.claim.ends_with("/ours"));
        let device = holding.and_then(|holding| holding.devices.into_iter().next());
        Ok(device.map_or_else(|| Look::NotYet("none".into()), Look::Done))
    })
    .await?;
    // Another allocator has not seen that yet.
    s.claim("theirs", vec![request("r", &s.gpu, 1, None)], vec![]).await?;
    let theirs = s.ns.create(testudo_e2e::pod("theirs").scheduler("somebody-else").device_claim("theirs")).await?;
    let result = json!({"request": "r", "driver": DRIVER, "pool": device.pool, "device": device.name});
    let status = json!({"status": {
        "allocation": {"devices": {"results": [result]}, "allocationTimestamp": "2026-01-01T00:00:00Z"},
        "reservedFor": [{"resource": "pods", "name": "theirs", "uid": theirs.uid()}],
    }});
    s.ns.device_claims().patch_status("theirs", &PatchParams::default(), &Patch::Merge(&status)).await?;
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
        let still =
            s.ns.holdings().await?.into_iter().any(|it| it.claim.ends_with("/ours") && it.devices.contains(&device));
        Ok(if still { Look::NotYet("it has the device still".into()) } else { Look::Done(()) })
    })
    .await?;
    for pod in ["ours", "theirs"] {
        s.ns.until_pod(pod, CONDITION, |pod| condition(pod, "True").or_else(|| condition(pod, "False"))).await?;
    }
    ensure!(begin.elapsed() < FOUND_WITHIN, "found only after {:?}", begin.elapsed());
    let metrics = Metrics::read(s.pair.testudo.metrics()).await?;
    let told = metrics.count("testudo_claim_events_total", &[("outcome", "device_given_twice")])?;
    ensure!(told == 2, "{told} claims were counted");
    // It is over, and whoever keeps the device does not go on to warn of it.
    for pod in ["ours", "theirs"] {
        s.ns.until_pod(pod, "no conflict any more", |pod| condition(pod, "False")).await?;
    }
    s.ns.clear().await
}

/// The condition about devices, if it has this status.
fn condition(pod: &Pod, status: &str) -> Option<()> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().any(|condition| condition.type_ == CONDITION && condition.status == status).then_some(())
}
