//! GB200: a tensor-parallel set larger than a node stays in one rack, where NVLink connects the nodes.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::{Namespace, Observer, PodBuilder, pod};

use super::{WINDOW, gb200, names, of_gang};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("gangs::a_set_larger_than_a_node_stays_in_its_clique", stays_in_its_clique)]
}

/// So many trays each, of which the first are taken.
const RACKS: [(&str, usize, usize); 2] = [("left", 6, 3), ("right", 6, 2)];

fn tray(rack: &str, at: usize) -> String {
    format!("clique-{rack}-{at}")
}

fn of_set(gang: &str, index: usize, size: usize) -> PodBuilder {
    let pod = of_gang(pod(&format!("{gang}-{index}")).gpus(4), gang, size);
    pod.annotation("testudo.dev/tensor-parallel-size", &(4 * size).to_string())
}

async fn create_racks(ns: &Namespace) -> Result<()> {
    for (rack, trays, taken) in RACKS {
        ns.create_nodes((0..trays).map(|at| gb200(&tray(rack, at), &format!("7c2a.{rack}")))).await?;
        let taker = |at| pod(&format!("taker-{rack}-{at}")).gpus(4).selector("kubernetes.io/hostname", &tray(rack, at));
        ns.create_all((0..taken).map(taker)).await?;
    }
    ns.until_count_bound(RACKS.iter().map(|(_, _, taken)| taken).sum()).await?;
    Ok(())
}

async fn stays_in_its_clique(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("clique").await?;
    create_racks(&ns).await?;
    let observer = Observer::start(&ns).await?;
    // Seven trays are free, three in one rack and four in the other.
    ns.create_all((0..5).map(|index| of_set("large", index, 5))).await?;
    let why = "gang clique/large: needs 20 GPUs in one NVLink fabric, the largest free is 16 in 7c2a.right";
    for name in names("large", 5) {
        ns.until_pending_with_message(&name, &[why]).await?;
    }
    // What fits passes it.
    ns.create_all((0..4).map(|index| of_set("four", index, 4))).await?;
    let nodes = observer.until_bound_together(&names("four", 4), WINDOW).await?;
    ensure!(nodes.iter().all(|node| node.starts_with("clique-right-")), "16 GPUs of one set are on {nodes:?}");
    ns.create_all((0..3).map(|index| of_set("three", index, 3))).await?;
    let nodes = observer.until_bound_together(&names("three", 3), WINDOW).await?;
    ensure!(nodes.iter().all(|node| node.starts_with("clique-left-")), "12 GPUs of one set are on {nodes:?}");
    observer.check_never_bound(|name| name.starts_with("large-"))?;
    // With room in one rack it starts there.
    ns.delete_all(&["taker-right-0", "four-0", "four-1", "four-2", "four-3"]).await?;
    let nodes = observer.until_bound_together(&names("large", 5), WINDOW).await?;
    ensure!(nodes.iter().all(|node| node.starts_with("clique-right-")), "20 GPUs of one set are on {nodes:?}");
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}
