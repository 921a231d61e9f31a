//! The engine of this program at work, asked as the extender asks it.

use std::collections::BTreeMap;

use testudo_core::cluster::NodeState;
use testudo_core::engine::{Change, Engine, PlacementPolicy, Policy};
use testudo_core::model::accelerator::Unit;
use testudo_core::model::gang::{GangKey, Group};
use testudo_core::model::node::NodeName;
use testudo_core::model::pod::{Pod, PodUid};
use testudo_core::model::resources::ResourceName;

use super::gangs::Gang;
use super::occupancy::Free;
use super::openb::WHOLE_GPU;
use super::placer::{Arrival, Placer};
use super::policy::TypicalPods;
use super::rng::Rng;
use super::world::{Machine, World};
use crate::host::offline::{self, NOW_MS};
use crate::k8s::pod;

/// The engine with a cluster of its own.
pub struct TestudoPlacer<'w> {
    world: &'w World,
    engine: Engine,
    slots: BTreeMap<NodeName, usize>,
    /// The group objects of gangs that were placed, by the number of their first member.
    groups: BTreeMap<usize, Vec<GangKey>>,
    typical: TypicalPods,
}

impl<'w> TestudoPlacer<'w> {
    /// An empty cluster, in which places are chosen for this.
    pub fn new(world: &'w World, placement: PlacementPolicy) -> Self {
        let mut engine = Engine::new(Policy { placement, ..Policy::default() });
        for node in &world.nodes {
            engine.apply(Change::NodeApplied(Box::new(node.clone())), 0);
        }
        let slots = world.nodes.iter().enumerate().map(|(at, node)| (node.name().clone(), at)).collect();
        Self { world, engine, slots, groups: BTreeMap::new(), typical: TypicalPods::of(world) }
    }

    fn pod(&self, arrival: Arrival) -> Pod {
        let mut pod = self.world.pods[arrival.pod].pod.clone();
        pod.uid = uid(arrival);
        pod.key.name = format!("{}-{}", pod.key.name, arrival.id);
        pod
    }

    /// The same as a member of its gang; `number` is that of the first member.
    fn member(&self, gang: &Gang, arrival: Arrival, number: usize) -> Pod {
        let object = gang.member(self.world, arrival, number);
        let Pod { membership, labels, .. } = pod::decode(&object).0;
        Pod { membership, labels, ..self.pod(arrival) }
    }

    fn forget(&mut self, arrivals: &[Arrival]) {
        for arrival in arrivals {
            self.engine.apply(Change::PodDeleted(uid(*arrival)), NOW_MS);
            for key in self.groups.remove(&arrival.id).into_iter().flatten() {
                self.engine.apply(Change::GroupDeleted(key), NOW_MS);
            }
        }
    }
}

/// What the engine says is free on a node, as far as fragmentation is judged by it.
fn free(machine: &Machine, state: &NodeState) -> Free {
    let mut free = Free::idle(machine);
    free.cpu = state.free(&ResourceName::CPU.into());
    let shared = state.shared_gpus().free();
    if shared.is_empty() {
        // Whole GPUs have no number here: which of them are free makes no difference.
        let pools = state.node().map_or(&[][..], |node| &node.inventory.pools);
        let devices: i64 =
            pools.iter().filter(|pool| pool.unit == Unit::Device).map(|pool| state.free_units(pool)).sum();
        let used = free.gpus.len() - usize::try_from(devices).unwrap_or(0).min(free.gpus.len());
        free.gpus[..used].fill(0);
    } else {
        free.gpus = shared.iter().map(|milli| i64::from(*milli).clamp(0, WHOLE_GPU)).collect();
    }
    free
}

impl TestudoPlacer<'_> {
    fn free(&self) -> Vec<Free> {
        free_of(self.world, |name| self.engine.cluster().node(name).map(|state| &**state))
    }
}

/// What is free on each machine, where the engine says what holds on each node.
pub(super) fn free_of<'s>(world: &World, state: impl Fn(&str) -> Option<&'s NodeState>) -> Vec<Free> {
    let seen =
        |machine: &Machine| state(&machine.name).map_or_else(|| Free::idle(machine), |state| free(machine, state));
    world.machines.iter().map(seen).collect()
}

fn uid(arrival: Arrival) -> PodUid {
    PodUid::from(format!("simulated-{}", arrival.id).as_str())
}

impl Placer for TestudoPlacer<'_> {
    /// The best place: it stands alone at the top of what kube-scheduler is told, so that there are no ties to break.
    fn place(&mut self, arrival: Arrival, _: &mut Rng) -> Option<usize> {
        let pod = self.pod(arrival);
        let node = self.engine.snapshot().judge(&pod).best()?.clone();
        offline::bind(&mut self.engine, &pod, &node).ok()?;
        self.slots.get(&node).copied()
    }

    /// All members or none, as the planner says.
    fn place_gang(&mut self, unit: usize, members: &[Arrival], _: &mut Rng) -> Vec<Option<usize>> {
        let (Some(gang), Some(first)) = (&self.world.units[unit].gang, members.first()) else { return vec![] };
        let groups: Vec<Group> = gang.groups(first.id).collect();
        self.groups.insert(first.id, groups.iter().map(|group| group.key.clone()).collect());
        groups.into_iter().for_each(|group| self.engine.apply(Change::GroupApplied(Box::new(group)), NOW_MS));
        let pods: Vec<Pod> = members.iter().map(|member| self.member(gang, *member, first.id)).collect();
        let nodes = offline::place_gang(&mut self.engine, &pods);
        if nodes.iter().any(Option::is_none) {
            self.forget(members);
            return vec![None; members.len()];
        }
        nodes.into_iter().map(|node| self.slots.get(&node?).copied()).collect()
    }

    fn remove(&mut self, arrival: Arrival) {
        self.forget(&[arrival]);
    }

    fn fragmentation(&self) -> Option<f64> {
        Some(self.typical.fragmentation(&self.free()))
    }

    fn free_gpus(&self) -> Option<Vec<usize>> {
        Some(self.free().iter().map(|free| free.gpus_with(WHOLE_GPU)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::placer::{TieBreak, Ties};
    use super::super::policy::Policy;
    use super::super::testing::{node, node_with, pod, pod_with, world};
    use super::*;

    /// The fragmentation that two policies see once they have placed the same pods, where there is no choice.
    fn seen(world: &World, policy: Policy, pods: usize) -> Vec<f64> {
        let mut rng = Rng::new(1);
        let ties = TieBreak::new(Ties::Random, world.machines.len(), &mut rng);
        let mut placer = policy.placer(world, ties);
        let arrival = |pod| Arrival { id: pod, pod };
        let mut seen: Vec<f64> = (0..pods)
            .map(|pod| {
                placer.place(arrival(pod), &mut rng).expect("there is room");
                placer.fragmentation().expect("kept by both")
            })
            .collect();
        placer.remove(arrival(0));
        seen.extend(placer.fragmentation());
        seen
    }

    #[test]
    fn sees_the_same_fragmentation_as_the_flat_world() {
        let pods = [pod("a", 4000, 700), pod("b", 4000, 300), pod("c", 4000, 1000), pod("d", 4000, 200)];
        let shares = world(&[node("n", 12_500, 2)], &pods);
        let product = [("nvidia.com/gpu.product", "NVIDIA-L4")];
        let gpus = node_with("n", 12_500, &[("nvidia.com/gpu", 4)], &product);
        let asks = |name, count| pod_with(name, 4000, Some(("nvidia.com/gpu", count)));
        let whole = world(&[gpus], &[asks("a", 1), asks("b", 1), asks("c", 1)]);
        for (world, pods) in [(shares, 3), (whole, 3)] {
            let ours = seen(&world, Policy::Testudo, pods);
            assert!(ours.iter().any(|wasted| *wasted > 0.0), "{ours:?}");
            assert_eq!(ours, seen(&world, Policy::BestFit, pods));
        }
    }
}
