//! How good is a place for a pod?
//!
//! Places are compared criterion by criterion, the first difference decides. All of them together fit into one integer,
//! so that thousands of nodes are ordered by comparing integers. Two criteria come first whatever the policy says; the
//! others, and whether they count, are the [`Order`] of the pod's profile.

use crate::cluster::NodeState;
use crate::model::accelerator::Unit;
use crate::model::inventory::{Inventory, Pool};
use crate::model::node::Node;
use crate::model::pod::Demand;
use crate::model::taint::{Effect, Taint, TaintPurpose};
use crate::placement::asked::{Asked, Wanted};
use crate::placement::locality::{MAX_IN_RACK, MAX_MISFIT, MAX_ON_NODE, MAX_ZONE, Surroundings};
use crate::placement::order::{Aim, DEFAULT_AIMS, Order};

/// How good a place is, criterion by criterion; smaller is better, save where the order asks for spreading. Compare
/// [`packed`](Self::packed) ranks, and only those of one pod: they have the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rank {
    /// What counts, and in which order.
    pub order: Order,
    /// How unwelcome the pod is: taints that say the node is leaving count most, then `PreferNoSchedule`.
    pub unwelcome: u8,
    /// What is missing to the pod's own preferences: 1000 less the weights fulfilled.
    pub unmet_preference: u16,
    /// How little the node's kind of capacity (spot, on demand, reserved) suits the pod's priority.
    pub misfit: u8,
    /// A pod without accelerators on a node with some; or a plain GPU request on a node that offers slices (1) or
    /// replicas (2) under that name.
    pub form: u8,
    /// For several devices: 0 connected by NVLink or NeuronLink on a healthy node, 1 on one with failed devices, 2 not
    /// connected.
    pub link: u8,
    /// 1 for a slice or a replica on an idle node: as long as that is idle, its devices could be cut otherwise.
    pub recuttable: u8,
    /// What the place costs the pods to come, see [`Costs::of`](super::fragmentation::Costs::of).
    pub cost: i32,
    /// 1 for opening an NVLink domain of several nodes on which nobody has devices.
    pub opens_domain: u8,
    /// 1 for opening an idle node, which could be removed.
    pub opens: u8,
    /// What is left over of the accelerators asked for (of all, when none is), in hundredths of devices: fewer is better packed.
    pub left: u16,
    /// How little the node's zone suits the pod's service, see [`Surroundings`].
    pub zone: u8,
    /// Other replicas of its service on the node.
    pub on_node: u8,
    /// Other replicas of its service in the rack.
    pub in_rack: u8,
}

/// How many bits the criteria take that come first.
const FIRST: [u32; 2] = [2, 10];

/// How many bits the criteria of an aim take, together.
const fn width(aim: Aim) -> u32 {
    match aim {
        Aim::Capacity => bits(MAX_MISFIT),
        Aim::Form | Aim::Links => 2,
        Aim::Uncut | Aim::Domains => 1,
        Aim::Fragmentation => 25,
        Aim::Packing | Aim::Spreading => 1 + LEFT,
        Aim::Zone => bits(MAX_ZONE),
        Aim::Replicas => bits(MAX_ON_NODE) + bits(MAX_IN_RACK),
    }
}

/// How many bits there are for what is left over.
const LEFT: u32 = 10;

/// How many bits a figure with this bound takes.
const fn bits(bound: u8) -> u32 {
    u8::BITS - bound.leading_zeros()
}

const _: () = {
    let (mut at, mut sum) = (0, FIRST[0] + FIRST[1]);
    while at < Aim::ALL.len() {
        // Of packing and spreading there is only one.
        sum += if matches!(Aim::ALL[at], Aim::Spreading) { 0 } else { width(Aim::ALL[at]) };
        at += 1;
    }
    assert!(sum <= u64::BITS, "all criteria fit into one integer");
};

/// Costs are packed as their distance from the least that there can be.
const LEAST_COST: i64 = -(1 << 24);

/// What is beyond the width of its field counts as the most that it can hold.
const fn capped(field: u64, width: u32) -> u64 {
    let most = (1 << width) - 1;
    if field < most { field } else { most }
}

/// Puts a field behind those that are packed already.
const fn append(packed: u64, width: u32, field: u64) -> u64 {
    packed << width | capped(field, width)
}

impl Rank {
    /// The same order as an integer.
    pub fn packed(self) -> u64 {
        let first = append(0, FIRST[0], self.unwelcome.into());
        let first = append(first, FIRST[1], self.unmet_preference.into());
        if self.order == Order::DEFAULT {
            // Nearly all ranks have it: written out it is quicker.
            return DEFAULT_AIMS.iter().fold(first, |packed, aim| append(packed, width(*aim), self.shortfall(*aim)));
        }
        self.order.aims().fold(first, |packed, aim| append(packed, width(aim), self.shortfall(aim)))
    }

    /// How far a place is from an aim, in as many bits as that takes.
    pub(super) fn shortfall(self, aim: Aim) -> u64 {
        match aim {
            Aim::Capacity => self.misfit.into(),
            Aim::Form => self.form.into(),
            Aim::Links => self.link.into(),
            Aim::Uncut => self.recuttable.into(),
            Aim::Fragmentation => (i64::from(self.cost) - LEAST_COST).max(0) as u64,
            Aim::Domains => self.opens_domain.into(),
            Aim::Packing => u64::from(self.opens) << LEFT | capped(self.left.into(), LEFT),
            Aim::Spreading => {
                u64::from(1 - self.opens.min(1)) << LEFT | (capped(u64::MAX, LEFT) - capped(self.left.into(), LEFT))
            }
            Aim::Zone => self.zone.into(),
            Aim::Replicas => {
                let (on_node, in_rack) = (self.on_node.min(MAX_ON_NODE), self.in_rack.min(MAX_IN_RACK));
                u64::from(on_node) << bits(MAX_IN_RACK) | u64::from(in_rack)
            }
        }
    }
}

impl Rank {
    /// The rank with who else is around on the node.
    pub fn among(self, Surroundings { zone, on_node, in_rack }: Surroundings) -> Self {
        Self { zone, on_node, in_rack, ..self }
    }
}

impl Asked<'_> {
    /// Ranks a place that is known to be feasible; `cost` is what it costs the pods to come.
    pub fn rank(&self, state: &NodeState, cost: i32) -> Rank {
        let Some(node) = state.node() else { return Rank::default() };
        let inventory = &node.inventory;
        let general = Rank {
            unwelcome: unwelcome(self.demand, node),
            unmet_preference: unmet_preference(self.demand, node),
            cost,
            ..Rank::default()
        };
        if !self.wants_accelerators() {
            let left = inventory.pools.iter().zip(&state.room().units);
            let left = left.map(|(pool, free)| milli_of(inventory, pool, *free)).fold(0, i64::saturating_add);
            return Rank { form: u8::from(inventory.has_accelerators()), left: hundredths(left), ..general };
        }
        let idle = !state.room().accelerators_in_use;
        let (mut set_milli, mut left) = (0i64, 0i64);
        let mut rank = Rank { opens: u8::from(idle), ..general };
        for (at, pool, wanted) in self.pools(inventory) {
            rank.form = rank.form.max(form(self, wanted, pool));
            rank.recuttable = rank.recuttable.max(u8::from(idle && is_cut(pool)));
            let units = pool.unit.set_size(wanted.count);
            set_milli = set_milli.saturating_add(units.saturating_mul(inventory.set_unit_milli(pool)));
            let free = state.room().units[at].saturating_sub(wanted.count);
            left = left.saturating_add(milli_of(inventory, pool, free));
        }
        Rank { link: link(self, set_milli, state, inventory), left: hundredths(left), ..rank }
    }
}

fn unwelcome(demand: &Demand, node: &Node) -> u8 {
    let taints = &node.parts.taints;
    // A pod that tolerates everything is still better off where nothing is about to happen.
    let named = |taint: &Taint| demand.tolerations.iter().any(|toleration| toleration.names(taint));
    if taints.iter().any(|taint| !named(taint) && taint.purpose() != TaintPurpose::Other) {
        return 2;
    }
    let discouraged = |taint: &Taint| taint.effect == Effect::PreferNoSchedule && !demand.tolerates(taint);
    u8::from(taints.iter().any(discouraged))
}

fn unmet_preference(demand: &Demand, node: &Node) -> u16 {
    let met = demand.affinity.preference(node.parts.name.as_str(), &node.parts.labels);
    1000 - u16::try_from(met.clamp(0, 1000)).expect("clamped")
}

fn form(asked: &Asked, wanted: &Wanted, pool: &Pool) -> u8 {
    match pool.unit {
        _ if asked.chooses_form || wanted.resource.is_explicit() => 0,
        Unit::Slice(_) => 1,
        Unit::Replica { .. } => 2,
        _ => 0,
    }
}

fn is_cut(pool: &Pool) -> bool {
    matches!(pool.unit, Unit::Slice(_) | Unit::Replica { .. })
}

/// How the devices are linked that should work as one set, so many thousandths of them; slices and replicas see no peers and
/// are not among them.
fn link(asked: &Asked, set_milli: i64, state: &NodeState, inventory: &Inventory) -> u8 {
    let devices = set_milli.saturating_add(999) / 1000;
    let Some(count) = usize::try_from(devices).ok().filter(|n| *n > 1) else { return 0 };
    let connected = inventory.fabric.as_ref().is_some_and(|fabric| match state.choose_gpus(asked.demand) {
        Some(gpus) => fabric.largest_linked(gpus) >= count,
        None => fabric.largest_linked(fabric.all()) >= count,
    });
    match (connected, inventory.is_degraded()) {
        (true, false) => 0,
        (true, true) => 1,
        (false, _) => 2,
    }
}

/// The thousandths of devices that so many units of a pool are.
fn milli_of(inventory: &Inventory, pool: &Pool, units: i64) -> i64 {
    units.saturating_mul(inventory.unit_milli(pool))
}

fn hundredths(milli: i64) -> u16 {
    u16::try_from((milli / 10).max(0)).unwrap_or(u16::MAX)
}

/// Turns packed ranks into the extender's levels, 0 to 10: the best place stands alone at 10 (of equals the first by
/// name), then the distinct ranks in their order share 9 down to 0. `places` gives name and rank of each.
pub fn levels(places: &[(&str, u64)]) -> Vec<u8> {
    let best = places.iter().enumerate().min_by_key(|(_, (name, rank))| (*rank, *name)).map(|(at, _)| at);
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
    let level = |(_, rank): &(&str, u64)| next_best.binary_search(rank).map_or(0, |at| (LEVELS - 1 - at) as u8);
    let mut levels: Vec<u8> = places.iter().map(level).collect();
    best.into_iter().for_each(|at| levels[at] = MAX_LEVEL);
    levels
}

/// The level of the best place: `MaxExtenderPriority` of kube-scheduler.
pub const MAX_LEVEL: u8 = 10;

/// How many levels there are below it.
const LEVELS: usize = MAX_LEVEL as usize;

#[cfg(test)]
#[path = "rank_tests.rs"]
mod tests;
