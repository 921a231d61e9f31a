//! A node group with an autoscaler, as Cluster Autoscaler sees the world: it looks at the pods that are shown unschedulable,
//! leaves out those with scheduling gates and those that a count of resources finds room for, and makes nodes for the rest.
//! A new node has its accelerators only a moment later, when its device plugin runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::namespace::{Namespace, pod_scheduled};
use crate::node::NodeBuilder;

/// What it counts.
const GPU: &str = "nvidia.com/gpu";

/// The label of nodes by which EKS names a managed node group.
pub const NODE_GROUP_LABEL: &str = "eks.amazonaws.com/nodegroup";

/// How often it looks.
const SCAN: Duration = Duration::from_millis(300);

/// How long a new node takes to show its accelerators.
const DEVICE_PLUGIN_STARTS: Duration = Duration::from_secs(1);

/// A node group of one scenario; its autoscaler runs until it is dropped.
pub struct NodeGroup {
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    made: Vec<String>,
    failure: Option<String>,
}

/// What a node group makes.
pub struct Template {
    /// The name of the group; its nodes are called `NAME-0`, `NAME-1`, ...
    pub name: String,
    /// A node of this name, without accelerators.
    pub node: fn(&str) -> NodeBuilder,
    /// How many GPUs it has.
    pub gpus: u32,
    /// How many nodes the group may have.
    pub max: usize,
}

impl Drop for NodeGroup {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NodeGroup {
    /// Starts to look after a scenario's pods.
    pub fn start(ns: &Namespace, template: Template) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let scaler = Scaler { ns: ns.clone(), template, state: Arc::clone(&state) };
        let task = tokio::spawn(async move {
            loop {
                if let Err(error) = scaler.scan().await {
                    scaler.state().failure = Some(format!("{error:#}"));
                }
                tokio::time::sleep(SCAN).await;
            }
        });
        Self { state, task }
    }

    /// The nodes that it has made.
    ///
    /// # Errors
    /// When it could not do its work.
    pub fn made(&self) -> Result<Vec<String>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.failure {
            Some(failure) => anyhow::bail!("the autoscaler failed: {failure}"),
            None => Ok(state.made.clone()),
        }
    }
}

struct Scaler {
    ns: Namespace,
    template: Template,
    state: Arc<Mutex<State>>,
}

impl Scaler {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn scan(&self) -> Result<()> {
        let pods = self.ns.list().await?;
        let nodes = self.ns.own_nodes().await?;
        let new = self.nodes_for_the_rest(&pods, &nodes);
        for _ in 0..new {
            let name = {
                let mut state = self.state();
                let name = format!("{}-{}", self.template.name, state.made.len());
                state.made.push(name.clone());
                name
            };
            let node = (self.template.node)(&name).label(NODE_GROUP_LABEL, &self.template.name);
            self.ns.create_node_unready(node).await?;
            let (ns, gpus) = (self.ns.clone(), self.template.gpus);
            tokio::spawn(async move {
                tokio::time::sleep(DEVICE_PLUGIN_STARTS).await;
                let amount = json!({ GPU: gpus.to_string() });
                let patch = json!({"status": {"capacity": amount, "allocatable": amount}});
                // A node that shows no accelerators starts no pod, which the scenario sees.
                let _ = ns.nodes().patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
            });
        }
        Ok(())
    }

    /// How many nodes it takes for the pods that are shown unschedulable and find no room by a count of GPUs.
    fn nodes_for_the_rest(&self, pods: &[Pod], nodes: &[Node]) -> usize {
        let made = self.state().made.clone();
        let capacity = |node: &Node| match made.contains(&node.name_any()) {
            // One that is on its way counts as what it will be.
            true => self.template.gpus.into(),
            false => node.status.as_ref().and_then(|status| amount(status.allocatable.as_ref())).unwrap_or(0),
        };
        let mut free: BTreeMap<String, i64> = nodes.iter().map(|node| (node.name_any(), capacity(node))).collect();
        for pod in pods {
            let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
            if let Some(free) = on.and_then(|node| free.get_mut(node)) {
                *free -= gpus(pod);
            }
        }
        let mut free: Vec<i64> = free.into_values().collect();
        let existing = free.len();
        for pod in pods.iter().filter(|pod| is_unschedulable(pod)) {
            let asked = gpus(pod);
            let may_grow = made.len() + free.len() - existing < self.template.max;
            match free.iter_mut().find(|free| **free >= asked) {
                Some(free) => *free -= asked,
                None if may_grow && asked <= self.template.gpus.into() => {
                    free.push(i64::from(self.template.gpus) - asked);
                }
                None => {}
            }
        }
        free.len() - existing
    }
}

fn is_unschedulable(pod: &Pod) -> bool {
    let is_placed = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    !is_placed && pod_scheduled(pod).is_some_and(|condition| condition.reason.as_deref() == Some("Unschedulable"))
}

fn gpus(pod: &Pod) -> i64 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.filter_map(|container| amount(container.resources.as_ref()?.requests.as_ref())).sum()
}

fn amount(list: Option<&BTreeMap<String, Quantity>>) -> Option<i64> {
    list?.get(GPU)?.0.parse().ok()
}
