//! Places that are given up: whoever was to come has not come in time, or the node does not do any more.

use std::collections::BTreeSet;

use super::batch::{Batch, Place};
use super::{GangKeeper, NewsKind};
use crate::cluster::{Cluster, Standing};
use crate::engine::Policy;
use crate::model::gang::GangKey;
use crate::model::node::NodeName;
use crate::model::pod::PodUid;
use crate::placement::{self, Reason};

impl GangKeeper {
    /// Takes back what is overdue, or does not fit any more.
    pub(super) fn let_time_pass(&mut self, key: &GangKey, cluster: &mut Cluster, policy: &Policy, now_ms: u64) {
        let Some(kept) = self.kept.get_mut(key) else { return };
        let mut failure: Option<(String, BTreeSet<NodeName>)> = None;
        let mut given_up: BTreeSet<PodUid> = BTreeSet::new();
        let mut have_not_come = false;
        let mut lost: Option<String> = None;
        let mut is_cleared = false;
        for batch in &mut kept.batches {
            if let Some(clearing) = &mut batch.clearing {
                clearing.victims.retain(|uid, _| cluster.holding(uid).is_some());
                if clearing.victims.is_empty() {
                    batch.clearing = None;
                    is_cleared = true;
                    // Whoever is yet to be made is waited for as long as without them.
                    batch.phantoms_until_ms += now_ms.saturating_sub(batch.made_ms);
                    batch.until_ms = now_ms + policy.gangs.bind_window_ms;
                } else if clearing.is_over(cluster, batch.made_ms + policy.gangs.max_hold_timeout_ms, now_ms) {
                    failure.get_or_insert(("those that had to make way are still there".into(), BTreeSet::new()));
                } else {
                    continue;
                }
            }
            let phantoms_due = now_ms >= batch.phantoms_until_ms;
            let overdue = now_ms >= batch.until_ms;
            let is_going = batch.is_going();
            if overdue && !is_going && batch.places.values().any(|place| place.pod.is_some()) {
                let text = format!("its members did not all come to bind in {} s", policy.gangs.bind_window_ms / 1000);
                failure.get_or_insert((text, BTreeSet::new()));
                continue;
            }
            let lost_claims = batch.lost_claims(&self.claims);
            let has_lost_devices = |place: &Place| lost_claims.iter().any(|key| place.rests_on(key));
            let planned = |uid: &PodUid| cluster.holding(uid).is_some_and(|entry| entry.standing == Standing::Planned);
            let due = |uid: &PodUid, place: &Place| match place.pod {
                None => phantoms_due,
                Some(_) => planned(uid) && (overdue || has_lost_devices(place)),
            };
            for (uid, place) in batch.places.iter().filter(|(uid, place)| due(uid, place)) {
                have_not_come |= place.pod.is_none();
                given_up.insert(uid.clone());
            }
            for (uid, node, text) in unfit(batch, cluster) {
                match is_going {
                    // Others of it may be on their nodes by now, and keep their places.
                    true => {
                        given_up.insert(uid);
                        lost.get_or_insert(text);
                    }
                    false => _ = failure.get_or_insert((text, [node].into())),
                }
            }
        }
        self.freed_places |= !given_up.is_empty();
        kept.without_phantoms |= have_not_come;
        for uid in &given_up {
            for place in kept.batches.iter_mut().filter_map(|batch| batch.places.remove(uid)) {
                self.claims.free(place.set_aside.values());
            }
            self.gang_of.remove(uid);
            cluster.release_if_planned(uid);
        }
        if !given_up.is_empty() {
            kept.look_anew();
        }
        kept.drop_empty(&mut self.claims);
        let kept_is_behind = kept.is_behind;
        if have_not_come {
            self.tell(key, NewsKind::TimedOut, "members that were expected have not come: their places are free again");
        }
        if let Some(text) = lost {
            self.tell(key, NewsKind::Failed, format_args!("members that have not started get other places: {text}"));
        }
        match failure {
            Some((text, avoid)) => self.fail(key, cluster, &text, avoid, policy, now_ms),
            None if !given_up.is_empty() || is_cleared || kept_is_behind => self.post(key, now_ms),
            None => {}
        }
    }
}

/// The places of a batch that would not do any more, each with its node and what has changed; of members that are not at bind.
fn unfit(batch: &mut Batch, cluster: &Cluster) -> Vec<(PodUid, NodeName, String)> {
    let mut unfit = vec![];
    for (uid, place) in &mut batch.places {
        let Some(entry) = cluster.holding(uid).filter(|entry| entry.standing == Standing::Planned) else { continue };
        let state = cluster.node(place.node.as_str());
        let stamp = state.and_then(|state| state.stamp());
        if stamp.is_some() && stamp == place.checked {
            continue;
        }
        let verdict = match state {
            Some(state) => placement::check(&entry.holding.demand, &state.without([uid])),
            None => Err(Reason::UnknownNode),
        };
        match verdict {
            Ok(()) => place.checked = stamp,
            Err(reason) => {
                let text = format!("node {} does not do any more: {reason}", place.node);
                unfit.push((uid.clone(), place.node.clone(), text));
            }
        }
    }
    unfit
}
