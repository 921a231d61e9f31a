//! One leader after the other. Plans are kept in memory and written on pods; who takes over reads them there.

use super::GangKeeper;
use super::board::Board;
use crate::cluster::Cluster;

impl GangKeeper {
    /// Begins a term of leadership, whose plans have names of their own. Every gang is looked at as if for the first time: what
    /// an earlier leader has promised stands on the pods.
    pub fn lead(&mut self, epoch: u64, cluster: &mut Cluster) {
        self.stand_by(cluster);
        cluster.change_all_gangs();
        self.epoch = epoch;
        // Nobody knows which pods were put aside before these places came free.
        self.freed_places = true;
    }

    /// Forgets all plans, and what it would take to make some: another leads, and its plans stand on the pods.
    pub fn stand_by(&mut self, cluster: &mut Cluster) {
        cluster.take_changed_gangs();
        if self.kept.is_empty() && *self.board == Board::default() {
            return;
        }
        for batch in std::mem::take(&mut self.kept).into_values().flat_map(|kept| kept.batches) {
            self.give_back(batch, cluster);
        }
        *self = Self { epoch: self.epoch, version: self.version + 1, ..Self::default() };
    }
}
