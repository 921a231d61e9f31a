//! The permissions that the chart gives, beside those that were used.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Metrics, Namespace, PodBuilder, Testudo, node, pod};

use crate::autoscaling::{ask_for, protect_for};
use crate::claims::give_and_take_back;
use crate::deployed::Deployed;
use crate::page::show_to_somebody;
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

    take_the_lead(&d).await?;

    let given = given_to(&d.rbac, "testudo")?;
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
    ensure!(more.is_empty(), "{user} has used {more:?}, which the chart does not give to it");
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
    // A gang that evicts the first, is pointed to its places, and whose gates are opened.
    let gang = ["gang-0", "gang-1"];
    let of_high = |name| of_gang(pod(name), "gang", "2").priority_class("e2e-high");
    for name in gang {
        ns.create(of_high(name)).await?;
    }
    ns.until_all_running(&gang).await?;
    // One that takes the place of another, and then one more: the same is told twice, which is the same Event again.
    for _ in 0..2 {
        ns.delete("gang-1").await?;
        ns.create(of_high("gang-1")).await?;
        ns.until_running("gang-1").await?;
    }
    show_to_somebody(d, ns, "rbac-page-scheduler").await?;
    protect_for(d, "rbac-nodes").await?;
    ask_for(d, "rbac-requests").await?;
    give_and_take_back(d, "rbac-claims").await
}

fn used_by(d: &Deployed, user: &str) -> Result<BTreeSet<Permission>> {
    let allowed = d.cp.accesses_of(user)?.into_iter().filter(|access| access.allowed);
    Ok(allowed.map(|access| (access.verb, access.group, access.resource)).collect())
}

/// Of two replicas one takes the lease and gives it back, and then the other.
async fn take_the_lead(d: &Deployed) -> Result<()> {
    let start = async |name| Testudo::start(&d.cp, d.replica(name)?).await;
    let (mut first, mut second) = tokio::try_join!(start("rbac-replica-0"), start("rbac-replica-1"))?;
    let leads = async |testudo: &Testudo| {
        anyhow::Ok(Metrics::read(testudo.metrics()).await?.sum("testudo_leader", &[])? == 1.0)
    };
    wait::until("one of two to lead", PATIENCE, async || {
        let lead = (leads(&first).await?, leads(&second).await?);
        Ok(if lead.0 != lead.1 { Look::Done(()) } else { Look::NotYet(format!("{lead:?}")) })
    })
    .await?;
    // The other asks for the lease, too, and from then on watches it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    if !leads(&first).await? {
        std::mem::swap(&mut first, &mut second);
    }
    first.stop().await?;
    wait::until("the other to lead", PATIENCE, async || {
        Ok(if leads(&second).await? { Look::Done(()) } else { Look::NotYet("it does not".into()) })
    })
    .await?;
    second.stop().await
}

/// What these roles give to a service account, by any role that is bound to it.
fn given_to(documents: &[Value], account: &str) -> Result<BTreeSet<Permission>> {
    let objects = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let is_bound = |binding: &&Value| objects(&binding["subjects"]).iter().any(|subject| subject["name"] == account);
    let mut given = BTreeSet::new();
    for binding in documents.iter().filter(is_bound) {
        let reference = &binding["roleRef"];
        let role = documents.iter().find(|document| {
            (&document["kind"], &document["metadata"]["name"]) == (&reference["kind"], &reference["name"])
        });
        for rule in objects(&role.with_context(|| format!("there is no {reference}"))?["rules"]) {
            for group in words(&rule["apiGroups"]) {
                for resource in words(&rule["resources"]) {
                    given.extend(words(&rule["verbs"]).into_iter().map(|verb| (verb, group.clone(), resource.clone())));
                }
            }
        }
    }
    ensure!(!given.is_empty(), "nothing is given to {account}");
    Ok(given)
}
