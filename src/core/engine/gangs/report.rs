//! What is to be shown on the objects that describe gangs.

use std::sync::Arc;

use super::view::GangStage;
use super::{GangKeeper, Kept, same_words};
use crate::engine::claims::ClaimKeeper;
use crate::model::gang::{GangKey, Group};

/// What is to be shown on the object that describes a gang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The gang. An object may describe several.
    pub gang: GangKey,
    /// The object.
    pub group: Arc<Group>,
    /// How far the gang has come.
    pub stage: GangStage,
    /// What is said of it makes no sense, or nothing is: somebody has to mend it.
    pub is_invalid: bool,
    /// Members that have their nodes.
    pub bound: usize,
    /// In one sentence.
    pub text: Arc<str>,
}

/// How long a report stands at least before the same with other numbers follows, in milliseconds.
const NUMBERS_STAY_MS: u64 = 10_000;

/// Reports that are kept until somebody asks for them. Each is made anew with the gang's next step.
const MAX_REPORTS: usize = 100_000;

/// What was reported of a gang, and what is to be.
#[derive(Debug, Clone, Default)]
pub(super) struct Reported {
    last: Option<(Report, u64)>,
    next: Option<Report>,
}

impl Report {
    /// The same, save for numbers in the text.
    fn is_like(&self, other: &Self) -> bool {
        let plain = |report: &Self| Self { text: "".into(), bound: 0, ..report.clone() };
        plain(self) == plain(other) && same_words(&self.text, &other.text)
    }
}

impl Reported {
    /// What is so now. It is reported at once if something else happens than before, and after a while if only numbers do.
    fn set(&mut self, report: Report) {
        let is_known = self.last.as_ref().is_some_and(|(last, _)| *last == report);
        self.next = (!is_known).then_some(report);
    }

    /// What is to be reported now.
    fn take(&mut self, now_ms: u64) -> Option<Report> {
        let next = self.next.as_ref()?;
        let is_fresh = |(last, at): &(Report, u64)| last.is_like(next) && now_ms < at + NUMBERS_STAY_MS;
        if self.last.as_ref().is_some_and(is_fresh) {
            return None;
        }
        let report = self.next.take()?;
        self.last = Some((report.clone(), now_ms));
        Some(report)
    }
}

impl GangKeeper {
    /// What is to be shown on group objects now, by gang.
    pub fn take_reports(&mut self, now_ms: u64) -> Vec<Report> {
        let mut reports = std::mem::take(&mut self.farewells);
        reports.extend(self.kept.values_mut().filter_map(|kept| kept.reported.take(now_ms)));
        reports
    }

    /// All members of a gang are gone, its object may stay.
    pub(super) fn say_farewell(&mut self, key: &GangKey, kept: &Kept) {
        if let Some(group) = &kept.group
            && self.farewells.len() < MAX_REPORTS
        {
            let (gang, group, text) = (key.clone(), Arc::clone(group), "it has no members".into());
            let stage = GangStage::Gathering;
            self.farewells.push(Report { gang, group, stage, is_invalid: false, bound: 0, text });
        }
    }
}

impl Kept {
    /// Notes how far the gang has come.
    pub(super) fn note_progress(&mut self, key: &GangKey, claims: &ClaimKeeper) {
        let Some(group) = self.group.clone() else { return };
        let stage = self.stage();
        let seats = self.roster.iter().flat_map(|roster| &roster.seats);
        let (members, bound) = seats.fold((0, 0), |(members, bound), seat| {
            (members + 1, bound + usize::from(seat.pod.is_some() && seat.node.is_some()))
        });
        let text = match stage {
            GangStage::Planned => format!("{members} members have a place, {bound} of them are bound").into(),
            GangStage::Running => format!("{bound} members have their nodes").into(),
            GangStage::Gathering | GangStage::Waiting | GangStage::Clearing => self.wait(claims).text(),
        };
        let is_invalid = self.roster.as_ref().is_err_and(|shortage| shortage.is_invalid());
        self.reported.set(Report { gang: key.clone(), group, stage, is_invalid, bound, text });
    }
}
