//! `deploy/examples/kind` and `deploy/examples/eks`: pods go where the files say that they go.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testudo_e2e::manifests::documents;
use testudo_e2e::namespace::SCENARIO_LABEL;
use testudo_e2e::node::NodeBuilder;
use testudo_e2e::{Namespace, node};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("clusters::kind", kind), stage.deployed("clusters::eks", eks)]
}

async fn kind(d: Arc<Deployed>) -> Result<()> {
    let ns = scene(&d, "cluster-kind").await?;
    let cluster = &documents("deploy/examples/kind/kind.yaml")?[0];
    // kind calls its workers so.
    let workers = cluster["nodes"].as_array().context("no nodes")?.iter().filter(|node| node["role"] == "worker");
    for (at, worker) in workers.enumerate() {
        let name = if at == 0 { "testudo-worker".to_owned() } else { format!("testudo-worker{}", at + 1) };
        ns.create_node(labelled(node(&name), worker)).await?;
    }
    for status in documents("deploy/examples/kind/gpus.yaml")? {
        d.cp.apply_status(status).await?;
    }
    create(&d, &ns, "deploy/examples/kind/pods.yaml").await?;
    ns.until_all_running(&["one", "rank-0", "rank-1"]).await?;
    ensure!(ns.until_bound("one").await? == "testudo-worker4");
    let mut ranks = [ns.until_bound("rank-0").await?, ns.until_bound("rank-1").await?];
    ranks.sort();
    ensure!(ranks == ["testudo-worker2", "testudo-worker3"], "{ranks:?}");
    ns.clear().await
}

async fn eks(d: Arc<Deployed>) -> Result<()> {
    let ns = scene(&d, "cluster-eks").await?;
    let cluster = &documents("deploy/examples/eks/cluster.yaml")?[0];
    let configurations = &documents("deploy/examples/eks/device-plugin-values.yaml")?[0]["config"]["map"];
    for group in cluster["managedNodeGroups"].as_array().context("no node groups")? {
        let configuration = group["labels"]["nvidia.com/device-plugin.config"].as_str();
        if let Some(name) = configuration {
            let text = configurations[name].as_str().with_context(|| format!("the device plugin has no {name}"))?;
            let _: Value = serde_saphyr::from_str(text).with_context(|| format!("configuration {name}"))?;
        }
        let name = group["name"].as_str().context("a group without a name")?;
        let mut machine = with_devices(node(&format!("eks-{name}")), configuration)?;
        machine = machine.instance_type(group["instanceType"].as_str().context("a group without a type")?);
        for taint in group["taints"].as_array().into_iter().flatten() {
            let text = |field: &str| taint[field].as_str().unwrap_or_default();
            machine = machine.taint(text("key"), text("value"), text("effect"));
        }
        ns.create_node(labelled(machine, group)).await?;
    }
    create(&d, &ns, "deploy/examples/eks/pods.yaml").await?;
    let expected =
        [("eight", "eks-h100"), ("slice", "eks-a100-mig"), ("shared", "eks-a10g-shared"), ("mps", "eks-l40s-mps")];
    for (pod, node) in expected {
        let on = ns.until_bound(pod).await?;
        ensure!(on == node, "{pod} is on {on} instead of {node}");
    }
    ns.clear().await
}

async fn scene(d: &Deployed, name: &str) -> Result<Namespace> {
    d.shared().await?;
    d.cp.namespace(name).await
}

/// With the labels of an entry of the file.
fn labelled(node: NodeBuilder, entry: &Value) -> NodeBuilder {
    let labels: BTreeMap<&str, &str> = entry["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    node.labels(labels)
}

/// What the device plugin and GPU Feature Discovery make of a node with this configuration.
fn with_devices(node: NodeBuilder, configuration: Option<&str>) -> Result<NodeBuilder> {
    Ok(match configuration {
        None => node,
        Some("whole") => node.product("NVIDIA-H100-80GB-HBM3", 81559).gpus(8),
        // all-balanced, on eight GPUs
        Some("mig") => node.product("NVIDIA-A100-SXM4-40GB", 40960).gpus(8).mig_mixed(&[
            ("1g.5gb", 16),
            ("2g.10gb", 8),
            ("3g.20gb", 8),
        ]),
        Some("time-slicing") => node.product("NVIDIA-A10G", 23028).time_sliced(4, 4, true),
        Some("mps") => {
            node.product("NVIDIA-L40S", 46068).time_sliced(4, 4, true).label("nvidia.com/gpu.sharing-strategy", "mps")
        }
        Some(other) => anyhow::bail!("no machine is known for the configuration {other}"),
    })
}

/// Creates the pods of a file, for this scenario's nodes only.
async fn create(d: &Deployed, ns: &Namespace, file: &str) -> Result<()> {
    for mut pod in documents(file)? {
        pod["metadata"]["namespace"] = json!(ns.name());
        pod["spec"]["nodeSelector"][SCENARIO_LABEL] = json!(ns.name());
        pod["spec"]["terminationGracePeriodSeconds"] = json!(0);
        d.cp.apply(pod).await?;
    }
    Ok(())
}
