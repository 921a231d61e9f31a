//! The barrier before bind: the members of a batch pass it together.

use std::sync::Arc;

use super::batch::Batch;
use super::board::Fate;
use super::{GangKeeper, NewsKind};
use crate::cluster::Cluster;
use crate::engine::Policy;
use crate::model::node::NodeName;
use crate::model::pod::{Pod, PodUid};

/// May a pod be bound now?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// Yes: it belongs to no gang that must start together, or all members of its batch are there.
    Go,
    /// Not before the others of its batch are there, too. Ask again whenever [`Engine::gang_version`](crate::engine::Engine::gang_version) has grown.
    Wait(Arc<str>),
    /// No: it has no place on this node.
    No(Arc<str>),
}

impl GangKeeper {
    /// A pod is at bind.
    pub fn arrive(&mut self, pod: &Pod, node: &NodeName, policy: &Policy, now_ms: u64) -> Arrival {
        let place = match self.board.fate(pod) {
            Fate::Free => return Arrival::Go,
            Fate::Held(why) | Fate::Unsettled(_, why) => return Arrival::No(Arc::clone(&why.text)),
            Fate::Planned(place, _) => place,
        };
        if place != *node {
            let membership = pod.membership.as_ref().map(|membership| membership.gang.to_string()).unwrap_or_default();
            return Arrival::No(
                format!("gang {membership}: the place of pod {} is {place}, not {node}", pod.key).into(),
            );
        }
        let Some(batch) = self.batch_of(&pod.uid) else { return Arrival::Go };
        if let Some(place) = batch.places.get_mut(&pod.uid) {
            (place.has_arrived, place.is_left_behind) = (true, false);
        }
        let id = Arc::clone(&batch.id);
        if self.goes(&pod.uid, policy, now_ms) { Arrival::Go } else { Arrival::Wait(id) }
    }

    /// May a pod that waits at the barrier with the batch of this id pass now?
    pub fn may_pass(&mut self, uid: &PodUid, id: &str, policy: &Policy, now_ms: u64) -> Arrival {
        let gang = self.gang_of.get(uid).map(ToString::to_string);
        match self.batch_of(uid).filter(|batch| *batch.id == *id).map(|batch| Arc::clone(&batch.id)) {
            // Who was missing may have been found to be bound already.
            Some(_) if self.goes(uid, policy, now_ms) => Arrival::Go,
            Some(id) => Arrival::Wait(id),
            None => {
                let gang = gang.map_or_else(|| "its gang".to_owned(), |gang| format!("gang {gang}"));
                Arrival::No(format!("{gang}: its plan was given up, nothing of it has started").into())
            }
        }
    }

    /// Do the members of this pod's batch pass? They do from when all are there.
    fn goes(&mut self, uid: &PodUid, policy: &Policy, now_ms: u64) -> bool {
        let Some(key) = self.gang_of.get(uid).cloned() else { return false };
        let Some(batch) = self.batch_of(uid) else { return false };
        if batch.is_going() || !batch.is_complete() {
            return batch.is_going();
        }
        batch.going_since_ms = Some(now_ms);
        batch.until_ms = now_ms + policy.gangs.bind_window_ms;
        let members = batch.places.values().filter(|place| place.pod.is_some()).count();
        if let Some(kept) = self.kept.get_mut(&key) {
            (kept.failures, kept.not_before_ms) = (0, 0);
        }
        self.version += 1;
        self.tell(&key, NewsKind::Started, format_args!("{members} members are bound together"));
        true
    }

    /// A pod waits no longer for the others: the call that brought it to bind ends. The batch fails, and the next plan has
    /// other places for those who did not come.
    pub fn give_up(&mut self, uid: &PodUid, id: &str, cluster: &mut Cluster, policy: &Policy, now_ms: u64) {
        let Some(key) = self.gang_of.get(uid).cloned() else { return };
        let Some(batch) = self.batch_of(uid).filter(|batch| *batch.id == *id && !batch.is_going()) else { return };
        let missing = batch.places.values().filter(|place| place.pod.is_some() && !place.has_arrived);
        let refusals: Vec<_> = missing
            .filter_map(|place| {
                let why = place.suspicion.as_ref().map_or("it did not come to bind in time", |it| &it.message);
                Some((Arc::clone(place.pod.as_ref()?), place.node.clone(), why.to_owned()))
            })
            .collect();
        self.refuse(&key, &refusals, cluster, policy, now_ms);
    }

    /// The binding of a pod did not come about, or it was sent away from the barrier; it may come again. Says whether a place is
    /// kept for it.
    pub fn stays(&mut self, uid: &PodUid) -> bool {
        self.leave_behind(uid);
        let place = self.batch_of(uid).and_then(|batch| batch.places.get_mut(uid));
        place.map(|place| place.has_arrived = false).is_some()
    }

    /// A pod that was to be bound with the others is not, as far as is known.
    pub fn leave_behind(&mut self, uid: &PodUid) {
        if let Some(place) = self.batch_of(uid).filter(|batch| batch.is_going()).and_then(|it| it.places.get_mut(uid)) {
            place.is_left_behind = true;
        }
    }

    /// What was held for a pod is lost.
    pub fn lose(&mut self, uid: &PodUid) {
        let Some(key) = self.gang_of.remove(uid) else { return };
        if let Some(kept) = self.kept.get_mut(&key) {
            kept.batches.iter_mut().for_each(|batch| drop(batch.places.remove(uid)));
            kept.look_anew();
        }
    }

    fn batch_of(&mut self, uid: &PodUid) -> Option<&mut Batch> {
        let kept = self.kept.get_mut(self.gang_of.get(uid)?)?;
        kept.batches.iter_mut().find(|batch| batch.places.contains_key(uid))
    }
}
