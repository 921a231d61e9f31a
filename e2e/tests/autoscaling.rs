//! Beside an autoscaler of nodes: it is shown what it can mend, people are told of what it cannot, and it takes away no node
//! that a plan needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testudo_e2e::devices::{self, GPUS};
use testudo_e2e::node_group::{NODE_GROUP_LABEL, NodeGroup, Template};
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Metrics, Namespace, NodeBuilder, Observer, PodBuilder, Testudo, node, pod};

use crate::deployed::{Deployed, Pair};
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("autoscaling::a_node_group_grows_for_a_gang", a_node_group_grows_for_a_gang),
        stage.deployed("autoscaling::what_no_autoscaler_sees_is_told", what_no_autoscaler_sees_is_told),
        stage.deployed("autoscaling::devices_of_a_new_node_appear_later", devices_of_a_new_node_appear_later),
        stage.deployed(
            "autoscaling::an_autoscaler_that_counts_devices_sees_the_gang",
            an_autoscaler_that_counts_devices_sees_the_gang,
        ),
        stage.deployed("autoscaling::nodes_are_asked_for_at_once", nodes_are_asked_for_at_once),
        stage.deployed("autoscaling::nodes_of_a_plan_are_protected", nodes_of_a_plan_are_protected),
        stage.deployed("autoscaling::a_crash_leaves_no_protection", a_crash_leaves_no_protection),
    ]
}

/// How long a new node takes until its driver publishes anything.
const DRIVER_STARTS: Duration = Duration::from_secs(3);

const GATE: &str = "testudo.dev/gang";
const PROTECTED: &str = "testudo.dev/protected";
const SCALE_DOWN_DISABLED: &str = "cluster-autoscaler.kubernetes.io/scale-down-disabled";
const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";

/// A testudo beside an autoscaler, and its scheduler.
async fn pair(d: &Deployed, scheduler: &str) -> Result<Pair> {
    let autoscaling = json!({"enabled": true, "showAfter": "1s", "protectNodes": true});
    d.pair_with(scheduler, &[("/autoscaling", autoscaling)]).await
}

/// A node of 8 GPUs that are one NVLink domain, whose device plugin does not run yet.
fn bare(name: &str) -> NodeBuilder {
    let node = node(name).product("NVIDIA-H100-80GB-HBM3", 81559).instance_type("p5.48xlarge");
    node.label("nvidia.com/gpu.count", "8")
}

fn member(gang: &str, index: usize, size: usize, gpus: u32, scheduler: &str) -> PodBuilder {
    let pod = pod(&format!("{gang}-{index}")).gpus(gpus).scheduler(scheduler).gate(GATE);
    pod.annotation("testudo.dev/pod-group", gang).annotation("testudo.dev/min-member", &size.to_string())
}

fn names(gang: &str, size: usize) -> Vec<String> {
    (0..size).map(|index| format!("{gang}-{index}")).collect()
}

/// Three members, one node: the gates go, the autoscaler makes two nodes, and once these have GPUs all three start together.
async fn a_node_group_grows_for_a_gang(d: Arc<Deployed>) -> Result<()> {
    let scheduler = "grow-scheduler";
    let pair = pair(&d, scheduler).await?;
    let ns = d.cp.namespace("scale-up").await?;
    ns.create_node(bare("scale-up-first").gpus(8).label(NODE_GROUP_LABEL, "scale-up")).await?;
    let observer = Observer::start(&ns).await?;
    ns.create_all((0..3).map(|index| member("g", index, 3, 8, scheduler))).await?;
    let event = ns.until_event("g-0", |event| event.reason == "GangShortOfNodes").await?;
    ensure!(event.note.ends_with("2 more nodes of group scale-up would be enough"), "{event}");
    for name in names("g", 3) {
        ns.until_pending_with_message(&name, &["gang scale-up/g: needs 3 places"]).await?;
        ns.until_pod(&name, "reason Unschedulable, and no gate", |pod| {
            let gates = pod.spec.as_ref()?.scheduling_gates.as_ref().is_none_or(Vec::is_empty);
            let condition = testudo_e2e::namespace::pod_scheduled(pod)?;
            (gates && condition.reason.as_deref() == Some("Unschedulable")).then_some(())
        })
        .await?;
    }
    until_missing(&pair.testudo, &[("node_group", "scale-up"), ("autoscalable", "true")], 2.0).await?;
    observer.check_never_bound(|_| true)?;
    let group = NodeGroup::start(&ns, Template { name: "scale-up".into(), node: bare, gpus: 8, max: 4 });
    observer.until_bound_together(&names("g", 3), Duration::from_secs(2)).await?;
    ns.until_all_running(&names("g", 3)).await?;
    ensure!(group.made()?.len() == 2, "{:?}", group.made()?);
    until_missing(&pair.testudo, &[("node_group", "scale-up")], 0.0).await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

/// A pair of four GPUs each that must be one NVLink set; four are free on each of two nodes. An autoscaler would count eight
/// free GPUs and do nothing, and is shown nothing.
async fn what_no_autoscaler_sees_is_told(d: Arc<Deployed>) -> Result<()> {
    let scheduler = "unseen-scheduler";
    let pair = pair(&d, scheduler).await?;
    let ns = d.cp.namespace("scale-unseen").await?;
    let nodes =
        ["scale-unseen-a", "scale-unseen-b"].map(|name| bare(name).gpus(8).label(NODE_GROUP_LABEL, "scale-unseen"));
    ns.create_nodes(nodes).await?;
    let halves = ["a", "b"].map(|on| {
        let half = pod(&format!("half-{on}")).gpus(4).scheduler(scheduler);
        half.selector("kubernetes.io/hostname", &format!("scale-unseen-{on}"))
    });
    ns.create_all(halves).await?;
    ns.until_all_running(&["half-a", "half-b"]).await?;
    let group = NodeGroup::start(&ns, Template { name: "scale-unseen".into(), node: bare, gpus: 8, max: 4 });
    let set = |index| member("tp", index, 2, 4, scheduler).annotation("testudo.dev/tensor-parallel-size", "8");
    ns.create_all((0..2).map(set)).await?;
    let event = ns.until_event("tp-0", |event| event.reason == "GangNotAutoscalable").await?;
    ensure!(event.note.contains("not autoscalable"), "{event}");
    ensure!(event.note.ends_with("1 more node of group scale-unseen would be enough"), "{event}");
    until_missing(&pair.testudo, &[("node_group", "scale-unseen"), ("autoscalable", "false")], 1.0).await?;
    let short = [("namespace", "scale-unseen"), ("autoscalable", "false")];
    until_metric(&pair.testudo, "testudo_short_gangs", &short, 1.0).await?;
    let devices = [("namespace", "scale-unseen"), ("resource", "nvidia.com/gpu")];
    until_metric(&pair.testudo, "testudo_wanted_devices", &devices, 8.0).await?;
    for name in names("tp", 2) {
        ns.until_gated(&name).await?;
    }
    ensure!(group.made()?.is_empty(), "{:?}", group.made()?);
    // Whoever reads the Event makes the node.
    ns.create_node(bare("scale-unseen-c").gpus(8).label(NODE_GROUP_LABEL, "scale-unseen")).await?;
    ns.until_all_running(&names("tp", 2)).await?;
    ns.clear().await
}

async fn devices_of_a_new_node_appear_later(d: Arc<Deployed>) -> Result<()> {
    answer_for_devices(&d, "scale-slices", false).await
}

async fn an_autoscaler_that_counts_devices_sees_the_gang(d: Arc<Deployed>) -> Result<()> {
    answer_for_devices(&d, "scale-counted", true).await
}

/// Three members that claim the GPUs of a whole node each, and one such node. A controller that goes by what testudo says is
/// missing makes the nodes. What their driver publishes comes later, and with it the gang starts. Where the autoscaler counts
/// devices for claims the members are shown to it; where it does not, it would find room for all, and people are told.
async fn answer_for_devices(d: &Deployed, group: &'static str, simulates_claims: bool) -> Result<()> {
    let (scheduler, class) = (&format!("{group}-scheduler"), &format!("{group}-gpu"));
    d.cp.apply(devices::class(class, "gpu")).await?;
    let autoscaling =
        json!({"enabled": true, "showAfter": "1s", "protectNodes": true, "simulatesClaims": simulates_claims});
    let pair =
        d.pair_with(scheduler, &[("/autoscaling", autoscaling), ("/claims/deviceClasses", json!([class]))]).await?;
    let ns = d.cp.namespace(group).await?;
    let of_group = |name: &str| node(name).label(NODE_GROUP_LABEL, group);
    let first = format!("{group}-first");
    ns.create_node(of_group(&first)).await?;
    publish(d, &first).await?;
    d.cp.apply(devices::template(group, "whole", vec![devices::request("gpus", class, GPUS, None)])).await?;
    let observer = Observer::start(&ns).await?;
    let claiming = |index| {
        let pod = pod(&format!("g-{index}")).device_claim_template("whole").scheduler(scheduler).gate(GATE);
        pod.annotation("testudo.dev/pod-group", "g").annotation("testudo.dev/min-member", "3")
    };
    ns.create_all((0..3).map(claiming)).await?;
    let reason = if simulates_claims { "GangShortOfNodes" } else { "GangNotAutoscalable" };
    let event = ns.until_event("g-0", |event| event.reason == reason).await?;
    ensure!(event.note.ends_with(&format!("2 more nodes of group {group} would be enough")), "{event}");

    // The controller of the node group: it knows nothing but the metric.
    let wanted = [("node_group", group), ("autoscalable", if simulates_claims { "true" } else { "false" })];
    until_missing(&pair.testudo, &wanted, 2.0).await?;
    let missing = Metrics::read(pair.testudo.metrics()).await?.sum("testudo_missing_nodes", &wanted)? as usize;
    let made: Vec<String> = (0..missing).map(|at| format!("{group}-more-{at}")).collect();
    ns.create_nodes(made.iter().map(|name| of_group(name))).await?;
    tokio::time::sleep(DRIVER_STARTS).await;
    for name in names("g", 3) {
        if simulates_claims {
            ns.until_pending_with_message(&name, &["needs 3 places"]).await?;
        } else {
            ns.until_gated(&name).await?;
        }
    }
    observer.check_never_bound(|_| true)?;
    for name in &made {
        publish(d, name).await?;
    }
    observer.until_bound_together(&names("g", 3), Duration::from_secs(2)).await?;
    ns.until_all_running(&names("g", 3)).await?;
    ns.check_devices(&d.cp).await?;
    until_missing(&pair.testudo, &wanted, 0.0).await?;
    ns.clear().await
}

/// What the driver says of a node with eight GPUs.
async fn publish(d: &Deployed, node: &str) -> Result<()> {
    for slice in devices::whole_gpus(node) {
        d.cp.apply(slice).await?;
    }
    Ok(())
}

async fn nodes_are_asked_for_at_once(d: Arc<Deployed>) -> Result<()> {
    ask_for(&d, "scale-at-once").await
}

/// With a ProvisioningRequest for the whole gang, whose members consume it before they are shown; one that has failed is made
/// anew.
pub async fn ask_for(d: &Deployed, namespace: &str) -> Result<()> {
    d.cp.apply_file("e2e/crds/provisioning_request.yaml").await?;
    let scheduler = &format!("{namespace}-scheduler");
    let class = "best-effort-atomic-scale-up";
    let autoscaling = json!({"enabled": true, "showAfter": "1s", "provisioningClass": class});
    let _pair = d.pair_with(scheduler, &[("/autoscaling", autoscaling)]).await?;
    let ns = d.cp.namespace(namespace).await?;
    ns.create_node(bare(&format!("{namespace}-a")).gpus(8)).await?;
    ns.create(member("g", 0, 3, 4, scheduler)).await?;
    ns.create_all((1..3).map(|index| member("g", index, 3, 8, scheduler))).await?;
    let first = until_requested(d, &ns, None).await?;
    let sets: Vec<i64> = first.data["spec"]["podSets"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|set| set["count"].as_i64())
        .collect();
    ensure!(sets == [1, 2], "{:#}", first.data);
    ensure!(first.data["spec"]["provisioningClassName"] == format!("{class}.autoscaling.x-k8s.io"), "{:#}", first.data);
    ensure!(first.owner_references().first().is_some_and(|owner| owner.name == "g-0"), "{:?}", first.metadata);
    for name in names("g", 3) {
        let pod = ns.until_pod(&name, "no gate", |pod| {
            let gates = pod.spec.as_ref()?.scheduling_gates.as_ref().is_none_or(Vec::is_empty);
            gates.then(|| pod.clone())
        });
        let consumes = pod.await?.annotations().get("autoscaling.x-k8s.io/consume-provisioning-request").cloned();
        ensure!(consumes == first.metadata.name, "{name} consumes {consumes:?}");
    }
    let conditions = json!([{"type": "Failed", "status": "True", "reason": "OutOfStock", "message": "none left",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    let status = json!({"status": {"conditions": conditions}});
    requests(d, &ns).patch_status(&first.name_any(), &PatchParams::default(), &Patch::Merge(status)).await?;
    until_requested(d, &ns, first.uid()).await?;
    ns.create_nodes(["b", "c"].map(|name| bare(&format!("{namespace}-{name}")).gpus(8))).await?;
    ns.until_all_running(&names("g", 3)).await?;
    ns.clear().await
}

fn requests(d: &Deployed, ns: &Namespace) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("autoscaling.x-k8s.io", "v1", "ProvisioningRequest");
    let resource = ApiResource::from_gvk_with_plural(&kind, "provisioningrequests");
    Api::namespaced_with(d.cp.client(), ns.name(), &resource)
}

/// The request of a scenario, once there is one that is not the one of this uid.
async fn until_requested(d: &Deployed, ns: &Namespace, not: Option<String>) -> Result<DynamicObject> {
    // It is looked after twice a minute, and the cluster is asked once a minute what it has.
    wait::until("a ProvisioningRequest", Duration::from_secs(200), async || {
        let found = requests(d, ns).list(&ListParams::default()).await?.items;
        let new = found.into_iter().find(|request| request.uid() != not);
        Ok(new.map_or_else(|| Look::NotYet("there is none".to_owned()), Look::Done))
    })
    .await
}

/// The leader of a group, for whose workers places are kept.
fn leader(name: &str, size: usize, hold: &str, scheduler: &str) -> PodBuilder {
    pod(&format!("{name}-0"))
        .gpus(8)
        .scheduler(scheduler)
        .label("leaderworkerset.sigs.k8s.io/name", name)
        .label("leaderworkerset.sigs.k8s.io/group-index", "0")
        .label("leaderworkerset.sigs.k8s.io/worker-index", "0")
        .annotation("leaderworkerset.sigs.k8s.io/size", &size.to_string())
        .annotation("testudo.dev/hold-timeout", hold)
}

async fn nodes_of_a_plan_are_protected(d: Arc<Deployed>) -> Result<()> {
    protect_for(&d, "scale-down").await
}

/// Places are kept for workers that never come: their nodes are protected meanwhile and not afterwards, and what a user has
/// said of a node stays.
pub async fn protect_for(d: &Deployed, namespace: &str) -> Result<()> {
    let scheduler = &format!("{namespace}-scheduler");
    let _pair = pair(d, scheduler).await?;
    let ns = &d.cp.namespace(namespace).await?;
    let names: Vec<String> = (0..3).map(|at| format!("{}-{at}", ns.name())).collect();
    let nodes = names.iter().map(|name| bare(name).gpus(8));
    ns.create_nodes(nodes.map(|node| node.annotation(DO_NOT_DISRUPT, "true"))).await?;
    // Other testudos of these tests take the protection away, and it is set again: long enough to be seen.
    ns.create(leader("g", 3, "20s", scheduler)).await?;
    ns.until_running("g-0").await?;
    let on = ns.until_bound("g-0").await?;
    let kept: Vec<&String> = names.iter().filter(|name| **name != on).collect();
    for name in &kept {
        until_annotated(ns, name, "protected", |annotations| {
            annotations.get(SCALE_DOWN_DISABLED).is_some_and(|value| value == "true")
                && annotations.get(PROTECTED).is_some_and(|ours| ours == SCALE_DOWN_DISABLED)
        })
        .await?;
    }
    for name in &names {
        until_annotated(ns, name, "free again", |annotations| {
            !annotations.contains_key(SCALE_DOWN_DISABLED)
                && !annotations.contains_key(PROTECTED)
                && annotations.get(DO_NOT_DISRUPT).is_some_and(|value| value == "true")
        })
        .await?;
    }
    ns.clear().await
}

/// Killed while nodes are protected; the gang is gone before it is back.
async fn a_crash_leaves_no_protection(d: Arc<Deployed>) -> Result<()> {
    let scheduler = "protect-crash-scheduler";
    let mut pair = pair(&d, scheduler).await?;
    let ns = d.cp.namespace("scale-crash").await?;
    ns.create_nodes((0..2).map(|at| bare(&format!("scale-crash-{at}")).gpus(8))).await?;
    ns.create(leader("g", 2, "10m", scheduler)).await?;
    let on = ns.until_bound("g-0").await?;
    let other = if on == "scale-crash-0" { "scale-crash-1" } else { "scale-crash-0" };
    let is_protected = |annotations: &BTreeMap<String, String>| {
        [SCALE_DOWN_DISABLED, DO_NOT_DISRUPT, PROTECTED].iter().all(|key| annotations.contains_key(*key))
    };
    until_annotated(&ns, other, "protected", is_protected).await?;
    pair.testudo.kill()?;
    ns.delete("g-0").await?;
    // What a user has set meanwhile is not ours to take away.
    annotate(&ns, other, json!({ DO_NOT_DISRUPT: "1h" })).await?;
    pair.testudo.restart().await?;
    until_annotated(&ns, other, "free again", |annotations| {
        !annotations.contains_key(SCALE_DOWN_DISABLED)
            && !annotations.contains_key(PROTECTED)
            && annotations.get(DO_NOT_DISRUPT).is_some_and(|value| value == "1h")
    })
    .await?;
    ns.clear().await
}

async fn annotate(ns: &Namespace, node: &str, annotations: Value) -> Result<()> {
    let patch = json!({"metadata": {"annotations": annotations}});
    ns.nodes().patch(node, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

async fn until_annotated(
    ns: &Namespace,
    node: &str,
    what: &str,
    is_so: impl Fn(&BTreeMap<String, String>) -> bool,
) -> Result<()> {
    wait::until(&format!("node {node} to be {what}"), PATIENCE, async || {
        let node = ns.nodes().get(node).await?;
        let annotations = node.annotations();
        Ok(if is_so(annotations) { Look::Done(()) } else { Look::NotYet(format!("{annotations:?}")) })
    })
    .await
}

async fn until_missing(testudo: &Testudo, labels: &[(&str, &str)], nodes: f64) -> Result<()> {
    until_metric(testudo, "testudo_missing_nodes", labels, nodes).await
}

async fn until_metric(testudo: &Testudo, name: &str, labels: &[(&str, &str)], value: f64) -> Result<()> {
    wait::until(&format!("{name}{labels:?} to be {value}"), PATIENCE, async || {
        let found = Metrics::read(testudo.metrics()).await?.sum(name, labels)?;
        Ok(if found == value { Look::Done(()) } else { Look::NotYet(found.to_string()) })
    })
    .await
}
