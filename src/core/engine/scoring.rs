//! The mix of the state, and the scorer for it, made when it is first asked.

use std::sync::{Arc, OnceLock};

use crate::cluster::{Cluster, NodeState};
use crate::placement::fragmentation::{Mix, Scorer, accelerators};

/// A mix, and what follows from it for the nodes of a fleet.
#[derive(Debug, Default)]
pub(super) struct Scoring {
    /// Counts the mixes of an engine.
    pub version: u64,
    /// Typical demands.
    pub mix: Mix,
    scorer: OnceLock<Scorer>,
}

impl Scoring {
    /// The scorer, for the nodes in these slots: those of the state that the mix is of, whatever is free on them.
    pub fn scorer(&self, slots: &[Option<Arc<NodeState>>]) -> &Scorer {
        self.scorer.get_or_init(|| Scorer::new(&self.mix, slots))
    }
}

/// Keeps the mix up to date.
#[derive(Debug, Default)]
pub(super) struct MixKeeper {
    current: Arc<Scoring>,
    /// The state that it was made for: generations of the nodes and of the tally.
    made_for: (u64, u64),
}

impl MixKeeper {
    pub fn current(&self) -> &Arc<Scoring> {
        &self.current
    }

    /// Looks whether the typical demands or the nodes have changed.
    pub fn keep_up(&mut self, cluster: &Cluster) {
        let state = (cluster.node_generation(), cluster.tally().generation());
        if state == self.made_for {
            return;
        }
        let mix = Mix::of(cluster.tally(), &accelerators(cluster.slots()));
        if state.0 != self.made_for.0 || mix != self.current.mix {
            self.current = Arc::new(Scoring { version: self.current.version + 1, mix, scorer: OnceLock::new() });
        }
        self.made_for = state;
    }
}
