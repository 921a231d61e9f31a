//! What is left of a generation of a gang of which nobody runs any more.
//!
//! Of a gang of which a part runs the others follow one by one, at the places of its plan. Where all of that part go, those that
//! come next under the same name are a new gang: they start together, or not at all.

use super::batch::Batch;
use super::{GangKeeper, NewsKind};
use crate::cluster::{Cluster, GangState, Standing};
use crate::model::gang::GangKey;

impl GangKeeper {
    /// Gives up the places that nobody of a generation that is gone has taken.
    pub(super) fn end_generation(&mut self, key: &GangKey, cluster: &mut Cluster) {
        if cluster.gangs().get(key).is_some_and(GangState::has_run) {
            return;
        }
        if self.withdraw_if(key, cluster, |batch, cluster| batch.is_going() && !batch.is_at_bind(cluster)) {
            self.tell(key, NewsKind::Failed, "nobody of it runs any more: the next members start together");
        }
    }
}

impl Batch {
    /// Has anybody of it come to bind, and is not seen on a node yet?
    fn is_at_bind(&self, cluster: &Cluster) -> bool {
        self.places.iter().any(|(uid, place)| {
            let is_planned = cluster.holding(uid).is_none_or(|entry| entry.standing == Standing::Planned);
            place.has_arrived || !is_planned
        })
    }
}
