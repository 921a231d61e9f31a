//! testudo goes away and comes back: its pods wait, none is lost, none is placed twice.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::node::NodeBuilder;
use testudo_e2e::{node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("outage::without_testudo_nothing_is_placed", without_testudo_nothing_is_placed),
        stage.deployed("outage::killed_in_a_burst_and_back", killed_in_a_burst_and_back),
    ]
}

/// To be listed last: the control plane needs a while to recover.
pub fn restart(stage: &Stage) -> Trial {
    stage.deployed_alone("outage::api_server_restarted_meanwhile", api_server_restarted_meanwhile)
}

fn l40s(name: &str) -> NodeBuilder {
    node(name).product("NVIDIA-L40S", 46068).gpus(8)
}

async fn without_testudo_nothing_is_placed(d: Arc<Deployed>) -> Result<()> {
    let name = "outage-scheduler";
    let mut pair = d.pair(name).await?;
    let ns = d.cp.namespace("outage").await?;
    ns.create_node(l40s("outage-a")).await?;
    ns.create(pod("before").gpus(1).scheduler(name)).await?;
    ns.until_running("before").await?;
    pair.testudo.stop().await?;
    ns.create(pod("meanwhile").gpus(1).scheduler(name)).await?;
    // kube-scheduler's own words for an extender that does not answer.
    ns.until_pending_with_message("meanwhile", &["/v1/filter", "connection refused"]).await?;
    pair.testudo.restart().await?;
    ns.until_running("meanwhile").await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

async fn killed_in_a_burst_and_back(d: Arc<Deployed>) -> Result<()> {
    let name = "burst-scheduler";
    let mut pair = d.pair(name).await?;
    let ns = d.cp.namespace("burst").await?;
    ns.create_nodes(["burst-a", "burst-b", "burst-c"].map(l40s)).await?;
    // As many as there are places, so that one that was counted twice would keep another out.
    let names: Vec<String> = (0..24).map(|index| format!("burst-{index:02}")).collect();
    let pods =
        |names: &[String]| names.iter().map(|pod_name| pod(pod_name).gpus(1).scheduler(name)).collect::<Vec<_>>();
    ns.create_all(pods(&names[..16])).await?;
    ns.until_count_bound(3).await?;
    pair.testudo.kill()?;
    ns.create_all(pods(&names[16..])).await?;
    ns.until_pending_with_message(&names[23], &["/v1/filter"]).await?;
    pair.testudo.restart().await?;
    let placed = ns.until_count_bound(24).await?;
    ensure!(placed.len() == 24);
    for name in &names {
        ns.until_running(name).await?;
    }
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

/// One testudo stays up while its watches break, the other comes back while the API server is away.
async fn api_server_restarted_meanwhile(d: Arc<Deployed>) -> Result<()> {
    let names = ["staying-scheduler", "leaving-scheduler"];
    let _staying = d.pair(names[0]).await?;
    let mut leaving = d.pair(names[1]).await?;
    let mut places = Vec::new();
    for name in names {
        let ns = d.cp.namespace(name).await?;
        ns.create_node(l40s(name)).await?;
        ns.create(pod("before").gpus(4).scheduler(name)).await?;
        ns.until_running("before").await?;
        places.push((name, ns));
    }
    leaving.testudo.kill()?;
    let (name, ns) = &places[1];
    ns.create(pod("meanwhile").gpus(2).scheduler(name)).await?;
    ns.until_pending_with_message("meanwhile", &["/v1/filter"]).await?;
    let (server, testudo) = tokio::join!(d.cp.restart_apiserver(), leaving.testudo.restart());
    server?;
    testudo?;
    ns.until_running("meanwhile").await?;
    for (name, ns) in &places {
        ns.create(pod("after").gpus(2).scheduler(name)).await?;
        ns.until_running("after").await?;
        // Whatever was forgotten on the way would be given away again here.
        ns.create(pod("too-many").gpus(4).scheduler(name)).await?;
        ns.until_pending_with_message("too-many", &["Insufficient nvidia.com/gpu"]).await?;
        ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    }
    for (_, ns) in places {
        ns.check_nothing_is_overcommitted().await?;
        ns.clear().await?;
    }
    Ok(())
}
