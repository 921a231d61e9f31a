//! Places that are kept for pods to come are free again when nobody will make these any more.

use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::Trial;
use testudo_e2e::pod::PodBuilder;
use testudo_e2e::{Observer, pod};

use super::{WINDOW, h100s, intrude, names, until_turned_away};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("gangs::places_of_a_gang_that_is_gone_are_free", places_of_a_gang_that_is_gone_are_free),
        stage.deployed("gangs::places_are_not_kept_for_ever", places_are_not_kept_for_ever),
    ]
}

/// The leader of a group of so many.
fn leader(name: &str, size: usize) -> PodBuilder {
    pod(&format!("{name}-0"))
        .gpus(8)
        .label("leaderworkerset.sigs.k8s.io/name", name)
        .label("leaderworkerset.sigs.k8s.io/group-index", "0")
        .label("leaderworkerset.sigs.k8s.io/worker-index", "0")
        .annotation("leaderworkerset.sigs.k8s.io/size", &size.to_string())
}

async fn places_of_a_gang_that_is_gone_are_free(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-gone").await?;
    ns.create_nodes(h100s(&ns, 3)).await?;
    let observer = Observer::start(&ns).await?;
    ns.create(leader("g", 3)).await?;
    ns.until_running("g-0").await?;
    let intruders = intrude(&ns, 3, 8).await?;
    until_turned_away(&ns, &intruders).await?;
    observer.check_never_bound(super::is_intruder)?;
    ns.delete("g-0").await?;
    ns.until_all_running(&intruders).await?;
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

/// The leader goes on to run, and its workers start if they still come while there is room.
async fn places_are_not_kept_for_ever(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-hold").await?;
    ns.create_nodes(h100s(&ns, 3)).await?;
    let observer = Observer::start(&ns).await?;
    ns.create(leader("g", 3).annotation("testudo.dev/hold-timeout", "3s")).await?;
    ns.until_running("g-0").await?;
    let intruders = intrude(&ns, 2, 8).await?;
    ns.until_all_running(&intruders).await?;
    ns.until_running("g-0").await?;
    for index in 1..3 {
        let worker = leader("g", 3).named(&format!("g-0-{index}"));
        ns.create(worker.label("leaderworkerset.sigs.k8s.io/worker-index", &index.to_string())).await?;
    }
    let workers = names("g-0", 3).split_off(1);
    for worker in &workers {
        ns.until_pending_with_message(worker, &["nvidia.com/gpu"]).await?;
    }
    ns.delete(&intruders[0]).await?;
    ns.delete(&intruders[1]).await?;
    observer.until_bound_together(&workers, WINDOW).await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}
