//! How good is a place for a pod?
//!
//! Places are compared criterion by criterion, the first difference decides. All of them together fit into one integer,
//! so that thousands of nodes are ordered by comparing integers.

use crate::cluster::NodeState;
use crate::model::accelerator::{AcceleratorResource, Unit};
use crate::model::inventory::{Inventory, chooses_form};
use crate::model::node::Node;
use crate::model::pod::Demand;
use crate::model::resources::ResourceName;
use crate::model::taint::{Effect, Taint, TaintPurpose};

/// How good a place is, criterion by criterion in the order of the fields; smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Rank {
    /// How unwelcome the pod is: taints that say the node is leaving count most, then `PreferNoSchedule`.
    pub unwelcome: u8,
    /// What is missing to the pod's own preferences: 1000 less the weights fulfilled.
    pub unmet_preference: u16,
    /// A pod without accelerators on a node with some; or a plain GPU request on a node that offers slices (1) or
    /// replicas (2) under that name.
    pub form: u8,
    /// For several devices: 0 connected by NVLink or NeuronLink on a healthy node, 1 on one with failed devices, 2 not
    /// connected.
    pub link: u8,
    /// 1 for opening an idle node all of whose devices are linked, and which could serve a larger set.
    pub breaks_set: u8,
    /// Memory of one device in GiB: the smaller device will do.
    pub device_gib: u16,
    /// 1 for opening an idle node.
    pub opens: u8,
    /// Units of the requested accelerators left afterwards.
    pub left: u16,
    /// Free CPU left afterwards, in sixty-fourths of the node.
    pub cpu_left: u8,
}

/// Widths of the fields in the packed form, in their order.
const WIDTHS: [u32; 9] = [2, 10, 2, 2, 1, 10, 1, 16, 7];

impl Rank {
    /// The same order as an integer, below 2^51.
    pub fn packed(self) -> u64 {
        let fields: [u64; 9] = [
            self.unwelcome.into(),
            self.unmet_preference.into(),
            self.form.into(),
            self.link.into(),
            self.breaks_set.into(),
            self.device_gib.into(),
            self.opens.into(),
            self.left.into(),
            self.cpu_left.into(),
        ];
        fields.iter().zip(WIDTHS).fold(0, |packed, (field, width)| packed << width | (*field).min((1 << width) - 1))
    }
}

/// Ranks a place that is known to be feasible.
pub fn rank(demand: &Demand, state: &NodeState) -> Rank {
    let Some(node) = state.node() else { return Rank::default() };
    let inventory = &node.inventory;
    let requested: i64 = demand.accelerators().map(|(_, _, count)| count).sum();
    let general = Rank {
        unwelcome: unwelcome(demand, node),
        unmet_preference: unmet_preference(demand, node),
        ..Rank::default()
    };
    if requested == 0 {
        return Rank { form: u8::from(inventory.has_accelerators()), ..general };
    }
    Rank {
        form: form(demand, inventory),
        link: link(demand, inventory),
        breaks_set: u8::from(breaks_set(state, inventory, requested)),
        device_gib: u16::try_from(inventory.device_memory_mib / 1024).unwrap_or(u16::MAX),
        opens: u8::from(!state.room().accelerators_in_use),
        left: u16::try_from(left(demand, state, inventory)).unwrap_or(u16::MAX),
        cpu_left: cpu_left(demand, state, node),
        ..general
    }
}

fn unwelcome(demand: &Demand, node: &Node) -> u8 {
    let taints = &node.parts.taints;
    // A pod that tolerates everything is still better off where nothing is about to happen.
    let named = |taint: &Taint| demand.tolerations.iter().any(|toleration| toleration.names(taint));
    if taints.iter().any(|taint| taint.purpose() != TaintPurpose::Other && !named(taint)) {
        return 2;
    }
    let discouraged = |taint: &Taint| taint.effect == Effect::PreferNoSchedule && !demand.tolerates(taint);
    u8::from(taints.iter().any(discouraged))
}

fn unmet_preference(demand: &Demand, node: &Node) -> u16 {
    let met = demand.affinity.preference(node.parts.name.as_str(), &node.parts.labels);
    1000 - u16::try_from(met.clamp(0, 1000)).expect("clamped")
}

fn form(demand: &Demand, inventory: &Inventory) -> u8 {
    if chooses_form(&demand.affinity) {
        return 0;
    }
    let of = |(name, resource): (&str, AcceleratorResource)| match inventory.pool(name).map(|pool| &pool.unit) {
        Some(Unit::Slice(_)) if !resource.is_explicit() => 1,
        Some(Unit::Replica { .. }) if !resource.is_explicit() => 2,
        _ => 0,
    };
    demand.accelerators().map(|(name, resource, _)| of((name.as_str(), resource))).max().unwrap_or(0)
}

fn link(demand: &Demand, inventory: &Inventory) -> u8 {
    // Slices and replicas see no peers: to them it is all the same.
    let set_size =
        |(name, _, count): (&ResourceName, _, i64)| Some(inventory.pool(name.as_str())?.unit.set_size(count));
    let devices: i64 = demand.accelerators().filter_map(set_size).sum();
    let Some(count) = usize::try_from(devices).ok().filter(|n| *n > 1) else { return 0 };
    let connected = inventory.fabric.as_ref().is_some_and(|fabric| count <= fabric.largest_linked(fabric.all()));
    match (connected, inventory.is_degraded()) {
        (true, false) => 0,
        (true, true) => 1,
        (false, _) => 2,
    }
}

fn breaks_set(state: &NodeState, inventory: &Inventory, requested: i64) -> bool {
    let devices = inventory.fabric.as_ref().map_or(0, |fabric| fabric.len() as i64);
    let has_sets = inventory.pools.iter().any(|pool| pool.unit.joins_sets());
    has_sets && !state.room().accelerators_in_use && inventory.is_link_complete() && requested < devices
}

fn left(demand: &Demand, state: &NodeState, inventory: &Inventory) -> i64 {
    demand
        .accelerators()
        .filter_map(|(name, _, count)| Some(state.free_units(inventory.pool(name.as_str())?) - count))
        .fold(0, i64::saturating_add)
        .max(0)
}

fn cpu_left(demand: &Demand, state: &NodeState, node: &Node) -> u8 {
    let total = node.parts.allocatable.get("cpu");
    let free = state.room().cpu_milli - demand.requests.get("cpu");
    if total <= 0 { 0 } else { u8::try_from(free.max(0).saturating_mul(64) / total).unwrap_or(64) }
}

/// Turns packed ranks into the extender's levels, 0 to 10: the best place stands alone at 10 (of equals the first by
/// name), then the distinct ranks in their order share 9 down to 0. `places` gives name and rank of each.
pub fn levels(places: &[(&str, u64)]) -> Vec<u8> {
    let Some(best) = places.iter().min_by_key(|(name, rank)| (*rank, *name)) else { return vec![] };
    let mut next_best: Vec<u64> = Vec::with_capacity(LEVELS + 1);
    for &(_, rank) in places {
        if next_best.len() == LEVELS && next_best.last().is_some_and(|worst| rank >= *worst) {
            continue;
        }
        if let Err(at) = next_best.binary_search(&rank) {
            next_best.insert(at, rank);
            next_best.truncate(LEVELS);
        }
    }
    let level = |place: &(&str, u64)| match next_best.binary_search(&place.1) {
        _ if place == best => MAX_LEVEL,
        Ok(at) => (LEVELS - 1 - at) as u8,
        Err(_) => 0,
    };
    places.iter().map(level).collect()
}

/// The level of the best place: `MaxExtenderPriority` of kube-scheduler.
pub const MAX_LEVEL: u8 = 10;

/// How many levels there are below it.
const LEVELS: usize = MAX_LEVEL as usize;

#[cfg(test)]
#[path = "rank_tests.rs"]
mod tests;
