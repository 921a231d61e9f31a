//! A scenario's place in the cluster: a namespace, nodes that only its pods go to, and waiting for what happens there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{self as core, Node, PersistentVolumeClaim, Pod, PodCondition, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::resource::v1::ResourceClaim;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ObjectMeta, Request};
use kube::{Api, Resource, ResourceExt};
use serde_json::Value;

use crate::control_plane::ControlPlane;
use crate::node::NodeBuilder;
use crate::pod::PodBuilder;
use crate::wait::{self, Look, PATIENCE};

/// The node label that keeps scenarios apart: pods of a scenario select it.
pub const SCENARIO_LABEL: &str = "e2e.testudo.dev/scenario";

/// How many objects are created, or deleted, at a time.
const AT_A_TIME: usize = 16;

/// A namespace of one scenario.
#[derive(Clone)]
pub struct Namespace {
    name: String,
    client: kube::Client,
    patience: Duration,
}

/// One event of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodEvent {
    /// As in `Scheduled` or `FailedScheduling`.
    pub reason: String,
    /// The text.
    pub note: String,
    /// Who reports it: the scheduler's name for scheduling events.
    pub reporter: String,
}

impl fmt::Display for PodEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.reason, self.reporter, self.note)
    }
}

impl ControlPlane {
    /// Makes the namespace `name`, which must be new, and waits until pods can be created in it.
    pub async fn namespace(&self, name: &str) -> Result<Namespace> {
        let client = self.client();
        let object = core::Namespace {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            ..core::Namespace::default()
        };
        let namespaces: Api<core::Namespace> = Api::all(client.clone());
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("cannot create the namespace {name}; every scenario needs one of its own"))?;
        // Admission refuses pods until the controller manager has made this account.
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), name);
        wait::until(&format!("the default service account of {name}"), PATIENCE, async || {
            Ok(match accounts.get_opt("default").await.context("cannot read service accounts")? {
                Some(_) => Look::Done(()),
                None => Look::NotYet("none".to_owned()),
            })
        })
        .await?;
        Ok(Namespace { name: name.to_owned(), client, patience: PATIENCE })
    }
}

impl Namespace {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Another limit for every wait.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The pods, through the admin client.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// The ResourceClaims, through the admin client.
    pub fn device_claims(&self) -> Api<ResourceClaim> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// The nodes, all of them.
    pub fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// The pods of all namespaces.
    pub(crate) fn all_pods(&self) -> Api<Pod> {
        Api::all(self.client.clone())
    }

    /// The nodes of this scenario.
    pub(crate) async fn own_nodes(&self) -> Result<Vec<Node>> {
        Ok(self.nodes().list(&self.own()).await.context("cannot list nodes")?.items)
    }

    /// What is of this scenario.
    fn own(&self) -> ListParams {
        ListParams::default().labels(&format!("{SCENARIO_LABEL}={}", self.name))
    }

    /// Creates a node of this scenario and waits until it is Ready and schedulable for pods that tolerate its taints.
    pub async fn create_node(&self, node: NodeBuilder) -> Result<Node> {
        let name = node.name().to_owned();
        self.create_node_unready(node).await?;
        self.until_node_ready(&name).await
    }

    /// Creates nodes of this scenario and waits for all of them.
    pub async fn create_nodes(&self, nodes: impl IntoIterator<Item = NodeBuilder>) -> Result<()> {
        let nodes = stream::iter(nodes).map(|node| self.create_node_unready(node));
        let created: Vec<Node> = nodes.buffered(AT_A_TIME).try_collect().await?;
        let names: BTreeSet<String> = created.iter().map(ResourceExt::name_any).collect();
        wait::until(&format!("{} nodes to be Ready", names.len()), self.patience, async || {
            let nodes = self.own_nodes().await?;
            let unready = |node: &Node| names.contains(&node.name_any()).then(|| why_unready(node))?;
            let reasons: Vec<&str> = nodes.iter().filter_map(unready).collect();
            let last = reasons.last().copied().unwrap_or_default();
            Ok(if reasons.is_empty() { Look::Done(()) } else { Look::NotYet(format!("{} not: {last}", reasons.len())) })
        })
        .await
    }

    /// Creates a node of this scenario, and does not wait.
    pub(crate) async fn create_node_unready(&self, node: NodeBuilder) -> Result<Node> {
        let name = node.name().to_owned();
        let node = node.label(SCENARIO_LABEL, self.name.as_str()).build();
        self.nodes()
            .create(&PostParams::default(), &node)
            .await
            .with_context(|| format!("cannot create the node {name}; node names are shared by all scenarios"))
    }

    async fn until_node_ready(&self, name: &str) -> Result<Node> {
        wait::until(&format!("node {name} to be Ready"), self.patience, async || {
            let node = self.nodes().get(name).await.with_context(|| format!("cannot read node {name}"))?;
            Ok(why_unready(&node).map_or_else(|| Look::Done(node.clone()), |why| Look::NotYet(why.to_owned())))
        })
        .await
    }

    /// Creates a pod; unless it is for [`anywhere`](PodBuilder::anywhere) it can go to this scenario's nodes only.
    pub async fn create(&self, pod: PodBuilder) -> Result<Pod> {
        let pod = if pod.anywhere { pod } else { pod.selector(SCENARIO_LABEL, &self.name) };
        self.create_object(&pod.build_json()?).await
    }

    /// Creates a pod as it is written.
    pub async fn create_object(&self, pod: &Value) -> Result<Pod> {
        self.post(pod, &PostParams::default()).await
    }

    /// The pod that would be created.
    pub async fn dry_run(&self, pod: PodBuilder) -> Result<Pod> {
        self.post(&pod.build_json()?, &PostParams { dry_run: true, ..PostParams::default() }).await
    }

    async fn post(&self, pod: &Value, how: &PostParams) -> Result<Pod> {
        let what = || format!("cannot create the pod {}", pod["metadata"]["name"]);
        let body = serde_json::to_vec(pod).with_context(what)?;
        let request = Request::new(Pod::url_path(&(), Some(&self.name)));
        let request = request.create(how, body).with_context(what)?;
        self.client.request(request).await.with_context(what)
    }

    /// Creates many pods as fast as the API server takes them, nearly in their order.
    pub async fn create_at_once(&self, pods: impl IntoIterator<Item = PodBuilder>) -> Result<()> {
        stream::iter(pods).map(|pod| self.create(pod)).buffered(AT_A_TIME).try_for_each(async |_| Ok(())).await
    }

    /// Creates several pods, in their order.
    pub async fn create_all(&self, pods: impl IntoIterator<Item = PodBuilder>) -> Result<()> {
        for pod in pods {
            self.create(pod).await?;
        }
        Ok(())
    }

    /// Sets an annotation of a pod. To a scheduler, that is a reason to look at a rejected pod again.
    pub async fn annotate(&self, name: &str, key: &str, value: &str) -> Result<()> {
        let patch = serde_json::json!({ "metadata": { "annotations": { key: value } } });
        let params = PatchParams::default();
        self.pods()
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .with_context(|| format!("cannot annotate {name}"))?;
        Ok(())
    }

    /// Takes a scheduling gate away.
    pub async fn open_gate(&self, name: &str, gate: &str) -> Result<()> {
        let patch = serde_json::json!({ "spec": { "schedulingGates": [{ "$patch": "delete", "name": gate }] } });
        let params = PatchParams::default();
        let patched = self.pods().patch(name, &params, &Patch::Strategic(patch)).await;
        patched.map(drop).with_context(|| format!("cannot take the gate {gate} of {name} away"))
    }

    /// Deletes a pod and waits until it is gone.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let params = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.pods().delete(name, &params).await.with_context(|| format!("cannot delete the pod {name}"))?;
        wait::until(&format!("pod {name} to be gone"), self.patience, async || {
            Ok(match self.pods().get_opt(name).await.context("cannot read pods")? {
                None => Look::Done(()),
                Some(_) => Look::NotYet("it is still there".to_owned()),
            })
        })
        .await
    }

    /// Deletes several pods and waits until all are gone.
    pub async fn delete_all<N: AsRef<str>>(&self, names: &[N]) -> Result<()> {
        stream::iter(names)
            .map(|name| self.delete(name.as_ref()))
            .buffered(AT_A_TIME)
            .try_for_each(async |()| Ok(()))
            .await
    }

    /// The pod as it is now.
    pub async fn get(&self, name: &str) -> Result<Pod> {
        self.pods().get(name).await.with_context(|| format!("cannot read the pod {}/{name}", self.name))
    }

    /// All pods, sorted by name.
    pub async fn list(&self) -> Result<Vec<Pod>> {
        let mut pods = self.pods().list(&ListParams::default()).await.context("cannot list pods")?.items;
        pods.sort_by_key(ResourceExt::name_any);
        Ok(pods)
    }

    /// Where the pods are: the node of every pod that has one.
    pub async fn placements(&self) -> Result<BTreeMap<String, String>> {
        let pods = self.list().await?;
        let placed = |pod: Pod| Some((pod.name_any(), pod.spec?.node_name?));
        Ok(pods.into_iter().filter_map(placed).collect())
    }

    /// Waits until this many pods have a node, and says where they are.
    pub async fn until_count_bound(&self, count: usize) -> Result<BTreeMap<String, String>> {
        wait::until(&format!("{count} pods of {} to have a node", self.name), self.patience, async || {
            let placed = self.placements().await?;
            Ok(if placed.len() >= count { Look::Done(placed) } else { Look::NotYet(format!("{} have", placed.len())) })
        })
        .await
    }

    /// Waits until there is a pod of this name, which its controller makes.
    pub async fn until_exists(&self, name: &str) -> Result<Pod> {
        wait::until(&format!("a pod {}/{name}", self.name), self.patience, async || {
            let pod = self.pods().get_opt(name).await.context("cannot read pods")?;
            Ok(pod.map_or_else(|| Look::NotYet("there is none".to_owned()), Look::Done))
        })
        .await
    }

    /// Waits until a persistent volume claim is bound to its volume.
    pub async fn until_claim_bound(&self, name: &str) -> Result<()> {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &self.name);
        wait::until(&format!("claim {}/{name} to be bound", self.name), self.patience, async || {
            let claim = claims.get(name).await.with_context(|| format!("cannot read the claim {name}"))?;
            let phase = claim.status.and_then(|status| status.phase).unwrap_or_default();
            Ok(if phase == "Bound" { Look::Done(()) } else { Look::NotYet(phase) })
        })
        .await
    }

    /// Waits until the pod has a node, and says which.
    pub async fn until_bound(&self, name: &str) -> Result<String> {
        self.until_pod(name, "a node", |pod| pod.spec.as_ref()?.node_name.clone()).await
    }

    /// Waits until the API server says that the pod waits for its scheduling gates.
    pub async fn until_gated(&self, name: &str) -> Result<()> {
        self.until_pod(name, "reason SchedulingGated", |pod| {
            (pod_scheduled(pod)?.reason.as_deref() == Some("SchedulingGated")).then_some(())
        })
        .await
    }

    /// Waits until kwok has all of these pods running.
    pub async fn until_all_running<N: AsRef<str>>(&self, names: &[N]) -> Result<()> {
        for name in names {
            self.until_running(name.as_ref()).await?;
        }
        Ok(())
    }

    /// Waits until kwok has the pod running.
    pub async fn until_running(&self, name: &str) -> Result<Pod> {
        self.until_pod(name, "phase Running", |pod| {
            let phase = pod.status.as_ref()?.phase.as_deref()?;
            (phase == "Running").then(|| pod.clone())
        })
        .await
    }

    /// Waits until the pod is not placed and its PodScheduled condition has all of `parts` in its message; returns the
    /// message. A pod that gets a node instead is an error at once.
    pub async fn until_pending_with_message(&self, name: &str, parts: &[&str]) -> Result<String> {
        let what = format!("a PodScheduled message with {parts:?}");
        let outcome = self
            .until_pod(name, &what, |pod| {
                if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) {
                    return Some(Err(node.clone()));
                }
                let message = pod_scheduled(pod)?.message.clone()?;
                parts.iter().all(|part| message.contains(part)).then_some(Ok(message))
            })
            .await?;
        match outcome {
            Ok(message) => Ok(message),
            Err(node) => {
                bail!("pod {name} was to stay pending and was placed on {node}.\n{}", self.describe(name).await)
            }
        }
    }

    /// Waits until `look` finds something in the pod.
    pub async fn until_pod<T>(&self, name: &str, what: &str, look: impl Fn(&Pod) -> Option<T>) -> Result<T> {
        let outcome = wait::until(&format!("pod {}/{name} to have {what}", self.name), self.patience, async || {
            let pod = self.get(name).await?;
            Ok(look(&pod).map_or_else(|| Look::NotYet(summary(&pod)), Look::Done))
        })
        .await;
        match outcome {
            Ok(found) => Ok(found),
            Err(error) => Err(error.context(self.describe(name).await)),
        }
    }

    /// Waits until there is an event of the pod that `wanted` likes.
    pub async fn until_event(&self, name: &str, wanted: impl Fn(&PodEvent) -> bool) -> Result<PodEvent> {
        let outcome = wait::until(&format!("an event of pod {name}"), self.patience, async || {
            let events = self.events_of(name).await?;
            Ok(match events.iter().find(|event| wanted(event)) {
                Some(event) => Look::Done(event.clone()),
                None => Look::NotYet(format!("{} other events", events.len())),
            })
        })
        .await;
        match outcome {
            Ok(event) => Ok(event),
            Err(error) => Err(error.context(self.describe(name).await)),
        }
    }

    /// The pod's events, oldest first.
    pub async fn events_of(&self, name: &str) -> Result<Vec<PodEvent>> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.name);
        let mut events = events.list(&ListParams::default()).await.context("cannot list events")?.items;
        events.retain(|event| {
            event
                .regarding
                .as_ref()
                .is_some_and(|it| it.kind.as_deref() == Some("Pod") && it.name.as_deref() == Some(name))
        });
        events.sort_by(|a, b| a.metadata.creation_timestamp.cmp(&b.metadata.creation_timestamp));
        let line = |event: Event| PodEvent {
            reason: event.reason.unwrap_or_default(),
            note: event.note.unwrap_or_default(),
            reporter: event.reporting_controller.unwrap_or_default(),
        };
        Ok(events.into_iter().map(line).collect())
    }

    /// The pod's state and events in a few lines, for error messages.
    pub async fn describe(&self, name: &str) -> String {
        let mut text = match self.get(name).await {
            Ok(pod) => format!("pod {}/{name}: {}", self.name, summary(&pod)),
            Err(error) => return format!("{error:#}"),
        };
        match self.events_of(name).await {
            Ok(events) if events.is_empty() => text.push_str("\n  no events"),
            Ok(events) => events.iter().for_each(|event| text.push_str(&format!("\n  event {event}"))),
            Err(error) => text.push_str(&format!("\n  {error:#}")),
        }
        text
    }

    /// Removes the scenario's pods and nodes, for scenarios after which others want a smaller cluster.
    pub async fn clear(&self) -> Result<()> {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.clear_pods().await?;
        self.nodes().delete_collection(&now, &self.own()).await.context("cannot delete the nodes")?;
        Ok(())
    }

    /// Removes the scenario's pods. One by one: the API server cuts requests that take a minute, and of many pods one for
    /// all does.
    pub async fn clear_pods(&self) -> Result<()> {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        let names: Vec<String> = self.list().await?.iter().map(ResourceExt::name_any).collect();
        stream::iter(names)
            .map(|name| {
                let (pods, now) = (self.pods(), &now);
                async move {
                    match pods.delete(&name, now).await {
                        Ok(_) => Ok(()),
                        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                        Err(error) => Err(error).with_context(|| format!("cannot delete the pod {name}")),
                    }
                }
            })
            .buffer_unordered(AT_A_TIME)
            .try_for_each(async |()| Ok(()))
            .await?;
        wait::until(&format!("the pods of {} to be gone", self.name), self.patience, async || {
            let left = self.list().await?.len();
            Ok(if left == 0 { Look::Done(()) } else { Look::NotYet(format!("{left} pods")) })
        })
        .await
    }
}

/// What keeps pods from a node that has just been made.
fn why_unready(node: &Node) -> Option<&'static str> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let ready = conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True");
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    let waiting = taints.into_iter().any(|taint| taint.key == "node.kubernetes.io/not-ready");
    match (ready, waiting) {
        (true, false) => None,
        (false, _) => Some("kwok has not made it Ready"),
        (true, true) => Some("the node lifecycle controller has not removed its taint"),
    }
}

/// The PodScheduled condition.
pub fn pod_scheduled(pod: &Pod) -> Option<&PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == "PodScheduled")
}

fn summary(pod: &Pod) -> String {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("no node");
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("no phase");
    let scheduled = match pod_scheduled(pod) {
        None => "never considered by a scheduler".to_owned(),
        Some(condition) => format!(
            "PodScheduled={} {} {}",
            condition.status,
            condition.reason.as_deref().unwrap_or_default(),
            condition.message.as_deref().unwrap_or_default()
        ),
    };
    format!("{phase}, {node}, {}", scheduled.trim_end())
}
