//! The domain tree of a fleet: which nodes share a region, a zone, a network switch, an NVLink domain.
//!
//! From the widest to the closest: fleet, region, zone, network layers, node. A domain is what its whole path says: two
//! racks called `r1` in two zones are two domains. A label that a node lacks is a level that its path lacks; a node
//! without any hangs below the fleet itself.
//!
//! NVLink cliques stand beside the network layers, below the zone. NVLink does not go over the network, so a clique may
//! well span switches (the trays of one rack are often spread over several), and nodes under one switch belong to many.
//! Two nodes of one clique are closer than any switch could bring them. A clique never leaves its zone: it is one rack.
//! The same name in two zones is therefore two cliques, whatever the labels say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::model::node::NodeName;
use crate::model::place::Place;

/// How wide a domain is; closer is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// All nodes.
    Fleet,
    /// A region.
    Region,
    /// A zone.
    Zone,
    /// A network layer, 0 the widest that the node names.
    Layer(u8),
    /// An NVLink domain of several nodes.
    Clique,
    /// A single node.
    Node,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Level::Fleet => f.write_str("fleet"),
            Level::Region => f.write_str("region"),
            Level::Zone => f.write_str("zone"),
            Level::Layer(depth) => write!(f, "network layer {}", depth + 1),
            Level::Clique => f.write_str("NVLink domain"),
            Level::Node => f.write_str("node"),
        }
    }
}

/// A domain of a [`Domains`]; valid until that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(u32);

impl DomainId {
    /// All nodes.
    pub const FLEET: DomainId = DomainId(0);

    /// As an index, below [`Domains::bound`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A part of the fleet: everything from a region to an NVLink domain.
#[derive(Clone, Debug)]
pub struct Domain {
    level: Level,
    name: Arc<str>,
    parent: Option<DomainId>,
    children: BTreeMap<(Level, Arc<str>), DomainId>,
    nodes: BTreeSet<NodeName>,
}

impl Domain {
    fn new(level: Level, name: Arc<str>, parent: Option<DomainId>) -> Self {
        Self { level, name, parent, children: BTreeMap::new(), nodes: BTreeSet::new() }
    }

    /// How wide it is.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Its own name, unique below its parent; empty for the fleet.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The domain that it is a part of.
    pub fn parent(&self) -> Option<DomainId> {
        self.parent
    }

    /// The domains right below, by level and name.
    pub fn children(&self) -> impl ExactSizeIterator<Item = DomainId> {
        self.children.values().copied()
    }

    /// All nodes below, at any depth, by name.
    pub fn nodes(&self) -> &BTreeSet<NodeName> {
        &self.nodes
    }
}

/// The domains that a node is in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Path {
    /// From the fleet to the closest network layer.
    network: Vec<DomainId>,
    clique: Option<DomainId>,
}

/// The domain tree. A pure function of the nodes' places, save for the ids, which no order must depend on.
#[derive(Clone, Debug)]
pub struct Domains {
    domains: Vec<Domain>,
    /// Ids that are free to be used again.
    vacant: BTreeSet<DomainId>,
    /// Looked up, never iterated.
    paths: IndexMap<NodeName, Path, FxBuildHasher>,
}

impl Default for Domains {
    fn default() -> Self {
        Self {
            domains: vec![Domain::new(Level::Fleet, "".into(), None)],
            vacant: BTreeSet::new(),
            paths: IndexMap::default(),
        }
    }
}

impl Domains {
    /// Puts a node in its place, out of any other that it was in before. Says whether anything changed.
    pub fn insert(&mut self, node: &NodeName, place: &Place) -> bool {
        if self.stands_at(node, place) {
            return false;
        }
        self.remove(node);
        let network = steps(place).fold(vec![DomainId::FLEET], |mut path, (level, name)| {
            let parent = *path.last().unwrap_or(&DomainId::FLEET);
            path.push(self.domain_below(parent, level, name));
            path
        });
        let zone = network.iter().rev().copied().find(|id| self[*id].level <= Level::Zone).unwrap_or(DomainId::FLEET);
        let clique = place.clique.as_deref().map(|name| self.domain_below(zone, Level::Clique, name));
        for id in network.iter().chain(&clique) {
            self.domains[id.index()].nodes.insert(node.clone());
        }
        self.paths.insert(node.clone(), Path { network, clique });
        true
    }

    /// Takes a node out, with the domains that are empty without it. Says whether it was there.
    pub fn remove(&mut self, node: &NodeName) -> bool {
        let Some(path) = self.paths.swap_remove(node) else { return false };
        for &id in path.clique.iter().chain(path.network.iter().rev()) {
            let domain = &mut self.domains[id.index()];
            domain.nodes.remove(node);
            if let (true, Some(parent)) = (domain.nodes.is_empty(), domain.parent) {
                let key = (domain.level, Arc::clone(&domain.name));
                self.domains[parent.index()].children.remove(&key);
                self.vacant.insert(id);
            }
        }
        true
    }

    /// Ids as indexes are below this.
    pub fn bound(&self) -> usize {
        self.domains.len()
    }

    /// The domains that a node is in: fleet, region, zone, network layers, clique, as far as it has them.
    pub fn path(&self, node: &NodeName) -> impl DoubleEndedIterator<Item = DomainId> {
        self.paths.get(node).into_iter().flat_map(|path| path.network.iter().chain(&path.clique).copied())
    }

    /// The closest domain of a node at this level or wider. A node always has one, the fleet at least; `None` for a node
    /// that is not there.
    pub fn closest(&self, node: &NodeName, level: Level) -> Option<DomainId> {
        self.path(node).rev().find(|id| self[*id].level <= level)
    }

    /// The NVLink domain of several nodes that a node is in.
    pub fn clique(&self, node: &NodeName) -> Option<DomainId> {
        self.paths.get(node)?.clique
    }

    /// The failure domain beyond the node itself: the NVLink domain, which is a rack, or else the closest network layer,
    /// or whatever is closest.
    pub fn rack(&self, node: &NodeName) -> Option<DomainId> {
        self.closest(node, Level::Clique)
    }

    /// How close two nodes are: the closest level at which they are in one domain. `None` when one of them is not there.
    pub fn common_level(&self, a: &NodeName, b: &NodeName) -> Option<Level> {
        let common = self.closest_common(a, b)?;
        Some(if a == b { Level::Node } else { self[common].level })
    }

    /// The closest domain that two nodes are in.
    pub fn closest_common(&self, a: &NodeName, b: &NodeName) -> Option<DomainId> {
        let (a, b) = (self.paths.get(a)?, self.paths.get(b)?);
        let in_both = a.network.iter().zip(&b.network).take_while(|(a, b)| a == b).last().map(|(id, _)| *id);
        a.clique.filter(|clique| b.clique == Some(*clique)).or(in_both)
    }

    /// The domains of one level, by their paths.
    pub fn at(&self, level: Level) -> Vec<DomainId> {
        let mut found = vec![];
        let mut open = vec![DomainId::FLEET];
        while let Some(id) = open.pop() {
            if self[id].level == level {
                found.push(id);
            }
            // The last one first: they come off the stack in order.
            open.extend(self[id].children.values().rev());
        }
        found
    }

    /// Names from the widest to the closest, `us-west-2/us-west-2b/nn-1`; empty for the fleet.
    pub fn full_name(&self, id: DomainId) -> String {
        let mut names = vec![];
        let mut at = Some(id);
        while let Some(domain) = at.map(|id| &self[id]) {
            names.push(domain.name());
            at = domain.parent;
        }
        names.reverse();
        names.split_first().map_or_else(String::new, |(_, below_fleet)| below_fleet.join("/"))
    }

    /// Whether a node is known, and known to stand exactly there.
    pub fn stands_at(&self, node: &NodeName, place: &Place) -> bool {
        let Some(path) = self.paths.get(node) else { return false };
        let named = |id: &DomainId| (self[*id].level, self[*id].name());
        let clique = path.clique.as_ref().map(|id| self[*id].name());
        path.network[1..].iter().map(named).eq(steps(place)) && clique == place.clique.as_deref()
    }

    /// The domain of this name below another one; made where there is none.
    fn domain_below(&mut self, parent: DomainId, level: Level, name: &str) -> DomainId {
        let name: Arc<str> = name.into();
        let key = (level, Arc::clone(&name));
        if let Some(&known) = self[parent].children.get(&key) {
            return known;
        }
        let domain = Domain::new(level, name, Some(parent));
        let id = match self.vacant.pop_first() {
            Some(id) => {
                self.domains[id.index()] = domain;
                id
            }
            None => {
                self.domains.push(domain);
                DomainId(u32::try_from(self.domains.len() - 1).expect("a fleet has fewer than four billion domains"))
            }
        };
        self.domains[parent.index()].children.insert(key, id);
        id
    }
}

impl std::ops::Index<DomainId> for Domains {
    type Output = Domain;

    fn index(&self, id: DomainId) -> &Domain {
        &self.domains[id.index()]
    }
}

/// Level and name of the domains of a place above its nodes, from the widest on, without fleet and clique.
fn steps(place: &Place) -> impl Iterator<Item = (Level, &str)> {
    // A node names few layers; what is beyond 255 would be one domain with the 255th.
    let layers = place.network_layers.iter().enumerate().map(|(depth, name)| (Level::Layer(depth as u8), name));
    let wider = [(Level::Region, place.region.as_ref()), (Level::Zone, place.zone.as_ref())];
    let wider = wider.into_iter().filter_map(|(level, name)| Some((level, name?)));
    wider.chain(layers).map(|(level, name)| (level, name.as_str()))
}

#[cfg(test)]
#[path = "domains_tests.rs"]
mod tests;
