//! The mix of the state, and the scorer for it, made when it is first asked.

use std::sync::{Arc, OnceLock};

use crate::cluster::Cluster;
use crate::placement::fragmentation::{Expected, Fleet, Mix, Prior, Scorer};

/// A mix, and what follows from it for the nodes of a fleet.
#[derive(Debug, Default)]
pub(super) struct Scoring {
    /// Counts the mixes of an engine.
    pub version: u64,
    /// Typical demands.
    pub mix: Mix,
    fleet: Arc<Fleet>,
    scorer: OnceLock<Scorer>,
}

impl Scoring {
    /// The scorer for the nodes of the state that the mix is of, whatever is free on them.
    pub fn scorer(&self) -> &Scorer {
        self.scorer.get_or_init(|| Scorer::new(&self.mix, &self.fleet))
    }
}

/// Keeps the mix up to date.
#[derive(Debug, Default)]
pub(super) struct MixKeeper {
    current: Arc<Scoring>,
    prior: Prior,
    /// The generations of the nodes and of the tally that the mix is of.
    nodes: u64,
    tally: u64,
}

impl MixKeeper {
    pub fn current(&self) -> &Arc<Scoring> {
        &self.current
    }

    /// For an engine that goes its own way from here: costs are remembered by generation, and the generations of the two mean
    /// different states from now on.
    pub fn branch(&self) -> Self {
        let Scoring { version, mix, fleet, .. } = &*self.current;
        let (mix, fleet) = (mix.clone(), Arc::clone(fleet));
        let current = Arc::new(Scoring { version: *version, mix, fleet, scorer: OnceLock::new() });
        Self { current, prior: self.prior.clone(), ..*self }
    }

    /// Something else is expected: what follows from that is found out with the next look.
    pub fn expect_anew(&mut self) {
        self.nodes = u64::MAX;
    }

    /// Looks whether the typical demands or the nodes have changed.
    pub fn keep_up(&mut self, cluster: &Cluster, expected: &Expected) {
        let (nodes, tally) = (cluster.node_generation(), cluster.tally().generation());
        let nodes_changed = nodes != self.nodes;
        if !nodes_changed && tally == self.tally {
            return;
        }
        let fleet = if nodes_changed { Arc::new(Fleet::of(cluster.slots())) } else { Arc::clone(&self.current.fleet) };
        if nodes_changed {
            self.prior = Prior::of(&fleet, expected);
        }
        let mix = Mix::of(cluster.tally(), &fleet, &self.prior);
        if nodes_changed || mix != self.current.mix {
            self.current = Arc::new(Scoring { version: self.current.version + 1, mix, fleet, scorer: OnceLock::new() });
        }
        (self.nodes, self.tally) = (nodes, tally);
    }
}

#[cfg(test)]
#[path = "scoring_tests.rs"]
mod tests;
