//! Gangs whose size an object says: PodGroups of Kubernetes itself, of scheduler-plugins, of Volcano.

use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::Trial;
use serde_json::{Value, json};
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
    };
    in_a_namespace(&d, "group-plugins", &dialect).await
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
    };
    in_a_namespace(&d, "group-volcano", &dialect).await
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
    };
    let outcome = async {
        in_a_namespace(&d, "group-native", &native).await?;
        // Gangs that are none of kube-scheduler's.
        let ns = stage_of(&d, "group-bare").await?;
        let bare = |gang: &str, index| member(gang, index, SIZE).scheduler("group-bare-scheduler");
        let _pair = d.pair("group-bare-scheduler").await?;
        one_then_the_other(&d, &ns, bare, Some("of 3 members exist")).await
    };
    let outcome = outcome.await;
    if outcome.is_err() {
        cp.keep_files();
    }
    outcome
}

async fn stage_of(d: &Deployed, name: &str) -> Result<Namespace> {
    let ns = d.cp.namespace(name).await?;
    ns.create_nodes(h100s(&ns, NODES)).await?;
    Ok(ns)
}

/// Pods without their group wait; of two groups that do not fit side by side one starts, and then the other.
async fn in_a_namespace(d: &Deployed, name: &str, dialect: &Dialect) -> Result<()> {
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
    one_then_the_other(d, &ns, of, dialect.told).await
}

async fn one_then_the_other(
    d: &Deployed,
    ns: &Namespace,
    of: impl Fn(&str, usize) -> PodBuilder,
    told: Option<&str>,
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
    ns.delete_all(&names(&first, SIZE)).await?;
    observer.until_bound_together(&names(second, SIZE), WINDOW).await?;
    d.cp.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}
