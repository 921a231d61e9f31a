//! Exclusive placement: which members have a domain to themselves, and which domains are left out because of others.
//!
//! A job of a JobSet, or a group of a LeaderWorkerSet, that is exclusive has one domain of a label of nodes to itself. Inside
//! of a gang the planner sees to that ([`Part::exclusive`](crate::placement::gang::Part::exclusive)). Beyond it kube-scheduler
//! would refuse a place in a domain where others are, or are promised a place: so such domains are left out before. Nobody is
//! evicted to empty one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::roster::{Roster, Seat};
use crate::cluster::NodeState;
use crate::model::exclusive::Exclusivity;
use crate::model::gang::{GangKey, Role, TopologyLevel};
use crate::model::node::Node;
use crate::placement::gang::{No, raw_label};

/// Values of one label of nodes, and of others.
type Domains = BTreeMap<Arc<str>, BTreeSet<String>>;

/// The domains in which members of a gang cannot be.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// By what members are.
    closed: BTreeMap<Exclusivity, Domains>,
}

impl Taken {
    /// What the pods on these nodes, those of the gang excepted, leave of the domains to members that are so.
    pub fn of<'n>(
        states: impl Iterator<Item = &'n Arc<NodeState>>,
        gang: &GangKey,
        own: BTreeSet<Exclusivity>,
    ) -> Self {
        let mut closed: BTreeMap<Exclusivity, Domains> = own.into_iter().map(|own| (own, Domains::new())).collect();
        if closed.is_empty() {
            return Self::default();
        }
        for state in states {
            let Some(node) = state.node() else { continue };
            let others = state.holders().values().filter(|holding| holding.gang.as_deref() != Some(gang));
            for theirs in others.filter_map(|holding| holding.exclusivity.as_ref()) {
                for (own, domains) in &mut closed {
                    for key in own.apart(theirs) {
                        if let Some(value) = raw_label(node, key) {
                            domains.entry(Arc::clone(key)).or_default().insert(value.to_owned());
                        }
                    }
                }
            }
        }
        Self { closed }
    }

    /// Is no domain left out?
    pub fn is_nothing(&self) -> bool {
        self.closed.values().all(Domains::is_empty)
    }

    /// Is a node in a domain that members which are so cannot use?
    pub fn refuses(&self, own: &Exclusivity, node: &Node) -> bool {
        let is_in = |(key, values): (&Arc<str>, &BTreeSet<String>)| {
            raw_label(node, key).is_some_and(|value| values.contains(value))
        };
        self.closed.get(own).is_some_and(|domains| domains.iter().any(is_in))
    }

    /// A gang cannot be placed: with the domains that were left out, if there are any.
    pub fn explain(&self, no: No) -> No {
        let mut all = Domains::new();
        for (key, values) in self.closed.values().flatten() {
            all.entry(Arc::clone(key)).or_default().extend(values.iter().cloned());
        }
        if all.is_empty() {
            return no;
        }
        let domains = all.into_iter().map(|(key, values)| (TopologyLevel::Label(key), values.len())).collect();
        No::LeftOut { no: Box::new(no), domains }
    }
}

impl Roster {
    /// How a member stands to those of other jobs or groups. One that does not exist yet is taken to be like those of its role,
    /// or, where roles do not differ in that, like any.
    pub fn exclusivity_of(&self, seat: &Seat) -> Option<Exclusivity> {
        let of = |seat: &Seat| seat.pod.as_ref()?.membership.as_ref()?.exclusivity.clone();
        if seat.pod.is_some() {
            return of(seat);
        }
        let of_role = self.all().filter(|other| other.role == seat.role).find_map(of);
        of_role.or_else(|| {
            let like = self.all().find_map(of)?;
            let roles = &self.terms.roles;
            let differ = roles.values().any(|role| role.exclusive.is_some());
            let said = || roles.get(&seat.role).and_then(|role| role.exclusive.clone());
            Some(if differ { Exclusivity { topology: said(), ..like } } else { like })
        })
    }

    /// How its members stand to those of other jobs or groups.
    pub fn exclusivities(&self) -> BTreeSet<Exclusivity> {
        // Of a role those that are yet to be made are alike.
        let mut expected: BTreeSet<&Role> = BTreeSet::new();
        let seats = self.seats.iter().filter(|seat| seat.pod.is_some() || expected.insert(&seat.role));
        seats.filter_map(|seat| self.exclusivity_of(seat)).collect()
    }

    /// By seat the part (of its role) that has a domain to itself, if it is of such a one. Members that are yet to be made and of
    /// which the part is not known complete the first that lack some.
    pub fn exclusive_parts(&self) -> Vec<Option<(Role, u32)>> {
        let mut parts: Vec<Option<(Role, u32)>> = vec![None; self.seats.len()];
        let mut sizes: BTreeMap<(Role, u32), u32> = BTreeMap::new();
        let mut open: BTreeMap<Role, u32> = BTreeMap::new();
        let exclusive = |seat: &Seat| self.terms.roles.get(&seat.role).filter(|role| role.exclusive.is_some());
        for (seat, part) in self.seats.iter().zip(&mut parts).filter(|(seat, _)| seat.part.is_some()) {
            *part = exclusive(seat).and_then(|_| Some((Arc::clone(&seat.role), seat.part?)));
            part.iter().for_each(|part| *sizes.entry(part.clone()).or_default() += 1);
        }
        for (seat, part) in self.seats.iter().zip(&mut parts).filter(|(seat, _)| seat.part.is_none()) {
            let Some(size) = exclusive(seat).and_then(|role| role.part_size).filter(|size| *size > 0) else { continue };
            let next = open.entry(Arc::clone(&seat.role)).or_default();
            let mut number = (Arc::clone(&seat.role), *next);
            while sizes.get(&number).is_some_and(|count| *count >= size) {
                number.1 += 1;
            }
            *next = number.1;
            *sizes.entry(number.clone()).or_default() += 1;
            *part = Some(number);
        }
        parts
    }
}
