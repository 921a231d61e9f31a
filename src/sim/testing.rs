//! Small worlds for tests.

use super::input::Input;
use super::openb::GPU_MILLI;
use super::placer::{Arrival, Placer, TieBreak, Ties};
use super::policy::Policy;
use super::rng::Rng;
use super::world::World;
use crate::k8s::object::{
    Container, Metadata, Node, NodeStatus, Pod, PodSpec, ResourceList, ResourceRequirements, StringMap,
};

/// A node with so much CPU (thousandths) and so many GPUs of its own; enough memory.
pub fn node(name: &str, cpu: i64, gpus: i64) -> Node {
    let amounts = if gpus > 0 { vec![(GPU_MILLI, gpus * 1000)] } else { vec![] };
    node_with(name, cpu, &amounts, &[])
}

/// A node with these resources and labels.
pub fn node_with(name: &str, cpu: i64, amounts: &[(&str, i64)], labels: &[(&str, &str)]) -> Node {
    let plain = [("cpu", format!("{cpu}m")), ("memory", "1Ti".to_owned()), ("pods", "1000".to_owned())];
    let amounts = plain.into_iter().chain(amounts.iter().map(|(name, amount)| (*name, amount.to_string())));
    let amounts: ResourceList = amounts.map(|(name, amount)| (name.to_owned(), amount.as_str().into())).collect();
    let labels: StringMap = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Node {
        metadata: Metadata { name: name.into(), uid: name.into(), labels, ..Metadata::default() },
        status: NodeStatus { capacity: amounts.clone(), allocatable: amounts },
        ..Node::default()
    }
}

/// A pod that asks for so much CPU and GPU, in thousandths.
pub fn pod(name: &str, cpu: i64, gpu_milli: i64) -> Pod {
    pod_with(name, cpu, if gpu_milli > 0 { Some((GPU_MILLI, gpu_milli)) } else { None })
}

/// A pod that asks for so much CPU, and perhaps so much of something else.
pub fn pod_with(name: &str, cpu: i64, accelerator: Option<(&str, i64)>) -> Pod {
    let accelerator = accelerator.map(|(name, amount)| (name, amount.to_string()));
    let amounts = [("cpu", format!("{cpu}m"))].into_iter().chain(accelerator);
    let requests: ResourceList = amounts.map(|(name, amount)| (name.to_owned(), amount.as_str().into())).collect();
    let resources = ResourceRequirements { limits: ResourceList::new(), requests };
    Pod {
        metadata: Metadata { name: name.into(), namespace: "test".into(), uid: name.into(), ..Metadata::default() },
        spec: PodSpec {
            containers: vec![Container { name: "main".into(), resources, ..Container::default() }],
            ..PodSpec::default()
        },
        ..Pod::default()
    }
}

/// The same pod, created and deleted at these seconds.
pub fn from_to(mut pod: Pod, created: u64, deleted: u64) -> Pod {
    let stamp = |seconds: u64| {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        Some(humantime::format_rfc3339_seconds(at).to_string())
    };
    (pod.metadata.creation_timestamp, pod.metadata.deletion_timestamp) = (stamp(created), stamp(deleted));
    pod
}

/// A world of these.
pub fn world(nodes: &[Node], pods: &[Pod]) -> World {
    World::new(Input::of(nodes, pods).expect("objects that can be read")).expect("a world")
}

/// Where a policy puts the pods of a world, one after the other.
pub fn placements(world: &World, policy: Policy) -> Vec<Option<String>> {
    let mut rng = Rng::new(1);
    let ties = TieBreak::new(Ties::Random, world.machines.len(), &mut rng);
    let mut placer = policy.placer(world, ties);
    place_all(world, &mut *placer, &mut rng)
}

fn place_all(world: &World, placer: &mut dyn Placer, rng: &mut Rng) -> Vec<Option<String>> {
    let place = |pod| placer.place(Arrival { id: pod, pod }, rng).map(|node| world.machines[node].name.clone());
    (0..world.pods.len()).map(place).collect()
}
