//! By how much which node group has to grow.
//!
//! A node of the group is cloned, empty, as often as needed, and the whole question is asked again with the clones. New
//! nodes of a group whose nodes share NVLink domains are put into new domains of the size of the largest one. Their drivers
//! publish what those of the node publish that is cloned.

use std::collections::BTreeMap;
use std::sync::Arc;

use testudo_core::claims::Slice;
use testudo_core::cluster::NodeState;
use testudo_core::engine::{Change, Engine};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::gang::GangKey;
use testudo_core::model::node::{Node, NodeName, NodeParts};
use testudo_core::model::selector::Labels;
use testudo_core::placement;

use super::{More, Room, Workload, fill};
use crate::claims::ClaimsError;
use crate::host::offline::NOW_MS;
use crate::k8s::manifests::Manifests;
use crate::overview::PoolKey;

/// A node group that can be grown so that everything fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The group.
    pub group: PoolKey,
    /// How many nodes it has.
    pub nodes: usize,
    /// How many more it needs.
    pub more: usize,
}

/// Nodes by which a group is grown at most.
const MAX_MORE: usize = 512;

/// Labels that only one node has.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// Labels by which a node names its NVLink domain.
const CLIQUES: &[&str] =
    &["nvidia.com/gpu.clique", "accelerator.topograph.run/domain", "network.topology.nvidia.com/accelerator"];

/// The node groups that can be grown so that all these copies fit, those first that need the fewest nodes.
///
/// # Errors
/// When the devices of the cluster cannot be counted.
pub fn growths(
    manifests: &Manifests,
    catalogue: &Catalogue,
    wanted: &[(&Workload, usize)],
) -> Result<Vec<Growth>, ClaimsError> {
    let nodes = Room::new(manifests, catalogue, More::default())?.nodes();
    let suffices = |model: &Model, more: usize| {
        let more = More { nodes: model.clones(more, catalogue), slices: model.slices(more, &manifests.slices) };
        // It was possible with the nodes that there are.
        let room = Room::new(manifests, catalogue, more);
        room.is_ok_and(|mut room| {
            wanted.iter().all(|(workload, copies)| fill(&mut room, workload, *copies).placed.len() == *copies)
        })
    };
    Ok(sufficient(nodes, |_| true, suffices))
}

/// The node groups that can be grown so that all members of a gang that waits fit, those first that need the fewest nodes. The
/// engine is a branch: what is tried on it happens to nobody.
pub fn growths_for(gang: &GangKey, mut engine: Engine, catalogue: &Catalogue) -> Vec<Growth> {
    let demands = engine.demands_in_want(gang);
    if demands.is_empty() {
        return vec![];
    }
    let nodes = engine.snapshot().nodes().into_iter().filter_map(|state| state.node().cloned()).collect();
    let takes_some = |model: &Model| {
        let idle = NodeState::idle(model.clone_number(0, catalogue));
        demands.iter().any(|demand| placement::check(demand, &idle).is_ok())
    };
    sufficient(nodes, takes_some, |model, more| {
        let mut grown = engine.branch();
        model
            .clones(more, catalogue)
            .into_iter()
            .for_each(|node| grown.apply(Change::NodeApplied(Box::new(node)), NOW_MS));
        grown.would_fit(gang)
    })
}

/// The groups of these nodes that suffice when they are grown, and by how much. Only those are tried of which an empty node
/// `is_of_use`.
fn sufficient(
    nodes: Vec<Arc<Node>>,
    is_of_use: impl Fn(&Model) -> bool,
    suffices: impl Fn(&Model, usize) -> bool,
) -> Vec<Growth> {
    let mut groups: BTreeMap<PoolKey, Vec<Arc<Node>>> = BTreeMap::new();
    for node in nodes {
        groups.entry(PoolKey::of(&node, None)).or_default().push(node);
    }
    let mut growths = vec![];
    for (group, nodes) in groups.into_iter().filter(|(group, _)| !group.name.is_empty()) {
        let Some(model) = Model::of(&nodes).filter(&is_of_use) else { continue };
        if let Some(more) = least(|more| suffices(&model, more)) {
            growths.push(Growth { group, nodes: nodes.len(), more });
        }
    }
    growths.sort_by(|a, b| (a.more, &a.group).cmp(&(b.more, &b.group)));
    growths
}

/// The least number that suffices: doubled until one does, then halved in between.
fn least(suffices: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut too_few, mut enough) = (0, 1);
    while !suffices(enough) {
        too_few = enough;
        enough *= 2;
        if enough > MAX_MORE {
            return None;
        }
    }
    while enough - too_few > 1 {
        let between = too_few.midpoint(enough);
        if suffices(between) { enough = between } else { too_few = between }
    }
    Some(enough)
}

/// What a new node of a group looks like.
struct Model {
    node: Arc<Node>,
    /// How many nodes the largest NVLink domain of the group has; 0 where it has none.
    clique: usize,
}

impl Model {
    /// The healthiest node of a group that takes pods, by name.
    fn of(nodes: &[Arc<Node>]) -> Option<Self> {
        let usable = nodes.iter().filter(|node| !node.parts.cordoned);
        let failed =
            |node: &Node| node.inventory.pools.iter().map(|pool| pool.capacity - pool.allocatable).sum::<i64>();
        let node = usable.min_by_key(|node| (node.parts.taints.len(), failed(node), node.name().clone()))?;
        let mut cliques: BTreeMap<&str, usize> = BTreeMap::new();
        let named = nodes.iter().filter_map(|node| node.place.clique.as_deref());
        named.for_each(|clique| *cliques.entry(clique).or_default() += 1);
        Some(Self { node: Arc::clone(node), clique: cliques.into_values().max().unwrap_or(0) })
    }

    fn name(&self, at: usize) -> String {
        format!("{}-more-{at}", self.node.name())
    }

    /// What the drivers of so many clones publish: what they publish of the node itself, in working order.
    fn slices(&self, count: usize, all: &[Slice]) -> Vec<Slice> {
        let own: Vec<&Slice> = all.iter().filter(|s| s.nodes.single() == Some(self.node.name().as_str())).collect();
        let of_clone = |at: usize| {
            own.iter().map(move |slice| {
                let mut slice = (*slice).clone();
                slice.name = format!("{}-more-{at}", slice.name).into();
                slice.pool.name = format!("{}-more-{at}", slice.pool.name).into();
                slice.nodes.name = Some(self.name(at).into());
                slice.devices.iter_mut().for_each(|device| device.taints.clear());
                slice
            })
        };
        (0..count).flat_map(of_clone).collect()
    }

    fn clones(&self, count: usize, catalogue: &Catalogue) -> Vec<Node> {
        (0..count).map(|at| self.clone_number(at, catalogue)).collect()
    }

    fn clone_number(&self, at: usize, catalogue: &Catalogue) -> Node {
        let name = self.name(at);
        let label = |(key, value): (&str, &str)| match key {
            HOSTNAME => (key.to_owned(), name.clone()),
            clique if CLIQUES.contains(&clique) => (key.to_owned(), format!("more-{}", at / self.clique.max(1))),
            _ => (key.to_owned(), value.to_owned()),
        };
        let parts = &self.node.parts;
        let labels: Labels = parts.labels.iter().map(label).collect();
        let mut parts = NodeParts { name: NodeName::from(name.as_str()), labels, ..parts.clone() };
        // All devices of a new node work.
        for pool in &self.node.inventory.pools {
            parts.allocatable.set(pool.resource.clone(), pool.capacity);
        }
        Node::new(parts, catalogue).0
    }
}
