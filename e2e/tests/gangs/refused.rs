//! What testudo does not know: a volume that only nodes of one zone can attach. kube-scheduler refuses the planned node,
//! and the gang goes elsewhere, as a whole.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::{Namespace, Observer};

use super::{WINDOW, h100, member, names};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("gangs::a_volume_refuses_the_planned_node", a_volume_refuses_the_planned_node),
        stage.deployed("gangs::members_change_places_for_a_volume", members_change_places_for_a_volume),
    ]
}

const ZONE: &str = "topology.kubernetes.io/zone";

/// A claim `weights` with its volume, which nodes of one zone can attach.
async fn create_zonal_claim(d: &Deployed, ns: &Namespace, zone: &str) -> Result<()> {
    let volume = format!("{}-weights", ns.name());
    let capacity = json!({"storage": "1Gi"});
    d.cp.apply(json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume},
        "spec": {
            "capacity": capacity,
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "csi": {"driver": "csi.example.com", "volumeHandle": volume},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": ns.name(), "name": "weights"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]},
            ]}},
        },
    }))
    .await?;
    d.cp.apply(json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "weights", "namespace": ns.name()},
        "spec": {
            "storageClassName": "",
            "volumeName": volume,
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": capacity},
        },
    }))
    .await?;
    ns.until_claim_bound("weights").await
}

/// How many plans of a gang were given up, as the Events on its first member say. FailedScheduling would count more: its text
/// changes with the nodes of other scenarios.
async fn plans_given_up(ns: &Namespace, first: &str) -> Result<usize> {
    Ok(ns.events_of(first).await?.iter().filter(|event| event.reason == "GangPlanFailed").count())
}

/// The first plan puts both into the nearer zone.
async fn a_volume_refuses_the_planned_node(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-volume").await?;
    create_zonal_claim(&d, &ns, "far").await?;
    let zones = [("gang-volume-0", "near"), ("gang-volume-1", "near"), ("gang-volume-2", "far")];
    ns.create_nodes(zones.map(|(name, zone)| h100(name).label(ZONE, zone))).await?;
    let observer = Observer::start(&ns).await?;
    ns.create_all([member("g", 0, 2), member("g", 1, 2).claim("weights")]).await?;
    let nodes = observer.until_bound_together(&names("g", 2), WINDOW).await?;
    ensure!(nodes[1] == "gang-volume-2", "the member with the volume is on {}", nodes[1]);
    // Each of the near nodes is refused once to the member with the volume, and then not tried again.
    let given_up = plans_given_up(&ns, "g-0").await?;
    ensure!((1..=2).contains(&given_up), "{given_up} plans were given up until the gang ran");
    ns.until_all_running(&names("g", 2)).await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

/// There are as many nodes as members, and each node will do for somebody: who refuses a node must not keep it from the
/// others of its gang.
async fn members_change_places_for_a_volume(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-swap").await?;
    create_zonal_claim(&d, &ns, "far").await?;
    let zones = [("gang-swap-0", "far"), ("gang-swap-1", "near"), ("gang-swap-2", "near")];
    ns.create_nodes(zones.map(|(name, zone)| h100(name).label(ZONE, zone))).await?;
    let observer = Observer::start(&ns).await?;
    ns.create_all([member("g", 0, 3), member("g", 1, 3), member("g", 2, 3).claim("weights")]).await?;
    let nodes = observer.until_bound_together(&names("g", 3), WINDOW).await?;
    ensure!(nodes[2] == "gang-swap-0", "the member with the volume is on {}", nodes[2]);
    ns.until_all_running(&names("g", 3)).await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}
