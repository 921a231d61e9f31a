//! The engine of this program at work, asked as the extender asks it.

use testudo_core::engine::{Change, Engine, Offered, Policy, Verdict};
use testudo_core::model::pod::{Pod, PodUid, Stage};
use testudo_core::placement;

use super::placer::{Arrival, Placer, TieBreak};
use super::rng::Rng;
use super::world::World;

/// The engine with a cluster of its own.
pub struct TestudoPlacer<'w> {
    world: &'w World,
    engine: Engine,
    ties: TieBreak,
}

impl<'w> TestudoPlacer<'w> {
    /// An empty cluster.
    pub fn new(world: &'w World, ties: TieBreak) -> Self {
        let mut engine = Engine::new(Policy::default());
        for node in &world.nodes {
            engine.apply(Change::NodeApplied(Box::new(node.clone())), 0);
        }
        Self { world, engine, ties }
    }

    fn pod(&self, arrival: Arrival) -> Pod {
        let mut pod = self.world.pods[arrival.pod].pod.clone();
        pod.uid = uid(arrival);
        pod.key.name = format!("{}-{}", pod.key.name, arrival.id);
        pod
    }
}

fn uid(arrival: Arrival) -> PodUid {
    PodUid::from(format!("simulated-{}", arrival.id).as_str())
}

impl Placer for TestudoPlacer<'_> {
    fn place(&mut self, arrival: Arrival, rng: &mut Rng) -> Option<usize> {
        let mut pod = self.pod(arrival);
        let snapshot = self.engine.snapshot();
        let judgement = snapshot.judge(&pod);
        let mut fitting = vec![];
        let mut places = vec![];
        for (at, node) in self.world.nodes.iter().enumerate() {
            let name = node.name().as_str();
            if let Verdict::Fits(rank) = judgement.of(Offered::Named(name)) {
                fitting.push(at);
                places.push((name, rank));
            }
        }
        let levels = placement::levels(&places);
        let highest = levels.iter().max()?;
        let best: Vec<usize> =
            levels.iter().zip(&fitting).filter(|(level, _)| *level == highest).map(|(_, node)| *node).collect();
        let chosen = self.ties.choose(&best, rng)?;
        let node = self.world.nodes[chosen].name().clone();
        self.engine.assume(&pod, &node, u64::MAX).ok()?;
        pod.stage = Stage::Bound(node);
        self.engine.apply(Change::PodApplied(Box::new(pod)), 0);
        Some(chosen)
    }

    fn remove(&mut self, arrival: Arrival) {
        self.engine.apply(Change::PodDeleted(uid(arrival)), 0);
    }
}
