//! Gangs: nothing of a set starts until all of it fits.

mod bare;
mod clique;
mod crash;
mod deadlock;
mod examples;
mod figure;
mod gone;
pub mod leader_worker_set;
mod objects;
mod preempting;
mod ray;
mod refused;
mod replaced;
mod stateful_set;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use libtest_mimic::Trial;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Namespace, NodeBuilder, PodBuilder, node, pod};

use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    [
        deadlock::scenarios(stage),
        leader_worker_set::scenarios(stage),
        bare::scenarios(stage),
        stateful_set::scenarios(stage),
        ray::scenarios(stage),
        clique::scenarios(stage),
        refused::scenarios(stage),
        replaced::scenarios(stage),
        preempting::scenarios(stage),
        crash::scenarios(stage),
        gone::scenarios(stage),
        objects::scenarios(stage),
        examples::scenarios(stage),
        figure::scenarios(stage),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The gate that testudo takes away when its pod has a place.
pub const GATE: &str = "testudo.dev/gang";

/// Members that start together get their nodes within this time. They are bound in one moment; the rest is for busy
/// machines.
pub const WINDOW: Duration = Duration::from_secs(2);

/// A node of 8 GPUs that are one NVLink domain.
fn h100(name: &str) -> NodeBuilder {
    node(name).gpus(8).product("NVIDIA-H100-80GB-HBM3", 81559).instance_type("p5.48xlarge")
}

/// So many of them, named after the namespace.
pub fn h100s(ns: &Namespace, count: usize) -> Vec<NodeBuilder> {
    (0..count).map(|at| h100(&format!("{}-{at}", ns.name()))).collect()
}

/// A tray of 4 GPUs of a rack whose trays are connected by NVLink.
fn gb200(name: &str, clique: &str) -> NodeBuilder {
    let tray = node(name).gpus(4).product("NVIDIA-GB200", 189_471).instance_type("p6e-gb200.36xlarge");
    tray.label("nvidia.com/gpu.clique", clique)
}

/// A pod that says in our own words of which gang it is, and how many of it must start together.
pub fn of_gang(pod: PodBuilder, gang: &str, min_member: usize) -> PodBuilder {
    pod.annotation("testudo.dev/pod-group", gang).annotation("testudo.dev/min-member", &min_member.to_string())
}

/// A member that asks for a whole node of 8 GPUs.
fn member(gang: &str, index: usize, min_member: usize) -> PodBuilder {
    of_gang(pod(&format!("{gang}-{index}")).gpus(8), gang, min_member)
}

/// The names of the first members of a gang.
fn names(gang: &str, size: usize) -> Vec<String> {
    (0..size).map(|index| format!("{gang}-{index}")).collect()
}

/// Pods of no gang that take what they can get, and so would take a place that is not really held.
async fn intrude(ns: &Namespace, count: usize, gpus: u32) -> Result<Vec<String>> {
    intrude_by(ns, (0..count).map(|at| intruder(at, gpus))).await
}

/// One of them.
pub fn intruder(at: usize, gpus: u32) -> PodBuilder {
    pod(&format!("intruder-{at}")).gpus(gpus)
}

/// The same with pods of which more is said.
pub async fn intrude_by(ns: &Namespace, intruders: impl IntoIterator<Item = PodBuilder>) -> Result<Vec<String>> {
    let intruders: Vec<PodBuilder> = intruders.into_iter().collect();
    let names = intruders.iter().map(|pod| pod.name().to_owned()).collect();
    ns.create_all(intruders).await?;
    Ok(names)
}

/// Waits until the scheduler has tried all of them, in vain.
pub async fn until_turned_away(ns: &Namespace, intruders: &[String]) -> Result<()> {
    for intruder in intruders {
        ns.until_pending_with_message(intruder, &["nvidia.com/gpu"]).await?;
    }
    Ok(())
}

pub fn is_intruder(name: &str) -> bool {
    name.starts_with("intruder-")
}

/// How many members of each gang have a node, by the part of the name before the last dash.
async fn bound(ns: &Namespace) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for name in ns.placements().await?.into_keys() {
        let gang = name.rsplit_once('-').map_or(name.clone(), |(gang, _)| gang.to_owned());
        *counts.entry(gang).or_default() += 1;
    }
    Ok(counts)
}

/// Waits until some gang has so many members bound, and says which.
async fn until_whole(ns: &Namespace, size: usize) -> Result<String> {
    wait::until("a gang to be whole", PATIENCE, async || {
        let counts = bound(ns).await?;
        let whole = counts.iter().find(|(_, count)| **count == size).map(|(gang, _)| gang.clone());
        Ok(whole.map_or_else(|| Look::NotYet(format!("bound: {counts:?}")), Look::Done))
    })
    .await
}
