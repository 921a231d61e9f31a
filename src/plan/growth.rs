//! By how much which node group has to grow.
//!
//! A node of the group is cloned, empty, as often as needed, and the whole question is asked again with the clones. New
//! nodes of a group whose nodes share NVLink domains are put into new domains of the size of the largest one. Their drivers
//! publish what those of the node publish that is cloned.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use testudo_core::claims::Slice;
use testudo_core::cluster::NodeState;
use testudo_core::engine::{Change, Engine, Want};
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
    let published = |node: &Node| slices_of(manifests, node).map(|slice| slice.devices.len()).sum();
    let suffices = |model: &Model, more: usize| {
        // It was possible with the nodes that there are.
        let room = Room::new(manifests, catalogue, model.more(more, catalogue, slices_of(manifests, &model.node)));
        room.is_ok_and(|mut room| {
            wanted.iter().all(|(workload, copies)| fill(&mut room, workload, *copies).placed.len() == *copies)
        })
    };
    Ok(sufficient(nodes, catalogue, |_| true, published, MAX_MORE, suffices))
}

/// What drivers publish for one node.
fn slices_of<'m>(manifests: &'m Manifests, node: &'m Node) -> impl Iterator<Item = &'m Slice> {
    manifests.slices.iter().filter(|slice| slice.nodes.single() == Some(node.name().as_str()))
}

/// The node groups that can be grown so that all members of a gang that waits fit, those first that need the fewest nodes. The
/// engine is a branch: what is tried on it happens to nobody, and it is left as it was.
pub fn growths_for(gang: &GangKey, engine: &mut Engine, catalogue: &Catalogue) -> Vec<Growth> {
    let Some(Want { demands, members }) = engine.want(gang) else { return vec![] };
    let nodes: Vec<Arc<Node>> =
        engine.snapshot().nodes().into_iter().filter_map(|state| state.node().cloned()).collect();
    let takes_some = |model: &Node| {
        let idle = NodeState::idle(model.clone());
        demands.iter().any(|demand| placement::check(demand, &idle).is_ok())
    };
    // Each member has a node of its own at most. Where sets have to be in one NVLink domain each, up to half of a domain is left.
    let most = (2 * members).clamp(1, MAX_MORE);
    // A node that was just made shows no devices yet, and is no model for others.
    let published: BTreeMap<NodeName, usize> = nodes
        .iter()
        .map(|node| (node.name().clone(), engine.slices_of(node.name()).map(|slice| slice.devices.len()).sum()))
        .collect();
    let published = |node: &Node| published.get(node.name()).copied().unwrap_or(0);
    sufficient(nodes, catalogue, takes_some, published, most, |model, more| {
        let More { nodes, slices } = model.more(more, catalogue, engine.slices_of(model.node.name()));
        let names: Vec<NodeName> = nodes.iter().map(|node| node.name().clone()).collect();
        let slice_names: Vec<String> = slices.iter().map(|slice| slice.name.to_string()).collect();
        nodes.into_iter().for_each(|node| engine.apply(Change::NodeApplied(Box::new(node)), NOW_MS));
        slices.into_iter().for_each(|slice| engine.apply(Change::SliceApplied(Arc::new(slice)), NOW_MS));
        let fits = engine.would_fit(gang);
        slice_names.into_iter().for_each(|name| engine.apply(Change::SliceDeleted(name), NOW_MS));
        names.into_iter().for_each(|name| engine.apply(Change::NodeDeleted(name), NOW_MS));
        fits
    })
}

/// The groups of these nodes that suffice when they are grown by `most` nodes at most, and by how much. Only those are tried of
/// which an empty node `is_of_use`; of alike nodes that with most `devices` shows what a new one would have.
fn sufficient(
    nodes: Vec<Arc<Node>>,
    catalogue: &Catalogue,
    is_of_use: impl Fn(&Node) -> bool,
    devices: impl Fn(&Node) -> usize,
    most: usize,
    mut suffices: impl FnMut(&Model, usize) -> bool,
) -> Vec<Growth> {
    let mut groups: BTreeMap<PoolKey, Vec<Arc<Node>>> = BTreeMap::new();
    for node in nodes {
        groups.entry(PoolKey::of(&node, None)).or_default().push(node);
    }
    let mut growths = vec![];
    for (group, nodes) in groups.into_iter().filter(|(group, _)| !group.name.is_empty()) {
        let Some(model) = Model::of(&nodes, &devices).filter(|model| is_of_use(&model.clone_number(0, catalogue)))
        else {
            continue;
        };
        if let Some(more) = least(most, |more| suffices(&model, more)) {
            growths.push(Growth { group, nodes: nodes.len(), more });
        }
    }
    growths.sort_by(|a, b| (a.more, &a.group).cmp(&(b.more, &b.group)));
    growths
}

/// The least number up to `most` that suffices: doubled until one does, then halved in between.
fn least(most: usize, mut suffices: impl FnMut(usize) -> bool) -> Option<usize> {
    let (mut too_few, mut enough) = (0, 1);
    while !suffices(enough) {
        if enough >= most {
            return None;
        }
        (too_few, enough) = (enough, (2 * enough).min(most));
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
    fn of(nodes: &[Arc<Node>], devices: impl Fn(&Node) -> usize) -> Option<Self> {
        let usable = nodes.iter().filter(|node| !node.parts.cordoned);
        let failed =
            |node: &Node| node.inventory.pools.iter().map(|pool| pool.capacity - pool.allocatable).sum::<i64>();
        let node = usable
            .min_by_key(|node| (node.parts.taints.len(), failed(node), Reverse(devices(node)), node.name().clone()))?;
        let mut cliques: BTreeMap<&str, usize> = BTreeMap::new();
        let named = nodes.iter().filter_map(|node| node.place.clique.as_deref());
        named.for_each(|clique| *cliques.entry(clique).or_default() += 1);
        Some(Self { node: Arc::clone(node), clique: cliques.into_values().max().unwrap_or(0) })
    }

    /// So many clones, and slices like these of the node itself for each.
    fn more<'s>(&self, count: usize, catalogue: &Catalogue, slices: impl Iterator<Item = &'s Slice>) -> More {
        let nodes: Vec<Node> = (0..count).map(|at| self.clone_number(at, catalogue)).collect();
        let of_model = self.node.name().as_str();
        let like = |slice: &'s Slice| nodes.iter().map(move |node| slice.like(of_model, node.name().as_str()));
        let slices = slices.flat_map(like).collect();
        More { nodes, slices }
    }

    fn clone_number(&self, at: usize, catalogue: &Catalogue) -> Node {
        let name = format!("{}-more-{at}", self.node.name());
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
