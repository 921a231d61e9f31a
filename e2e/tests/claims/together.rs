//! All kinds of claims beside each other on one fleet: in the end all pods run, and every device is one claim's.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::devices::{self, DRIVER, GPUS, ask, first_available, of_profile, request};
use testudo_e2e::{Version, node};

use super::extended::{self, PROFILE, RESOURCE};
use super::{Setting, gang};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    // Before 1.36 the API server drops the counters that partitions share.
    match Version::from_env() {
        Ok(Version::V1_36) => vec![stage.deployed("claims::all_kinds_side_by_side", side_by_side)],
        _ => vec![],
    }
}

async fn side_by_side(d: Arc<Deployed>) -> Result<()> {
    let s = Setting::new(&d, "claims-all").await?;
    // Two nodes that are cut to order, and two NVLink domains, of which one is too small for the gang.
    s.nodes(["mig-0", "mig-1"].map(|name| node(&s.node_name(name))), devices::dynamic_mig).await?;
    let racks = ["left", "left", "left", "right", "right", "right", "right", "right"];
    let whole = racks.iter().enumerate().map(|(at, rack)| {
        node(&s.node_name(&format!("{rack}-{at}"))).label("nvidia.com/gpu.clique", format!("7c2b.{rack}"))
    });
    s.nodes(whole, devices::whole_gpus).await?;
    extended::serve_by_name(&s).await?;

    let namespace = s.ns.name();
    let slice = |profile: &str| vec![request("r", &s.mig, 1, Some(&of_profile(profile)))];
    s.claim("named", slice("4g.40gb"), vec![]).await?;
    s.cp.apply(devices::template(namespace, "slices", slice("1g.10gb"))).await?;
    s.cp.apply(devices::template(namespace, "whole", vec![request("gpus", &s.gpu, GPUS, None)])).await?;
    // No node has nine GPUs, and no profile is called so: the third is left.
    let choice = first_available(
        "r",
        [
            ("nine", ask(&s.gpu, GPUS + 1, None)),
            ("none", ask(&s.mig, 1, Some(&of_profile("5g.50gb")))),
            ("third", ask(&s.mig, 1, Some(&of_profile("3g.40gb")))),
        ],
    );
    s.claim("choice", vec![choice], vec![]).await?;
    let linked = json!({"matchAttribute": format!("{DRIVER}/partition2")});
    s.claim("pair", vec![request("r", &s.gpu, 2, None)], vec![linked]).await?;

    let mut pods = vec![];
    for name in ["named", "choice", "pair"] {
        pods.push(s.pod(name).device_claim(name));
    }
    pods.extend((0..12).map(|at| s.pod(&format!("slice-{at}")).device_claim_template("slices")));
    pods.extend((0..6).map(|at| s.pod(&format!("resource-{at}")).request(RESOURCE, 1)));
    pods.extend((0..4).map(|at| gang::member(&s, "gang", at, 4)));
    let names: Vec<String> = pods.iter().map(|pod| pod.name().to_owned()).collect();
    s.ns.create_at_once(pods).await?;
    s.ns.until_all_running(&names).await?;

    s.ns.check_devices(&s.cp).await?;
    let placed = s.ns.placements().await?;
    let on: Vec<&String> = (0..4).map(|at| &placed[&format!("gang-{at}")]).collect();
    ensure!(on.iter().all(|node| node.starts_with("claims-all-right-")), "one NVLink set is on {on:?}");
    let given = |claim: &str| {
        let claim = format!("{namespace}/{claim}");
        let holdings = s.ns.holdings();
        async move { Ok::<_, anyhow::Error>(holdings.await?.into_iter().find(|it| it.claim == claim)) }
    };
    let devices = |holding: Option<testudo_e2e::device_books::Holding>| -> Vec<String> {
        holding.into_iter().flat_map(|holding| holding.devices).map(|device| device.name).collect()
    };
    let pair = devices(given("pair").await?);
    let partition = |name: &String| name.strip_prefix("gpu-")?.parse::<usize>().ok().map(|gpu| gpu / 2);
    ensure!(pair.len() == 2 && partition(&pair[0]) == partition(&pair[1]), "{pair:?} are not linked");
    let choice = devices(given("choice").await?);
    ensure!(choice.len() == 1 && choice[0].contains("-mig-3g40gb-"), "{choice:?} is not the third choice");
    // Of those that asked by resource kube-scheduler made the claims, and they count as all others do.
    let resources = s.ns.holdings().await?.into_iter().filter(|it| it.claim.contains("/resource-"));
    let resources: Vec<String> = resources.flat_map(|it| it.devices).map(|device| device.name).collect();
    let profile = format!("-mig-{}-", PROFILE.replace('.', ""));
    ensure!(resources.len() == 6 && resources.iter().all(|name| name.contains(&profile)), "{resources:?}");
    s.ns.clear().await
}
