//! What arrives as one: a pod, or a gang with all its members.

use testudo_core::model::resources::ResourceName;

use super::run::short;
use crate::k8s::object::Pod;
use crate::k8s::pod;

/// What arrives as one.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    /// One pod, or the members of a gang.
    pub pods: Vec<Pod>,
}

/// Who runs what, by how its name begins.
const TEAMS: &[(&str, &str)] = &[
    ("deepseek", "frontier"),
    ("kimi", "frontier"),
    ("llama", "frontier"),
    ("qwen", "frontier"),
    ("vllm", "chat"),
    ("neuron", "chat"),
    ("guard", "chat"),
    ("embed", "search"),
    ("rerank", "search"),
    ("triton", "media"),
    ("tts", "media"),
    ("notebook", "research"),
];

/// What runs, and where.
#[derive(Debug)]
pub(super) struct Running {
    pub arrival: Arrival,
    /// The node of each pod, as the scheduler numbers them.
    pub nodes: Vec<usize>,
}

impl Arrival {
    /// A pod by itself, or the members of a gang, in the namespace of the team that runs such.
    pub fn of(mut pods: Vec<Pod>) -> Self {
        for pod in &mut pods {
            let team = TEAMS.iter().find(|(start, _)| pod.metadata.name.starts_with(start));
            pod.metadata.namespace = team.map_or("platform", |(_, team)| team).to_owned();
        }
        Self { pods }
    }

    /// Is it a gang?
    pub fn is_gang(&self) -> bool {
        self.pods.len() > 1
    }

    /// The name of the pod, or of the gang.
    pub fn name(&self) -> String {
        let Some(first) = self.pods.first() else { return String::new() };
        let group = first.metadata.annotations.get("testudo.dev/pod-group");
        group.filter(|_| self.is_gang()).unwrap_or(&first.metadata.name).clone()
    }

    /// What it asks for, in short: its accelerators, else its CPUs.
    pub fn asks(&self) -> String {
        let Some(first) = self.pods.first() else { return String::new() };
        let demand = pod::decode(first).0.demand;
        let accelerators: Vec<String> =
            demand.accelerators().map(|(name, _, count)| format!("{count} {}", short(name.as_str()))).collect();
        let asks = match accelerators.is_empty() {
            false => accelerators.join(", "),
            true => format!("{} cpu", demand.requests.get(ResourceName::CPU) / 1000),
        };
        if self.is_gang() { format!("{}x {asks}", self.pods.len()) } else { asks }
    }

    /// The extended resources that it asks for.
    pub fn extended(&self) -> impl Iterator<Item = &String> {
        let containers = self.pods.iter().flat_map(|pod| &pod.spec.containers);
        containers.flat_map(|container| container.resources.limits.keys())
    }
}
