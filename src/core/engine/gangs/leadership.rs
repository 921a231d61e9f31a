//! One leader after the other. Plans are kept in memory and written on pods; who takes over reads them there.

use super::GangKeeper;
use crate::cluster::Cluster;

impl GangKeeper {
    /// Begins a term of leadership, whose plans have names of their own. Every gang is looked at as if for the first time: what
    /// an earlier leader has promised stands on the pods.
    pub fn lead(&mut self, epoch: u64, cluster: &mut Cluster) {
        self.stand_by(cluster);
        cluster.change_all_gangs();
        (self.epoch, self.stands_by) = (epoch, false);
        // Nobody knows which pods were put aside before these places came free.
        self.freed_places = true;
    }

    /// Forgets all plans, and makes none until this one leads: another does, and its plans stand on the pods.
    pub fn stand_by(&mut self, cluster: &mut Cluster) {
        for batch in std::mem::take(&mut self.kept).into_values().flat_map(|kept| kept.batches) {
            self.give_back(batch, cluster);
        }
        let mut claims = std::mem::take(&mut self.claims);
        claims.stand_by();
        let protection = std::mem::take(&mut self.protection);
        let (epoch, version) = (self.epoch, self.version + 1);
        *self = Self { stands_by: true, claims, protection, epoch, version, ..Self::default() };
        self.pass_over(cluster);
    }

    /// Does another lead, or nobody?
    pub fn stands_by(&self) -> bool {
        self.stands_by
    }

    /// What has changed is looked at by whoever leads; nothing of it piles up here.
    pub(super) fn pass_over(&mut self, cluster: &mut Cluster) {
        cluster.take_changed_gangs();
        self.claims.take_changed();
    }
}
