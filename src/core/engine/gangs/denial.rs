//! Why a gang, or its next member beyond those that must start, could not be placed, and whether that may have ended.

use std::cell::LazyCell;
use std::collections::BTreeSet;

use super::roster::{Roster, Seat};
use super::shortfall::Lack;
use super::{GangKeeper, Kept};
use crate::cluster::Cluster;
use crate::model::gang::{GangKey, Role};
use crate::model::node::NodeName;
use crate::model::pod::{Demand, PodUid};
use crate::placement;
use crate::placement::gang::No;

/// Why no places were found, and in what state of the cluster.
#[derive(Debug, Clone)]
pub(super) struct Denial {
    pub no: No,
    /// What nodes or devices would help, for an autoscaler.
    lack: Option<Lack>,
    /// The generation of the cluster for which that is so.
    generation: u64,
    /// How often devices had come free by then, as the claims count it.
    devices_freed: u64,
    /// May it have ended by now?
    is_doubtful: bool,
}

impl Denial {
    pub fn new(no: No, lack: Option<Lack>, generation: u64, devices_freed: u64) -> Self {
        Self { no, lack, generation, devices_freed, is_doubtful: false }
    }

    fn is_over_quota(&self) -> bool {
        matches!(self.no, No::OverQuota(_))
    }

    /// It still holds where no node has changed that would take any of those who wait, and no device has come free that they
    /// may ask for. Of nodes that is found out anew each time: whoever is planned first may take what has come free. Of a quota
    /// neither tells anything.
    fn confirm<'a>(&mut self, waiting: impl Iterator<Item = &'a Seat> + Clone, cluster: &Cluster, devices_freed: u64) {
        let may_have_devices =
            || devices_freed > self.devices_freed && { waiting.clone() }.any(|seat| seat.needs.lack_devices());
        // Whoever leaves a domain may leave it to others, on whatever node he was; and one of which fewer nodes are left may not
        // count any more where members are to be spread.
        let is_of_domains =
            matches!(self.no, No::LeftOut { .. } | No::Relations { .. } | No::NoCombination | No::GaveUp { .. });
        let may_have_domain = || is_of_domains && cluster.domains_opened() > self.generation;
        // Whoever was expected and has come leaves no place free, but others may expect more.
        let may_expect_more = || matches!(self.no, No::TooManyExpected { .. }) && cluster.freed() > self.generation;
        let may_have_room = || {
            if cluster.freed() <= self.generation {
                return false;
            }
            let demands: BTreeSet<&Demand> = waiting.clone().map(|seat| &*seat.demand).collect();
            let mut changed = cluster.slots().changed_after(self.generation).map(|(.., state)| state);
            changed.any(|state| demands.iter().any(|demand| placement::check(demand, state).is_ok()))
        };
        self.is_doubtful =
            !self.is_over_quota() && (may_have_devices() || may_have_domain() || may_expect_more() || may_have_room());
        if !self.is_doubtful {
            (self.generation, self.devices_freed) = (cluster.generation(), devices_freed);
        }
    }
}

impl GangKeeper {
    /// There is no place for the next member beyond those that must start: those of other roles are not to wait for it.
    pub(super) fn skip_role(&mut self, key: &GangKey) {
        let Some(kept) = self.kept.get_mut(key).filter(|kept| !kept.lacks_places()) else { return };
        let Ok(roster) = &kept.roster else { return };
        let roster = kept.with_places(roster);
        if let (Some(role), Some(denial)) = (roster.next_role(|role| kept.is_passed_over(role)), kept.no.take()) {
            kept.passed_over.insert(role.clone(), denial);
        }
        // Where all have been tried it shows what the first lacks, and waits for what any of them does.
        let next = roster.next_role(|role| kept.is_passed_over(role));
        kept.no = next.and_then(|role| kept.passed_over.get(role)).cloned();
    }
}

impl Kept {
    /// Finds out which denials may have ended.
    pub(super) fn confirm_denials(&mut self, cluster: &Cluster, devices_freed: u64) {
        let waits_by_roles = self.waits_by_roles();
        let (Ok(roster), Some(denial)) = (&self.roster, &mut self.no) else { return };
        if !waits_by_roles {
            return denial.confirm(roster.all().filter(|seat| seat.node.is_none()), cluster, devices_freed);
        }
        let has_sets_of_roles = LazyCell::new(|| roster.has_sets_of_roles());
        for (role, denial) in &mut self.passed_over {
            let waiting = roster.extras.iter().filter(|seat| seat.role == *role || *has_sets_of_roles);
            denial.confirm(waiting, cluster, devices_freed);
        }
    }

    /// It is within its quota by now: all that must start at once, or the next member of a role.
    pub(super) fn doubt_quota(&mut self, role: Option<&Role>) {
        let denial = match role {
            None => self.no.as_mut(),
            Some(role) => self.passed_over.get_mut(role),
        };
        if let Some(denial) = denial {
            denial.is_doubtful = true;
        }
    }

    /// Whom a quota stands against: all that must start at once, or the next members of roles.
    pub(super) fn roles_over_quota(&self) -> impl Iterator<Item = Option<&Role>> {
        let is_whole = |denial: &&Denial| denial.is_over_quota() && !self.waits_by_roles();
        let whole = self.no.as_ref().filter(is_whole).map(|_| None);
        let passed_over = self.passed_over.iter().filter(|(_, denial)| denial.is_over_quota());
        whole.into_iter().chain(passed_over.map(|(role, _)| Some(role)))
    }

    /// May there be places by now for those who come next?
    pub(super) fn may_fit(&self) -> bool {
        let Some(denial) = &self.no else { return true };
        match self.waits_by_roles() {
            true => self.passed_over.values().any(|denial| denial.is_doubtful),
            false => denial.is_doubtful,
        }
    }

    /// It is to be planned: where all roles have been tried, those go on for which there may be places by now.
    pub(super) fn try_again(&mut self) {
        if self.no.is_some() && self.waits_by_roles() {
            self.passed_over.retain(|_, denial| !denial.is_doubtful);
            self.no = None;
        }
    }

    /// Whatever stood against it is to be found out anew.
    pub(super) fn look_anew(&mut self) {
        self.no = None;
        self.passed_over.clear();
    }

    /// The roster was another before. Who waits in a role that was passed over has no more room now, unless he is another, or
    /// somebody has left a place.
    pub(super) fn forget_denials(&mut self, before: &Roster) {
        self.no = None;
        let Ok(now) = &self.roster else { return self.passed_over.clear() };
        if self.passed_over.is_empty() {
            return;
        }
        let is_alike = before.terms == now.terms && before.priority == now.priority && !now.has_sets_of_roles();
        let places = |roster: &Roster| -> BTreeSet<(PodUid, NodeName)> {
            roster.seats.iter().filter_map(|seat| seat.uid().cloned().zip(seat.node.clone())).collect()
        };
        let stays = is_alike && places(before).is_subset(&places(now));
        self.passed_over.retain(|role, _| stays && now.has_same_extras(before, role));
    }

    pub(super) fn is_passed_over(&self, role: &Role) -> bool {
        self.passed_over.contains_key(role)
    }

    /// What nodes or devices would help, once all have been tried: by count, if that helps anybody.
    pub(super) fn lack(&self) -> Option<Lack> {
        match self.waits_by_roles() {
            true => self.passed_over.values().filter_map(|denial| denial.lack).min(),
            false => self.no.as_ref().and_then(|denial| denial.lack),
        }
    }

    /// Is it known of the next member of a role that what the gang lacks would not help it?
    pub(super) fn lacks_something_else(&self, role: &Role) -> bool {
        self.passed_over.get(role).is_some_and(|denial| denial.lack != self.lack())
    }

    /// Do all that must start have places, and roles of the others none for their next members?
    fn waits_by_roles(&self) -> bool {
        !self.passed_over.is_empty() && !self.lacks_places()
    }
}
