//! Who has to make way for a gang.
//!
//! Unbound plans of lower priority give way without harm: nothing of them has started. Running pods are evicted only where
//! the policy allows it, only for a gang that fits once they are gone, and as few as can be: first those of the lowest
//! priorities are looked at, then one after the other is spared if the gang fits beside it, or elsewhere. A gang is one
//! victim: without one of its members the others are of no use.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::task::PlanTask;
use crate::cluster::{Cluster, NodeState, SharedGpus};
use crate::engine::Policy;
use crate::engine::claims::Grant;
use crate::engine::snapshot::Snapshot;
use crate::engine::verdicts::Verdict;
use crate::model::accelerator::AcceleratorResource;
use crate::model::gang::GangKey;
use crate::model::gpu_share::ShareRequest;
use crate::model::node::NodeName;
use crate::model::pod::{Demand, PodUid, Stage};
use crate::model::resources::{ResourceName, Resources};
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

/// How often the gang is planned anew to spare somebody who does not fit beside it. After that only those are spared who do.
const MAX_REPLANS: usize = 64;

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

/// Spares those who need not go: of those who hold something where the gang goes, the most important first, each beside whom
/// the gang fits, or for whom it can go elsewhere. Who is not in the way in the end stays.
fn spare<'a>(task: &'a PlanTask, mut may_go: BTreeSet<&'a Yielder>, mut nodes: Vec<NodeName>) -> Way {
    // It is devices that are short, as a rule: whoever has none is not looked at one by one.
    let with_devices: BTreeSet<_> = may_go.iter().copied().filter(|who| task.yielders[*who].has_devices).collect();
    if with_devices.len() < may_go.len()
        && let Some(found) = places(task, &task.yielders, &with_devices)
    {
        (may_go, nodes) = (with_devices, found);
    }
    let mut sparing = Sparing { task, may_go, needed: BTreeSet::new(), replans: 0 };
    while let Some(elsewhere) = sparing.go_on(&nodes) {
        nodes = elsewhere;
    }
    let yielders = task.in_the_way(&sparing.may_go, &nodes).into_iter().cloned().collect();
    Way { nodes, yielders, grants: vec![] }
}

/// How far it has been found out who can be spared.
struct Sparing<'a> {
    task: &'a PlanTask,
    /// Who is not spared, or not yet.
    may_go: BTreeSet<&'a Yielder>,
    /// Those of them who will not be.
    needed: BTreeSet<&'a Yielder>,
    replans: usize,
}

impl<'a> Sparing<'a> {
    /// Spares whom it can while the gang goes to these nodes. Where it goes instead, as soon as that spares somebody who is in
    /// the way here; nothing when all have been looked at.
    fn go_on(&mut self, nodes: &[NodeName]) -> Option<Vec<NodeName>> {
        let all = &self.task.yielders;
        let mut in_the_way = self.task.in_the_way(&self.may_go, nodes);
        in_the_way.sort_by_key(|yielder| {
            let held = &all[*yielder];
            (Reverse(held.priority), Reverse(held.members.len()), *yielder)
        });
        let mut sites = Sites::of(self.task, nodes, &in_the_way);
        for yielder in in_the_way {
            if self.needed.contains(yielder) {
                continue;
            }
            self.may_go.remove(yielder);
            if sites.keep(&all[yielder]) {
                continue;
            }
            if self.replans < MAX_REPLANS {
                self.replans += 1;
                let elsewhere = places(self.task, all, &self.may_go);
                if elsewhere.is_some() {
                    return elsewhere;
                }
            }
            self.may_go.insert(yielder);
            self.needed.insert(yielder);
        }
        None
    }
}

/// The nodes where the gang goes, by name.
struct Sites<'a>(BTreeMap<&'a NodeName, Site<'a>>);

/// One of them.
struct Site<'a> {
    state: &'a NodeState,
    /// Who goes from there.
    leaving: BTreeSet<&'a PodUid>,
    /// What comes there.
    load: Load,
}

impl<'a> Sites<'a> {
    /// The nodes of the members to place, given in the order of the question's seats, once these have made way.
    fn of(task: &'a PlanTask, nodes: &[NodeName], leaving: &[&'a Yielder]) -> Self {
        let mut sites = Self(BTreeMap::new());
        for (block, node) in task.blocks_of_seats().zip(nodes) {
            let Some(state) = task.snapshot.node(node.as_str()) else { continue };
            let site = || Site { state, leaving: BTreeSet::new(), load: Load::default() };
            let demand = &task.question.formation.blocks[block].demand;
            sites.0.entry(state.name()).or_insert_with(site).load.add(demand);
        }
        leaving.iter().for_each(|yielder| sites.leave(&task.yielders[*yielder]));
        sites
    }

    fn leave(&mut self, held: &'a Held) {
        for (uid, node) in &held.members {
            if let Some(site) = self.0.get_mut(node) {
                site.leaving.insert(uid);
            }
        }
    }

    /// Lets somebody stay if what comes fits beside all that stays, wherever he holds something; says whether it does.
    fn keep(&mut self, held: &'a Held) -> bool {
        let mut touched: BTreeSet<&NodeName> = BTreeSet::new();
        for (uid, node) in &held.members {
            if let Some(site) = self.0.get_mut(node) {
                site.leaving.remove(uid);
                touched.insert(node);
            }
        }
        let fits = touched.into_iter().all(|node| self.0[node].has_room());
        if !fits {
            self.leave(held);
        }
        fits
    }
}

impl Site<'_> {
    fn has_room(&self) -> bool {
        self.load.fits(&self.state.without(self.leaving.iter().copied()))
    }
}

/// What the members ask for that go to one node.
#[derive(Default)]
struct Load {
    sums: Resources,
    /// The shares of GPUs among it, in the order in which they are given.
    shares: Vec<ShareRequest>,
}

impl Load {
    fn add(&mut self, demand: &Demand) {
        self.sums.add(&demand.requests);
        self.shares.extend(demand.gpu_share());
    }

    /// Do all of them fit on a node of which it is known that one alone may go there? Where they take of the same Neuron
    /// hardware under several names, it is not found out, and they are taken not to.
    fn fits(&self, state: &NodeState) -> bool {
        let asked = || self.sums.iter().filter(|(_, amount)| *amount > 0);
        let is_neuron = |name: &ResourceName| AcceleratorResource::parse(name.as_str()).is_some_and(|r| r.is_neuron());
        let has_share = |gpus: SharedGpus, request: &ShareRequest| state.shared_gpus_without(&gpus, *request);
        asked().all(|(name, amount)| amount <= state.free(name))
            && asked().filter(|(name, _)| is_neuron(name)).count() <= 1
            && self.shares.iter().try_fold(state.shared_gpus().clone(), has_share).is_some()
    }
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
