//! An engine without a process around it: for what asks once, and for what-if.

use std::collections::BTreeMap;
use std::sync::Arc;

use testudo_core::engine::{AssumeError, Change, ClaimOrder, ClaimOutcome, Engine, Order, Policy};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::node::{Node, NodeName};
use testudo_core::model::pod::{Pod, PodUid, Stage};

use super::backing;
use super::gangs::solve;
use crate::claims::ClaimsError;
use crate::k8s::manifests::Manifests;
use crate::k8s::{node, pod};

/// Time stands still in it.
pub const NOW_MS: u64 = 0;

/// An engine that knows the nodes, the group objects, the devices and their claims, and those pods of which `counts` says so.
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
    for class in &manifests.classes {
        engine.apply(Change::ClassApplied(Box::new(class.clone())), NOW_MS);
    }
    for slice in &manifests.slices {
        engine.apply(Change::SliceApplied(Arc::new(slice.clone())), NOW_MS);
    }
    for claim in &manifests.claims {
        engine.apply(Change::ClaimApplied(Box::new(claim.clone())), NOW_MS);
    }
    let pods = manifests.pods.iter().map(|object| pod::decode(object).0).filter(|pod| counts(pod));
    pods.for_each(|pod| engine.apply(Change::PodApplied(Box::new(pod)), NOW_MS));
    engine
}

/// Adds to what nodes say the devices that stand behind extended resources.
///
/// # Errors
/// When there is no room for the search.
pub fn count_devices(engine: &mut Engine, catalogue: &Catalogue) -> Result<(), ClaimsError> {
    backing::count_all(engine, catalogue, NOW_MS)
}

/// Looks for plans until there is nothing left to plan.
pub fn settle(engine: &mut Engine) {
    engine.keep_gangs(NOW_MS);
    while let Some(task) = engine.next_plan(NOW_MS) {
        engine.adopt(solve(task), NOW_MS);
    }
}

/// Has claims that are to be given devices have them, as if the API server had taken every write.
fn give_devices(engine: &mut Engine) {
    for order in engine.orders(NOW_MS) {
        if let Order::Claim(ClaimOrder::Allocate { claim, uid, .. }) = order {
            engine.conclude(&claim, &uid, ClaimOutcome::Allocated { version: 1 }, NOW_MS);
        }
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
    let use_claims = pods.iter().any(|pod| !pod.claims.is_empty());
    loop {
        settle(engine);
        if use_claims {
            give_devices(engine);
        }
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
