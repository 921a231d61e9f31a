//! A fleet that is in use from the beginning: what would have come to it is there already.
//!
//! Nothing is decided well here. Each pod goes to the next node that takes it, as in a fleet that has seen many come and go.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use testudo_core::engine::{Change, Engine, Policy};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::node::{Node, NodeName};
use testudo_core::model::pod::{Demand, Pod, Stage};
use testudo_core::placement;

use super::arrival::{Arrival, Running};
use crate::k8s::object;
use crate::k8s::{node, pod};
use crate::sim::rng::Rng;

/// What is there is up to so old.
const OLDEST: Duration = Duration::from_secs(20 * 24 * 3600);

/// Takes arrivals from the front until `percent` of them are placed, or would be: who finds no place arrives later.
pub(super) fn prefill(
    percent: u8,
    nodes: &[object::Node],
    arriving: &mut VecDeque<Arrival>,
    rng: &mut Rng,
) -> Vec<Running> {
    let count = arriving.len() * usize::from(percent.min(100)) / 100;
    let mut room = Room::of(if count > 0 { nodes } else { &[] });
    let mut later = VecDeque::new();
    let mut running = vec![];
    for mut arrival in arriving.drain(..count) {
        match room.place(&arrival) {
            Some(nodes) => {
                let age = OLDEST.mul_f64(rng.unit() * rng.unit());
                let made = humantime::format_rfc3339_seconds(SystemTime::now() - age).to_string();
                arrival.pods.iter_mut().for_each(|pod| pod.metadata.creation_timestamp = Some(made.clone()));
                running.push(Running { arrival, nodes });
            }
            None => later.push_back(arrival),
        }
    }
    arriving.extend(later);
    running
}

/// Nodes that fill up.
struct Room {
    engine: Engine,
    names: Vec<NodeName>,
    /// For each demand the first node that may still take a pod with it.
    next: BTreeMap<Demand, usize>,
}

impl Room {
    fn of(nodes: &[object::Node]) -> Self {
        let mut engine = Engine::new(Policy::default());
        let catalogue = Catalogue::builtin();
        let mut names = vec![];
        for object in nodes {
            let (node, _) = Node::new(node::decode(object).0, &catalogue);
            names.push(node.name().clone());
            engine.apply(Change::NodeApplied(Box::new(node)), 0);
        }
        Self { engine, names, next: BTreeMap::new() }
    }

    /// The nodes of all pods, or none.
    fn place(&mut self, arrival: &Arrival) -> Option<Vec<usize>> {
        let mut taken: Vec<(Pod, usize)> = vec![];
        for object in &arrival.pods {
            let mut pod = pod::decode(object).0;
            let Some(at) = self.next_for(&pod.demand) else {
                taken.iter().for_each(|(pod, _)| self.engine.apply(Change::PodDeleted(pod.uid.clone()), 0));
                return None;
            };
            pod.stage = Stage::Bound(self.names[at].clone());
            self.engine.apply(Change::PodApplied(Box::new(pod.clone())), 0);
            taken.push((pod, at));
        }
        Some(taken.into_iter().map(|(_, at)| at).collect())
    }

    fn next_for(&mut self, demand: &Demand) -> Option<usize> {
        let first = self.next.get(demand).copied().unwrap_or(0);
        let fits = |at: &usize| {
            let state = self.engine.cluster().node(self.names[*at].as_str());
            state.is_some_and(|state| {
                // A pod that needs no accelerators is not put where there are some.
                let inventory = state.node().map(|node| &node.inventory);
                let is_wasted = !demand.wants_accelerators() && inventory.is_some_and(|i| i.has_accelerators());
                !is_wasted && placement::check(demand, state).is_ok()
            })
        };
        let found = (first..self.names.len()).find(fits);
        self.next.insert(demand.clone(), found.unwrap_or(self.names.len()));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::fleet::fleet;
    use crate::sim::gang_workload::gangs;
    use crate::sim::workload::workload;

    #[test]
    fn so_many_are_there_and_the_others_come() {
        let rng = &mut Rng::new(1);
        let nodes = fleet(60);
        let mut arriving: VecDeque<Arrival> =
            workload(400, rng).into_iter().map(|pod| Arrival::of(vec![pod])).collect();
        arriving.extend(gangs(4, rng).into_iter().map(Arrival::of));
        let all = arriving.len();
        let running = prefill(50, &nodes, &mut arriving, rng);
        assert_eq!(running.len() + arriving.len(), all);
        assert!(running.len() > all / 3, "{} of {all}", running.len());
        assert!(prefill(0, &nodes, &mut arriving, rng).is_empty());
        let mut room = Room::of(&nodes);
        for Running { arrival, .. } in &running {
            let again = room.place(arrival);
            assert!(again.is_some(), "{} does not fit beside those before it", arrival.name());
        }
    }
}
