//! Gangs of a workload: pods that come together, and are of use only together.
//!
//! A workload arrives in units: single pods, and gangs. Policies that know gangs place a unit as a whole or not at all; the
//! others place its pods one by one, as plain schedulers do, and may hold a part of a gang that never starts.

use std::collections::BTreeMap;

use testudo_core::engine::{Change, Engine, GangStage, Policy};
use testudo_core::model::gang::{GangKey, Group};
use testudo_core::model::pod::Pod;

use super::placer::{Arrival, Placer};
use super::rng::Rng;
use super::world::World;
use crate::host::offline::NOW_MS;
use crate::k8s::gang::copies;
use crate::k8s::object;

/// What arrives at once: a pod, or the members of a gang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The pods of the workload that it consists of; at least one.
    pub pods: Vec<usize>,
    /// The gang that they are.
    pub gang: Option<Gang>,
}

/// A gang of the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gang {
    /// Its name.
    pub key: GangKey,
    /// What group objects say of it.
    pub groups: Vec<Group>,
}

/// Divides pods, of which each is as its manifest has it, into units: the gangs in the order of their first members. Whether
/// the members of a gang start together is the engine's to say.
///
/// # Errors
/// When a gang is not complete, or what is said of it makes no sense: it would never start.
pub fn units(pods: &[Pod], groups: &[Group]) -> Result<Vec<Unit>, String> {
    let mut engine = Engine::new(Policy::default());
    groups.iter().for_each(|group| engine.apply(Change::GroupApplied(Box::new(group.clone())), NOW_MS));
    pods.iter().for_each(|pod| engine.apply(Change::PodApplied(Box::new(pod.clone())), NOW_MS));
    engine.keep_gangs(NOW_MS);
    let mut gangs: BTreeMap<GangKey, Option<usize>> = BTreeMap::new();
    for view in engine.gangs() {
        if view.stage == GangStage::Gathering {
            let why = view.why.as_deref().unwrap_or("it is not complete").to_owned();
            return Err(format!("gang {}: {why}; give all of its pods and its group object", view.key));
        }
        gangs.insert(view.key, None);
    }
    let mut units: Vec<Unit> = vec![];
    for (at, pod) in pods.iter().enumerate() {
        let key = pod.membership.as_ref().map(|membership| &membership.gang);
        match key.and_then(|key| Some((key, gangs.get_mut(key)?))) {
            None => units.push(Unit { pods: vec![at], gang: None }),
            Some((_, Some(unit))) => units[*unit].pods.push(at),
            Some((key, unit)) => {
                *unit = Some(units.len());
                let describes = |group: &&Group| key.described_by().any(|key| key == group.key);
                let groups = groups.iter().filter(describes).cloned().collect();
                units.push(Unit { pods: vec![at], gang: Some(Gang { key: key.clone(), groups }) });
            }
        }
    }
    Ok(units)
}

impl Gang {
    /// A member as it arrives: of a gang that nobody else is of, since units can come more than once. `number` is that of the
    /// arrival of its first member.
    pub fn member(&self, world: &World, arrival: Arrival, number: usize) -> object::Pod {
        let mut pod = object::Pod::clone(&world.pods[arrival.pod].object);
        copies::join(&mut pod, &self.key, number);
        // Whether somebody else lets it be scheduled, and when, is not simulated.
        pod.spec.scheduling_gates.clear();
        pod
    }

    /// What is said of the gang as it arrives.
    pub fn groups(&self, number: usize) -> impl Iterator<Item = Group> {
        self.groups.iter().map(move |group| copies::group(group, number))
    }
}

/// A unit that has arrived, with the nodes that its pods have got.
#[derive(Debug, Clone)]
pub struct Party {
    unit: usize,
    is_gang: bool,
    /// Each pod, and its node once it has one.
    pub members: Vec<(Arrival, Option<usize>)>,
}

impl Party {
    /// A unit arrives; its pods are numbered from `id` on.
    pub fn new(world: &World, unit: usize, id: usize) -> Self {
        let Unit { pods, gang } = &world.units[unit];
        let members = pods.iter().zip(id..).map(|(pod, id)| (Arrival { id, pod: *pod }, None));
        Self { unit, is_gang: gang.is_some(), members: members.collect() }
    }

    /// Looks for nodes for those who have none, and says who has got one now.
    pub fn place(&mut self, placer: &mut dyn Placer, rng: &mut Rng) -> Vec<(Arrival, usize)> {
        let without: Vec<usize> = (0..self.members.len()).filter(|at| self.members[*at].1.is_none()).collect();
        let arrivals: Vec<Arrival> = without.iter().map(|at| self.members[*at].0).collect();
        let nodes = match arrivals.as_slice() {
            [single] if !self.is_gang => vec![placer.place(*single, rng)],
            gang => placer.place_gang(self.unit, gang, rng),
        };
        let mut placed = vec![];
        for (at, node) in without.into_iter().zip(nodes) {
            self.members[at].1 = node;
            placed.extend(node.map(|node| (self.members[at].0, node)));
        }
        placed
    }

    /// The number of its first pod.
    pub fn id(&self) -> usize {
        self.members[0].0.id
    }

    /// Is it a gang?
    pub fn is_gang(&self) -> bool {
        self.is_gang
    }

    /// Which unit of the workload it is.
    pub fn unit(&self) -> usize {
        self.unit
    }

    /// Have all pods a node?
    pub fn is_whole(&self) -> bool {
        self.members.iter().all(|(_, node)| node.is_some())
    }

    /// Those who have a node.
    pub fn placed(&self) -> impl Iterator<Item = (Arrival, usize)> {
        self.members.iter().filter_map(|(arrival, node)| Some((*arrival, (*node)?)))
    }

    /// What it holds in vain, in thousandths of accelerators: all that it has, if it is a part of a gang.
    pub fn held_in_vain(&self, world: &World) -> i64 {
        if self.is_whole() { 0 } else { self.placed().map(|(arrival, _)| world.kind(arrival.pod).gpu_milli).sum() }
    }
}

#[cfg(test)]
#[path = "gangs_tests.rs"]
mod tests;
