//! The gangs that are on their way, and how many run.

use std::collections::BTreeMap;

use serde::Serialize;
use testudo_core::engine::{GangStage, GangView};
use testudo_core::model::gang::GangKey;

/// Gangs that are shown one by one: those that wait, the most important first.
const MAX_SHOWN: usize = 200;

/// A gang on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GangLine {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `gathering`, `waiting`, `clearing` or `planned`.
    pub stage: &'static str,
    /// Why it is not further, in the engine's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its priority.
    pub priority: i32,
    /// When it was made, in seconds since 1970; 0 where that is not known.
    pub created_s: i64,
    /// How many members are to start together.
    pub members: usize,
    /// What they ask for in all, by resource.
    pub asks: BTreeMap<String, i64>,
}

/// All gangs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gangs {
    /// How many run.
    pub running: usize,
    /// How many wait for places.
    pub waiting: usize,
    /// Those that are not running, as far as they are shown.
    pub underway: Vec<GangLine>,
    /// How many more are not running.
    pub not_shown: usize,
}

/// All gangs. A pod that is planned by itself, for its claims, is none: its claims say how it is with them.
pub fn gangs(stages: &[(GangKey, GangStage)], mut underway: Vec<GangView>) -> Gangs {
    let stages = || stages.iter().filter(|(key, _)| key.is_of_several());
    underway.retain(|gang| gang.key.is_of_several());
    let running = stages().filter(|(_, stage)| *stage == GangStage::Running).count();
    let waiting = stages().filter(|(_, stage)| *stage == GangStage::Waiting).count();
    underway.sort_by(|a, b| (-a.priority, a.created_s, &a.key).cmp(&(-b.priority, b.created_s, &b.key)));
    let not_shown = underway.len().saturating_sub(MAX_SHOWN);
    underway.truncate(MAX_SHOWN);
    Gangs { running, waiting, underway: underway.iter().map(GangLine::of).collect(), not_shown }
}

impl GangLine {
    fn of(view: &GangView) -> Self {
        let together = || view.members.iter().filter(|member| !member.is_extra);
        let mut asks: BTreeMap<String, i64> = BTreeMap::new();
        for (name, _, count) in together().flat_map(|member| member.demand.accelerators()) {
            *asks.entry(name.to_string()).or_default() += count;
        }
        Self {
            namespace: view.key.namespace.clone(),
            name: view.key.name.clone(),
            stage: match view.stage {
                GangStage::Gathering => "gathering",
                GangStage::Waiting => "waiting",
                GangStage::Clearing => "clearing",
                GangStage::Planned => "planned",
                GangStage::Running => "running",
            },
            why: view.why.as_ref().map(ToString::to_string),
            priority: view.priority,
            created_s: view.created_s,
            members: together().count(),
            asks,
        }
    }
}

#[cfg(test)]
mod tests {
    use testudo_core::model::gang::Dialect;

    use super::*;

    #[test]
    fn the_most_important_are_shown_and_the_rest_is_counted() {
        let key = |at: usize| GangKey { namespace: "n".into(), name: at.to_string(), dialect: Dialect::Testudo };
        let view = |at: usize| GangView {
            key: key(at),
            stage: GangStage::Waiting,
            why: Some("no room".into()),
            priority: at as i32,
            created_s: 0,
            members: vec![],
            avoided: vec![],
            failures: 0,
            shortfall: None,
        };
        let stages: Vec<_> = (0..250).map(|at| (key(at), GangStage::Waiting)).collect();
        let gangs = gangs(&stages, (0..250).map(view).collect());
        assert_eq!((gangs.waiting, gangs.running, gangs.underway.len(), gangs.not_shown), (250, 0, MAX_SHOWN, 50));
        assert_eq!(gangs.underway[0].name, "249");
    }
}
