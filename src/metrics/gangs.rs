//! How far gangs have come, and for what and since when those wait that do.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use testudo_core::engine::{GangStage, GangWait};

use super::gauges::{Labels, gauges};
use crate::host::Host;

/// Gauges of gangs.
pub(super) struct GangMetrics {
    host: Arc<Host>,
}

/// Ages are told apart by these bounds, in seconds.
const AGES: [(i64, &str); 4] = [(60, "under_1m"), (600, "under_10m"), (3600, "under_1h"), (86_400, "under_1d")];

/// What is older than all of them.
const OLD: &str = "over_1d";

const STAGES: [(GangStage, &str); 5] = [
    (GangStage::Gathering, "gathering"),
    (GangStage::Waiting, "waiting"),
    (GangStage::Clearing, "clearing"),
    (GangStage::Planned, "planned"),
    (GangStage::Running, "running"),
];

impl GangMetrics {
    /// Looks at the gangs of this host when metrics are scraped.
    pub fn new(host: Arc<Host>) -> Self {
        Self { host }
    }
}

impl fmt::Debug for GangMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GangMetrics").finish_non_exhaustive()
    }
}

impl Collector for GangMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (stages, waits) = self.host.gangs_counted();
        let count = |stage| stages.iter().filter(|of_gang| **of_gang == stage).count();
        let by_stage = STAGES.map(|(stage, name)| ([("stage", name.to_owned())], count(stage)));
        gauges(&mut encoder, "testudo_gangs", "Gangs by how far they have come", by_stage)?;
        let now_s = i64::try_from(self.host.now_ms() / 1000).unwrap_or(i64::MAX);
        let help = "Gangs that have no places, or not all, by the reason and by how long ago they were made";
        gauges(&mut encoder, "testudo_waiting_gangs", help, by_reason_and_age(&waits, now_s))?;
        let help = "How long ago the oldest gang was made that has no places, by the reason for which it waits";
        gauges(&mut encoder, "testudo_oldest_waiting_gang_seconds", help, oldest(&waits, now_s))
    }
}

/// Nothing for one of which it is not known when it was made.
fn age_s(wait: &GangWait, now_s: i64) -> i64 {
    if wait.created_s == 0 { 0 } else { (now_s - wait.created_s).max(0) }
}

fn by_reason_and_age(waits: &[GangWait], now_s: i64) -> Vec<(Labels<2>, i64)> {
    let mut counts: BTreeMap<(&str, usize), i64> = BTreeMap::new();
    for wait in waits {
        let age = age_s(wait, now_s);
        let bucket = AGES.iter().position(|(bound, _)| age < *bound).unwrap_or(AGES.len());
        *counts.entry((wait.reason, bucket)).or_default() += 1;
    }
    let name = |bucket: usize| AGES.get(bucket).map_or(OLD, |(_, name)| name).to_owned();
    let sample = |((reason, bucket), count): ((&str, usize), i64)| {
        ([("reason", reason.to_owned()), ("age", name(bucket))], count)
    };
    counts.into_iter().map(sample).collect()
}

fn oldest(waits: &[GangWait], now_s: i64) -> Vec<(Labels<1>, i64)> {
    let mut ages: BTreeMap<&str, i64> = BTreeMap::new();
    for wait in waits {
        let oldest = ages.entry(wait.reason).or_default();
        *oldest = age_s(wait, now_s).max(*oldest);
    }
    ages.into_iter().map(|(reason, age)| ([("reason", reason.to_owned())], age)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_counted_by_reason_and_age() {
        let now_s = 1_000_000;
        let wait = |reason, age_s| GangWait { reason, created_s: now_s - age_s };
        let ages =
            [("few", 5), ("few", 59), ("few", 60), ("sets", 3_599), ("sets", 3_600), ("sets", 90_000), ("few", -7)];
        let waits: Vec<GangWait> = ages.iter().map(|(reason, age)| wait(*reason, *age)).collect();
        let counted: Vec<(String, String, i64)> = by_reason_and_age(&waits, now_s)
            .into_iter()
            .map(|([(_, reason), (_, age)], count)| (reason, age, count))
            .collect();
        let wanted = [
            ("few", "under_1m", 3),
            ("few", "under_10m", 1),
            ("sets", "under_1h", 1),
            ("sets", "under_1d", 1),
            ("sets", "over_1d", 1),
        ];
        assert_eq!(counted, wanted.map(|(reason, age, count)| (reason.to_owned(), age.to_owned(), count)));
        let oldest: Vec<i64> = oldest(&waits, now_s).into_iter().map(|(_, age)| age).collect();
        assert_eq!(oldest, [60, 90_000]);
    }
}
