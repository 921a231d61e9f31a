//! Claims that are gone while their gang starts, as somebody has deleted them, and those that are made in their place.
//!
//! Of a gang of which a part runs the others must follow: what their claims were given stays theirs, though for a while there
//! is no claim that has it. Kubernetes makes a claim anew from its template, often under another name.

use std::sync::Arc;

use super::GangKeeper;
use super::batch::Batch;
use crate::cluster::Cluster;
use crate::engine::Policy;
use crate::engine::claims::Lost;
use crate::model::gang::GangKey;

impl GangKeeper {
    /// Members of a plan that is going keep the devices of claims that are gone. Any other plan is given up.
    pub(super) fn take_in_lost_claims(&mut self, cluster: &mut Cluster, policy: &Policy, now_ms: u64) {
        for lost in self.claims.take_lost() {
            let batches = self.kept.get_mut(&lost.gang).into_iter().flat_map(|kept| &mut kept.batches);
            if { batches }.filter(|batch| batch.is_going()).any(|batch| batch.set_aside_lost(&lost)) {
                continue;
            }
            self.claims.free([&lost.aside]);
            let why = format!("claim {} is gone", lost.claim);
            self.fail(&lost.gang, cluster, &why, [].into(), policy, now_ms);
        }
    }

    /// Claims that were made in place of others are given what was set aside. Whoever asks for something else than before, or
    /// has devices already, gets another place ([`Batch::lost_claims`]).
    pub(super) fn serve_successors(&mut self, key: &GangKey, policy: &Policy, now_ms: u64) {
        let Some(kept) = self.kept.get_mut(key) else { return };
        for batch in &mut kept.batches {
            for place in batch.places.values_mut() {
                let Some(pod) = &place.pod else { continue };
                place.set_aside.retain(|alias, aside| {
                    let Some(seen) = self.claims.claim_of(pod, alias).filter(|seen| !seen.leaving) else { return true };
                    let claim = Arc::clone(&seen.claim);
                    if seen.allocation.is_some() || !self.claims.is_set_aside_for(aside, &claim) {
                        self.claims.free([&*aside]);
                        return true;
                    }
                    self.claims.hand_over(aside, &claim);
                    batch.claims.push(claim.key.clone());
                    batch.until_ms = batch.until_ms.max(now_ms + policy.gangs.bind_window_ms);
                    false
                });
            }
        }
    }
}

impl Batch {
    /// A claim is gone: what it was given is kept with the place of a member that uses it, if there is one.
    fn set_aside_lost(&mut self, lost: &Lost) -> bool {
        let used = self.places.values_mut().find_map(|place| Some((place.alias_of(&lost.claim)?.into(), place)));
        let Some((alias, place)) = used else { return false };
        place.set_aside.insert(alias, lost.aside.clone());
        self.claims.retain(|key| *key != lost.claim);
        true
    }
}
