//! What would be if: asked of a branch of the engine, so that nothing comes of it.

use serde::Serialize;

use crate::host::Host;

/// Who would have to end for a gang to start.
#[derive(Debug, Serialize)]
pub struct MakingRoom {
    /// The pods, with their nodes; none where the gang would not fit even then, or does not wait for places.
    pub pods: Option<Vec<Ending>>,
}

/// A pod that would have to end.
#[derive(Debug, Serialize)]
pub struct Ending {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: String,
}

/// Who would have to end for the gangs of this name to start. May take a good part of a second.
pub fn room(host: &Host, namespace: &str, name: &str) -> MakingRoom {
    let mut branch = host.branch();
    let gang = branch.gang_stages().find(|(key, _)| key.namespace == namespace && key.name == name);
    let gang = gang.map(|(key, _)| key.clone());
    let found = gang.and_then(|gang| branch.making_room(&gang)?.who_must_end());
    let ending = |(pod, node): (testudo_core::model::pod::PodKey, testudo_core::model::node::NodeName)| Ending {
        namespace: pod.namespace,
        name: pod.name,
        node: node.to_string(),
    };
    MakingRoom { pods: found.map(|pods| pods.into_iter().map(ending).collect()) }
}
