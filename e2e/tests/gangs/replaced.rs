//! A member dies, and another takes its place: beside the same partners, wherever else there is room.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::{Observer, PodBuilder, pod};

use super::{WINDOW, gb200, names, of_gang};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("gangs::a_member_is_replaced_in_its_own_set", a_member_is_replaced_in_its_own_set)]
}

/// Two sets of two trays each.
const SIZE: usize = 4;

fn of_sets(index: usize) -> PodBuilder {
    let pod = of_gang(pod(&format!("g-{index}")).gpus(4), "g", SIZE);
    pod.annotation("testudo.dev/tensor-parallel-size", "8")
}

/// The rack is the middle of a tray's name.
fn rack(tray: &str) -> &str {
    tray.rsplit_once('-').map_or(tray, |(rack, _)| rack)
}

async fn a_member_is_replaced_in_its_own_set(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-member").await?;
    // In each rack there is room for one set and one tray more.
    let racks = ["a", "b", "c"].map(|rack| format!("gang-member-{rack}"));
    let trays = racks.iter().flat_map(|rack| (0..3).map(move |at| gb200(&format!("{rack}-{at}"), rack)));
    ns.create_nodes(trays).await?;
    let observer = Observer::start(&ns).await?;
    ns.create_all((0..SIZE).map(of_sets)).await?;
    let mut nodes = observer.until_bound_together(&names("g", SIZE), WINDOW).await?;
    let partner =
        |nodes: &[String], of: usize| (0..SIZE).find(|other| *other != of && rack(&nodes[*other]) == rack(&nodes[of]));
    for dead in [0, SIZE - 1] {
        ensure!(partner(&nodes, dead).is_some(), "member {dead} is in no set: {nodes:?}");
        ns.delete(&format!("g-{dead}")).await?;
        // Its own tray is taken at once.
        let thief = pod(&format!("thief-{dead}")).gpus(4).selector("kubernetes.io/hostname", &nodes[dead]);
        let thief_name = thief.name().to_owned();
        ns.create(thief).await?;
        ns.until_bound(&thief_name).await?;
        ns.create(of_sets(dead)).await?;
        nodes[dead] = ns.until_bound(&format!("g-{dead}")).await?;
        ensure!(partner(&nodes, dead).is_some(), "the new member {dead} is in no set: {nodes:?}");
    }
    ns.until_all_running(&names("g", SIZE)).await?;
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}
