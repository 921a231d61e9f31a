//! Why members of a gang that have no place are held.

use std::sync::Arc;

use super::roster::{Roster, Shortage};
use super::view::GangStage;
use super::{GangKeeper, Kept};
use crate::engine::claims::ClaimKeeper;
use crate::placement::gang::No;

/// Why members without a place are held.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wait<'a> {
    /// Others are making way for it.
    Clearing,
    /// Its devices are being allocated.
    Claims,
    /// Its running members are being evicted.
    Regrouping,
    /// It cannot even be planned.
    Short(&'a Shortage),
    /// It was planned in vain.
    NoPlaces(&'a No),
    /// It is to be planned next.
    Unplanned,
}

/// A gang that waits, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GangWait {
    /// A short, constant name of the reason.
    pub reason: &'static str,
    /// When the gang was made, in seconds since 1970.
    pub created_s: i64,
}

impl Wait<'_> {
    /// What filter's verdict on the members is called.
    pub fn verdict(self) -> &'static str {
        match self {
            Self::Clearing => "gang_clearing",
            Self::Claims => "claims_pending",
            Self::Regrouping => "gang_regrouping",
            Self::Short(_) => "gang_incomplete",
            Self::NoPlaces(_) | Self::Unplanned => "gang_waits",
        }
    }

    /// The same for who counts gangs, more precisely.
    fn reason(self) -> &'static str {
        match self {
            Self::Clearing => "clearing",
            Self::Claims => "claims_pending",
            Self::Regrouping => "regrouping",
            Self::Short(shortage) => shortage.label(),
            Self::NoPlaces(no) => no.label(),
            Self::Unplanned => "unplanned",
        }
    }

    /// In one sentence.
    pub fn text(self) -> Arc<str> {
        match self {
            Self::Clearing => "pods of lower priority are making way for it".into(),
            Self::Claims => "its devices are being allocated".into(),
            Self::Regrouping => "its running members are being evicted, it starts anew as a whole".into(),
            Self::Short(shortage) => shortage.to_string().into(),
            Self::NoPlaces(no) => no.to_string().into(),
            Self::Unplanned => "places for its members are being looked for".into(),
        }
    }
}

impl Kept {
    /// Why members without a place are held.
    pub(super) fn wait(&self, claims: &ClaimKeeper) -> Wait<'_> {
        if self.batches.iter().any(|batch| batch.clearing.is_some()) {
            return Wait::Clearing;
        }
        if self.batches.iter().any(|batch| !claims.are_given(batch.awaited_claims())) {
            return Wait::Claims;
        }
        if self.regrouping.is_going_on() {
            return Wait::Regrouping;
        }
        match (&self.roster, &self.no) {
            (Err(shortage), _) => Wait::Short(shortage),
            (Ok(_), Some(denial)) => Wait::NoPlaces(&denial.no),
            (Ok(_), None) => Wait::Unplanned,
        }
    }

    /// Priority, and when it was made: of the whole gang, or where that is not known yet of its first member.
    pub(super) fn priority_and_age(&self) -> (i32, i64) {
        let of_member = || self.member.as_ref().map_or((0, 0), |pod| (pod.priority, pod.created_s));
        let of_roster = |roster: &Roster| (roster.priority, roster.created_s);
        self.roster.as_ref().map_or_else(|_| of_member(), of_roster)
    }
}

impl GangKeeper {
    /// The gangs that have no places, or not all, by key.
    pub fn waits(&self) -> impl Iterator<Item = GangWait> {
        let waiting = self.kept.values().filter(|kept| kept.stage() < GangStage::Planned);
        waiting.map(|kept| GangWait { reason: kept.wait(&self.claims).reason(), created_s: kept.priority_and_age().1 })
    }
}
