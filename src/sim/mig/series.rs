//! How a run went.

use std::collections::BTreeMap;

use super::churn::{Churn, Moment, Outcome};
use super::fragmentation::unusable;
use super::policy::PolicyKind;
use crate::sim::result::{POINTS, Point, percent};

/// Runs one policy on the arrivals of one seed, and keeps its course: the first arrival in each of [`POINTS`] parts of
/// the time.
pub(super) fn recorded(churn: &Churn, policy: PolicyKind, seed: u64) -> (Outcome, Vec<Point>) {
    let step = churn.horizon / POINTS as f64;
    let mut series: Vec<Point> = Vec::new();
    let mut next = step;
    let outcome = churn.watched(policy, seed, |moment| {
        if moment.at >= next && series.len() < POINTS {
            next = ((moment.at / step).floor() + 1.0) * step;
            series.push(point(churn, policy, moment));
        }
    });
    (outcome, series)
}

fn point(churn: &Churn, policy: PolicyKind, moment: &Moment<'_>) -> Point {
    let (table, fleet) = (moment.fleet.table(), moment.fleet);
    let all = f64::from(table.geometry().memory_slices()) * fleet.gpus().len() as f64;
    let lost = |profile| {
        let slices: u32 = fleet.gpus().iter().map(|&gpu| unusable(table, gpu, profile)).sum();
        percent(f64::from(slices), all)
    };
    // Without GPUs nothing is fragmented.
    let shares = if policy.has_places() { churn.mix().shares() } else { &[] };
    let lost: Vec<_> = shares.iter().map(|&(profile, share)| (profile, share, lost(profile))).collect();
    let name = |profile| table.geometry().profile(profile).kind.to_string();
    Point {
        at: moment.at,
        allocated_percent: percent(all - f64::from(moment.free), all),
        fragmentation_percent: Some(lost.iter().map(|(_, share, lost)| share * lost).sum()),
        rejected_by_fragmentation_percent: moment.so_far.rejected_by_fragmentation_percent(),
        fragmentation_by_profile: lost
            .iter()
            .map(|&(profile, _, lost)| (name(profile), lost))
            .collect::<BTreeMap<_, _>>(),
        ..Point::default()
    }
}

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
