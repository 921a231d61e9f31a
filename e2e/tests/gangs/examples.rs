//! Examples of `deploy/examples/workloads`, as the pods that their controllers make of them.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use kube::api::DeleteParams;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testudo_e2e::manifests::workspace;
use testudo_e2e::namespace::SCENARIO_LABEL;
use testudo_e2e::{Namespace, Observer};

use super::{WINDOW, gb200, h100s, names};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("gangs::example_of_a_stateful_set", example_of_a_stateful_set),
        stage.deployed("gangs::example_of_a_leader_worker_set", example_of_a_leader_worker_set),
        stage.deployed("gangs::example_of_prefill_and_decode", example_of_prefill_and_decode),
    ]
}

/// The documents of an example.
fn example(file: &str) -> Result<Vec<Value>> {
    let path = workspace().join("deploy/examples/workloads").join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_saphyr::from_multiple(&text).with_context(|| format!("{} is not YAML", path.display()))
}

/// A place for an example: nodes of one zone and one NVLink domain.
async fn stage_of(d: &Deployed, name: &str, nodes: usize) -> Result<Namespace> {
    d.shared().await?;
    let ns = d.cp.namespace(name).await?;
    let labels = [("topology.kubernetes.io/zone", name), ("nvidia.com/gpu.clique", name)];
    ns.create_nodes(h100s(&ns, nodes).into_iter().map(|node| node.labels(labels))).await?;
    Ok(ns)
}

/// Makes a pod template one of this scenario: only its nodes, and no time to say goodbye.
fn adapt(template: &mut Value, ns: &Namespace) {
    template["spec"]["nodeSelector"] = json!({ SCENARIO_LABEL: ns.name() });
    template["spec"]["terminationGracePeriodSeconds"] = json!(0);
}

async fn example_of_a_stateful_set(d: Arc<Deployed>) -> Result<()> {
    let ns = stage_of(&d, "example-set", 2).await?;
    let observer = Observer::start(&ns).await?;
    for mut document in example("vllm-statefulset.yaml")? {
        document["metadata"]["namespace"] = json!(ns.name());
        if document["kind"] == "StatefulSet" {
            adapt(&mut document["spec"]["template"], &ns);
        }
        d.cp.apply(document).await?;
    }
    let nodes = observer.until_bound_together(&names("llama-405b", 2), WINDOW).await?;
    ensure!(nodes[0] != nodes[1], "{nodes:?}");
    ns.until_all_running(&names("llama-405b", 2)).await?;
    let sets: Api<StatefulSet> = Api::namespaced(d.cp.client(), ns.name());
    sets.delete("llama-405b", &DeleteParams::default()).await.context("cannot delete the StatefulSet")?;
    ns.clear().await
}

/// The pods of a group of a LeaderWorkerSet; the leader is the first.
fn group(set: &Value, index: usize, ns: &Namespace) -> Result<Vec<Value>> {
    let name = set["metadata"]["name"].as_str().context("a set without a name")?;
    let templates = &set["spec"]["leaderWorkerTemplate"];
    let size = templates["size"].as_u64().context("a set without a size")?;
    let pod = |worker: u64| {
        let of_leader = Some(&templates["leaderTemplate"]).filter(|template| worker == 0 && !template.is_null());
        let mut pod = of_leader.unwrap_or(&templates["workerTemplate"]).clone();
        adapt(&mut pod, ns);
        let leader = format!("{name}-{index}");
        let metadata = &mut pod["metadata"];
        metadata["name"] = json!(if worker == 0 { leader } else { format!("{leader}-{worker}") });
        metadata["labels"]["leaderworkerset.sigs.k8s.io/name"] = json!(name);
        metadata["labels"]["leaderworkerset.sigs.k8s.io/group-index"] = json!(index.to_string());
        metadata["labels"]["leaderworkerset.sigs.k8s.io/worker-index"] = json!(worker.to_string());
        metadata["annotations"]["leaderworkerset.sigs.k8s.io/size"] = json!(size.to_string());
        pod
    };
    Ok((0..size).map(pod).collect())
}

fn pod_names(pods: &[Value]) -> Vec<String> {
    pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

/// Each leader starts when there is a place for its worker, too, which is made once the leader runs.
async fn example_of_a_leader_worker_set(d: Arc<Deployed>) -> Result<()> {
    let ns = stage_of(&d, "example-lws", 3).await?;
    let observer = Observer::start(&ns).await?;
    let sets = example("leaderworkerset.yaml")?;
    let groups = [group(&sets[0], 0, &ns)?, group(&sets[0], 1, &ns)?];
    for group in &groups {
        ns.create_object(&group[0]).await?;
    }
    // Three nodes are enough for two leaders, but not for two groups.
    let first = ns.until_count_bound(1).await?.into_keys().next().context("a leader")?;
    let (first, second) = if first == "vllm-0" { (&groups[0], &groups[1]) } else { (&groups[1], &groups[0]) };
    ns.until_running(&pod_names(first)[0]).await?;
    ns.create_object(&first[1]).await?;
    ns.until_all_running(&pod_names(first)).await?;
    let second_names = pod_names(second);
    observer.check_never_bound(|name| second_names.iter().any(|other| other == name))?;
    ns.delete_all(&pod_names(first)).await?;
    ns.until_running(&second_names[0]).await?;
    ns.create_object(&second[1]).await?;
    ns.until_all_running(&second_names).await?;
    ns.clear().await
}

/// Prefill does not start where decode cannot: its pods are made first, and would find room.
async fn example_of_prefill_and_decode(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("example-roles").await?;
    let tray = |at: usize, clique| {
        gb200(&format!("example-roles-{at}"), clique).label("topology.kubernetes.io/zone", "example-roles")
    };
    ns.create_nodes((0..6).map(|at| tray(at, if at < 3 { "example.1" } else { "example.2" }))).await?;
    let observer = Observer::start(&ns).await?;
    let mut pods = vec![];
    for set in example("prefill-decode.yaml")?.iter().filter(|document| document["kind"] == "LeaderWorkerSet") {
        let replicas = set["spec"]["replicas"].as_u64().context("a set without replicas")?;
        for index in 0..replicas {
            pods.extend(group(set, index as usize, &ns)?);
        }
    }
    let names = pod_names(&pods);
    ns.create_object(&pods[0]).await?;
    ns.until_pending_with_message(&names[0], &["gang example-roles/deepseek: "]).await?;
    for pod in &pods[1..] {
        ns.create_object(pod).await?;
    }
    let why = "gang example-roles/deepseek: needs 16 GPUs in one NVLink fabric, the largest free is 12 in ";
    for name in &names {
        ns.until_pending_with_message(name, &[why]).await?;
    }
    observer.check_never_bound(|_| true)?;
    ns.create_node(tray(6, "example.1")).await?;
    let nodes = observer.until_bound_together(&names, WINDOW).await?;
    let (_, decode) = nodes.split_at_checked(2).context("two prefill pods")?;
    ensure!(decode.iter().all(|node| ["0", "1", "2", "6"].iter().any(|at| node.ends_with(at))), "{nodes:?}");
    ns.until_all_running(&names).await?;
    ns.check_nothing_is_overcommitted().await?;
    ns.clear().await
}
