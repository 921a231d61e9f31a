//! Claims that kube-scheduler makes for pods that ask for devices by resource: by an extended resource of a DeviceClass, or by
//! the name of the class.

use std::collections::{BTreeMap, BTreeSet};

use super::ClaimKeeper;
use crate::claims::{ClaimKey, SeenClaim};
use crate::model::pod::{Pod, PodUid};
use crate::model::quota::Amounts;

/// Which pods ask so, and the claims that were made for them.
#[derive(Debug, Clone, Default)]
pub(super) struct ByResource {
    /// The claims that have been made, as the status of their pods names them; and what these ask for by resource.
    made: BTreeMap<ClaimKey, (PodUid, Amounts)>,
    /// Pods that ask for devices by the name of their class.
    by_class: BTreeSet<PodUid>,
}

impl ByResource {
    /// A pod was replaced by what it is now. Says of which claims something else is known.
    fn see(&mut self, former: Option<&Pod>, pod: Option<&Pod>) -> Vec<ClaimKey> {
        if let Some(former) = former {
            self.by_class.remove(&former.uid);
        }
        self.by_class.extend(pod.filter(|pod| pod.demand.asks_by_class()).map(|pod| pod.uid.clone()));
        let (before, now) = (former.and_then(made_for), pod.and_then(made_for));
        if before == now {
            return vec![];
        }
        let keys = before.iter().chain(&now).map(|(key, _)| key.clone()).collect();
        if let Some((key, _)) = &before {
            self.made.remove(key);
        }
        self.made.extend(now);
        keys
    }

    /// All pods but these are gone.
    pub fn retain(&mut self, listed: &BTreeSet<PodUid>) {
        self.made.retain(|_, (pod, _)| listed.contains(pod));
        self.by_class.retain(|pod| listed.contains(pod));
    }

    /// Does any pod ask for devices by the name of their class?
    pub fn is_asked_by_class(&self) -> bool {
        !self.by_class.is_empty()
    }
}

impl ClaimKeeper {
    /// A pod was replaced by what it is now; either can be nothing.
    pub(super) fn see_by_resource(&mut self, former: Option<&Pod>, pod: Option<&Pod>) {
        let keys = self.by_resource.see(former, pod);
        // What the claims have is in use by the pod's request now, or is not any more.
        let pools = keys.iter().filter_map(|key| self.claims.get(key)).flat_map(SeenClaim::holdings);
        self.uncounted.extend(pools.map(|holding| holding.device.pool.clone()));
    }

    /// What the pod asks for by resource for which kube-scheduler has made a claim. Both have to say so: a claim's annotations
    /// and owners are for anybody to write.
    pub(super) fn asked_by_pod(&self, key: &ClaimKey, seen: &SeenClaim) -> Option<&Amounts> {
        let (pod, amounts) = self.by_resource.made.get(key)?;
        (seen.made_for.as_ref() == Some(pod)).then_some(amounts)
    }
}

/// The claim that was made for a pod, with the pod and what it asks for by resource.
fn made_for(pod: &Pod) -> Option<(ClaimKey, (PodUid, Amounts))> {
    let key = ClaimKey { namespace: pod.key.namespace.as_str().into(), name: pod.claim_made.clone()? };
    Some((key, (pod.uid.clone(), Amounts::of(&pod.demand))))
}
