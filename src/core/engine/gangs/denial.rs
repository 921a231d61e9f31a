//! Why a gang, or its next member beyond those that must start, could not be placed, and whether that may still be so.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::roster::{Roster, Seat};
use super::{GangKeeper, Kept};
use crate::cluster::Cluster;
use crate::model::gang::{GangKey, Role};
use crate::model::pod::Demand;
use crate::placement;
use crate::placement::gang::No;

/// Why no places were found, and in what state of the cluster.
#[derive(Debug, Clone)]
pub(super) struct Denial {
    pub no: No,
    /// The generation of the cluster for which that is so.
    generation: u64,
    /// How many devices had become free by then, as the claims count them.
    devices_freed: u64,
    /// May it have ended since?
    is_doubtful: bool,
}

impl Denial {
    pub fn new(no: No, generation: u64, devices_freed: u64) -> Self {
        Self { no, generation, devices_freed, is_doubtful: false }
    }

    fn is_over_quota(&self) -> bool {
        matches!(self.no, No::OverQuota(_)) && !self.is_doubtful
    }

    /// It still holds where no node has changed that would take any of those who wait, and no device has become free that
    /// they may ask for. Of a quota neither tells anything.
    fn confirm<'a>(&mut self, waiting: impl Iterator<Item = &'a Seat> + Clone, cluster: &Cluster, devices_freed: u64) {
        if self.is_doubtful || matches!(self.no, No::OverQuota(_)) {
            return;
        }
        let may_have_devices = devices_freed > self.devices_freed;
        // Whoever leaves a domain may leave it to others, on whatever node he was.
        let may_have_domain = matches!(self.no, No::LeftOut { .. }) && cluster.domains_opened() > self.generation;
        if may_have_domain || may_have_devices && waiting.clone().any(|seat| !seat.needs.open.is_empty()) {
            self.is_doubtful = true;
            return;
        }
        if cluster.freed() <= self.generation {
            return;
        }
        let demands: BTreeSet<&Demand> = waiting.map(|seat| &*seat.demand).collect();
        let mut changed = cluster.slots().changed_after(self.generation).map(|(.., state)| state);
        match changed.any(|state| demands.iter().any(|demand| placement::check(demand, state).is_ok())) {
            true => self.is_doubtful = true,
            false => self.generation = cluster.generation(),
        }
    }
}

impl GangKeeper {
    /// There is no place for the next member beyond those that must start: those of other roles are not to wait for it.
    pub(super) fn skip_role(&mut self, key: &GangKey, tried: &Roster) {
        let Some(kept) = self.kept.get_mut(key).filter(|kept| !kept.lacks_places()) else { return };
        let Ok(roster) = &kept.roster else { return };
        let roster = kept.with_places(roster);
        if let (Some(role), Some(denial)) = (tried.next_role(), kept.no.take()) {
            kept.passed_over.insert(Arc::clone(role), denial);
        }
        // Where all have been tried it shows what the first lacks, and waits for what each does.
        let next = roster.next_extras(|role| kept.passed_over.contains_key(role));
        kept.no = next.and_then(|set| kept.passed_over.get(&set[0].role)).cloned();
    }
}

impl Kept {
    /// Finds out what may have ended. Members of a role that was passed over are tried again once there may be room for them,
    /// whatever those of other roles lack.
    pub(super) fn confirm_denials(&mut self, cluster: &Cluster, devices_freed: u64) {
        let Ok(roster) = &self.roster else { return };
        if let Some(denial) = &mut self.no {
            denial.confirm(roster.all().filter(|seat| seat.node.is_none()), cluster, devices_freed);
        }
        for (role, denial) in &mut self.passed_over {
            denial.confirm(roster.extras.iter().filter(|seat| seat.role == *role), cluster, devices_freed);
        }
        let doubtful = self.passed_over.extract_if(.., |_, denial| denial.is_doubtful);
        if doubtful.count() > 0 {
            self.no = None;
        }
    }

    /// What stood against all that must start at once, or against the next member of a role, may have ended.
    pub(super) fn doubt(&mut self, role: Option<&Role>) {
        match role {
            None => self.no.iter_mut().for_each(|denial| denial.is_doubtful = true),
            Some(role) => (self.no, _) = (None, self.passed_over.remove(role)),
        }
    }

    /// Whatever stood against it may have ended.
    pub(super) fn look_anew(&mut self) {
        self.no = None;
        self.passed_over.clear();
    }

    /// May there be places by now for those who come next?
    pub(super) fn may_fit(&self) -> bool {
        self.no.as_ref().is_none_or(|denial| denial.is_doubtful && !self.waits_by_roles())
    }

    /// Whom a quota stands against, as far as is known: all that must start, or the next members of roles.
    pub(super) fn roles_over_quota(&self) -> impl Iterator<Item = Option<&Role>> {
        let whole = self.no.iter().filter(|denial| denial.is_over_quota() && !self.waits_by_roles()).map(|_| None);
        whole.chain(self.passed_over.iter().filter(|(_, denial)| denial.is_over_quota()).map(|(role, _)| Some(role)))
    }

    /// Are there places for all that must start, and roles of which the next cannot be placed?
    fn waits_by_roles(&self) -> bool {
        !self.passed_over.is_empty() && !self.lacks_places()
    }
}
