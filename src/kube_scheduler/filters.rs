//! kube-scheduler's own filters, on its own view of the nodes.
//!
//! Its NodeResourcesFit is configured to leave accelerators to the extender (`ignoredResourceGroups`), so that all that
//! is said about them is ours. NodeUnschedulable, TaintToleration, NodeAffinity and the rest of NodeResourcesFit are
//! played here, in their order and with their texts; its other plugins have nothing to say about these pods.

use std::borrow::Cow;

use testudo_core::model::accelerator::AcceleratorResource;
use testudo_core::model::node::NodeParts;
use testudo_core::model::pod::Demand;
use testudo_core::model::resources::{ResourceName, Resources};
use testudo_core::model::taint::{Effect, Taint};

use crate::k8s::node;
use crate::k8s::object::Node;

/// A node with what pods hold there.
#[derive(Debug)]
pub(super) struct KnownNode {
    /// As the API server shows it.
    pub object: Node,
    /// What it says.
    pub parts: NodeParts,
    /// What pods hold.
    pub used: Resources,
}

/// What the filters look at in a pod: made once, asked for every node.
#[derive(Debug)]
pub(super) struct Question<'a> {
    demand: &'a Demand,
    /// What is asked for beside accelerators, in the order in which it is looked at.
    counted: Vec<(&'a ResourceName, i64)>,
}

impl<'a> Question<'a> {
    pub fn of(demand: &'a Demand) -> Self {
        let is_ours = |name: &ResourceName| AcceleratorResource::parse(name.as_str()).is_some();
        let requests = demand.requests.iter();
        let mut counted: Vec<(&ResourceName, i64)> =
            requests.filter(|(name, amount)| *amount > 0 && !is_ours(name)).collect();
        counted.sort_by_key(|(name, _)| FIRST.iter().position(|first| *first == name.as_str()).unwrap_or(FIRST.len()));
        Self { demand, counted }
    }
}

/// NodeResourcesFit looks at these before all others.
const FIRST: [&str; 3] = [ResourceName::PODS, ResourceName::CPU, ResourceName::MEMORY];

impl KnownNode {
    /// A node without pods.
    pub fn idle(object: Node) -> Self {
        Self { parts: node::decode(&object).0, object, used: Resources::default() }
    }

    /// The text of the first filter that refuses the pod.
    pub fn refuses(&self, question: &Question<'_>) -> Option<Cow<'static, str>> {
        let Question { demand, counted } = question;
        let parts = &self.parts;
        if parts.cordoned && !demand.tolerates(&Taint::of_cordon()) {
            return Some("node(s) were unschedulable".into());
        }
        let repels = |taint: &&Taint| taint.effect != Effect::PreferNoSchedule && !demand.tolerates(taint);
        if let Some(Taint { key, value, .. }) = parts.taints.iter().find(repels) {
            return Some(format!("node(s) had untolerated taint {{{key}: {value}}}").into());
        }
        if !demand.affinity.accepts(parts.name.as_str(), &parts.labels) {
            return Some("node(s) didn't match Pod's node affinity/selector".into());
        }
        let free = |name: &str| parts.allocatable.get(name).saturating_sub(self.used.get(name));
        let (short, _) = counted.iter().find(|(name, amount)| *amount > free(name.as_str()))?;
        Some(match short.as_str() {
            ResourceName::PODS => "Too many pods".into(),
            ResourceName::CPU => "Insufficient cpu".into(),
            ResourceName::MEMORY => "Insufficient memory".into(),
            other => format!("Insufficient {other}").into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::pod;
    use crate::sim::fleet::{DEFAULT_NODES, fleet};
    use crate::sim::rng::Rng;
    use crate::sim::workload::workload;

    #[test]
    fn accelerators_are_left_to_the_extender() {
        let pods = workload(200, &mut Rng::new(1));
        let pod = |name: &str| pod::decode(pods.iter().find(|p| p.metadata.name == name).unwrap()).0.demand;
        let nodes: Vec<KnownNode> = fleet(DEFAULT_NODES).into_iter().map(KnownNode::idle).collect();
        let refused = |demand: &Demand, name: &str| {
            let node = nodes.iter().find(|node| node.object.metadata.name == name).unwrap();
            node.refuses(&Question::of(demand))
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
    }

    #[test]
    fn the_number_of_pods_comes_before_all_else_that_is_counted() {
        let node = |used: Resources| KnownNode { used, ..KnownNode::idle(fleet(1).remove(0)) };
        let all = i64::MAX;
        let demand = |requests: Resources| Demand {
            requests,
            tolerations: pod::decode(&workload(1, &mut Rng::new(1))[0]).0.demand.tolerations.clone(),
            ..Demand::default()
        };
        let asked = [("cpu", 1), ("example.com/licence", 1), ("memory", 1), ("pods", 1)];
        let refused = |used: &[(&str, i64)]| {
            let demand = demand(asked.into());
            let used = used.iter().map(|(name, amount)| (ResourceName::from(*name), *amount)).collect();
            node(used).refuses(&Question::of(&demand)).expect("refused").into_owned()
        };
        assert_eq!(refused(&[("pods", all), ("cpu", all)]), "Too many pods");
        assert_eq!(refused(&[("memory", all), ("cpu", all)]), "Insufficient cpu");
        assert_eq!(refused(&[("memory", all)]), "Insufficient memory");
        assert_eq!(refused(&[]), "Insufficient example.com/licence");
        let nothing = demand([("cpu", 0)].into());
        let overcommitted = node([("cpu", all)].into());
        assert_eq!(overcommitted.refuses(&Question::of(&nothing)), None, "who asks for nothing is short of nothing");
    }
}
