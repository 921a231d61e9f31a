//! The permissions that `deploy/rbac.yaml` gives, beside those that were used.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testudo_e2e::namespace::PodEvent;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Namespace, PodBuilder, node, pod};

use crate::claims::give_and_take_back;
use crate::deployed::{Deployed, shipped};
use crate::preemption::CLASSES;
use crate::stage::Stage;

/// To be listed late: it looks at what all other scenarios have asked for, too.
pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed_alone("rbac::what_is_given_is_what_is_used", what_is_given_is_what_is_used)]
}

/// (verb, group, resource)
type Permission = (String, String, String);

/// Kinds of groups that are watched where a cluster has them: what is given for these need not be used here.
const WHERE_SERVED: &[(&str, &str)] = &[
    ("scheduling.k8s.io", "podgroups"),
    ("scheduling.k8s.io", "podgroups/status"),
    ("scheduling.k8s.io", "workloads"),
    ("scheduling.x-k8s.io", "podgroups"),
    ("scheduling.sigs.k8s.io", "podgroups"),
    ("scheduling.x-k8s.io", "podgroups/status"),
    ("scheduling.sigs.k8s.io", "podgroups/status"),
    ("scheduling.volcano.sh", "podgroups"),
    ("scheduling.run.ai", "podgroups"),
    ("scheduler.grove.io", "podgangs"),
    ("leaderworkerset.x-k8s.io", "leaderworkersets"),
    ("jobset.x-k8s.io", "jobsets"),
    ("ray.io", "rayclusters"),
    // The API server asks for it when allocations are written, from 1.36 on; nobody asks the API server.
    ("resource.k8s.io", "resourceclaims/binding"),
];

async fn what_is_given_is_what_is_used(d: Arc<Deployed>) -> Result<()> {
    let ns = d.cp.namespace("rbac-used").await?;
    use_everything(&d, &ns).await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;

    let given = given_to("testudo")?;
    let user = d.testudo_account.user();
    // The audit log may be a moment behind.
    wait::until("all of testudo's permissions to be used", PATIENCE, async || {
        let used = used_by(&d, user)?;
        let needed = |(_, group, resource): &&Permission| !WHERE_SERVED.contains(&(group.as_str(), resource.as_str()));
        let unused: Vec<_> = given.difference(&used).filter(needed).collect();
        Ok(if unused.is_empty() { Look::Done(()) } else { Look::NotYet(format!("unused: {unused:?}")) })
    })
    .await?;
    let used = used_by(&d, user)?;
    let more: Vec<_> = used.difference(&given).collect();
    ensure!(more.is_empty(), "{user} has used {more:?}, which its ClusterRole does not give");
    for user in [user, d.scheduler_account.user()] {
        let denied: Vec<_> = d.cp.accesses_of(user)?.into_iter().filter(|access| !access.allowed).collect();
        ensure!(denied.is_empty(), "{user} was denied {denied:?}");
    }
    ns.clear().await
}

/// Makes testudo do whatever it may do.
async fn use_everything(d: &Deployed, ns: &Namespace) -> Result<()> {
    let scheduler = "rbac-scheduler";
    let pair = d.preempting_pair(scheduler, ns.name()).await?;
    d.cp.apply_yaml(CLASSES).await?;
    ns.create_nodes(["rbac-used-a", "rbac-used-b"].map(|name| node(name).product("NVIDIA-L40S", 46068).gpus(2)))
        .await?;
    ns.create(pod("one").gpus(1).priority_class("e2e-low").scheduler(scheduler)).await?;
    let on = ns.until_bound("one").await?;
    // kube-scheduler asks once more, as after an answer that was lost: testudo looks at the pod, and finds it there.
    let uid = ns.get("one").await?.uid().context("a pod without uid")?;
    let binding = json!({ "PodName": "one", "PodNamespace": ns.name(), "PodUID": uid, "Node": on });
    let answer = pair.testudo.api().post("/v1/bind", binding.to_string()).await?.body;
    let answer: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
    ensure!(answer["Error"].as_str().unwrap_or_default().is_empty(), "{answer}");
    let of_gang = |pod: PodBuilder, gang: &str, min_member: &str| {
        let pod = pod.gpus(2).scheduler(scheduler).gate("testudo.dev/gang");
        pod.annotation("testudo.dev/pod-group", gang).annotation("testudo.dev/min-member", min_member)
    };
    // A gang that is too large, looked at once more when one more member comes: the same Event again.
    let is_told = |event: &PodEvent| event.reason == "GangWaiting";
    for name in ["large-0", "large-1", "large-2"] {
        ns.create(of_gang(pod(name), "large", "3")).await?;
    }
    ns.until_event("large-0", is_told).await?;
    ns.create(of_gang(pod("large-3"), "large", "3")).await?;
    // A gang that evicts the first, is pointed to its places, and whose gates are opened.
    let gang = ["gang-0", "gang-1"];
    for name in gang {
        ns.create(of_gang(pod(name), "gang", "2").priority_class("e2e-high")).await?;
    }
    ns.until_all_running(&gang).await?;
    give_and_take_back(d, "rbac-claims").await
}

fn used_by(d: &Deployed, user: &str) -> Result<BTreeSet<Permission>> {
    let allowed = d.cp.accesses_of(user)?.into_iter().filter(|access| access.allowed);
    Ok(allowed.map(|access| (access.verb, access.group, access.resource)).collect())
}

/// What the ClusterRole of this name gives.
fn given_to(role: &str) -> Result<BTreeSet<Permission>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&shipped("rbac.yaml")?).context("rbac.yaml is not YAML")?;
    let role = documents
        .iter()
        .find(|document| document["kind"] == "ClusterRole" && document["metadata"]["name"] == role)
        .with_context(|| format!("rbac.yaml has no ClusterRole {role}"))?;
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let mut given = BTreeSet::new();
    for rule in role["rules"].as_array().context("a role without rules")? {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                given.extend(words(&rule["verbs"]).into_iter().map(|verb| (verb, group.clone(), resource.clone())));
            }
        }
    }
    Ok(given)
}
