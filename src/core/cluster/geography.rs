//! What follows from which nodes there are and what they are, whoever runs on them. It changes seldom, so it is worked out
//! once for many questions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

use super::{DomainId, Domains, Level, NodeState, Slot, Slots};
use crate::model::node::Node;

/// What follows from the nodes of one [`Cluster::node_generation`](super::Cluster::node_generation); each part when it is
/// first asked for.
#[derive(Debug, Default)]
pub struct Geography {
    by_name: OnceLock<Vec<u32>>,
    by_level: OnceLock<BTreeMap<Level, Vec<Option<DomainId>>>>,
    paths: OnceLock<Paths>,
    by_label: Mutex<BTreeMap<Arc<str>, Arc<[u32]>>>,
}

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Labels whose values are remembered. Gangs name few, and where they name more these are worked out each time.
const MAX_LABELS: usize = 64;

impl Geography {
    /// Stands for no value.
    pub const NONE: u32 = u32::MAX;

    /// The slots of the nodes, in the order of their names.
    pub fn by_name(&self, slots: &Slots) -> &[u32] {
        self.by_name.get_or_init(|| {
            let mut nodes: Vec<(&NodeState, u32)> = nodes(slots).map(|(at, state, _)| (state, at)).collect();
            nodes.sort_unstable_by_key(|(state, _)| state.name());
            nodes.into_iter().map(|(_, at)| at).collect()
        })
    }

    /// By level of the domain tree: the domain in which the node of each slot is.
    pub fn by_level(&self, slots: &Slots, domains: &Domains) -> &BTreeMap<Level, Vec<Option<DomainId>>> {
        self.by_level.get_or_init(|| {
            let mut by_level: BTreeMap<Level, Vec<Option<DomainId>>> = BTreeMap::new();
            for (at, state, _) in nodes(slots) {
                for id in domains.path(state.name()) {
                    by_level.entry(domains[id].level()).or_insert_with(|| vec![None; slots.len()])[at as usize] =
                        Some(id);
                }
            }
            by_level
        })
    }

    /// The paths of the nodes through the domain tree.
    pub fn paths(&self, slots: &Slots, domains: &Domains) -> &Paths {
        self.paths.get_or_init(|| {
            let mut paths: IndexSet<Vec<DomainId>, FxBuildHasher> = [vec![]].into_iter().collect();
            let mut of = vec![0; slots.len()];
            for (at, state, _) in nodes(slots) {
                of[at as usize] = paths.insert_full(domains.path(state.name()).collect()).0 as u32;
            }
            Paths { of, paths: paths.into_iter().collect() }
        })
    }

    /// A number for each domain that a label names, by slot; [`Self::NONE`] for nodes in none. Racks have the same names in
    /// every zone, so a domain ends where its zone does.
    pub fn by_label(&self, slots: &Slots, label: &Arc<str>) -> Arc<[u32]> {
        let known = || self.by_label.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(label) {
            return Arc::clone(known);
        }
        let mut values: IndexSet<(Option<&str>, &str), FxBuildHasher> = IndexSet::default();
        let mut numbers = vec![Self::NONE; slots.len()];
        for (at, _, node) in nodes(slots) {
            if let Some(value) = node.parts.labels.get(label).filter(|value| !value.is_empty()) {
                let zone = node.place.zone.as_deref().filter(|_| !matches!(&**label, REGION | ZONE));
                numbers[at as usize] = values.insert_full((zone, value)).0 as u32;
            }
        }
        let numbers: Arc<[u32]> = numbers.into();
        if known().len() < MAX_LABELS {
            known().insert(Arc::clone(label), Arc::clone(&numbers));
        }
        numbers
    }
}

/// The paths of nodes through the domain tree, by number: few nodes have one of their own.
#[derive(Debug)]
pub struct Paths {
    /// By slot.
    of: Vec<u32>,
    paths: Vec<Vec<DomainId>>,
}

impl Paths {
    /// The number of those that lead nowhere: of what is no node, or is not there yet.
    pub const NONE: usize = 0;

    /// The number of a node's path.
    pub fn number(&self, slot: Slot) -> usize {
        self.of.get(slot.index()).map_or(Self::NONE, |number| *number as usize)
    }

    /// The domains that a node is in, the widest first.
    pub fn of(&self, slot: Slot) -> &[DomainId] {
        &self.paths[self.number(slot)]
    }

    /// All paths, by number.
    pub fn iter(&self) -> impl Iterator<Item = &[DomainId]> {
        self.paths.iter().map(Vec::as_slice)
    }
}

fn nodes(slots: &Slots) -> impl Iterator<Item = (u32, &NodeState, &Node)> {
    let states = slots.iter().enumerate().filter_map(|(at, state)| Some((at as u32, state.as_deref()?)));
    states.filter_map(|(at, state)| Some((at, state, state.node()?.as_ref())))
}
