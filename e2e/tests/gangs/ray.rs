//! A RayCluster: a head without GPUs, and a worker group whose replicas are two hosts each.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::{Observer, PodBuilder, node, pod};

use super::{WINDOW, gb200};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("gangs::ray_cluster_of_replicas_of_two_hosts", replicas_of_two_hosts)]
}

const REPLICAS: usize = 2;
const HOSTS: usize = 2;

/// What the operator writes on every pod of the cluster, and what a user has written into both templates.
fn of_cluster(pod: PodBuilder, node_type: &str, group: &str) -> PodBuilder {
    pod.label("ray.io/is-ray-node", "yes")
        .label("ray.io/cluster", "chat")
        .label("ray.io/identifier", &format!("chat-{node_type}"))
        .label("ray.io/node-type", node_type)
        .label("ray.io/group", group)
        .label("app.kubernetes.io/name", "kuberay")
        .label("app.kubernetes.io/created-by", "kuberay-operator")
        .annotation("testudo.dev/min-member", &(1 + REPLICAS * HOSTS).to_string())
}

fn head() -> PodBuilder {
    of_cluster(pod("chat-head").request("cpu", 4), "head", "headgroup")
}

fn worker(replica: usize, host: usize) -> PodBuilder {
    of_cluster(pod(&format!("chat-gpu-{replica}-{host}")).gpus(4), "worker", "gpu")
        .label("ray.io/worker-group-replica-name", &format!("gpu-{replica}"))
        .label("ray.io/worker-group-replica-index", &replica.to_string())
        .label("ray.io/replica-host-index", &host.to_string())
        .annotation("testudo.dev/tensor-parallel-size", "8")
}

async fn replicas_of_two_hosts(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("gang-ray").await?;
    // Three trays are free in each rack: four workers fit in many ways, two whole replicas only one in each.
    let cliques: BTreeMap<String, &str> =
        (0..6).map(|at| (format!("gang-ray-{at}"), if at % 2 == 0 { "7c2a.1" } else { "7c2a.2" })).collect();
    ns.create_node(node("gang-ray-cpu")).await?;
    ns.create_nodes(cliques.iter().map(|(name, clique)| gb200(name, clique))).await?;
    let observer = Observer::start(&ns).await?;
    let mut pods = vec![head()];
    pods.extend((0..REPLICAS).flat_map(|replica| (0..HOSTS).map(move |host| worker(replica, host))));
    let names: Vec<String> = pods.iter().map(|pod| pod.name().to_owned()).collect();
    let last = pods.pop().context("there are workers")?;
    ns.create_all(pods).await?;
    ns.until_pending_with_message("chat-head", &["gang gang-ray/chat: 4 of 5 members exist"]).await?;
    observer.check_never_bound(|_| true)?;
    ns.create(last).await?;
    let nodes = observer.until_bound_together(&names, WINDOW).await?;
    ensure!(nodes[0] == "gang-ray-cpu", "the head is on {}, of whose GPUs it needs none", nodes[0]);
    for replica in nodes[1..].chunks(HOSTS) {
        ensure!(cliques[&replica[0]] == cliques[&replica[1]], "a replica is on {replica:?}, not in one rack");
    }
    ns.until_all_running(&names).await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}
