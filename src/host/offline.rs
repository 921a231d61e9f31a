//! An engine without a process around it: for what asks once, and for what-if.

use testudo_core::engine::{Change, Engine, Policy};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::node::Node;
use testudo_core::model::pod::Pod;

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
