//! Which nodes share a domain, level by level.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::hash::Hash;
use std::rc::Rc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::terrain::Terrain;
use crate::cluster::{DomainId, Geography, Level};
use crate::model::accelerator::Unit;
use crate::model::catalogue::LinkDomain;
use crate::model::gang::TopologyLevel;
use crate::model::node::Node;
use crate::model::pod::Demand;
use crate::model::resources::ResourceName;

const HOSTNAME: &str = "kubernetes.io/hostname";
/// Feature discovery sets it where an NVLink domain goes beyond the node, whatever the machine.
const CLIQUE: &str = "nvidia.com/gpu.clique";

/// Stands for no domain.
const NONE: u32 = u32::MAX;

/// Disjoint domains of nodes. They are numbered by their first nodes, so that their order is one of names.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Grouping {
    of: Vec<u32>,
    members: Vec<Vec<usize>>,
}

impl Grouping {
    pub fn by<K: Hash + Eq>(nodes: usize, key: impl Fn(usize) -> Option<K>) -> Self {
        let mut known: IndexMap<K, u32, FxBuildHasher> = IndexMap::default();
        let mut members: Vec<Vec<usize>> = vec![];
        let mut number = |at: usize| {
            let Some(key) = key(at) else { return NONE };
            let next = known.len() as u32;
            let group = *known.entry(key).or_insert(next);
            if group == next {
                members.push(vec![]);
            }
            members[group as usize].push(at);
            group
        };
        let of = (0..nodes).map(&mut number).collect();
        Self { of, members }
    }

    /// The domain that a node is in.
    pub fn group(&self, at: usize) -> Option<usize> {
        Some(self.of[at]).filter(|group| *group != NONE).map(|group| group as usize)
    }

    /// How many nodes there are, in domains or not.
    pub fn nodes(&self) -> usize {
        self.of.len()
    }

    /// How many domains there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The nodes of a domain, in their order.
    pub fn members(&self, group: usize) -> &[usize] {
        &self.members[group]
    }

    /// What both say: nodes that share a domain of either.
    pub fn meet(&self, other: &Self) -> Self {
        Self::by(self.of.len(), |at| Some((self.group(at)?, other.group(at)?)))
    }

    /// The domain in which all of these nodes are; none where they are not in one.
    pub fn common(&self, nodes: &[Option<usize>]) -> Option<usize> {
        let mut groups = nodes.iter().map(|at| self.group((*at)?));
        let first = groups.next()??;
        groups.all(|group| group == Some(first)).then_some(first)
    }
}

/// All groupings of a terrain, each worked out when it is first asked for.
pub(super) struct Map<'a> {
    pub terrain: Terrain<'a>,
    known: RefCell<BTreeMap<Vec<TopologyLevel>, Rc<Grouping>>>,
    ladder: OnceCell<Rc<[Rc<Grouping>]>>,
}

impl<'a> Map<'a> {
    pub fn new(terrain: Terrain<'a>) -> Self {
        Self { terrain, known: RefCell::default(), ladder: OnceCell::new() }
    }

    /// The domains that share all of these levels.
    pub fn grouping(&self, levels: &[TopologyLevel]) -> Rc<Grouping> {
        if let Some(known) = self.known.borrow().get(levels) {
            return Rc::clone(known);
        }
        let grouping = Rc::new(match levels {
            [] => Grouping::by(self.terrain.len(), |_| Some(())),
            [level] => self.of_level(level),
            [first @ .., last] => self.grouping(first).meet(&self.grouping(std::slice::from_ref(last))),
        });
        self.known.borrow_mut().insert(levels.to_vec(), Rc::clone(&grouping));
        grouping
    }

    fn of_level(&self, level: &TopologyLevel) -> Grouping {
        let terrain = &self.terrain;
        match level {
            TopologyLevel::DeviceFabric => Grouping::by(terrain.len(), |at| Some(self.fabric(at))),
            TopologyLevel::Node => Grouping::by(terrain.len(), Some),
            TopologyLevel::Clique => Grouping::by(terrain.len(), |at| self.clique(at)),
            TopologyLevel::Label(key) if &**key == HOSTNAME => Grouping::by(terrain.len(), Some),
            TopologyLevel::Label(key) => {
                let values = terrain.by_label(key);
                Grouping::by(terrain.len(), |at| {
                    Some(values[terrain.slot(at)]).filter(|value| *value != Geography::NONE)
                })
            }
        }
    }

    /// The NVLink domain of several nodes that a node is in.
    fn clique(&self, at: usize) -> Option<DomainId> {
        self.terrain.by_level().get(&Level::Clique)?[self.terrain.slot(at)]
            .filter(|_| links_reach_out(self.terrain.node(at)))
    }

    fn fabric(&self, at: usize) -> Fabric {
        // What was cut or is shared sees no peers, in the clique neither.
        let is_whole = || self.terrain.node(at).inventory.pools.iter().all(|pool| pool.unit.joins_sets());
        self.clique(at).filter(|_| is_whole()).map_or(Fabric::Node(at), Fabric::Clique)
    }

    /// The domains that are worth trying for members of which nothing is said, the closest first: cliques, network layers,
    /// zones, regions.
    pub fn ladder(&self) -> Rc<[Rc<Grouping>]> {
        Rc::clone(self.ladder.get_or_init(|| {
            // Which cliques there are is asked of the nodes: not every label that claims one can be believed.
            let is_network = |level: &Level| !matches!(level, Level::Fleet | Level::Clique | Level::Node);
            let terrain = &self.terrain;
            let network = terrain.by_level().iter().rev().filter(|(level, _)| is_network(level));
            let network = network.map(|(_, domains)| Grouping::by(terrain.len(), |at| domains[terrain.slot(at)]));
            let network = network.filter(|grouping| grouping.len() > 0).map(Rc::new);
            [self.grouping(&[TopologyLevel::Clique])].into_iter().chain(network).collect()
        }))
    }

    /// What people call a domain of a level.
    pub fn name(&self, level: &TopologyLevel, at: usize) -> String {
        let node = self.terrain.node(at);
        let named = match level {
            TopologyLevel::Node => None,
            TopologyLevel::Clique | TopologyLevel::DeviceFabric => {
                self.clique(at).map(|id| self.terrain.domains()[id].name())
            }
            TopologyLevel::Label(key) => label(node, key),
        };
        named.unwrap_or(node.name().as_str()).into()
    }

    /// Could members that ask for this be one NVLink set in the fabric that this node belongs to?
    pub fn joins(&self, at: usize, devices: &SetDevices) -> bool {
        matches!(self.fabric(at), Fabric::Clique(_)) || devices.join_on(self.terrain.node(at))
    }
}

fn label<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    if key == HOSTNAME {
        return Some(node.name().as_str());
    }
    node.parts.labels.get(key).filter(|value| !value.is_empty())
}

/// The value by which kube-scheduler compares nodes for affinity and spread.
pub(crate) fn raw_label<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    if key == HOSTNAME { Some(node.name().as_str()) } else { node.parts.labels.get(key) }
}

/// Does the key name single nodes?
pub(super) fn is_hostname(key: &str) -> bool {
    key == HOSTNAME
}

/// Is the clique that a node names an NVLink domain? The labels that name it also name other things elsewhere (on AWS the
/// capacity block), so the machine must be one whose links reach further; where the machine is not known, only NVIDIA's
/// own label is believed.
fn links_reach_out(node: &Node) -> bool {
    match &node.inventory.machine {
        Some(machine) => matches!(machine.link_domain, LinkDomain::Clique { .. }),
        None => node.parts.labels.get(CLIQUE).is_some_and(|name| !name.is_empty()),
    }
}

/// The widest domain in which devices of a node can be one NVLink set.
#[derive(PartialEq, Eq, Hash)]
enum Fabric {
    Clique(DomainId),
    Node(usize),
}

/// The accelerators that the members of a set ask for.
pub(super) struct SetDevices {
    /// By name: how many one member asks for, and how many such members there are.
    asked: Vec<(ResourceName, i64, i64)>,
}

impl SetDevices {
    /// Of members with these demands, so many of each.
    pub fn of<'d>(members: impl Iterator<Item = (&'d Demand, u32)>) -> Self {
        let asked = members.flat_map(|(demand, count)| {
            demand.accelerators().map(move |(name, _, each)| (name.clone(), each, i64::from(count)))
        });
        Self { asked: asked.collect() }
    }

    /// Are there enough linked devices on the node? Which of them a set gets, the device plugin decides: as in
    /// [`Asked::rank`](crate::placement::Asked::rank) it is taken to choose well. Which shareable GPUs it gets depends on what else is
    /// there, so all must be linked.
    fn join_on(&self, node: &Node) -> bool {
        let inventory = &node.inventory;
        let (mut units, mut milli, mut joins, mut shares) = (0i64, 0i64, true, false);
        for (name, each, members) in &self.asked {
            let Some(pool) = inventory.pool(name.as_str()) else { return false };
            let is_share = pool.unit == Unit::Thousandth;
            let of_each = if is_share { pool.unit.set_size(*each) } else { *each };
            let asked = of_each.saturating_mul(*members);
            units = units.saturating_add(asked);
            milli = milli.saturating_add(asked.saturating_mul(inventory.set_unit_milli(pool)));
            joins &= pool.unit.joins_sets();
            shares |= is_share;
        }
        if units <= 1 {
            return true;
        }
        let Some(fabric) = inventory.fabric.as_deref().filter(|_| joins) else { return false };
        let devices = usize::try_from(milli.saturating_add(999) / 1000).unwrap_or(usize::MAX);
        if shares { fabric.is_nvlink_complete(fabric.all()) } else { fabric.largest_linked(fabric.all()) >= devices }
    }
}
