//! What kube-scheduler does with one pod: its own filters, then the extender's verbs, then the choice.
//!
//! Its NodeResourcesFit is configured to leave accelerators to the extender (`ignoredResourceGroups`), so that all that
//! is said about them is ours. NodeUnschedulable, TaintToleration, NodeAffinity and the rest of NodeResourcesFit (CPU,
//! memory, number of pods) are played here, in their order and with their texts; its other plugins have nothing to say
//! about these pods. Its own scores are left out: the extender's weight outvotes them.

use std::collections::BTreeMap;

use testudo_core::model::node::NodeParts;
use testudo_core::model::pod::Demand;
use testudo_core::model::resources::{ResourceName, Resources};
use testudo_core::model::taint::{Effect, Taint};

use super::client::Client;
use crate::k8s::object::{Node, Pod};
use crate::k8s::{node, pod};
use crate::sim::rng::Rng;

/// kube-scheduler, with its own view of the nodes.
#[derive(Debug)]
pub struct Scheduler {
    client: Client,
    nodes: Vec<KnownNode>,
    ties: Rng,
}

#[derive(Debug)]
struct KnownNode {
    object: Node,
    parts: NodeParts,
    used: Resources,
}

/// What came out for one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A node was chosen.
    Chosen(Choice),
    /// No node will do: the message of the pod's condition.
    Unschedulable(String),
}

/// A node was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The node.
    pub node: String,
    /// All nodes where the pod fits, this one among them.
    pub feasible: Vec<String>,
    /// Why not elsewhere, and on how many nodes.
    pub refused: BTreeMap<String, usize>,
}

impl Scheduler {
    /// A scheduler that knows these nodes and no pod. `ties` chooses among equals.
    pub fn new(client: Client, nodes: &[Node], ties: Rng) -> Self {
        let known = |object: &Node| KnownNode {
            object: object.clone(),
            parts: node::decode(object).0,
            used: Resources::default(),
        };
        Self { client, nodes: nodes.iter().map(known).collect(), ties }
    }

    /// The extender's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What it believes to be in use on each node.
    #[cfg(test)]
    pub(super) fn used(&self) -> impl Iterator<Item = (&str, &Resources)> {
        self.nodes.iter().map(|known| (known.parts.name.as_str(), &known.used))
    }

    /// Chooses a node.
    ///
    /// # Errors
    /// When the extender fails: it is not `ignorable`, so the pod is tried again later.
    pub async fn schedule(&mut self, pod: &Pod) -> anyhow::Result<Outcome> {
        let demand = pod::decode(pod).0.demand;
        let mut refused: BTreeMap<String, usize> = BTreeMap::new();
        let mut offer = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            match node.refuses(&demand) {
                None => offer.push(&node.object),
                Some(reason) => *refused.entry(reason).or_default() += 1,
            }
        }
        let mut feasible = vec![];
        if !offer.is_empty() {
            let filtered = self.client.filter(pod, &offer).await?;
            for reason in filtered.refused.into_values() {
                *refused.entry(reason).or_default() += 1;
            }
            feasible = filtered.nodes;
        }
        let node = match feasible.as_slice() {
            [] => return Ok(Outcome::Unschedulable(fit_error(self.nodes.len(), &refused))),
            [only] => only.clone(),
            _ => {
                offer.retain(|node| feasible.contains(&node.metadata.name));
                let scores = self.client.prioritize(pod, &offer).await?;
                let score = |name: &String| scores.get(name).copied().unwrap_or(0);
                let best = feasible.iter().map(score).max();
                let equals: Vec<&String> = feasible.iter().filter(|name| Some(score(name)) == best).collect();
                equals[self.ties.below(equals.len())].clone()
            }
        };
        Ok(Outcome::Chosen(Choice { node, feasible, refused }))
    }

    /// Binds the pod; from then on it counts on the node.
    ///
    /// # Errors
    /// When the extender refuses or fails.
    pub async fn bind(&mut self, pod: &Pod, node: &str) -> anyhow::Result<()> {
        self.client.bind(pod, node).await?;
        if let Some(node) = self.nodes.iter_mut().find(|known| known.object.metadata.name == node) {
            node.used.add(&pod::decode(pod).0.demand.requests);
        }
        Ok(())
    }

    /// The pod is gone from the node.
    pub fn forget(&mut self, pod: &Pod, node: &str) {
        if let Some(node) = self.nodes.iter_mut().find(|known| known.object.metadata.name == node) {
            node.used.subtract(&pod::decode(pod).0.demand.requests);
        }
    }
}

impl KnownNode {
    /// The text of the first of kube-scheduler's own filters that refuses the pod.
    fn refuses(&self, demand: &Demand) -> Option<String> {
        let parts = &self.parts;
        if parts.cordoned && !demand.tolerates(&Taint::of_cordon()) {
            return Some("node(s) were unschedulable".into());
        }
        let repels = |taint: &&Taint| taint.effect != Effect::PreferNoSchedule && !demand.tolerates(taint);
        if let Some(Taint { key, value, .. }) = parts.taints.iter().find(repels) {
            return Some(format!("node(s) had untolerated taint {{{key}: {value}}}"));
        }
        if !demand.affinity.accepts(parts.name.as_str(), &parts.labels) {
            return Some("node(s) didn't match Pod's node affinity/selector".into());
        }
        let short = |name: &str| demand.requests.get(name) > parts.allocatable.get(name) - self.used.get(name);
        if short(ResourceName::PODS) {
            return Some("Too many pods".into());
        }
        [ResourceName::CPU, ResourceName::MEMORY]
            .into_iter()
            .find(|name| short(name))
            .map(|n| format!("Insufficient {n}"))
    }
}

/// The message as kube-scheduler's `FitError` writes it.
fn fit_error(nodes: usize, refused: &BTreeMap<String, usize>) -> String {
    let mut reasons: Vec<String> = refused.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.sort();
    format!("0/{nodes} nodes are available: {}.", reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::object::Metadata;
    use crate::sim::fleet::{DEFAULT_NODES, fleet};
    use crate::sim::workload::workload;

    #[test]
    fn reasons_are_sorted_as_text() {
        let refused = [("b is full".to_owned(), 10), ("a is tainted".to_owned(), 9)].into();
        assert_eq!(fit_error(19, &refused), "0/19 nodes are available: 10 b is full, 9 a is tainted.");
    }

    #[test]
    fn its_own_filters_leave_accelerators_to_the_extender() {
        let pods = workload(200, &mut Rng::new(1));
        let pod = |name: &str| pod::decode(pods.iter().find(|p| p.metadata.name == name).unwrap()).0.demand;
        let nodes: Vec<KnownNode> = fleet(DEFAULT_NODES)
            .into_iter()
            .map(|object| KnownNode { parts: node::decode(&object).0, object, used: Resources::default() })
            .collect();
        let refused = |demand: &Demand, name: &str| {
            nodes.iter().find(|node| node.object.metadata.name == name).unwrap().refuses(demand)
        };
        let (gpu, cpu) = (pod("vllm-tp16-1"), pod("gateway-1"));
        assert_eq!(refused(&gpu, "p5-48xlarge-a1"), None, "16 GPUs are the extender's business");
        assert_eq!(refused(&gpu, "m7i-8xlarge-a1").as_deref(), Some("Insufficient cpu"));
        assert_eq!(refused(&gpu, "g6e-48xlarge-b3").as_deref(), Some("node(s) were unschedulable"));
        let taint = "node(s) had untolerated taint {nvidia.com/gpu: }";
        assert_eq!(refused(&cpu, "p5-48xlarge-a1").as_deref(), Some(taint));
        assert_eq!(refused(&cpu, "g5-12xlarge-a1"), None);
        let chosen = pod("vllm-deepseek-v3-1");
        let other = "node(s) didn't match Pod's node affinity/selector";
        assert_eq!(refused(&chosen, "p5-48xlarge-a1").as_deref(), Some(other));
        let full = KnownNode {
            object: Node { metadata: Metadata::default(), ..Node::default() },
            parts: node::decode(&fleet(1)[0]).0,
            used: Resources::from([("pods", 110)]),
        };
        assert_eq!(full.refuses(&gpu).as_deref(), Some("Too many pods"));
    }
}
