//! What kube-scheduler does with one pod: its own filters, then the extender's verbs, then the choice.
//!
//! Its own scores are left out: the extender's weight outvotes them.

use std::collections::BTreeMap;

use super::client::Client;
use super::filters::{KnownNode, Question};
use crate::k8s::object::{Node, Pod};
use crate::k8s::pod;

/// kube-scheduler, with its own view of the nodes.
#[derive(Debug)]
pub struct Scheduler {
    client: Client,
    nodes: Vec<KnownNode>,
}

/// What came out for one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A node was chosen.
    Chosen(Choice),
    /// No node will do: the message of the pod's condition.
    Unschedulable(String),
}

/// A node was chosen. Nodes are numbered as the scheduler was given them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The node.
    pub node: usize,
    /// All nodes where the pod fits, this one among them.
    pub feasible: Vec<usize>,
    /// Why not elsewhere, and on how many nodes.
    pub refused: BTreeMap<String, usize>,
}

impl Scheduler {
    /// A scheduler that knows these nodes and no pod.
    pub fn new(client: Client, nodes: &[Node]) -> Self {
        Self { client, nodes: nodes.iter().cloned().map(KnownNode::idle).collect() }
    }

    /// The extender's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The name of a node.
    pub fn name(&self, node: usize) -> &str {
        self.nodes[node].parts.name.as_str()
    }

    /// What it believes to be in use on each node.
    #[cfg(test)]
    pub fn used(&self) -> impl Iterator<Item = (&str, &testudo_core::model::resources::Resources)> {
        self.nodes.iter().map(|known| (known.parts.name.as_str(), &known.used))
    }

    /// Chooses a node. `break_tie` is told which nodes have the highest score, and takes one of them.
    ///
    /// # Errors
    /// When the extender fails: it is not `ignorable`, so the pod is tried again later.
    pub async fn schedule(&mut self, pod: &Pod, break_tie: impl FnOnce(&[usize]) -> usize) -> anyhow::Result<Outcome> {
        let demand = pod::decode(pod).0.demand;
        let question = Question::of(&demand);
        let mut refused: BTreeMap<String, usize> = BTreeMap::new();
        let mut refuse = |reason: &str, nodes: usize| match refused.get_mut(reason) {
            Some(count) => *count += nodes,
            None => drop(refused.insert(reason.to_owned(), nodes)),
        };
        let mut fitting = Vec::with_capacity(self.nodes.len());
        for (at, node) in self.nodes.iter().enumerate() {
            match node.refuses(&question) {
                None => fitting.push(at),
                Some(reason) => refuse(&reason, 1),
            }
        }
        let mut feasible = vec![];
        if !fitting.is_empty() {
            let offer: Vec<&Node> = fitting.iter().map(|at| &self.nodes[*at].object).collect();
            let filtered = self.client.filter(pod, &offer).await?;
            filtered.refused.iter().for_each(|(reason, nodes)| refuse(reason, *nodes));
            feasible = filtered.nodes.into_iter().map(|at| fitting[at]).collect();
        }
        let node = match feasible.as_slice() {
            [] => return Ok(Outcome::Unschedulable(fit_error(self.nodes.len(), &refused))),
            [only] => *only,
            _ => {
                let offer: Vec<&Node> = feasible.iter().map(|at| &self.nodes[*at].object).collect();
                let scores = self.client.prioritize(pod, &offer).await?;
                let best = scores.iter().max();
                let highest = feasible.iter().zip(&scores).filter(|(_, score)| Some(*score) == best);
                let equals: Vec<usize> = highest.map(|(node, _)| *node).collect();
                break_tie(&equals)
            }
        };
        Ok(Outcome::Chosen(Choice { node, feasible, refused }))
    }

    /// Binds pods to their nodes, at the same time; from then on they count there.
    ///
    /// # Errors
    /// When the extender refuses or fails.
    pub async fn bind(&mut self, pods: &[(&Pod, usize)]) -> anyhow::Result<()> {
        let named: Vec<(&Pod, &str)> =
            pods.iter().map(|(pod, node)| (*pod, self.nodes[*node].parts.name.as_str())).collect();
        self.client.bind(&named).await?;
        pods.iter().for_each(|(pod, node)| self.count(pod, *node));
        Ok(())
    }

    /// The pod is on the node: it was bound, or was there before.
    pub fn count(&mut self, pod: &Pod, node: usize) {
        self.nodes[node].used.add(&pod::decode(pod).0.demand.requests);
    }

    /// Would a node take the pod if it were empty?
    pub fn would_take(&self, node: usize, pod: &Pod) -> bool {
        let parts = &self.nodes[node].parts;
        pod::decode(pod).0.demand.affinity.accepts(parts.name.as_str(), &parts.labels)
    }

    /// The pod is gone from the node.
    pub fn forget(&mut self, pod: &Pod, node: usize) {
        self.nodes[node].used.subtract(&pod::decode(pod).0.demand.requests);
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

    #[test]
    fn reasons_are_sorted_as_text() {
        let refused = [("b is full".to_owned(), 10), ("a is tainted".to_owned(), 9)].into();
        assert_eq!(fit_error(19, &refused), "0/19 nodes are available: 10 b is full, 9 a is tainted.");
    }
}
