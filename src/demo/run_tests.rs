use prometheus_client::registry::Registry;
use testudo_core::engine::{Policy, Snapshot};
use testudo_core::model::catalogue::Catalogue;

use super::*;
use crate::config::Mode;
use crate::extender::metrics::Metrics;
use crate::extender::{self, ServerOptions};
use crate::host::Bindings;
use crate::sim::fleet::DEFAULT_NODES;
use crate::sim::workload::PODS_PER_NODE;

const PLAN: Plan = Plan {
    nodes: DEFAULT_NODES,
    pods: DEFAULT_NODES * PODS_PER_NODE,
    gangs: 0,
    filled: 0,
    seed: 42,
    form: OfferForm::Names,
};

/// Runs a plan against a real server, and looks at the state before every step and at what happened.
async fn play(plan: Plan, look: impl Fn(&Snapshot, &[Event])) -> (Vec<Event>, Summary, Arc<Host>) {
    let mut registry = Registry::default();
    let catalogue = Catalogue::builtin();
    let host = Arc::new(Host::new(Policy::default(), Mode::Enforce, catalogue, Bindings::OwnCopy, &mut registry));
    let options =
        ServerOptions { bind_address: SocketAddr::from(([127, 0, 0, 1], 0)), workers: 1, ..ServerOptions::default() };
    let metrics = Metrics::register(&mut registry);
    let server = extender::start(Arc::clone(&host), options, metrics, Arc::new(registry)).unwrap();
    let mut simulation = Simulation::new(&plan, Arc::clone(&host), server.address()).unwrap();
    let mut all = vec![];
    loop {
        let before = host.snapshot();
        let Some(events) = simulation.step().await.unwrap() else { break };
        look(&before, &events);
        let after = host.snapshot();
        for (node, used) in simulation.scheduler.used() {
            assert_eq!(after.node(node).unwrap().used(), used, "{node}: both sides count the same");
        }
        all.extend(events);
    }
    let summary = simulation.summary();
    server.stop(false).await;
    (all, summary, host)
}

/// What the nodes really have, against what pods hold there.
fn nothing_is_given_twice(snapshot: &Snapshot) {
    for state in snapshot.nodes() {
        let node = state.node().unwrap();
        for (resource, used) in state.used().iter() {
            let allocatable = node.parts.allocatable.get(resource.as_str());
            assert!(used <= allocatable, "{}: {used} of {allocatable} {resource}", node.name());
        }
        for pool in &node.inventory.pools {
            assert!(state.free_units(pool) >= 0, "{}: {}", node.name(), pool.resource);
        }
    }
}

fn is_linked(snapshot: &Snapshot, node: &str) -> bool {
    snapshot.node(node).unwrap().node().unwrap().inventory.is_link_complete()
}

/// A set of eight is on linked devices, unless eight such were free nowhere.
fn sets_are_linked(before: &Snapshot, events: &[Event]) {
    let [Event { pod, asks, kind: EventKind::Placed { node, .. } }, ..] = events else { return };
    if asks == "8 gpu" && !is_linked(before, node) {
        for state in before.nodes() {
            let inventory = &state.node().unwrap().inventory;
            let free = inventory.pool("nvidia.com/gpu").map_or(0, |pool| state.free_units(pool));
            let whole = inventory.is_link_complete() && inventory.pools[0].unit.joins_sets();
            assert!(!whole || free < 8, "{pod} is on {node}, but {} is free", state.name());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fleet_fills_up_and_nothing_is_given_twice() {
    let (events, summary, host) = play(PLAN, |before, events| {
        nothing_is_given_twice(before);
        sets_are_linked(before, events);
    })
    .await;
    nothing_is_given_twice(&host.snapshot());
    let snapshot = host.snapshot();
    let mut eights = 0;
    for Event { pod, asks, kind } in &events {
        let EventKind::Placed { node, why, .. } = kind else { continue };
        assert!(!why.is_empty(), "{pod}");
        let inventory = &snapshot.node(node).unwrap().node().unwrap().inventory;
        match asks.as_str() {
            "8 gpu" => eights += usize::from(is_linked(&snapshot, node)),
            _ if asks.ends_with(" cpu") => assert!(!inventory.has_accelerators(), "{pod} on {node}"),
            _ => assert!(inventory.has_accelerators(), "{pod} on {node}"),
        }
    }
    assert!(eights >= 5, "{eights} sets of eight on linked devices");

    let is = |which: fn(&EventKind) -> bool| events.iter().filter(|event| which(&event.kind)).count();
    let placed = is(|kind| matches!(kind, EventKind::Placed { .. }));
    assert!(is(|kind| matches!(kind, EventKind::Placed { waited: true, .. })) > 0, "who waits is placed later");
    assert_eq!(summary.placed, placed);
    assert_eq!(summary.finished, is(|kind| matches!(kind, EventKind::Finished { .. })));
    assert_eq!(summary.placed + summary.waiting.len(), PLAN.pods);
    assert!(summary.placed > PLAN.pods * 3 / 4, "{} placed", summary.placed);

    let names: Vec<&str> = summary.waiting.iter().map(|waiting| waiting.pod.as_str()).collect();
    assert!(names.contains(&"vllm-tp16-1") && names.contains(&"whole-slice-1"), "{names:?}");
    for Waiting { pod, message, .. } in &summary.waiting {
        let counted = message.strip_prefix("0/30 nodes are available: ").expect(message);
        let nodes: usize =
            counted.split(", ").filter_map(|reason| reason.split_once(' ')?.0.parse::<usize>().ok()).sum();
        assert_eq!(nodes, DEFAULT_NODES, "{pod}: every node has a reason: {message}");
    }
    let calls: Vec<_> = summary.calls.iter().map(|calls| calls.verb).collect();
    assert_eq!(calls, ["bind", "filter", "prioritize"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seed_decides_and_the_form_of_the_offer_does_not() {
    let plan = Plan { nodes: 12, pods: 60, ..PLAN };
    let (first, ..) = play(plan, |_, _| {}).await;
    let (again, ..) = play(plan, |_, _| {}).await;
    assert_eq!(first, again);
    let (nodes, ..) = play(Plan { form: OfferForm::Nodes, ..plan }, |_, _| {}).await;
    assert_eq!(first, nodes);
    let (other, ..) = play(Plan { seed: 43, ..plan }, |_, _| {}).await;
    assert_ne!(first, other);
}
