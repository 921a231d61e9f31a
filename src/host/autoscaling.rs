//! How many nodes more would be enough for gangs that wait: tried out on a copy of the state, beside everything else.

use std::sync::Arc;

use testudo_core::engine::{Engine, MissingNodes};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::gang::GangKey;
use tracing::warn;

use super::Host;
use crate::claims::with_large_stack;
use crate::plan::{Growth, growths_for};

/// For so many gangs one copy of the state is good enough: things change meanwhile.
const GANGS_ON_A_COPY: usize = 16;

impl Host {
    /// Is there a gang of which it is to be found out how many nodes would be enough?
    pub(super) fn has_unassessed_shortfalls(&self) -> bool {
        self.engine.lock().unassessed_shortfalls(self.now_ms()).next().is_some()
    }

    /// Finds out for each gang that is short of something how many nodes would be enough.
    pub(super) async fn assess_shortfalls(&self) {
        loop {
            let (gangs, branch) = {
                let engine = self.engine.lock();
                let unassessed = engine.unassessed_shortfalls(self.now_ms());
                let gangs: Vec<GangKey> = unassessed.take(GANGS_ON_A_COPY).cloned().collect();
                if gangs.is_empty() {
                    return;
                }
                (gangs, engine.branch())
            };
            let (keys, catalogue) = (gangs.clone(), Arc::clone(&self.catalogue));
            let found = self.searches.run(move || missing(&keys, branch, &catalogue)).await;
            let found = found.unwrap_or_else(|error| {
                warn!(?gangs, %error, "how many nodes they need was not found out");
                vec![None; gangs.len()]
            });
            let mut engine = self.engine.lock();
            for (gang, missing) in gangs.iter().zip(found) {
                engine.assess(gang, missing, self.now_ms());
            }
            drop(engine);
            // People are told, and the autoscaler is shown what is lacking.
            self.gang_work.notify_one();
        }
    }
}

/// How many nodes of which group would be enough, for each of these gangs.
fn missing(gangs: &[GangKey], mut branch: Engine, catalogue: &Catalogue) -> Vec<Option<MissingNodes>> {
    let mut missing_for = |gang: &GangKey| {
        let Growth { group, more, .. } = growths_for(gang, &mut branch, catalogue).into_iter().next()?;
        Some(MissingNodes { group: group.name.into(), nodes: more })
    };
    with_large_stack(|| Ok(gangs.iter().map(&mut missing_for).collect())).unwrap_or_else(|error| panic!("{error}"))
}
