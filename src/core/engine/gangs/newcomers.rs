//! Members that their controller makes only now, and the places and devices that were kept for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::GangKeeper;
use super::batch::Place;
use crate::claims::ClaimKey;
use crate::cluster::{Cluster, Holding, Standing};
use crate::engine::Policy;
use crate::engine::claims::{Needs, OpenClaim};
use crate::model::gang::GangKey;
use crate::model::pod::{Pod, PodUid};
use crate::placement;

impl GangKeeper {
    /// Members that have just been made take the places that were kept for them, and have as long to come to bind as others.
    pub(super) fn admit_newcomers(&mut self, key: &GangKey, cluster: &mut Cluster, policy: &Policy, now_ms: u64) {
        let Some(kept) = self.kept.get_mut(key) else { return };
        let Ok(roster) = &kept.roster else { return };
        let newcomers = roster.seats.iter().filter(|seat| seat.node.is_none() && !kept.has_place(seat));
        let mut taken: BTreeSet<PodUid> = BTreeSet::new();
        let mut admitted: Vec<(usize, PodUid, Arc<Pod>, Arc<Needs>)> = vec![];
        for (seat, pod) in newcomers.filter_map(|seat| Some((seat, seat.pod.as_ref()?))) {
            let vacancies = kept.batches.iter().enumerate();
            let found = { vacancies }.find_map(|(at, batch)| Some((at, batch.place_for(seat, &taken)?)));
            if let Some((at, phantom)) = found {
                taken.insert(phantom.clone());
                admitted.push((at, phantom, Arc::clone(pod), Arc::clone(&seat.needs)));
            }
        }
        for (at, phantom, pod, needs) in admitted {
            let batch = &mut kept.batches[at];
            let Some(mut place) = batch.places.remove(&phantom) else { continue };
            self.gang_of.remove(&phantom);
            cluster.release(&phantom);
            let fits = cluster.node(place.node.as_str()).map(|state| placement::check(&pod.demand, state));
            let set_aside = std::mem::take(&mut place.set_aside);
            let key_for = |open: &OpenClaim| {
                let key = set_aside.get(&open.alias)?;
                self.claims.is_set_aside_for(key, &open.claim).then(|| key.clone())
            };
            let ours = || needs.open.iter().filter(|open| open.is_ours);
            let devices: Option<Vec<ClaimKey>> = ours().map(key_for).collect();
            if let (Some(Ok(_)), Some(devices)) = (fits, devices) {
                for (open, key) in ours().zip(devices) {
                    self.claims.hand_over(&key, &open.claim);
                    batch.claims.push(open.claim.key.clone());
                }
                cluster.hold(&pod.uid, Holding::of(&pod, &place.node), Standing::Planned);
                self.gang_of.insert(pod.uid.clone(), key.clone());
                batch.until_ms = batch.until_ms.max(now_ms + policy.gangs.bind_window_ms);
                let (uid, message_before) = (pod.uid.clone(), pod.steering.unscheduled.clone());
                batch.places.insert(uid, Place { pod: Some(pod), message_before, ..place });
            }
            // It has its own by now, or gets other ones.
            self.claims.free(set_aside.values());
        }
    }
}
