//! Who of a gang is to start together: those that must, in the order in which they form sets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::extras::forms_set;
use crate::cluster::GangState;
use crate::engine::claims::{Needs, Unready};
use crate::model::gang::{Dialect, Group, Role, RoleTerms, Strictness, Terms, TopologyLevel, TopologyRule};
use crate::model::node::NodeName;
use crate::model::pod::{Demand, Gate, Pod, PodKey, PodUid, Stage};

/// A member of a gang, or one that is yet to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The role.
    pub role: Role,
    /// The part of the role that its controller numbers by itself.
    pub part: Option<u32>,
    /// The number in the role, or in the part.
    pub index: Option<u32>,
    /// What it asks for.
    pub demand: Arc<Demand>,
    /// The pod; none while its controller has not made it.
    pub pod: Option<Arc<Pod>>,
    /// Where it is, or is to be.
    pub node: Option<NodeName>,
    /// What it needs of devices that claims give.
    pub needs: Arc<Needs>,
}

impl Seat {
    fn of(pod: &Arc<Pod>, needs: Arc<Needs>) -> Option<Self> {
        let membership = pod.membership.as_ref()?;
        let node = match &pod.stage {
            Stage::Bound(node) => Some(node.clone()),
            Stage::Pending => None,
            Stage::Finished(_) => return None,
        };
        let (role, demand) = (Arc::clone(&membership.role), Arc::clone(&pod.demand));
        let (part, index) = (membership.part, membership.index);
        Some(Self { role, part, index, demand, pod: Some(Arc::clone(pod)), node, needs })
    }

    /// How many devices it asks for: by resources, and by claims.
    pub fn devices(&self) -> i64 {
        self.demand.devices().saturating_add(self.needs.devices)
    }

    /// Is it the same to whoever plans? What a pod shows of earlier attempts is not looked at.
    fn is_same(&self, other: &Self) -> bool {
        let pod = |seat: &Self| seat.pod.as_ref().map(|pod| (pod.uid.clone(), pod.preempts, pod.membership.clone()));
        let place = |seat: &Self| (Arc::clone(&seat.role), seat.part, seat.index, seat.node.clone());
        place(self) == place(other)
            && pod(self) == pod(other)
            && self.demand == other.demand
            && self.needs == other.needs
    }

    /// The unique id of the pod, if it exists.
    pub fn uid(&self) -> Option<&PodUid> {
        self.pod.as_ref().map(|pod| &pod.uid)
    }

    fn name(&self) -> &str {
        self.pod.as_ref().map_or("", |pod| &pod.key.name)
    }
}

/// Who is to start together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// Those that must start at once, and those that run already.
    pub seats: Vec<Seat>,
    /// Members beyond those. Each starts when there is room for it beside the others.
    pub extras: Vec<Seat>,
    /// Members of roles of which none must start with the others and that form no sets: each starts for itself.
    pub free: Vec<Seat>,
    /// What is said of the gang.
    pub terms: Terms,
    /// Its priority.
    pub priority: i32,
    /// When it was made, in seconds since 1970.
    pub created_s: i64,
}

/// Why a gang cannot even be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortage {
    /// An object that describes it makes no sense, and what it meant is not guessed.
    Fault(Arc<str>),
    /// Nobody says how many members it needs.
    UnknownSize,
    /// Too few of a role, or of all, exist.
    Members {
        /// The role; none for all.
        role: Option<Role>,
        /// How many exist and may be scheduled.
        exist: u32,
        /// How many are needed.
        required: u32,
        /// How many more exist, but have scheduling gates of others.
        gated: u32,
    },
    /// kube-scheduler itself holds members of a PodGroup until as many exist as must start together, and those that have ended
    /// are none any more (its plugin `GangScheduling`).
    Quorum {
        /// How many have not ended.
        alive: u32,
        /// How many are needed.
        required: u32,
    },
    /// Places would have to be kept for more members that do not exist yet than the policy allows in a namespace.
    TooManyExpected {
        /// For how many.
        expected: u32,
        /// How many are allowed.
        limit: u32,
    },
    /// It is not known yet what a member's claims ask for.
    Claims {
        /// The member.
        pod: PodKey,
        /// What is missing.
        what: Unready,
    },
    /// The members' GPUs do not add up to sets.
    UnevenSet {
        /// GPUs in a set.
        tensor_parallel: u32,
        /// The number of GPUs that some members add up to.
        found: i64,
        /// Some members have their nodes already, so they did add up once: others are missing by now.
        has_run: bool,
    },
}

impl Shortage {
    /// A short, constant name of the reason, for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Fault(_) => "fault",
            Self::UnknownSize => "unknown_size",
            Self::Members { .. } | Self::Quorum { .. } => "members_missing",
            Self::TooManyExpected { .. } => "too_many_expected",
            Self::Claims { .. } => "claims_unknown",
            Self::UnevenSet { .. } => "uneven_set",
        }
    }

    /// Is something to be mended, instead of waited for?
    pub fn is_invalid(&self) -> bool {
        !matches!(
            self,
            Self::Members { .. } | Self::Quorum { .. } | Self::Claims { .. } | Self::UnevenSet { has_run: true, .. }
        )
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(what) => f.write_str(what),
            Self::UnknownSize => {
                f.write_str("nothing says how many members it needs (group object, or testudo.dev/min-member)")
            }
            Self::Members { role, exist, required, gated } => {
                write!(f, "{exist} of {required} members exist")?;
                if let Some(role) = role {
                    write!(f, " in role {role}")?;
                }
                if *gated > 0 {
                    write!(f, ", {gated} more have other scheduling gates")?;
                }
                Ok(())
            }
            Self::Quorum { alive, required } => {
                write!(
                    f,
                    "{alive} of {required} members exist that have not ended: kube-scheduler lets none through before"
                )
            }
            Self::TooManyExpected { expected, limit } => {
                write!(f, "{expected} members do not exist yet, places are kept for {limit} at most in a namespace")
            }
            Self::Claims { what, .. } => what.fmt(f),
            Self::UnevenSet { tensor_parallel, found, .. } => {
                write!(f, "its GPUs do not form sets of {tensor_parallel}: members have {found} together")
            }
        }
    }
}

/// Who of a gang is to start together? `None` where each member starts for itself, or nobody is left. `is_ours` says which
/// pods are placed by us, `needs` what devices they need; places are kept for
/// `max_expected` members at most that do not exist yet.
///
/// Where members start each for itself but have claims that are ours to allocate, one is planned after the other.
pub fn roster(
    gang: &GangState,
    groups: &[Arc<Group>],
    is_ours: impl Fn(&Pod) -> bool,
    needs: impl Fn(&Pod) -> Result<Needs, Unready>,
    max_expected: u32,
) -> Result<Option<Roster>, Shortage> {
    let mut members: Vec<&Arc<Pod>> = gang.members.values().filter(|pod| is_ours(pod)).collect();
    members.sort_by(|a, b| (&a.key, &a.uid).cmp(&(&b.key, &b.uid)));
    let terms = terms(groups, &members);
    let has_run = members.iter().any(|pod| pod.stage != Stage::Pending);
    // What is left of an earlier generation under the same name is not a part of this one that runs.
    let done: Vec<&Arc<Pod>> = members.iter().copied().filter(|pod| pod.has_succeeded()).collect();
    let alive: Vec<&Arc<Pod>> = members.into_iter().filter(|pod| pod.is_alive()).collect();
    if alive.is_empty() {
        return Ok(None);
    }
    if let Some(fault) = groups.iter().find_map(|group| group.fault.clone()) {
        return Err(Shortage::Fault(fault));
    }
    let (gated, ready): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) =
        alive.iter().partition(|pod| pod.steering.gate == Gate::Foreign);
    let staged = alive.iter().any(|pod| pod.membership.as_ref().is_some_and(|membership| membership.staged));
    let done = done.into_iter().filter(is_of_these(&alive, staged));
    let done = by_role(done);
    let mut candidates: Vec<Seat> = vec![];
    let mut unmade: Option<Shortage> = None;
    for pod in ready {
        match needs(pod).map_err(|what| (matches!(what, Unready::NotMade { .. }), what)) {
            Ok(needs) => candidates.extend(Seat::of(pod, Arc::new(needs))),
            // A claim is made a moment after its pod. Until then the pod is as good as one that is yet to be made.
            Err((true, what)) if staged => unmade = unmade.or(Some(Shortage::Claims { pod: pod.key.clone(), what })),
            Err((_, what)) => return Err(Shortage::Claims { pod: pod.key.clone(), what }),
        }
    }
    if let (true, Some(unmade)) = (candidates.is_empty(), unmade) {
        return Err(unmade);
    }
    let by_sets =
        || by_parallelism(&terms, &candidates).filter(|_| !groups.is_empty() || !is_described_elsewhere(&alive));
    let required = terms.required().or_else(by_sets).ok_or(Shortage::UnknownSize)?;
    let goes_with_others =
        |seat: &Seat| seat.needs.is_ours_to_fill() || is_optional(&terms, seat) && forms_set(&terms, seat);
    // kube-scheduler may ask about them before we see that they are let go, and would choose devices by itself.
    let will_wait = |pod: &&Arc<Pod>| needs(pod).map_or(true, |needs| needs.is_ours_to_fill());
    let is_single = !candidates.iter().any(goes_with_others) && !gated.iter().any(will_wait);
    if required <= 1 && !has_several_roles(&terms) && is_single {
        return Ok(None);
    }
    let waits = alive.iter().any(|pod| pod.stage == Stage::Pending);
    if has_run && waits && is_queued_together(&alive) && alive.len() < required as usize {
        return Err(Shortage::Quorum { alive: alive.len() as u32, required });
    }
    arrange(&mut candidates);
    let priority = groups.iter().find_map(|group| group.priority);
    let created = gang.group.as_ref().map(|group| group.created_s);
    let mut roster = Roster {
        // One important pod, of which a quota may allow few, does not lift the others.
        priority: priority.unwrap_or_else(|| alive.iter().map(|pod| pod.priority).min().unwrap_or(0)),
        created_s: created.unwrap_or_else(|| alive.iter().map(|pod| pod.created_s).min().unwrap_or(0)),
        seats: vec![],
        extras: vec![],
        free: vec![],
        terms,
    };
    if candidates.iter().any(|seat| seat.needs.joins_nodes) {
        roster.stay_in_clique();
    }
    roster.number_parts(&mut candidates);
    let is_free = |seat: &Seat| is_optional(&roster.terms, seat) && !forms_set(&roster.terms, seat);
    let (free, candidates): (Vec<Seat>, Vec<Seat>) = candidates.into_iter().partition(is_free);
    roster.free = free;
    let shortages = but_for(roster.fill(candidates, required), done);
    let runs = alive.iter().any(|pod| matches!(pod.stage, Stage::Bound(_)));
    // Whoever holds some of them back may hold back for long.
    if !runs
        && (!staged || !gated.is_empty())
        && let Some((role, exist, required)) = shortages.first().cloned()
    {
        return Err(Shortage::Members { role, exist, required, gated: gated.len() as u32 });
    }
    if staged {
        let shortages = but_for(shortages, by_role(gated.iter().copied()));
        let expected = shortages.iter().map(|(_, exist, required)| required - exist).fold(0, u32::saturating_add);
        if expected > max_expected {
            return Err(Shortage::TooManyExpected { expected, limit: max_expected });
        }
        roster.add_phantoms(&shortages);
    }
    arrange(&mut roster.seats);
    let all = roster.seats.iter_mut().chain(&mut roster.extras).chain(&mut roster.free);
    Needs::share(all.map(|seat| &mut seat.needs));
    Ok(Some(roster))
}

/// Is a member that has ended of the same generation as these? A CronJob's runs, for one, have the same name, and what is left
/// of the last run is there when the next begins: so it is if one of them has the same controller, or none as it has none. Those
/// that make members in stages, a JobSet for all its jobs, delete what is left before they begin anew.
fn is_of_these<'p>(alive: &[&'p Arc<Pod>], staged: bool) -> impl Fn(&&'p Arc<Pod>) -> bool {
    let controller = |pod: &'p Arc<Pod>| pod.membership.as_ref().and_then(|of| of.controller.as_deref());
    let controllers: BTreeSet<Option<&str>> = alive.iter().map(|pod| controller(pod)).collect();
    move |pod| staged || controllers.contains(&controller(pod))
}

/// How many of each role there are.
fn by_role<'p>(members: impl Iterator<Item = &'p Arc<Pod>>) -> BTreeMap<Role, u32> {
    let mut count = BTreeMap::new();
    for membership in members.filter_map(|pod| pod.membership.as_ref()) {
        *count.entry(Arc::clone(&membership.role)).or_default() += 1;
    }
    count
}

/// What is missing when these are not missed.
fn but_for(missing: Vec<Missing>, mut others: BTreeMap<Role, u32>) -> Vec<Missing> {
    let lessened = missing.into_iter().map(|(role, exist, required)| {
        let mut gap = required - exist;
        let of_role = |known: &Role| role.as_ref().is_none_or(|role| role == known);
        for (_, count) in others.iter_mut().filter(|(known, _)| of_role(known)) {
            let fills = gap.min(*count);
            (gap, *count) = (gap - fills, *count - fills);
        }
        (role, required - gap, required)
    });
    lessened.filter(|(_, exist, required)| exist < required).collect()
}

/// Does kube-scheduler queue its members only when as many exist as must start together?
fn is_queued_together(members: &[&Arc<Pod>]) -> bool {
    members.iter().any(|pod| pod.membership.as_ref().is_some_and(|it| it.gang.dialect == Dialect::Native))
}

/// Is there to be an object that says how many members it needs? Before it is seen its pods alone do not tell.
fn is_described_elsewhere(members: &[&Arc<Pod>]) -> bool {
    members.iter().any(|pod| pod.membership.as_ref().is_some_and(|it| it.gang.dialect.has_object()))
}

/// What is said of a gang: by its members in the order of their names, then by the objects that describe it.
fn terms(groups: &[Arc<Group>], members: &[&Arc<Pod>]) -> Terms {
    let mut terms = Terms::default();
    for membership in members.iter().filter_map(|pod| pod.membership.as_ref()) {
        terms.fill(&membership.terms);
    }
    for group in groups {
        terms.fill(&group.terms);
    }
    terms
}

/// The members of one pipeline, where that is all that is said.
fn by_parallelism(terms: &Terms, candidates: &[Seat]) -> Option<u32> {
    let gpus = i64::from(terms.tensor_parallel?) * i64::from(terms.pipeline_parallel.unwrap_or(1));
    let of_each = candidates.iter().map(Seat::devices).find(|count| *count > 0)?;
    u32::try_from(gpus / of_each).ok()
}

/// Must none of its role start with the others? Who waits for devices of ours is planned in any case.
fn is_optional(terms: &Terms, seat: &Seat) -> bool {
    let of_role = terms.roles.get(&seat.role);
    of_role.is_some_and(|role| role.min_member == Some(0)) && !seat.needs.is_ours_to_fill()
}

fn has_several_roles(terms: &Terms) -> bool {
    terms.role_minimums().values().filter(|min| **min > 0).count() > 1
}

/// Puts seats into the order in which they form sets: by number where each has one of its own, else role by role and part
/// by part.
pub(super) fn arrange(seats: &mut [Seat]) {
    let numbered = are_numbered(seats);
    seats.sort_by_cached_key(|seat| {
        let role = (!numbered).then(|| (Arc::clone(&seat.role), seat.part));
        (role, seat.index.unwrap_or(u32::MAX), seat.name().to_owned())
    });
}

/// Has each seat a number of its own, whatever its role?
pub(super) fn are_numbered(seats: &[Seat]) -> bool {
    let numbers: BTreeSet<Option<u32>> = seats.iter().map(|seat| seat.index).collect();
    numbers.len() == seats.len() && !numbers.contains(&None) && seats.iter().all(|seat| seat.part.is_none())
}

/// No gang has more members.
const MAX_SEATS: u32 = 10_000;

/// Role (none for all), how many exist, and how many are needed.
type Missing = (Option<Role>, u32, u32);

impl Roster {
    /// Would a plan for one be a plan for the other?
    pub fn is_same(&self, other: &Self) -> bool {
        let seats = |roster: &Self| (roster.seats.len(), roster.extras.len(), roster.priority);
        let pairs = self.seats.iter().zip(&other.seats).chain(self.extras.iter().zip(&other.extras));
        seats(self) == seats(other) && self.terms == other.terms && { pairs }.all(|(a, b)| a.is_same(b))
    }

    /// Do the same members of a role wait beyond those that must start?
    pub fn has_same_extras(&self, other: &Self, role: &Role) -> bool {
        let mut ours = self.extras.iter().filter(|seat| seat.role == *role);
        let mut theirs = other.extras.iter().filter(|seat| seat.role == *role);
        ours.by_ref().zip(theirs.by_ref()).all(|(a, b)| a.is_same(b)) && ours.chain(theirs).next().is_none()
    }

    /// Does every member that is to be placed allow that others are evicted for it (`spec.preemptionPolicy`)?
    pub fn may_preempt(&self) -> bool {
        self.seats
            .iter()
            .filter(|seat| seat.node.is_none())
            .all(|seat| seat.pod.as_ref().is_none_or(|pod| pod.preempts))
    }

    /// Has each member a number of its own, whatever its role?
    pub fn is_numbered(&self) -> bool {
        are_numbered(&self.seats)
    }

    /// Those that must start together, and those beyond them.
    pub fn all(&self) -> impl Iterator<Item = &Seat> + Clone {
        self.seats.iter().chain(&self.extras)
    }

    /// A ComputeDomain does not reach beyond one NVLink domain.
    fn stay_in_clique(&mut self) {
        let rule = TopologyRule { strictness: Strictness::Required, level: TopologyLevel::Clique };
        if !self.terms.topology.contains(&rule) {
            self.terms.topology.push(rule);
        }
    }

    /// Parts of one member are members: their numbers are its numbers.
    fn number_parts(&self, seats: &mut [Seat]) {
        for seat in seats {
            let said = self.terms.roles.get(&seat.role);
            if said.is_some_and(|said| said.part_size == Some(1)) && seat.part.is_some() {
                seat.index = seat.part.take();
            }
        }
    }

    /// Chooses who must start at once: what each role needs, then whoever comes first; who runs already comes before all.
    /// Returns what is missing.
    fn fill(&mut self, candidates: Vec<Seat>, required: u32) -> Vec<Missing> {
        let (bound, mut pending): (Vec<Seat>, Vec<Seat>) = candidates.into_iter().partition(|seat| seat.node.is_some());
        self.seats = bound;
        let mut missing = vec![];
        for (role, min) in self.terms.role_minimums() {
            let exist = take(&mut self.seats, &mut pending, min, |seat| seat.role == *role);
            if exist < min {
                missing.push((Some(Arc::clone(role)), exist, min));
            }
        }
        let exist = take(&mut self.seats, &mut pending, required, |seat| !is_optional(&self.terms, seat));
        let to_come: u32 = missing.iter().map(|(_, exist, min)| min - exist).sum();
        if exist + to_come < required {
            missing.push((None, exist + to_come, required));
        }
        self.extras = pending;
        missing
    }

    /// Adds those that are yet to be made. Where it is not said what they will ask for, they are taken to be like the
    /// last of their role, or like the last of all.
    fn add_phantoms(&mut self, missing: &[Missing]) {
        let is_numbered = self.seats.iter().all(|seat| seat.index.is_some());
        for (role, exist, required) in missing {
            let role = role.clone().unwrap_or_else(|| self.missing_role());
            let said = self.terms.roles.get(&role).cloned().unwrap_or_default();
            // A pod has what admission adds to a template, tolerations for instance.
            let of_role = self.seats.iter().rev().find(|seat| seat.role == role);
            let like = of_role.or_else(|| self.seats.last().filter(|_| said.template.is_none()));
            let demand = |seat: &Seat| Arc::clone(&seat.demand);
            let Some(demand) = like.map(demand).or_else(|| said.template.clone()) else { continue };
            let needs = like.and_then(|seat| seat.needs.another.clone()).unwrap_or_default();
            for _ in *exist..*required {
                let (part, index) = if is_numbered { self.first_vacant(&role, &said) } else { (None, None) };
                let (role, demand) = (Arc::clone(&role), Arc::clone(&demand));
                let needs = Arc::new(needs.numbered(self.seats.len()));
                self.seats.push(Seat { role, part, index, demand, pod: None, node: None, needs });
            }
        }
    }

    /// The first part and number of a role that nobody has.
    fn first_vacant(&self, role: &Role, said: &RoleTerms) -> (Option<u32>, Option<u32>) {
        let taken: BTreeSet<(Option<u32>, Option<u32>)> =
            self.seats.iter().filter(|seat| seat.role == *role).map(|seat| (seat.part, seat.index)).collect();
        let place = |number: u32| match said.part_size.filter(|size| *size > 1) {
            Some(size) => (Some(number / size), Some(said.first + number % size)),
            None => (None, Some(said.first + number)),
        };
        // Where no role says where it begins, all count on from each other.
        let shared = |(_, index): &(Option<u32>, Option<u32>)| self.seats.iter().any(|seat| seat.index == *index);
        let counts_on = are_numbered(&self.seats) && said.part_size.is_none_or(|size| size == 1);
        let vacant = |place: &(Option<u32>, Option<u32>)| !(taken.contains(place) || counts_on && shared(place));
        (0..=MAX_SEATS).map(place).find(vacant).unwrap_or((None, None))
    }

    /// The role that those will have of whom only the number is known: the one with the largest gap between what there
    /// is and what is said, or else that of the last member.
    fn missing_role(&self) -> Role {
        let mut counts: BTreeMap<&Role, u32> = BTreeMap::new();
        for seat in &self.seats {
            *counts.entry(&seat.role).or_default() += 1;
        }
        let gap = |(role, total): (&Role, u32)| total.saturating_sub(counts.get(role).copied().unwrap_or(0));
        let said = self.terms.roles.iter().filter_map(|(role, terms)| Some((role, terms.total?)));
        let widest = said.max_by_key(|entry| (gap(*entry), std::cmp::Reverse(entry.0)));
        let last = || self.seats.last().map(|seat| Arc::clone(&seat.role));
        widest.map(|(role, _)| Arc::clone(role)).or_else(last).unwrap_or_else(|| "".into())
    }
}

/// Takes in pending members until there are so many of this kind; returns how many there are.
fn take(seats: &mut Vec<Seat>, pending: &mut Vec<Seat>, wanted: u32, is_kind: impl Fn(&Seat) -> bool) -> u32 {
    let mut count = seats.iter().filter(|seat| is_kind(seat)).count() as u32;
    let (mut taken, mut left) = (vec![], vec![]);
    for seat in pending.drain(..) {
        if count < wanted && is_kind(&seat) {
            count += 1;
            taken.push(seat);
        } else {
            left.push(seat);
        }
    }
    seats.append(&mut taken);
    *pending = left;
    count
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
