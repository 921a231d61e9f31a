//! Who has to make way for a gang.
//!
//! Unbound plans of lower priority give way without harm: nothing of them has started. Running pods are evicted only where
//! the policy allows it, only for a gang that fits once they are gone, and as few as can be: first those of the lowest
//! priorities are looked at, then one after the other is spared if the gang fits in spite of it. A gang is one victim:
//! without one of its members the others are of no use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::task::PlanTask;
use crate::cluster::{Cluster, NodeState};
use crate::engine::Policy;
use crate::engine::claims::Grant;
use crate::engine::snapshot::Snapshot;
use crate::engine::verdicts::Verdict;
use crate::model::gang::GangKey;
use crate::model::node::NodeName;
use crate::model::pod::{Demand, PodUid, Stage};
use crate::placement::Rank;
use crate::placement::gang::{self, Budget, Field, Shares};

/// Who makes way as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Yielder {
    /// A plan of which nothing has started.
    Plan(GangKey),
    /// A pod that runs.
    Pod(PodUid),
    /// A gang that runs, with all its members.
    Gang(GangKey),
}

impl Yielder {
    /// The gang, if it is a plan.
    pub fn plan(&self) -> Option<&GangKey> {
        match self {
            Self::Plan(gang) => Some(gang),
            Self::Pod(_) | Self::Gang(_) => None,
        }
    }
}

/// What one yielder holds.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Its priority; that of its most important member.
    pub priority: i32,
    /// Has any of them accelerators?
    pub has_devices: bool,
    /// Who holds what where.
    pub members: Vec<(PodUid, NodeName)>,
}

/// Everybody who may have to make way, with what they hold.
pub(super) type Yielders = BTreeMap<Yielder, Held>;

/// Places that are there once these have made way.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// The node of each member to place, in the order of the question's seats.
    pub nodes: Vec<NodeName>,
    /// Who has to go.
    pub yielders: Vec<Yielder>,
    /// What the claims of each member get, in the same order; empty where no claims are to be allocated.
    pub grants: Vec<Vec<Grant>>,
}

/// How many yielders are looked at one by one whether they can be spared. What is beyond goes with the others.
const MAX_SPARED: usize = 64;

/// How many distinct priorities are tried one after the other.
const MAX_TIERS: usize = 16;

/// The running pods of lower priority that may be evicted, gangs as wholes.
pub(super) fn evictable(
    cluster: &Cluster,
    policy: &Policy,
    below: i32,
    is_together: impl Fn(&GangKey) -> bool,
) -> Yielders {
    let mut yielders = Yielders::new();
    for pod in cluster.pods() {
        let Stage::Bound(node) = &pod.stage else { continue };
        let gang = pod.membership.as_ref().map(|membership| &membership.gang).filter(|gang| is_together(gang));
        let yielder = gang.map_or_else(|| Yielder::Pod(pod.uid.clone()), |gang| Yielder::Gang(gang.clone()));
        let held = yielders.entry(yielder).or_insert(Held { priority: i32::MIN, has_devices: false, members: vec![] });
        // One member that must not be evicted protects its gang.
        let priority = if policy.is_ours(pod) && !pod.leaving { pod.priority } else { i32::MAX };
        held.priority = held.priority.max(priority);
        held.has_devices |= pod.demand.wants_accelerators() || pod.demand.gpu_share().is_some();
        held.members.push((pod.uid.clone(), node.clone()));
    }
    yielders.retain(|_, held| held.priority < below);
    yielders
}

/// Finds places that are there once some have made way, if there are any.
///
/// Where claims are to be allocated there are none: which devices become free is not known before the others' claims are
/// gone.
pub(super) fn make_way(task: &PlanTask) -> Option<Way> {
    if task.desk.is_some() {
        return None;
    }
    let (plans, running): (Vec<_>, Vec<_>) =
        task.yielders.keys().partition(|yielder| matches!(yielder, Yielder::Plan(_)));
    let plans: BTreeSet<&Yielder> = plans.into_iter().collect();
    if !plans.is_empty()
        && let Some(nodes) = places(task, &task.yielders, &plans)
    {
        return Some(spare(task, plans, nodes));
    }
    let mut tiers: Vec<i32> = running.iter().map(|yielder| task.yielders[*yielder].priority).collect();
    tiers.sort_unstable();
    tiers.dedup();
    if tiers.len() > MAX_TIERS {
        tiers = tiers.split_off(tiers.len() - 1);
    }
    for tier in tiers {
        let of_tier = running.iter().copied().filter(|yielder| task.yielders[*yielder].priority <= tier);
        let gone: BTreeSet<&Yielder> = plans.iter().copied().chain(of_tier).collect();
        if let Some(nodes) = places(task, &task.yielders, &gone) {
            return Some(spare(task, gone, nodes));
        }
    }
    None
}

/// Spares those who need not go: of those who hold something where the gang goes, the most important first, each for whom
/// the gang can go elsewhere. Who is not in the way in the end stays.
fn spare<'a>(task: &'a PlanTask, mut may_go: BTreeSet<&'a Yielder>, mut nodes: Vec<NodeName>) -> Way {
    // It is devices that are short, as a rule: whoever has none is not looked at one by one.
    let with_devices: BTreeSet<_> = may_go.iter().copied().filter(|who| task.yielders[*who].has_devices).collect();
    if with_devices.len() < may_go.len()
        && let Some(found) = places(task, &task.yielders, &with_devices)
    {
        (may_go, nodes) = (with_devices, found);
    }
    let mut needed: BTreeSet<&Yielder> = BTreeSet::new();
    for _ in 0..MAX_SPARED {
        let in_the_way = task.in_the_way(&may_go, &nodes);
        let most_important = in_the_way.into_iter().filter(|yielder| !needed.contains(yielder)).min_by_key(|yielder| {
            let held = &task.yielders[*yielder];
            (std::cmp::Reverse(held.priority), std::cmp::Reverse(held.members.len()), *yielder)
        });
        let Some(yielder) = most_important else { break };
        may_go.remove(yielder);
        match places(task, &task.yielders, &may_go) {
            Some(found) => nodes = found,
            None => {
                may_go.insert(yielder);
                needed.insert(yielder);
            }
        }
    }
    let yielders = task.in_the_way(&may_go, &nodes).into_iter().cloned().collect();
    Way { nodes, yielders, grants: vec![] }
}

impl PlanTask {
    /// Those who hold something on one of these nodes.
    fn in_the_way<'a>(&self, yielders: &BTreeSet<&'a Yielder>, nodes: &[NodeName]) -> Vec<&'a Yielder> {
        let nodes: BTreeSet<&NodeName> = nodes.iter().collect();
        let holds = |yielder: &&&Yielder| self.yielders[**yielder].members.iter().any(|(_, node)| nodes.contains(node));
        yielders.iter().filter(holds).copied().collect()
    }
}

/// The places that there are without these.
pub(super) fn places(task: &PlanTask, all: &Yielders, gone: &BTreeSet<&Yielder>) -> Option<Vec<NodeName>> {
    let snapshot = &task.snapshot;
    let mut without: BTreeMap<&NodeName, Vec<&PodUid>> = BTreeMap::new();
    let mut burdens: BTreeMap<&NodeName, usize> = BTreeMap::new();
    for held in gone.iter().map(|yielder| &all[*yielder]) {
        for (uid, node) in &held.members {
            without.entry(node).or_default().push(uid);
            // Who takes the place of one of them makes all go.
            *burdens.entry(node).or_default() += held.members.len();
        }
    }
    let mut slots = snapshot.slots().clone();
    let formation = &task.question.formation;
    let (mut ranks, exclusivities) = (task.ranks(), task.exclusivities_of_blocks());
    for (node, uids) in without {
        let is_open = !task.avoid.contains(node) && snapshot.is_open_to(node, task.order(), &task.gang);
        let Some(slot) = snapshot.slot(node.as_str()).filter(|_| is_open) else { continue };
        let Some(state) = &slots[slot] else { continue };
        let burden = burdens[node];
        let state = Arc::new(state.without(uids));
        for ((block, ranks), members) in formation.blocks.iter().zip(&mut ranks).zip(&exclusivities) {
            let is_taken = state.node().is_some_and(|node| task.is_taken(members, node));
            let rank = || rank(snapshot, task, &block.demand, &state, burden);
            ranks[slot.index()] = if is_taken { None } else { rank() };
        }
        slots.suppose(slot, state);
    }
    let (geography, domains) = (snapshot.geography(), snapshot.domains());
    let field = Field { slots: &slots, geography, domains, ranks: &ranks, devices: &[], shares: Shares::OnGpus };
    let places = gang::plan(formation, field, Budget::default()).ok()?;
    Some(places.parts().iter().flatten().flatten().cloned().collect())
}

/// How good a node is for whose sake so many have to go: the fewer the better, before all else that can be weighed.
fn rank(snapshot: &Snapshot, task: &PlanTask, demand: &Demand, state: &NodeState, burden: usize) -> Option<Rank> {
    let Verdict::Fits(rank) = snapshot.verdict(demand, state) else { return None };
    let rank = snapshot.suited(rank, &task.profile, task.roster.priority, state.node()?);
    let burden = u16::try_from(burden.saturating_mul(10)).unwrap_or(1000);
    Some(Rank { unmet_preference: rank.unmet_preference.saturating_add(burden).min(1000), ..rank })
}
