//! What is undone leaves nothing behind, and changes that have nothing to do with each other may come in any order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::cluster::{Sites, Slot};
use crate::testing::{node, pod};

const NOW: u64 = 1_000;

/// All that decisions rest on: who holds what where, what is free, and what some pods are told of every node.
#[derive(Debug, PartialEq)]
struct State {
    holders: BTreeMap<String, Vec<(String, Holding)>>,
    room: BTreeMap<String, String>,
    unconfirmed: Vec<(PodUid, NodeName)>,
    pods: Vec<Arc<Pod>>,
    services: BTreeMap<String, BTreeMap<String, u32>>,
    verdicts: Vec<(String, Verdict)>,
}

fn state(engine: &mut Engine) -> State {
    let snapshot = engine.snapshot();
    let nodes = snapshot.nodes();
    let probes = [pod("probe-1").gpus(1), pod("probe-3").gpus(3), pod("probe-cpu").asks("cpu", 2_000)];
    let probes: Vec<Pod> = probes.into_iter().map(|probe| probe.label("app", "m").build()).collect();
    let verdicts = probes.iter().flat_map(|probe| {
        let judgement = snapshot.judge(probe);
        let told = |name: &NodeName| (format!("{} on {name}", probe.key), judgement.of(Offered::Named(name.as_str())));
        nodes.iter().map(|state| told(state.name())).collect::<Vec<_>>()
    });
    let verdicts = verdicts.collect();
    let states = || engine.cluster.slots().iter().flatten();
    let holders = |state: &Arc<crate::cluster::NodeState>| {
        state.holders().iter().map(|(uid, holding)| (uid.to_string(), Holding::clone(holding))).collect()
    };
    let unconfirmed = engine.cluster.unconfirmed().iter();
    State {
        holders: states().map(|state| (state.name().to_string(), holders(state))).collect(),
        room: states().map(|state| (state.name().to_string(), format!("{:?}", state.room()))).collect(),
        unconfirmed: unconfirmed.map(|(uid, node)| (uid.clone(), node.clone())).collect(),
        pods: engine.cluster.pods().cloned().collect(),
        services: services(&engine.cluster),
        verdicts,
    }
}

/// How many pods of each service are on which node. Domains and slots are numbered in the order in which they were first seen.
fn services(cluster: &Cluster) -> BTreeMap<String, BTreeMap<String, u32>> {
    let name = |slot: Slot| cluster.slots()[slot].as_ref().expect("a node with pods has its slot").name().to_string();
    let on_nodes = |sites: &Sites| sites.nodes().map(|(slot, pods)| (name(slot), pods)).collect();
    cluster.services().iter().map(|(key, sites)| (format!("{key:?}"), on_nodes(sites))).collect()
}

/// A change of the node or the pod of this number: no two numbers have to do with each other.
#[derive(Debug, Clone)]
enum Event {
    Node { at: usize, gpus: i64 },
    Pod { at: usize, gpus: i64, on: Option<usize> },
}

fn event(at: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..9i64).prop_map(move |gpus| Event::Node { at, gpus }),
        (0..5i64, proptest::option::of(0..4usize)).prop_map(move |(gpus, on)| Event::Pod { at, gpus, on }),
    ]
}

fn change(event: &Event) -> Change {
    match event {
        Event::Node { at, gpus } => {
            Change::NodeApplied(Box::new(node(&format!("n{at}")).has("nvidia.com/gpu", *gpus).build()))
        }
        Event::Pod { at, gpus, on } => {
            let asks = pod(&format!("p{at}")).gpus(*gpus).label("app", "m");
            let bound = on.iter().fold(asks, |pod, on| pod.on(&format!("n{on}")));
            Change::PodApplied(Box::new(bound.build()))
        }
    }
}

fn engine_after<'a>(events: impl IntoIterator<Item = &'a Event>) -> Engine {
    let mut engine = Engine::new(Policy::default());
    events.into_iter().for_each(|event| engine.apply(change(event), NOW));
    engine
}

/// At most one event for each of some numbers.
fn independent_events() -> impl Strategy<Value = Vec<Event>> {
    let each = (0..8usize).map(|at| proptest::option::of(event(at))).collect::<Vec<_>>();
    each.prop_map(|events| events.into_iter().flatten().collect())
}

proptest! {
    /// A placement that is assumed and rolled back leaves the state that was there before; so does one that runs out.
    #[test]
    fn rolling_back_restores_the_state(
        events in independent_events(),
        gpus in 0..5i64,
        on in 0..4usize,
        runs_out in any::<bool>(),
    ) {
        let mut engine = engine_after(&events);
        let asked = pod("asked").gpus(gpus).label("app", "m").build();
        engine.apply(Change::PodApplied(Box::new(asked.clone())), NOW);
        let before = state(&mut engine);
        let node = NodeName::from(format!("n{on}").as_str());
        if engine.assume(&asked, &node, NOW + 10).is_ok() {
            prop_assert_ne!(&state(&mut engine), &before, "it holds something");
            if runs_out {
                prop_assert_eq!(engine.tick(NOW + 10).len(), 1);
            } else {
                engine.roll_back(&asked.uid);
            }
        }
        prop_assert_eq!(state(&mut engine), before);
    }

    /// Changes of different objects give the same state in any order.
    #[test]
    fn independent_changes_commute((events, shuffled) in independent_events().prop_flat_map(|events| {
        (Just(events.clone()), Just(events).prop_shuffle())
    })) {
        prop_assert_eq!(state(&mut engine_after(&shuffled)), state(&mut engine_after(&events)));
    }
}
