//! An engine without a process around it: for what asks once, and for what-if.

use std::collections::BTreeMap;

use testudo_core::engine::{AssumeError, Change, Engine, Policy};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::node::{Node, NodeName};
use testudo_core::model::pod::{Pod, PodUid, Stage};

use crate::k8s::manifests::Manifests;
use crate::k8s::{node, pod};

/// Time stands still in it.
pub const NOW_MS: u64 = 0;

/// An engine that knows the nodes, the group objects and those pods of which `counts` says so.
pub fn engine_of(
    manifests: &Manifests,
    catalogue: &Catalogue,
    policy: Policy,
    counts: impl Fn(&Pod) -> bool,
) -> Engine {
    let mut engine = Engine::new(policy);
    for object in &manifests.nodes {
        let node = Node::new(node::decode(object).0, catalogue).0;
        engine.apply(Change::NodeApplied(Box::new(node)), NOW_MS);
    }
    for group in &manifests.groups {
        engine.apply(Change::GroupApplied(Box::new(group.clone())), NOW_MS);
    }
    let pods = manifests.pods.iter().map(|object| pod::decode(object).0).filter(|pod| counts(pod));
    pods.for_each(|pod| engine.apply(Change::PodApplied(Box::new(pod)), NOW_MS));
    engine
}

/// Looks for plans until there is nothing left to plan.
pub fn settle(engine: &mut Engine) {
    engine.keep_gangs(NOW_MS);
    while let Some(task) = engine.next_plan(NOW_MS) {
        engine.adopt(task.solve(), NOW_MS);
    }
}

/// Binds a pod in it.
///
/// # Errors
/// When the pod does not fit there.
pub fn bind(engine: &mut Engine, pod: &Pod, node: &NodeName) -> Result<(), AssumeError> {
    let gpus = engine.assume(pod, node, u64::MAX)?;
    let bound = Pod { gpus, stage: Stage::Bound(node.clone()), ..pod.clone() };
    engine.apply(Change::PodApplied(Box::new(bound)), NOW_MS);
    Ok(())
}

/// Makes the pods of a gang known, has them planned, and binds those that have places, since others may start only then;
/// until all are bound, or no more get places. The nodes, in the order of the pods.
pub fn place_gang(engine: &mut Engine, pods: &[Pod]) -> Vec<Option<NodeName>> {
    pods.iter().for_each(|pod| engine.apply(Change::PodApplied(Box::new(pod.clone())), NOW_MS));
    let mut nodes: BTreeMap<&PodUid, NodeName> = BTreeMap::new();
    loop {
        settle(engine);
        let snapshot = engine.snapshot();
        let planned = pods.iter().filter_map(|pod| Some((pod, snapshot.unconfirmed().get(&pod.uid)?.clone())));
        let planned: Vec<(&Pod, NodeName)> = planned.filter(|(pod, _)| !nodes.contains_key(&pod.uid)).collect();
        if planned.is_empty() {
            return pods.iter().map(|pod| nodes.remove(&pod.uid)).collect();
        }
        for (pod, node) in planned {
            // What is planned is held in the ledger: nobody has taken it.
            if bind(engine, pod, &node).is_ok() {
                nodes.insert(&pod.uid, node);
            }
        }
    }
}
