//! How near a gang is to its places: how many of its members each domain could take.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use testudo_core::cluster::NodeState;
use testudo_core::engine::{GangStage, MemberView, Snapshot};
use testudo_core::model::exclusive::Exclusivity;
use testudo_core::model::gang::{GangKey, Membership, Strictness, Terms, TopologyLevel};
use testudo_core::model::node::Node;
use testudo_core::model::pod::{Demand, Pod, Stage};
use testudo_core::placement;

/// A member of a gang, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberLine {
    /// Absent for a member that its controller has yet to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Its role, where it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// Its number in the role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// How far it has come.
    pub state: &'static str,
    /// Where it is, or is to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

impl MemberLine {
    /// The line of a member.
    pub fn of(member: &MemberView) -> Self {
        Self {
            pod: member.pod.as_ref().map(|pod| pod.name.clone()),
            role: member.role.to_string(),
            index: member.index,
            state: standing(member),
            node: member.node.as_ref().map(ToString::to_string),
        }
    }
}

/// What a domain could take of a gang as things are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DomainMiss {
    /// What the members must share: `clique`, `zone`; `cluster` where they may be anywhere; with `(each set)` where only
    /// those of one tensor-parallel set must.
    pub level: String,
    /// Its name.
    #[serde(rename = "domain")]
    pub name: String,
    /// How many nodes it has.
    pub nodes: usize,
    /// How many members need a place in one such domain: all, or those of one set.
    pub needed: usize,
    /// For how many of them it has one, each by itself; none where others are to be alone.
    pub places: usize,
    /// Another gang there (or a pod of none) with which they cannot share it, by exclusive topology of one of them.
    #[serde(rename = "takenBy", skip_serializing_if = "Option::is_none")]
    pub taken_by: Option<String>,
}

/// How far a gang has come, as what is said of it.
pub fn stage(stage: GangStage) -> &'static str {
    match stage {
        GangStage::Gathering => "is not complete",
        GangStage::Waiting => "waits for places",
        GangStage::Clearing => "waits for others to make way",
        GangStage::Planned => "has places, and is about to start",
        GangStage::Running => "runs",
    }
}

fn standing(member: &MemberView) -> &'static str {
    match (member.is_bound, &member.node, member.is_extra) {
        (true, ..) => "bound",
        (false, Some(_), _) => "place kept",
        (false, None, false) => "waits",
        (false, None, true) => "waits, may start later",
    }
}

/// The members of a gang that exist and wait for their nodes.
pub fn waiting_members<'p>(gang: &GangKey, pods: impl IntoIterator<Item = &'p Arc<Pod>>) -> Vec<Arc<Pod>> {
    let is_member = |pod: &&Arc<Pod>| pod.membership.as_ref().is_some_and(|of| of.gang == *gang);
    let waits = |pod: &&Arc<Pod>| pod.stage == Stage::Pending && pod.is_alive();
    pods.into_iter().filter(is_member).filter(waits).cloned().collect()
}

/// What each domain could take of the members that have no place: those with the most places first. `pods` are the members.
pub fn domains(snapshot: &Snapshot, pods: &[Arc<Pod>]) -> Vec<DomainMiss> {
    let mut demands: BTreeMap<&Demand, usize> = BTreeMap::new();
    pods.iter().for_each(|pod| *demands.entry(&pod.demand).or_default() += 1);
    let memberships = || pods.iter().filter_map(|pod| pod.membership.as_deref());
    let Sharing { level, title, needed } = Sharing::of(pods);
    let mut domains: BTreeMap<String, Vec<&NodeState>> = BTreeMap::new();
    for state in snapshot.nodes() {
        let Some(node) = state.node().filter(|node| node.inventory.has_accelerators()) else { continue };
        if let Some(name) = domain_of(node, level.as_ref()) {
            domains.entry(name).or_default().push(state);
        }
    }
    let mut misses: Vec<DomainMiss> = domains
        .into_iter()
        .map(|(name, nodes)| {
            let taken_by = memberships().find_map(|of| taken_by(of, level.as_ref()?, &nodes));
            let places = || demands.iter().map(|(demand, count)| places(demand, &nodes, *count)).sum();
            DomainMiss {
                level: title.clone(),
                name,
                nodes: nodes.len(),
                needed,
                places: if taken_by.is_some() { 0 } else { places() },
                taken_by,
            }
        })
        .collect();
    misses.sort_by(|a, b| (Reverse(a.places), &a.name).cmp(&(Reverse(b.places), &b.name)));
    misses
}

/// What members must share, and how many of them.
struct Sharing {
    level: Option<TopologyLevel>,
    title: String,
    needed: usize,
}

impl Sharing {
    /// What is said of all members comes first, then what their tensor-parallel sets need, then where they are to be alone.
    fn of(pods: &[Arc<Pod>]) -> Self {
        let memberships = || pods.iter().filter_map(|pod| pod.membership.as_deref());
        let all = |level: Option<TopologyLevel>| {
            let title = level.as_ref().map_or_else(|| "cluster".to_owned(), ToString::to_string);
            Self { level, title, needed: pods.len() }
        };
        if let Some(level) = memberships().find_map(|of| required(&of.terms)) {
            return all(Some(level));
        }
        if let Some(needed) = pods.iter().find_map(|pod| members_of_set(pod)) {
            let level = TopologyLevel::DeviceFabric;
            return Self { title: format!("{level} (each set)"), level: Some(level), needed: needed.min(pods.len()) };
        }
        let exclusive = memberships().find_map(|of| of.exclusivity.as_ref()?.topology.clone());
        all(exclusive.map(TopologyLevel::Label))
    }
}

fn required(terms: &Terms) -> Option<TopologyLevel> {
    let rule = terms.topology.iter().find(|rule| rule.strictness == Strictness::Required)?;
    Some(rule.level.clone())
}

/// How many members like this one form a tensor-parallel set of several GPUs. One that asks for none by count has at least one.
fn members_of_set(pod: &Pod) -> Option<usize> {
    let of = pod.membership.as_deref()?;
    let gpus = of.terms.tensor_parallel_of(&of.role).filter(|gpus| *gpus > 1)?;
    let own = pod.demand.devices().max(1).unsigned_abs();
    usize::try_from(u64::from(gpus).div_ceil(own)).ok()
}

fn domain_of(node: &Node, level: Option<&TopologyLevel>) -> Option<String> {
    let own = || node.name().to_string();
    match level {
        None => Some("all".to_owned()),
        Some(TopologyLevel::Node) => Some(own()),
        Some(TopologyLevel::DeviceFabric) => Some(node.place.clique.clone().unwrap_or_else(own)),
        Some(TopologyLevel::Clique) => node.place.clique.clone(),
        Some(TopologyLevel::Label(key)) => node.parts.labels.get(key).map(str::to_owned),
    }
}

/// Who is on one of the nodes of a domain so that a member cannot be there, for one of them is to have it to itself.
fn taken_by(member: &Membership, level: &TopologyLevel, nodes: &[&NodeState]) -> Option<String> {
    let own = member.exclusivity.as_ref()?;
    let key = match level {
        TopologyLevel::Node => "kubernetes.io/hostname",
        TopologyLevel::Clique => "nvidia.com/gpu.clique",
        TopologyLevel::Label(key) => key,
        TopologyLevel::DeviceFabric => return None,
    };
    let others = nodes.iter().flat_map(|state| state.holders().values());
    let mut others = others.filter(|other| other.gang.as_deref() != Some(&member.gang));
    let clash = |theirs: &Exclusivity| own.apart(theirs).any(|of| **of == *key);
    let other = others.find(|other| other.exclusivity.as_ref().is_some_and(clash))?;
    Some(other.gang.as_ref().map_or_else(|| format!("pod {}", other.pod), |gang| gang.title()))
}

/// For how many pods with this demand there is a place on these nodes, up to `needed`.
fn places(demand: &Demand, nodes: &[&NodeState], needed: usize) -> usize {
    let on_node = |state: &&NodeState| {
        if placement::check(demand, state).is_err() {
            return 0;
        }
        let asked = demand.requests.iter().filter(|(_, amount)| *amount > 0);
        let times = asked.map(|(resource, amount)| state.free(resource) / amount).min().unwrap_or(0);
        usize::try_from(times).unwrap_or(0)
    };
    nodes.iter().map(on_node).sum::<usize>().min(needed)
}
