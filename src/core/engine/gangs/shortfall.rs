//! What a gang that finds no places is short of, as an autoscaler of nodes sees it.
//!
//! An autoscaler counts: it takes the pods that are shown unschedulable, puts each on any node that has enough of every
//! resource left, and makes nodes for those that are over. Pods with scheduling gates it does not look at. So a gang that is
//! short even by such a count is shown to it as a whole, its gates opened for good; kube-scheduler goes on to be told no, so
//! that nothing starts in part. Where a count finds room for all, and only what we look at besides is lacking (devices that
//! are linked, a domain that is large enough, a GPU of which enough is left for a share, slices where they can be cut, free devices for claims), no autoscaler will
//! come, and people are told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::preemption::Way;
use super::roster::Roster;
use super::steering::Order;
use super::task::PlanTask;
use super::{GangKeeper, Kept, NewsKind};
use crate::engine::{AutoscalingPolicy, Policy};
use crate::model::gang::{GangKey, Group};
use crate::model::pod::{Demand, Gate, Pod, PodUid, Stage};
use crate::placement::gang::{self, Budget, Field, Formation, No, Shares};

/// What is lacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lack {
    /// Nodes, by a count of what they have of each resource: an autoscaler sees that.
    Counted,
    /// Something that such a count does not show: no autoscaler makes a node for it.
    Unseen,
}

/// Nodes of one group that would be enough.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingNodes {
    /// The group, as its nodes' labels name it.
    pub group: Arc<str>,
    /// How many more.
    pub nodes: usize,
}

/// What a gang is short of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    /// What is lacking.
    pub lack: Lack,
    /// The group of which the fewest nodes would be enough; none where none would, or where that was not found out.
    pub missing: Option<MissingNodes>,
}

/// Nodes for a whole gang, to be asked of an autoscaler that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRequest {
    /// For which gang.
    pub gang: GangKey,
    /// The object that describes it, where it has one.
    pub group: Option<Arc<Group>>,
    /// In which way nodes are asked for.
    pub class: Arc<str>,
    /// A member of each kind, and for how many of it.
    pub kinds: Vec<(Arc<Pod>, u32)>,
    /// The members that exist, by name.
    pub members: Vec<Arc<Pod>>,
}

/// What of a gang has yet to get places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// What a member of each kind asks for.
    pub demands: Vec<Arc<Demand>>,
    /// How many members there are of all kinds.
    pub members: usize,
}

/// How often it is seen to that there is a request, in milliseconds.
const REQUEST_AGAIN_MS: u64 = 30_000;

/// The shortfall of a gang as it comes and goes, and what was done about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Scarcity {
    now: Option<Current>,
    /// Members whose gates were to be opened, and when that was last written.
    shown: BTreeMap<PodUid, u64>,
    /// When nodes were last asked for.
    requested_ms: Option<u64>,
    /// There is a request for nodes, or there can be none: members may be shown.
    is_requested: bool,
}

#[derive(Debug, Clone)]
struct Current {
    lack: Lack,
    /// Since when that is so, in the engine's milliseconds.
    since_ms: u64,
    /// What was found out about nodes that would be enough, and when; none while nobody has looked.
    assessed: Option<(Option<MissingNodes>, u64)>,
    /// The gang has been looked at again since, so that other numbers may be true by now.
    is_stale: bool,
    /// It has lasted, so people were told, and the autoscaler is shown what is lacking.
    is_settled: bool,
}

/// How often it is found out anew at most how many nodes would be enough, in milliseconds: the gang is planned several times
/// for that.
const ASSESS_AGAIN_MS: u64 = 30_000;

impl PlanTask {
    /// What is lacking, if an autoscaler is about.
    pub(super) fn lack(&mut self, outcome: &Result<Way, No>) -> Option<Lack> {
        let no = outcome.as_ref().err()?;
        let simulates_claims = self.snapshot.policy().autoscaling.as_ref()?.simulates_claims;
        // No node helps against these.
        if matches!(no.cause(), No::TooManyExpected { .. } | No::Split { .. }) {
            return None;
        }
        let fits = if simulates_claims && self.needs_devices() { self.fits_anywhere() } else { self.fits_by_counts() };
        Some(if fits { Lack::Unseen } else { Lack::Counted })
    }

    /// Does each member find room and devices, wherever it is to the others?
    fn fits_anywhere(&mut self) -> bool {
        let formation = without_domains(&self.question.formation);
        let asked = std::mem::replace(&mut self.question.formation, formation);
        let outcome = self.look();
        self.question.formation = asked;
        !outcome.is_err_and(|no| no.is_proven())
    }

    /// Does each member find room when only the resources of nodes are counted?
    fn fits_by_counts(&self) -> bool {
        let formation = without_domains(&self.question.formation);
        let ranks: Vec<_> = formation.blocks.iter().map(|block| self.snapshot.ranks_by_counts(&block.demand)).collect();
        let snapshot = &self.snapshot;
        let (slots, geography, domains) = (snapshot.slots(), snapshot.geography(), snapshot.domains());
        let field = Field { slots, geography, domains, ranks: &ranks, devices: &[], shares: Shares::Summed };
        // Where that is not known in the end, nobody is shown anything: it could not be taken back.
        !gang::plan(&formation, field, Budget::default()).is_err_and(|no| no.is_proven())
    }

    /// What has yet to get places.
    pub fn want(&self) -> Want {
        let demands = self.question.formation.blocks.iter().map(|block| Arc::clone(&block.demand)).collect();
        Want { demands, members: self.members() }
    }
}

/// The same members, wherever they are to each other; but for what their pods say of that, which others see, too.
fn without_domains(formation: &Formation) -> Formation {
    let mut free = formation.clone();
    free.topology.clear();
    for part in &mut free.parts {
        part.topology.clear();
        part.exclusive = None;
        part.sets.iter_mut().for_each(|set| set.within = None);
    }
    free
}

impl GangKeeper {
    /// Notes what a gang lacks, once all have been tried that come next.
    pub(super) fn note_lack(&mut self, key: &GangKey, now_ms: u64) {
        let Some(kept) = self.kept.get_mut(key).filter(|kept| kept.no.is_some()) else { return };
        let lack = kept.lack();
        let now = &mut kept.scarcity.now;
        match (lack, &mut *now) {
            (Some(lack), Some(current)) if current.lack == lack => current.is_stale = true,
            (Some(lack), _) => *now = Some(Current::new(lack, now_ms)),
            (None, _) => *now = None,
        }
    }

    /// Lets shortfalls settle: of what has lasted people are told.
    pub(super) fn settle_shortfalls(&mut self, policy: &Policy, now_ms: u64) {
        let Some(policy) = &policy.autoscaling else { return };
        let mut settled = vec![];
        for (key, kept) in self.kept.iter_mut().filter(|(_, kept)| kept.scarcity.now.is_some()) {
            if kept.no.is_none() && kept.roster_to_plan(&self.claims).is_none() {
                kept.scarcity.now = None;
            }
            settled.extend(kept.scarcity.settle(policy, now_ms).map(|news| (key.clone(), news)));
        }
        for (key, (kind, text)) in settled {
            self.tell(&key, kind, text);
        }
    }

    /// Gangs of which it is to be found out how many nodes would be enough.
    pub fn unassessed(&self, policy: &Policy, now_ms: u64) -> impl Iterator<Item = &GangKey> {
        let is_open = move |kept: &Kept| {
            let (policy, current) = (policy.autoscaling.as_ref()?, kept.scarcity.now.as_ref()?);
            // While it is being planned again it is not known whom nodes would help.
            kept.no.as_ref()?;
            (current.has_lasted(policy, now_ms) && current.is_to_be_assessed(now_ms)).then_some(())
        };
        self.kept.iter().filter_map(move |(key, kept)| is_open(kept).map(|()| key))
    }

    /// There is a request for the nodes of a gang, or there can be none.
    pub fn note_request(&mut self, key: &GangKey) {
        if let Some(kept) = self.kept.get_mut(key) {
            kept.scarcity.is_requested = true;
        }
    }

    /// How many nodes would be enough for a gang was found out, or could not be.
    pub fn assess(&mut self, key: &GangKey, missing: Option<MissingNodes>, now_ms: u64) {
        if let Some(current) = self.kept.get_mut(key).and_then(|kept| kept.scarcity.now.as_mut()) {
            (current.assessed, current.is_stale) = (Some((missing, now_ms)), false);
        }
    }
}

impl Scarcity {
    /// The gang has places.
    pub(super) fn end(&mut self) {
        self.now = None;
    }

    /// What is lacking by now, once that has lasted.
    pub(super) fn shortfall(&self) -> Option<Shortfall> {
        let current = self.now.as_ref().filter(|current| current.is_settled)?;
        let missing = current.assessed.as_ref().and_then(|(missing, _)| missing.clone());
        Some(Shortfall { lack: current.lack, missing })
    }

    fn settle(&mut self, policy: &AutoscalingPolicy, now_ms: u64) -> Option<(NewsKind, String)> {
        let current = self.now.as_mut().filter(|current| !current.is_settled && current.has_lasted(policy, now_ms))?;
        // Told once, with the number of nodes.
        let (missing, _) = current.assessed.as_ref()?;
        current.is_settled = true;
        let enough = match missing {
            Some(missing) => format!("{missing} would be enough"),
            None => "no number of nodes like those that there are is known to be enough".to_owned(),
        };
        Some(match current.lack {
            Lack::Counted => {
                (NewsKind::ShortOfNodes, format!("short of nodes, its members are shown unschedulable: {enough}"))
            }
            Lack::Unseen => (
                NewsKind::NotAutoscalable,
                format!(
                    "not autoscalable: by a count of resources all find room, so no autoscaler makes a node; {enough}"
                ),
            ),
        })
    }
}

impl fmt::Display for MissingNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = if self.nodes == 1 { "node" } else { "nodes" };
        write!(f, "{} more {nodes} of group {}", self.nodes, self.group)
    }
}

impl Current {
    fn new(lack: Lack, now_ms: u64) -> Self {
        Self { lack, since_ms: now_ms, assessed: None, is_stale: false, is_settled: false }
    }

    fn is_to_be_assessed(&self, now_ms: u64) -> bool {
        let is_old = |(_, at): &(Option<MissingNodes>, u64)| self.is_stale && now_ms >= at + ASSESS_AGAIN_MS;
        self.assessed.as_ref().is_none_or(is_old)
    }

    fn has_lasted(&self, policy: &AutoscalingPolicy, now_ms: u64) -> bool {
        now_ms >= self.since_ms + policy.show_after_ms
    }
}

impl Kept {
    /// What is to be done so that the autoscaler sees the members: where nodes can be asked for that is done first, so that it
    /// does not make them twice. Then gates are opened: those of the whole gang, and for good, since a gate cannot be put on
    /// again.
    pub(super) fn showings(&mut self, key: &GangKey, policy: &Policy, now_ms: u64) -> Vec<Order> {
        let again_ms = policy.gangs.steer_again_ms;
        let is_short = self.scarcity.shortfall().is_some_and(|shortfall| shortfall.lack == Lack::Counted);
        self.scarcity.shown.retain(|_, written_ms| now_ms < *written_ms + again_ms);
        if !is_short {
            return vec![];
        }
        let class = policy.autoscaling.as_ref().and_then(|policy| policy.provisioning_class.as_ref());
        let mut orders: Vec<Order> = class.and_then(|class| self.request(key, class, now_ms)).into_iter().collect();
        if class.is_some() && !self.scarcity.is_requested {
            return orders;
        }
        let hidden = self.pending().filter(|pod| pod.steering.gate == Gate::Ours);
        let due: Vec<Arc<Pod>> = hidden.filter(|pod| !self.scarcity.shown.contains_key(&pod.uid)).cloned().collect();
        self.scarcity.shown.extend(due.iter().map(|pod| (pod.uid.clone(), now_ms)));
        orders.extend(due.into_iter().map(|pod| Order::Show { pod }));
        orders
    }

    /// The request for nodes, if it is time to see to it that there is one.
    fn request(&mut self, key: &GangKey, class: &Arc<str>, now_ms: u64) -> Option<Order> {
        if self.scarcity.requested_ms.is_some_and(|at| now_ms < at + REQUEST_AGAIN_MS) {
            return None;
        }
        self.scarcity.requested_ms = Some(now_ms);
        let mut members: Vec<Arc<Pod>> = self.pending().cloned().collect();
        members.sort_by(|a, b| a.key.cmp(&b.key));
        let mut kinds: Vec<(Arc<Pod>, u32)> = vec![];
        for pod in &members {
            match kinds.iter_mut().find(|(first, _)| first.demand == pod.demand) {
                Some((_, count)) => *count += 1,
                None => kinds.push((Arc::clone(pod), 1)),
            }
        }
        // Those that are yet to be made will be like others.
        for seat in self.roster.iter().flat_map(|roster| &roster.seats).filter(|seat| seat.pod.is_none()) {
            if let Some((_, count)) = kinds.iter_mut().find(|(first, _)| first.demand == seat.demand) {
                *count += 1;
            }
        }
        let (gang, group, class) = (key.clone(), self.group.clone(), Arc::clone(class));
        Some(Order::Request(NodeRequest { gang, group, class, kinds, members }))
    }

    /// The members that have no node.
    fn pending(&self) -> impl Iterator<Item = &Arc<Pod>> {
        let seats = self.roster.iter().flat_map(Roster::all);
        seats.filter_map(|seat| seat.pod.as_ref()).filter(|pod| pod.stage == Stage::Pending)
    }
}
