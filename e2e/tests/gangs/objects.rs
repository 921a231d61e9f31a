//! Gangs whose size an object says: PodGroups of Kubernetes itself, of scheduler-plugins, of Volcano.

use std::sync::Arc;

use anyhow::{Context, Result};
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{ControlPlane, Namespace, Observer, Options, PodBuilder, Version, pod};

use super::{WINDOW, h100s, member, names, until_whole};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("gangs::pod_groups_of_scheduler_plugins", pod_groups_of_scheduler_plugins),
        stage.deployed("gangs::pod_groups_of_volcano", pod_groups_of_volcano),
        stage.scenario("gangs::with_the_gang_api_of_kubernetes_on", |_| with_the_gang_api_of_kubernetes_on()),
    ]
}

/// 60 % of five nodes.
const SIZE: usize = 3;
const NODES: usize = 5;

/// How a dialect says what gang a pod is of, and how large that is.
struct Dialect {
    object: fn(&str) -> Value,
    of: fn(PodBuilder, &str) -> PodBuilder,
    /// What members are told while others do not exist; nothing where kube-scheduler does not even try them.
    told: Option<&'static str>,
    /// How far the gang has come, as its object's status shows it, in a word or two. Nothing where testudo shows nothing.
    shows: fn(&Value) -> Option<String>,
}

/// What [`Dialect::shows`] comes to when the gang waits, and when it has started.
struct Shown {
    waiting: &'static str,
    started: &'static str,
}

async fn pod_groups_of_scheduler_plugins(d: Arc<Deployed>) -> Result<()> {
    d.cp.apply_file("e2e/crds/coscheduling.yaml").await?;
    let dialect = Dialect {
        object: |name| {
            json!({
                "apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup", "metadata": {"name": name},
                "spec": {"minMember": SIZE, "scheduleTimeoutSeconds": 60},
            })
        },
        of: |pod, gang| pod.label("scheduling.x-k8s.io/pod-group", gang),
        told: Some("of 3 members exist"),
        shows: |status| Some(format!("{} {}", status["phase"].as_str()?, status["scheduled"])),
    };
    in_a_namespace(&d, "group-plugins", &dialect, Some(Shown { waiting: "Scheduling 0", started: "Scheduled 3" })).await
}

async fn pod_groups_of_volcano(d: Arc<Deployed>) -> Result<()> {
    d.cp.apply_file("e2e/crds/volcano.yaml").await?;
    let dialect = Dialect {
        object: |name| {
            json!({
                "apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "PodGroup", "metadata": {"name": name},
                "spec": {"minMember": SIZE, "queue": "default"},
            })
        },
        of: |pod, gang| {
            pod.annotation("scheduling.k8s.io/group-name", gang).annotation("scheduling.volcano.sh/group-name", gang)
        },
        told: Some("of 3 members exist"),
        shows: |_| None,
    };
    in_a_namespace(&d, "group-volcano", &dialect, None).await
}

/// A control plane of its own, with the alpha gates; in the others kube-scheduler knows nothing of gangs.
async fn with_the_gang_api_of_kubernetes_on() -> Result<()> {
    if Version::from_env()? < Version::V1_36 {
        return Ok(());
    }
    let gates = ["GenericWorkload", "GangScheduling"].map(|gate| (gate.to_owned(), true)).to_vec();
    let runtime_config = vec!["scheduling.k8s.io/v1alpha2=true".to_owned()];
    let options = Options { version: Version::from_env()?, feature_gates: gates, runtime_config };
    let cp = Arc::new(ControlPlane::start(options).await?);
    let d = Deployed::apply(Arc::clone(&cp)).await?;
    let native = Dialect {
        object: |name| {
            json!({
                "apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "metadata": {"name": name},
                "spec": {"schedulingPolicy": {"gang": {"minCount": SIZE}}},
            })
        },
        of: PodBuilder::scheduling_group,
        told: None,
        shows: |status| {
            let ours = status["conditions"].as_array()?.iter().find(|c| c["type"] == "testudo.dev/Placed")?;
            Some(format!("{} {}", ours["status"].as_str()?, ours["reason"].as_str()?))
        },
    };
    let outcome = async {
        let shown = Shown { waiting: "False Waiting", started: "True Started" };
        in_a_namespace(&d, "group-native", &native, Some(shown)).await?;
        for_who_is_left_nothing_is_kept(&d, &native).await?;
        // Gangs that are none of kube-scheduler's.
        let ns = stage_of(&d, "group-bare").await?;
        let bare = |gang: &str, index| member(gang, index, SIZE).scheduler("group-bare-scheduler");
        let _pair = d.pair("group-bare-scheduler").await?;
        one_then_the_other(&d, &ns, bare, Some("of 3 members exist"), async |_, _| Ok(())).await
    };
    let outcome = outcome.await;
    if outcome.is_err() {
        cp.keep_files();
    }
    outcome
}

/// kube-scheduler lets no member through while fewer exist than its group needs: others get the room, until new ones come.
async fn for_who_is_left_nothing_is_kept(d: &Deployed, native: &Dialect) -> Result<()> {
    let (name, scheduler) = ("group-left", "group-left-scheduler");
    let ns = d.cp.namespace(name).await?;
    ns.create_nodes(h100s(&ns, SIZE)).await?;
    let mut object = (native.object)("g");
    object["metadata"]["namespace"] = json!(name);
    d.cp.apply(object).await?;
    let _pair = d.pair(scheduler).await?;
    let of = |index: usize| (native.of)(pod(&format!("g-{index}")).gpus(8), "g").scheduler(scheduler);
    let observer = Observer::start(&ns).await?;
    ns.create_all((0..=SIZE).map(of)).await?;
    let started: Vec<String> = ns.until_count_bound(SIZE).await?.into_keys().collect();
    ns.until_all_running(&started).await?;
    let left = names("g", SIZE + 1).into_iter().find(|name| !started.contains(name)).context("nobody is left")?;
    ns.delete_all(&started[1..]).await?;
    let others = names("other", SIZE - 1);
    ns.create_all(others.iter().map(|name| pod(name).gpus(8).scheduler(scheduler))).await?;
    ns.until_all_running(&others).await?;
    observer.check_never_bound(|name| name == left)?;
    ns.delete_all(&others).await?;
    ns.create(of(SIZE + 1)).await?;
    observer.until_bound_together(&[left, format!("g-{}", SIZE + 1)], WINDOW).await?;
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

async fn stage_of(d: &Deployed, name: &str) -> Result<Namespace> {
    let ns = d.cp.namespace(name).await?;
    ns.create_nodes(h100s(&ns, NODES)).await?;
    Ok(ns)
}

/// Pods without their group wait; of two groups that do not fit side by side one starts, and then the other.
async fn in_a_namespace(d: &Deployed, name: &str, dialect: &Dialect, shown: Option<Shown>) -> Result<()> {
    let scheduler = format!("{name}-scheduler");
    let ns = stage_of(d, name).await?;
    for gang in ["a", "b"] {
        let mut object = (dialect.object)(gang);
        object["metadata"]["namespace"] = json!(name);
        d.cp.apply(object).await?;
    }
    // It asks when it starts which APIs are served, and then once a minute.
    let _pair = d.pair(&scheduler).await?;
    let of =
        |gang: &str, index: usize| (dialect.of)(pod(&format!("{gang}-{index}")).gpus(8), gang).scheduler(&scheduler);
    let example = (dialect.object)("");
    let shows = async |gang: &str, has_started: bool| {
        let Some(Shown { waiting, started }) = &shown else { return Ok(()) };
        let wanted = if has_started { *started } else { *waiting };
        wait::until(&format!("the object of gang {gang} to show {wanted}"), PATIENCE, async || {
            let status = status_of(d, &example, name, gang).await?;
            Ok(match (dialect.shows)(&status) {
                Some(shown) if shown == wanted => Look::Done(()),
                _ => Look::NotYet(status.to_string()),
            })
        })
        .await
    };
    one_then_the_other(d, &ns, of, dialect.told, shows).await
}

/// The status of the object of a gang.
async fn status_of(d: &Deployed, example: &Value, namespace: &str, name: &str) -> Result<Value> {
    let (group, version) =
        example["apiVersion"].as_str().and_then(|both| both.split_once('/')).context("an API group and a version")?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, "PodGroup"));
    let objects: Api<DynamicObject> = Api::namespaced_with(d.cp.client(), namespace, &kind);
    Ok(objects.get(name).await?.data["status"].clone())
}

async fn one_then_the_other(
    d: &Deployed,
    ns: &Namespace,
    of: impl Fn(&str, usize) -> PodBuilder,
    told: Option<&str>,
    shows: impl AsyncFn(&str, bool) -> Result<()>,
) -> Result<()> {
    let observer = Observer::start(ns).await?;
    for index in 0..SIZE - 1 {
        ns.create_all([of("a", index), of("b", index)]).await?;
    }
    // One of each is missing, though there are nodes for all that exist.
    if let Some(told) = told {
        for name in ["a-0", "b-0"] {
            ns.until_pending_with_message(name, &[told]).await?;
        }
    }
    observer.check_never_bound(|_| true)?;
    ns.create_all([of("a", SIZE - 1), of("b", SIZE - 1)]).await?;
    let first = until_whole(ns, SIZE).await?;
    observer.until_bound_together(&names(&first, SIZE), WINDOW).await?;
    ns.until_all_running(&names(&first, SIZE)).await?;
    let second = if first == "a" { "b" } else { "a" };
    observer.check_never_bound(|name| name.starts_with(second))?;
    shows(&first, true).await?;
    shows(second, false).await?;
    ns.delete_all(&names(&first, SIZE)).await?;
    observer.until_bound_together(&names(second, SIZE), WINDOW).await?;
    shows(second, true).await?;
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}
