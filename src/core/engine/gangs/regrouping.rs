//! Gangs of which only a part runs, and the rest finds no place.
//!
//! That is so after a node was lost, or a crash in the middle of binding. The part that runs holds accelerators and does
//! nothing with them. By default it is waited for places to come free. A policy can end that, by namespace: what runs is
//! evicted, so that the gang starts anew as a whole, where it fits or when it does. Only where the rest exists as pods: a
//! controller that makes none anew would not make the evicted ones anew either.

use super::batch::Clearing;
use super::roster::Roster;
use super::{GangKeeper, Kept, NewsKind};
use crate::cluster::Cluster;
use crate::engine::GangPolicy;
use crate::model::gang::GangKey;
use crate::model::pod::PodUid;

/// How far that has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Regrouping {
    /// Since when a part runs and the rest finds no place, in the engine's milliseconds.
    since_ms: Option<u64>,
    /// The members that are being evicted.
    leaving: Option<Clearing>,
}

impl Regrouping {
    /// Are the members that run being evicted?
    pub fn is_going_on(&self) -> bool {
        self.leaving.is_some()
    }

    /// The members that are being evicted.
    pub fn leaving(&mut self) -> Option<&mut Clearing> {
        self.leaving.as_mut()
    }
}

impl GangKeeper {
    /// Begins and ends the eviction of parts that run without the rest.
    pub(super) fn regroup(&mut self, cluster: &Cluster, policy: &GangPolicy, now_ms: u64) {
        let (mut begun, mut ended) = (vec![], vec![]);
        let is_concerned = |(key, kept): &(&GangKey, &mut Kept)| {
            kept.regrouping.is_going_on() || policy.regrouping.contains(&key.namespace)
        };
        for (key, kept) in self.kept.iter_mut().filter(is_concerned) {
            if let Some(leaving) = &mut kept.regrouping.leaving {
                leaving.victims.retain(|uid, _| cluster.holding(uid).is_some());
                if leaving.victims.is_empty() || now_ms >= leaving.until_ms {
                    kept.regrouping = Regrouping::default();
                    kept.no = None;
                    ended.push(key.clone());
                }
            } else if !kept.is_torn() {
                kept.regrouping.since_ms = None;
            } else if now_ms >= *kept.regrouping.since_ms.get_or_insert(now_ms) + policy.regroup_after_ms
                && kept.no.is_some()
            {
                let victims = kept.running().map(|uid| (uid, None)).collect();
                kept.regrouping.leaving = Some(Clearing { victims, until_ms: now_ms + policy.clearing_ms });
                begun.push(key.clone());
            }
        }
        for key in begun {
            let text = "a part of it runs, and the rest finds no place: that part is evicted, so that it starts anew as a whole";
            self.tell(&key, NewsKind::Regrouping, text);
            self.post(&key, now_ms);
        }
        ended.iter().for_each(|key| self.post(key, now_ms));
    }
}

impl Kept {
    /// Do some members run, and others, which exist, have no place?
    fn is_torn(&self) -> bool {
        let Ok(roster) = &self.roster else { return false };
        let lacks_place =
            roster.seats.iter().any(|seat| seat.pod.is_some() && seat.node.is_none() && !self.has_place(seat));
        lacks_place && self.batches.is_empty() && self.running().next().is_some()
    }

    /// The members that have their node.
    fn running(&self) -> impl Iterator<Item = PodUid> {
        let seats = self.roster.iter().flat_map(Roster::all);
        seats.filter(|seat| seat.node.is_some()).filter_map(|seat| Some(seat.pod.as_ref()?.uid.clone()))
    }
}
