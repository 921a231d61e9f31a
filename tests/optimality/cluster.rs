//! The engine at work on a fleet of nodes with shareable GPUs, asked as the extender asks it.

use testudo_core::engine::{Change, Engine, Offered, Policy, Verdict};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::fabric::DeviceSet;
use testudo_core::model::gpu_share;
use testudo_core::model::node::{Node, NodeParts};
use testudo_core::model::pod::{Demand, Pod, PodKey, Stage};
use testudo_core::model::resources::{ResourceName, Resources};
use testudo_core::model::selector::{Labels, NodeAffinity};

/// The label that names the model of a node's GPUs, by which pods select them.
pub const MODEL: &str = "nvidia.com/gpu.product";

/// CPU (thousandths), memory (GiB) and GPUs (thousandths).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amounts {
    pub cpu: i64,
    pub memory: i64,
    pub gpu: i64,
}

impl Amounts {
    fn resources(self, pods: i64) -> Resources {
        let amounts = [
            (ResourceName::CPU, self.cpu),
            (ResourceName::MEMORY, self.memory << 30),
            (ResourceName::PODS, pods),
            (gpu_share::RESOURCE, self.gpu),
        ];
        Resources::from(amounts)
    }
}

/// A node that has this.
pub fn node(name: &str, labels: &[(&str, &str)], has: Amounts, catalogue: &Catalogue) -> Node {
    let parts = NodeParts {
        name: name.into(),
        labels: labels.iter().copied().collect(),
        taints: vec![],
        cordoned: false,
        capacity: has.resources(110),
        allocatable: has.resources(110),
    };
    let (node, problems) = Node::new(parts, catalogue);
    assert!(problems.is_empty(), "{problems:?}");
    node
}

/// A pod that asks for this, of nodes with GPUs of this model if one is given.
pub fn pod(name: &str, asks: Amounts, model: Option<&str>) -> Pod {
    let selector: Labels = model.into_iter().map(|model| (MODEL, model)).collect();
    let affinity = NodeAffinity { selector, ..NodeAffinity::default() };
    let demand = Demand { requests: asks.resources(1), affinity, ..Demand::default() };
    Pod::new(PodKey { namespace: "test".into(), name: name.into() }, name.into(), demand)
}

/// Where a pod went: which node, and which of its GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    pub node: usize,
    pub gpus: Vec<usize>,
}

/// The engine with a fleet.
pub struct Fleet {
    engine: Engine,
    names: Vec<String>,
}

impl Fleet {
    /// The engine on an empty fleet.
    pub fn new(nodes: Vec<Node>) -> Fleet {
        let mut engine = Engine::new(Policy::default());
        let names = nodes.iter().map(|node| node.name().to_string()).collect();
        for node in nodes {
            engine.apply(Change::NodeApplied(Box::new(node)), 0);
        }
        Fleet { engine, names }
    }

    /// Places a pod on the best node that filter leaves, as kube-scheduler does with the extender's answers.
    pub fn place(&mut self, pod: &Pod) -> Option<Seat> {
        let snapshot = self.engine.snapshot();
        let judgement = snapshot.judge(pod);
        let rank = |name: &str| match judgement.of(Offered::Named(name)) {
            Verdict::Fits(rank) => Some(rank.packed()),
            Verdict::No(_) => None,
        };
        let ranked = self.names.iter().enumerate().filter_map(|(at, name)| Some((rank(name)?, name, at)));
        let (_, name, node) = ranked.min()?;
        let given = self.engine.assume(pod, &name.as_str().into(), u64::MAX).expect("it was said to fit");
        let mut bound = pod.clone();
        bound.stage = Stage::Bound(name.as_str().into());
        bound.gpus = given;
        self.engine.apply(Change::PodApplied(Box::new(bound)), 0);
        Some(Seat { node, gpus: given.unwrap_or(DeviceSet::EMPTY).iter().collect() })
    }

    /// Takes a pod away that has ended.
    pub fn remove(&mut self, pod: &Pod) {
        self.engine.apply(Change::PodDeleted(pod.uid.clone()), 0);
    }

    /// Tells of a pod that runs elsewhere in the cluster.
    pub fn knows(&mut self, pod: &Pod) {
        let bound = Pod { stage: Stage::Bound("elsewhere".into()), ..pod.clone() };
        self.engine.apply(Change::PodApplied(Box::new(bound)), 0);
    }
}
