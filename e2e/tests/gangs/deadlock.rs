//! Two gangs that cannot run at the same time, their pods made in turns.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::{ControlPlane, Observer, Scheduler, SchedulerConfig};

use super::{WINDOW, bound, h100s, member, names, until_whole};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("gangs::one_of_two_starts_and_then_the_other", one_of_two_starts_and_then_the_other),
        stage.scenario("gangs::plain_kube_scheduler_deadlocks", plain_kube_scheduler_deadlocks),
    ]
}

/// 60 % of ten nodes.
const SIZE: usize = 6;

async fn one_of_two_starts_and_then_the_other(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-two").await?;
    ns.create_nodes(h100s(&ns, 10)).await?;
    let observer = Observer::start(&ns).await?;
    for index in 0..SIZE {
        ns.create(member("a", index, SIZE)).await?;
        ns.create(member("b", index, SIZE)).await?;
    }
    let first = until_whole(&ns, SIZE).await?;
    observer.until_bound_together(&names(&first, SIZE), WINDOW).await?;
    let second = if first == "a" { "b" } else { "a" };
    let why = format!("gang gang-two/{second}: needs {SIZE} places");
    for name in names(second, SIZE) {
        ns.until_pending_with_message(&name, &[&why]).await?;
    }
    ns.until_event(&format!("{first}-0"), |event| event.reason == "GangStarted").await?;
    ns.until_event(&format!("{second}-0"), |event| event.reason == "GangWaiting" && event.note.contains(&why)).await?;
    ns.until_all_running(&names(&first, SIZE)).await?;
    observer.check_never_bound(|name| name.starts_with(second))?;
    ns.delete_all(&names(&first, SIZE)).await?;
    observer.until_bound_together(&names(second, SIZE), WINDOW).await?;
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

/// Why testudo exists.
async fn plain_kube_scheduler_deadlocks(cp: Arc<ControlPlane>) -> Result<()> {
    let name = "plain-scheduler";
    let _scheduler = Scheduler::start(&cp, &SchedulerConfig::default().named(name)).await?;
    let ns = cp.namespace("gang-plain").await?;
    ns.create_nodes(h100s(&ns, 10)).await?;
    for index in 0..SIZE {
        ns.create(member("a", index, SIZE).scheduler(name)).await?;
        ns.create(member("b", index, SIZE).scheduler(name)).await?;
    }
    ns.until_count_bound(10).await?;
    let counts = bound(&ns).await?;
    ensure!(counts.values().all(|count| *count < SIZE), "a gang is whole: {counts:?}");
    ns.clear().await
}
