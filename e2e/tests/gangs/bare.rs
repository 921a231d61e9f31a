//! Pods that nobody but an annotation makes a gang.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::{Observer, pod};

use super::{GATE, WINDOW, h100, h100s, member, names};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("gangs::a_gate_goes_when_there_is_a_place", a_gate_goes_when_there_is_a_place),
        stage.deployed("gangs::some_with_a_gate_and_some_without", some_with_a_gate_and_some_without),
        stage.deployed("gangs::a_reason_that_has_changed_is_shown", a_reason_that_has_changed_is_shown),
        stage.deployed("gangs::more_than_must_start_together", more_than_must_start_together),
    ]
}

async fn a_gate_goes_when_there_is_a_place(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-gate").await?;
    ns.create_nodes(h100s(&ns, 2)).await?;
    let observer = Observer::start(&ns).await?;
    ns.create(member("g", 0, 2).gate(GATE)).await?;
    ns.until_gated("g-0").await?;
    // By the time one that was made later runs, testudo has seen the first, and left it alone.
    ns.create(pod("witness")).await?;
    ns.until_running("witness").await?;
    ns.until_gated("g-0").await?;
    ns.create(member("g", 1, 2).gate(GATE)).await?;
    let nodes = observer.until_bound_together(&names("g", 2), WINDOW).await?;
    ensure!(nodes[0] != nodes[1], "{nodes:?}");
    for name in names("g", 2) {
        let pod = ns.until_running(&name).await?;
        ensure!(pod.spec.and_then(|spec| spec.scheduling_gates).unwrap_or_default().is_empty());
    }
    ns.clear().await
}

/// A gate of somebody else is not for us to open, and such a pod is no member yet.
async fn some_with_a_gate_and_some_without(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-gates").await?;
    ns.create_nodes(h100s(&ns, 3)).await?;
    let observer = Observer::start(&ns).await?;
    ns.create(member("g", 0, 3)).await?;
    ns.create(member("g", 1, 3).gate(GATE)).await?;
    ns.create(member("g", 2, 3).gate(GATE).gate("example.com/approval")).await?;
    let why = "gang gang-gates/g: 2 of 3 members exist, 1 more have other scheduling gates";
    ns.until_pending_with_message("g-0", &[why]).await?;
    observer.check_never_bound(|_| true)?;
    ns.open_gate("g-2", "example.com/approval").await?;
    let nodes = observer.until_bound_together(&names("g", 3), WINDOW).await?;
    ensure!(nodes.iter().collect::<BTreeSet<_>>().len() == 3, "{nodes:?}");
    ns.until_all_running(&names("g", 3)).await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

/// Also on pods that nothing else would make the scheduler look at.
async fn a_reason_that_has_changed_is_shown(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-reason").await?;
    ns.create_nodes(h100s(&ns, 3)).await?;
    ns.create(member("g", 0, 4)).await?;
    ns.until_pending_with_message("g-0", &["gang gang-reason/g: 1 of 4 members exist"]).await?;
    ns.create(member("g", 1, 4)).await?;
    for name in names("g", 2) {
        ns.until_pending_with_message(&name, &["gang gang-reason/g: 2 of 4 members exist"]).await?;
    }
    ns.create_all([member("g", 2, 4), member("g", 3, 4)]).await?;
    for name in names("g", 4) {
        ns.until_pending_with_message(&name, &["gang gang-reason/g: needs 4 places"]).await?;
    }
    ns.clear().await
}

/// Two must start together; the others come as there is room, and so do those that are made when the gang runs.
async fn more_than_must_start_together(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-elastic").await?;
    ns.create_node(h100("gang-elastic-0")).await?;
    let observer = Observer::start(&ns).await?;
    ns.create_all((0..4).map(|index| member("g", index, 2))).await?;
    for name in names("g", 4) {
        ns.until_pending_with_message(&name, &["gang gang-elastic/g: needs 2 places"]).await?;
    }
    observer.check_never_bound(|_| true)?;
    ns.create_node(h100("gang-elastic-1")).await?;
    let first: Vec<String> = ns.until_count_bound(2).await?.into_keys().collect();
    observer.until_bound_together(&first, WINDOW).await?;
    for (node, count) in [("gang-elastic-2", 3), ("gang-elastic-3", 4)] {
        ns.create_node(h100(node)).await?;
        ns.until_count_bound(count).await?;
    }
    ns.create(member("g", 4, 2)).await?;
    ns.until_pending_with_message("g-4", &["Insufficient nvidia.com/gpu"]).await?;
    ns.create_node(h100("gang-elastic-4")).await?;
    ns.until_all_running(&names("g", 5)).await?;
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}
