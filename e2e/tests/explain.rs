//! What `testudo explain` says is missing is what is missing: once exactly that is added, the pod starts.
//!
//! The scenarios do what the JSON says and nothing else.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use kube::api::{Patch, PatchParams};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testudo_e2e::command::{Answer, ask};
use testudo_e2e::{Namespace, NodeBuilder, PodBuilder, node, pod};

use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("explain::too_few_free", |d| one(d, "few", &["insufficient"], few)),
        stage.deployed("explain::too_large", |d| one(d, "large", &["too_large"], large)),
        stage.deployed("explain::nothing_of_it", |d| one(d, "absent", &["absent"], absent)),
        stage.deployed("explain::no_cpu", |d| one(d, "cpu", &["insufficient"], cpu)),
        stage.deployed("explain::cordoned", |d| one(d, "cordoned", &["cordoned"], cordoned)),
        stage.deployed("explain::tainted", |d| one(d, "tainted", &["taint"], tainted)),
        stage.deployed("explain::not_selected", |d| one(d, "selected", &["affinity"], selected)),
        stage.deployed("explain::several_at_once", |d| {
            one(d, "several", &["taint", "affinity", "insufficient"], several)
        }),
        stage.deployed("explain::a_gang_without_room", gang_without_room),
        stage.deployed("explain::a_gang_that_is_not_complete", incomplete_gang),
        stage.deployed("explain::a_snapshot_answers_like_the_cluster", snapshot),
        stage.deployed("explain::a_plan_says_how_many_nodes_are_missing", plan),
    ]
}

/// A node and what is on it, and the pod that does not fit there.
struct Scene {
    node: NodeBuilder,
    cordoned: bool,
    holders: Vec<PodBuilder>,
    pod: PodBuilder,
}

fn l40s(name: &str) -> NodeBuilder {
    node(name).product("NVIDIA-L40S", 46068)
}

fn scene(node: NodeBuilder, pod: PodBuilder) -> Scene {
    Scene { node, cordoned: false, holders: vec![], pod }
}

fn few(name: &str) -> Scene {
    Scene { holders: vec![pod("holder").gpus(3)], ..scene(l40s(name).gpus(4), pod("wants").gpus(2)) }
}

fn large(name: &str) -> Scene {
    scene(l40s(name).gpus(2), pod("wants").gpus(4))
}

fn absent(name: &str) -> Scene {
    scene(node(name), pod("wants").gpus(1))
}

fn cpu(name: &str) -> Scene {
    let holder = pod("holder").gpus(1).request("cpu", "92");
    Scene { holders: vec![holder], ..scene(l40s(name).gpus(4), pod("wants").gpus(1).request("cpu", "5500m")) }
}

fn cordoned(name: &str) -> Scene {
    Scene { cordoned: true, ..scene(l40s(name).gpus(4), pod("wants").gpus(1)) }
}

fn tainted(name: &str) -> Scene {
    scene(l40s(name).gpus(4).taint("example.com/team", "red", "NoSchedule"), pod("wants").gpus(1))
}

fn selected(name: &str) -> Scene {
    scene(l40s(name).gpus(4), pod("wants").gpus(1).selector("example.com/pool", "inference"))
}

fn several(name: &str) -> Scene {
    let node = l40s(name).gpus(4).taint("example.com/team", "red", "NoSchedule");
    let holder = pod("holder").gpus(4).toleration("example.com/team");
    Scene { holders: vec![holder], ..scene(node, pod("wants").gpus(1).selector("example.com/pool", "inference")) }
}

/// One node, one pod that does not fit; all that stands against it is done away with as explained.
async fn one(d: Arc<Deployed>, name: &str, kinds: &[&str], scene: fn(&str) -> Scene) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace(&format!("explain-{name}")).await?;
    let node = format!("explain-{name}-0");
    let Scene { node: builder, cordoned, holders, pod } = scene(&node);
    ns.create_node(builder).await?;
    for holder in holders {
        let name = holder.name().to_owned();
        ns.create(holder).await?;
        ns.until_running(&name).await?;
    }
    if cordoned {
        patch(&ns, &node, json!({"spec": {"unschedulable": true}})).await?;
    }
    ns.create(pod).await?;
    ns.until_pending_with_message("wants", &[]).await?;

    let Answer { is_yes, json } = explain(&d, "pod", &ns, "wants").await?;
    ensure!(!is_yes && json["verdict"] == "fits-nowhere", "{json}");
    let miss = json["misses"].as_array().into_iter().flatten().find(|miss| miss["node"] == node.as_str());
    let miss = miss.with_context(|| format!("nothing is said of {node}: {json}"))?;
    let obstacles: Vec<&Value> = miss["obstacles"].as_array().into_iter().flatten().collect();
    let found: Vec<&str> = obstacles.iter().filter_map(|obstacle| obstacle["kind"].as_str()).collect();
    ensure!(found == kinds, "{found:?}");
    ensure!(miss["whatToDo"].as_array().is_some_and(|what| what.len() == kinds.len()), "{miss}");
    for obstacle in obstacles {
        remedy(&ns, &node, miss, obstacle).await?;
    }
    ensure!(ns.until_bound("wants").await? == node);
    ns.until_running("wants").await?;
    let after = explain(&d, "pod", &ns, "wants").await?;
    ensure!(after.is_yes && after.json["verdict"] == "bound", "{}", after.json);
    ns.clear().await
}

async fn explain(d: &Deployed, subject: &str, ns: &Namespace, name: &str) -> Result<Answer> {
    ask(d.cp.admin(), &["explain", subject, &format!("{}/{name}", ns.name())]).await
}

/// Does what an obstacle says is to be done.
async fn remedy(ns: &Namespace, node: &str, miss: &Value, obstacle: &Value) -> Result<()> {
    match obstacle["kind"].as_str() {
        Some("insufficient" | "too_large" | "absent") => {
            let resource = obstacle["resource"].as_str().context("no resource")?;
            let missing = obstacle["missing"].as_i64().context("no missing amount")?;
            add(ns, node, resource, missing).await
        }
        Some("cordoned") => patch(ns, node, json!({"spec": {"unschedulable": null}})).await,
        Some("taint") => {
            let said = obstacle["taint"].as_str().context("no taint")?;
            let mut taints = ns.nodes().get(node).await?.spec.and_then(|spec| spec.taints).unwrap_or_default();
            let before = taints.len();
            taints.retain(|taint| {
                said != format!("{}={}:{}", taint.key, taint.value.as_deref().unwrap_or_default(), taint.effect)
            });
            ensure!(taints.len() + 1 == before, "the node has no taint {said}");
            patch(ns, node, json!({"spec": {"taints": taints}})).await
        }
        Some("affinity") => {
            let labels = miss["missingLabels"].as_array().context("no missing labels")?;
            let labels = labels.iter().filter_map(|label| label.as_str()?.split_once('='));
            let labels: serde_json::Map<String, Value> =
                labels.map(|(key, value)| (key.to_owned(), value.into())).collect();
            patch(ns, node, json!({"metadata": {"labels": labels}})).await
        }
        other => bail!("nobody has said what to do about {other:?}"),
    }
}

/// Adds so much of a resource to a node; CPU in thousandths.
async fn add(ns: &Namespace, node: &str, resource: &str, missing: i64) -> Result<()> {
    let status = ns.nodes().get(node).await?.status.context("a node without status")?;
    let text = status.allocatable.unwrap_or_default().get(resource).map_or("0".to_owned(), |amount| amount.0.clone());
    let now: i64 = text.parse().with_context(|| format!("{resource}: {text}"))?;
    let amount = if resource == "cpu" { format!("{}m", now * 1000 + missing) } else { (now + missing).to_string() };
    let amounts = json!({resource: amount});
    let status = json!({"status": {"capacity": amounts, "allocatable": amounts}});
    let patched = ns.nodes().patch_status(node, &PatchParams::default(), &Patch::Merge(&status)).await;
    patched.with_context(|| format!("cannot add to node {node}")).map(|_| ())
}

async fn patch(ns: &Namespace, node: &str, change: Value) -> Result<()> {
    let patched = ns.nodes().patch(node, &PatchParams::default(), &Patch::Merge(&change)).await;
    patched.with_context(|| format!("cannot change node {node}")).map(|_| ())
}

fn h100(name: &str, zone: &str) -> NodeBuilder {
    let node = node(name).gpus(8).product("NVIDIA-H100-80GB-HBM3", 81559).instance_type("p5.48xlarge");
    node.label("topology.kubernetes.io/zone", zone).label("eks.amazonaws.com/nodegroup", zone)
}

fn member(at: usize, of: usize) -> PodBuilder {
    let member = pod(&format!("g-{at}")).gpus(8).annotation("testudo.dev/pod-group", "g");
    member.annotation("testudo.dev/min-member", &of.to_string()).annotation("testudo.dev/topology", "required=zone")
}

async fn gang_without_room(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("explain-gang").await?;
    let zone = "explain-gang-zone";
    ns.create_node(h100("explain-gang-0", zone)).await?;
    ns.create_all((0..3).map(|at| member(at, 3))).await?;
    ns.until_pending_with_message("g-0", &["gang explain-gang/g"]).await?;
    let Answer { is_yes, json } = explain(&d, "gang", &ns, "g").await?;
    let gang = json.get(0).with_context(|| format!("no gang: {json}"))?;
    ensure!(!is_yes && gang["stage"] == "waits for places", "{gang}");
    let domain = gang["domains"].as_array().into_iter().flatten().find(|domain| domain["domain"] == zone);
    let domain = domain.with_context(|| format!("nothing is said of {zone}: {gang}"))?;
    let count = |field: &str| domain[field].as_u64().with_context(|| format!("no {field}: {domain}"));
    let missing = count("needed")? - count("places")?;
    ensure!(missing == 2, "{domain}");
    let of_pod = explain(&d, "pod", &ns, "g-1").await?;
    ensure!(!of_pod.is_yes && of_pod.json["verdict"] == "waits-for-gang", "{}", of_pod.json);
    ns.create_nodes((1..=missing).map(|at| h100(&format!("explain-gang-{at}"), zone))).await?;
    ns.until_all_running(&["g-0", "g-1", "g-2"]).await?;
    ensure!(explain(&d, "gang", &ns, "g").await?.is_yes);
    ns.clear().await
}

async fn incomplete_gang(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("explain-incomplete").await?;
    let nodes = (0..3).map(|at| h100(&format!("explain-incomplete-{at}"), "explain-incomplete"));
    ns.create_nodes(nodes).await?;
    ns.create_all((0..2).map(|at| member(at, 3))).await?;
    ns.until_pending_with_message("g-0", &["2 of 3 members exist"]).await?;
    let Answer { is_yes, json } = explain(&d, "gang", &ns, "g").await?;
    ensure!(!is_yes && json[0]["stage"] == "is not complete", "{json}");
    ensure!(json[0]["why"].as_str().is_some_and(|why| why.contains("2 of 3 members exist")), "{json}");
    ns.create(member(2, 3)).await?;
    ns.until_all_running(&["g-0", "g-1", "g-2"]).await?;
    ns.clear().await
}

async fn snapshot(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("explain-snapshot").await?;
    ns.create_node(l40s("explain-snapshot-0").gpus(4)).await?;
    ns.create(pod("holder").gpus(3)).await?;
    ns.until_running("holder").await?;
    ns.create(pod("wants").gpus(2)).await?;
    ns.until_pending_with_message("wants", &[]).await?;
    let file = d.cp.dir().write("cluster.json.gz", "")?;
    let binary = testudo_e2e::testudo::binary()?;
    let taken = tokio::process::Command::new(&binary)
        .args(["snapshot".as_ref(), file.as_os_str(), "--kubeconfig".as_ref(), d.cp.admin().path().as_os_str()])
        .output()
        .await?;
    ensure!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    let name = "explain-snapshot/wants";
    let answer = tokio::process::Command::new(&binary)
        .args(["explain", "pod", name, "--output", "json", "-f"])
        .arg(&file)
        .output()
        .await?;
    let of_file: Value = serde_json::from_slice(&answer.stdout)?;
    let of_cluster = explain(&d, "pod", &ns, "wants").await?.json;
    // Nodes of other scenarios come and go in between.
    let own = |answer: &Value| {
        let misses = answer["misses"].as_array().cloned().unwrap_or_default();
        misses.into_iter().find(|miss| miss["node"] == "explain-snapshot-0")
    };
    ensure!(own(&of_file).is_some(), "{of_file}");
    ensure!(own(&of_file) == own(&of_cluster), "{of_file} and {of_cluster}");
    ns.clear().await
}

async fn plan(d: Arc<Deployed>) -> Result<()> {
    d.shared().await?;
    let ns = d.cp.namespace("explain-plan").await?;
    let group = "explain-plan-zone";
    ns.create_node(h100("explain-plan-0", group)).await?;
    let template = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "g", "namespace": ns.name()},
        "spec": {"replicas": 5, "template": {"spec": {
            "nodeSelector": {"eks.amazonaws.com/nodegroup": group},
            "containers": [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": "4"}}}],
        }}},
    });
    let file = d.cp.dir().write("deployment.json", template.to_string())?;
    let file = file.to_str().context("a path that is text")?;
    let Answer { is_yes, json } = ask(d.cp.admin(), &["plan", "-f", file]).await?;
    ensure!(!is_yes && json["workloads"][0]["fitting"] == 2, "{json}");
    let growth = &json["growths"][0];
    ensure!(growth["group"] == group && growth["nodes"] == 1, "{json}");
    let more = growth["more"].as_u64().with_context(|| format!("no number: {json}"))?;
    ensure!(more == 2, "{json}");
    ns.create_nodes((1..=more).map(|at| h100(&format!("explain-plan-{at}"), group))).await?;
    let pods = (0..5).map(|at| pod(&format!("g-{at}")).gpus(4).selector("eks.amazonaws.com/nodegroup", group));
    ns.create_all(pods).await?;
    ns.until_all_running(&["g-0", "g-1", "g-2", "g-3", "g-4"]).await?;
    ns.clear().await
}
