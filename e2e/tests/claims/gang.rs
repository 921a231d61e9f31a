//! Gangs whose members have claims: all get their devices, in one NVLink domain, or none does.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::devices::{self, GPUS, request};
use testudo_e2e::{Observer, PodBuilder, node};

use super::Setting;
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("claims::a_gang_gets_its_devices_in_one_clique", in_one_clique)]
}

/// A member of one tensor-parallel set over whole nodes.
pub fn member(s: &Setting, gang: &str, at: usize, size: usize) -> PodBuilder {
    let pod = s.pod(&format!("{gang}-{at}")).device_claim_template("whole");
    let pod = pod.annotation("testudo.dev/pod-group", gang).annotation("testudo.dev/min-member", &size.to_string());
    pod.annotation("testudo.dev/tensor-parallel-size", &(GPUS * size).to_string())
}

fn names(gang: &str, size: usize) -> Vec<String> {
    (0..size).map(|at| format!("{gang}-{at}")).collect()
}

async fn in_one_clique(d: Arc<Deployed>) -> Result<()> {
    let s = Setting::new(&d, "claims-gang").await?;
    let racks = ["left", "left", "right", "left", "right", "right", "right"];
    let nodes = racks.iter().enumerate().map(|(at, rack)| {
        node(&s.node_name(&format!("{rack}-{at}"))).label("nvidia.com/gpu.clique", format!("7c2a.{rack}"))
    });
    s.nodes(nodes, devices::whole_gpus).await?;
    s.cp.apply(devices::template(s.ns.name(), "whole", vec![request("gpus", &s.gpu, GPUS, None)])).await?;
    let observer = Observer::start(&s.ns).await?;
    // Four of seven nodes, and only one rack has four.
    s.ns.create_all((0..4).map(|at| member(&s, "four", at, 4))).await?;
    let placed = observer.until_bound(&names("four", 4)).await?;
    ensure!(placed.iter().all(|node| node.starts_with("claims-gang-right-")), "one NVLink set is on {placed:?}");
    // What is left are three nodes: a gang of four waits, and has no device; one of three passes it.
    s.ns.create_all((0..4).map(|at| member(&s, "late", at, 4))).await?;
    s.ns.until_event("late-0", |event| event.reason == "GangWaiting").await?;
    s.ns.create_all((0..3).map(|at| member(&s, "three", at, 3))).await?;
    observer.until_bound(&names("three", 3)).await?;
    s.ns.check_devices(&s.cp).await?;
    observer.check_never_bound(|name| name.starts_with("late-"))?;
    s.ns.delete_all(&names("four", 4)).await?;
    observer.until_bound(&names("late", 4)).await?;
    s.ns.check_devices(&s.cp).await?;
    s.ns.clear().await
}
