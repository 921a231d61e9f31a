//! How many nodes more would be enough for gangs that wait: tried out on a copy of the state, beside everything else.

use std::sync::Arc;

use testudo_core::engine::MissingNodes;
use tracing::warn;

use super::Host;
use crate::plan::{Growth, growths_for};

impl Host {
    /// Finds out for each gang that is short of something how many nodes would be enough.
    pub(super) async fn assess_shortfalls(&self) {
        loop {
            let (gang, branch) = {
                let engine = self.engine.lock();
                let Some(gang) = engine.unassessed_shortfall(self.now_ms()) else { return };
                (gang, engine.branch())
            };
            let (key, catalogue) = (gang.clone(), Arc::clone(&self.catalogue));
            let growths = tokio::task::spawn_blocking(move || growths_for(&key, branch, &catalogue)).await;
            let growths = growths.unwrap_or_else(|error| {
                warn!(%gang, %error, "how many nodes it needs was not found out");
                vec![]
            });
            let missing = growths
                .into_iter()
                .next()
                .map(|Growth { group, more, .. }| MissingNodes { group: group.name.into(), nodes: more });
            self.engine.lock().assess(&gang, missing, self.now_ms());
        }
    }
}
