//! A pod that fits nowhere says what is missing, says it once, and runs when that appears.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Metrics, Testudo, node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    // Alone: a message counts all nodes of the cluster, and every new node is a reason to look again.
    vec![stage.deployed_alone("pending::says_what_is_missing_until_it_appears", says_what_is_missing)]
}

const MESSAGE: &str = "needs 2 nvidia.com/gpu as one set, node offers time-slicing replicas of GPUs";

async fn says_what_is_missing(d: Arc<Deployed>) -> Result<()> {
    let name = "pending-scheduler";
    let pair = d.pair(name).await?;
    let ns = d.cp.namespace("pending").await?;
    ns.create_nodes([
        node("pending-a").product("NVIDIA-A10G", 23028).time_sliced(4, 4, false),
        node("pending-b").product("NVIDIA-L40S", 46068).gpus(1),
        node("pending-c"),
    ])
    .await?;
    ns.create(pod("two").gpus(2).scheduler(name)).await?;
    let first = ns.until_pending_with_message("two", &[MESSAGE, "2 Insufficient nvidia.com/gpu"]).await?;
    ns.until_event("two", |event| event.reason == "FailedScheduling" && event.note.contains(MESSAGE)).await?;

    // Asked again for every event, and says the same.
    let begun = filter_calls(&pair.testudo).await?;
    ensure!(begun >= 1);
    for kick in 1..=3 {
        ns.annotate("two", "e2e.testudo.dev/kick", &kick.to_string()).await?;
        wait::until(&format!("filter call {kick} after a kick"), PATIENCE, async || {
            let calls = filter_calls(&pair.testudo).await? - begun;
            Ok(if calls >= kick { Look::Done(()) } else { Look::NotYet(format!("{calls} calls")) })
        })
        .await?;
        let message = ns.until_pending_with_message("two", &[MESSAGE]).await?;
        ensure!(message == first, "the message was {first:?} and is {message:?}");
    }
    // And without one it is left in peace. (Longer than the back-off that the kicks have brought about.)
    let kicked = filter_calls(&pair.testudo).await?;
    ensure!(kicked - begun <= 4, "three kicks have brought {} calls", kicked - begun);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = filter_calls(&pair.testudo).await?;
    ensure!(after == kicked, "a rejected pod was filtered {} times for no reason", after - kicked);

    ns.create_node(node("pending-d").product("NVIDIA-L40S", 46068).gpus(2)).await?;
    ensure!(ns.until_bound("two").await? == "pending-d");
    ns.until_running("two").await?;
    ns.clear().await
}

async fn filter_calls(testudo: &Testudo) -> Result<u64> {
    Metrics::read(testudo.metrics()).await?.count("testudo_extender_requests_total", &[("verb", "filter")])
}
