//! Gangs through the engine, step by step.

mod autoscaling;
mod exclusive;
mod generations;
mod leadership;
mod planning;
mod preemption;
mod quotas;
mod regrouping;
mod report;
mod starvation;
mod steering;
mod strangers;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::engine::{Change, Engine, GangPolicy, Offered, Verdict};
use crate::model::gang::{Membership, Relation, RoleTerms, SpreadRule, Terms};
use crate::model::pod::{Gate, Promise, Steering};
use crate::testing::{PodBuilder, node, pod};

/// An engine with so many nodes of 8 GPUs, and a clock.
struct World {
    engine: Engine,
    now_ms: u64,
    pods: BTreeMap<String, Pod>,
}

impl World {
    fn new(nodes: usize) -> Self {
        let policy = Policy { gangs: GangPolicy::default(), ..Policy::default() };
        let mut world = Self { engine: Engine::new(policy), now_ms: 1_000_000, pods: BTreeMap::new() };
        for at in 0..nodes {
            let gpus = node(&format!("n{at}")).instance("p5.48xlarge").product("NVIDIA-H100-80GB-HBM3");
            world.apply(Change::NodeApplied(Box::new(gpus.has("nvidia.com/gpu", 8).build())));
        }
        world
    }

    fn apply(&mut self, change: Change) {
        self.engine.apply(change, self.now_ms);
        self.engine.keep_gangs(self.now_ms);
    }

    fn set(&mut self, pod: Pod) {
        self.pods.insert(pod.key.name.clone(), pod.clone());
        self.apply(Change::PodApplied(Box::new(pod)));
    }

    fn delete(&mut self, name: &str) {
        let pod = self.pods.remove(name).expect("a pod of this name");
        self.apply(Change::PodDeleted(pod.uid));
    }

    /// Plans until nothing is left to plan; returns how many plans were looked for.
    fn plan(&mut self) -> usize {
        let mut count = 0;
        while let Some(task) = self.engine.next_plan(self.now_ms) {
            self.engine.adopt(task.solve(), self.now_ms);
            count += 1;
            assert!(count < 100, "planning does not come to an end");
        }
        count
    }

    /// Lets time pass.
    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.engine.keep_gangs(self.now_ms);
    }

    /// Nodes on which filter lets a pod go, or what it says on the first node.
    fn filter(&mut self, name: &str) -> Result<Vec<String>, String> {
        let snapshot = self.engine.snapshot();
        let judgement = snapshot.judge(&self.pods[name]);
        let nodes = snapshot.nodes();
        let verdicts: Vec<(String, Verdict)> =
            nodes.iter().map(|n| (n.name().to_string(), judgement.of(Offered::Named(n.name().as_str())))).collect();
        let fits: Vec<String> =
            verdicts.iter().filter(|(_, v)| v.rank().is_some()).map(|(name, _)| name.clone()).collect();
        match (fits.is_empty(), &verdicts[0].1) {
            (true, Verdict::No(refusal)) => Err(refusal.text.to_string()),
            _ => Ok(fits),
        }
    }

    /// Is a pod kept off a node, whoever makes way there?
    fn is_forbidden(&mut self, name: &str, node: &str) -> bool {
        self.engine.snapshot().judge(&self.pods[name]).forbids(node)
    }

    fn place(&mut self, name: &str) -> String {
        match self.filter(name) {
            Ok(nodes) if nodes.len() == 1 => nodes[0].clone(),
            other => panic!("pod {name} has no single place: {other:?}"),
        }
    }

    fn arrive(&mut self, name: &str) -> Arrival {
        let node = NodeName::from(self.place(name).as_str());
        self.engine.arrive(&self.pods[name].clone(), &node, self.now_ms)
    }

    /// Binds a pod that may be bound, and shows it bound.
    fn bind(&mut self, name: &str) {
        let node = NodeName::from(self.place(name).as_str());
        let pod = self.pods[name].clone();
        let until = self.now_ms + 60_000;
        self.engine.assume(&pod, &node, until).expect("its place is kept");
        self.engine.commit(&pod.uid);
        self.set(Pod { stage: Stage::Bound(node), ..pod });
    }

    fn bind_all(&mut self, names: &[&str]) {
        for name in names {
            self.arrive(name);
        }
        for name in names {
            assert_eq!(self.arrive(name), Arrival::Go, "{name}");
            self.bind(name);
        }
    }

    fn gpus_in_use(&self) -> i64 {
        self.engine.cluster().slots().iter().flatten().map(|state| state.used().get("nvidia.com/gpu")).sum()
    }

    fn news(&mut self) -> Vec<(NewsKind, String)> {
        self.engine.take_news().into_iter().map(|news| (news.kind, news.text.to_string())).collect()
    }
}

fn of(size: u32) -> Terms {
    Terms { min_member: Some(size), ..Terms::default() }
}

/// A member that asks for a whole node.
fn member(name: &str, gang: &str, index: u32, terms: Terms) -> PodBuilder {
    pod(name).gpus(8).member_of(gang, "", index, terms)
}

fn gang(world: &mut World, gang: &str, size: u32) -> Vec<String> {
    let names: Vec<String> = (0..size).map(|index| format!("{gang}-{index}")).collect();
    for (index, name) in (0..).zip(&names) {
        world.set(member(name, gang, index, of(size)).build());
    }
    names
}

/// A member whose controller makes the others only when it runs.
fn in_stages(pod: Pod) -> Pod {
    let membership = pod.membership.as_deref().cloned();
    Pod { membership: membership.map(|of| Arc::new(Membership { staged: true, ..of })), ..pod }
}

/// A member of the gang `g` of three whose controller makes one after the other.
fn staged(name: &str, index: u32) -> Pod {
    in_stages(member(name, "g", index, Terms { total: Some(3), ..Terms::default() }).build())
}

fn important(pod: Pod, priority: i32) -> Pod {
    Pod { priority, ..pod }
}
