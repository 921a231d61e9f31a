//! kube-scheduler's own filters: room, nodes that are closed, claims; and some node that is refused now and then, as by a
//! volume or a port.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use super::{Room, Scheduler};
use crate::api::store::Kind;
use crate::facts::{Amounts, Claim, Counter, Device, Devices, Pod, Published};

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum No {
    /// It is full.
    Room(&'static str),
    /// It is closed, or has something against the pod.
    Other(&'static str),
    /// Claims of the pod cannot be had there.
    Claims(&'static str),
}

impl No {
    pub fn text(self) -> &'static str {
        match self {
            Self::Room(text) | Self::Other(text) | Self::Claims(text) => text,
        }
    }

    /// Could it be helped by evicting others?
    pub fn is_curable(self) -> bool {
        matches!(self, Self::Room(_))
    }
}

impl Scheduler {
    /// May the pod go there, beside these and those who are nominated?
    pub(super) fn admits(&self, pod: &Pod, room: &Room, claims: &Result<Vec<Claim>, No>) -> Result<(), No> {
        if room.node.closed {
            return Err(No::Other("node(s) were unschedulable"));
        }
        if self.refusing.contains_key(&room.node.name) && coin(&pod.uid, &room.node.name) {
            return Err(No::Other("node(s) had volume node affinity conflict"));
        }
        self.fits(pod, room)?;
        let claims = claims.as_ref().map_err(|no| *no)?;
        for claim in claims {
            match (&claim.devices, &claim.node) {
                (Some(_), Some(node)) if *node != room.node.name => {
                    return Err(No::Claims("resourceclaim not available on the node"));
                }
                (None, _) if self.first_free(claim, &room.node.name).is_none() => {
                    return Err(No::Claims("cannot allocate all claims"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn fits(&self, pod: &Pod, room: &Room) -> Result<(), No> {
        let nominated = self.waiting.values().map(|waiting| &waiting.pod).filter(|other| {
            other.nominated.as_ref() == Some(&room.node.name)
                && other.uid != pod.uid
                && other.priority >= pod.priority
                && !self.assumed.contains_key(&other.uid)
        });
        let used: Amounts =
            room.pods.iter().filter(|other| other.uid != pod.uid).chain(nominated).map(|p| p.asks).sum();
        let free = room.node.has - used;
        if free.pods < pod.asks.pods {
            Err(No::Room("Too many pods"))
        } else if free.cpu < pod.asks.cpu {
            Err(No::Room("Insufficient cpu"))
        } else if pod.asks.gpus > 0 && free.gpus < pod.asks.gpus {
            Err(No::Room("Insufficient nvidia.com/gpu"))
        } else {
            Ok(())
        }
    }

    /// The claims of a pod, as they are seen.
    pub(super) fn claims_of(&self, pod: &Pod) -> Result<Vec<Claim>, No> {
        let mut claims = vec![];
        for name in &pod.claims {
            let name = name.as_ref().ok_or(No::Claims("waiting for resource claims to be created"))?;
            let key = crate::api::store::Key::new(&pod.key.namespace, name);
            let claim = self.view.get(Kind::Claim, &key).ok_or(No::Claims("resourceclaim not found"))?;
            let mut claim = claim.claim().clone();
            if claim.leaving {
                return Err(No::Claims("resourceclaim is being deleted"));
            }
            if let (None, Some((devices, node))) = (&claim.devices, self.given.get(&key)) {
                (claim.devices, claim.node) = (Some(devices.clone()), Some(node.clone()));
            }
            claims.push(claim);
        }
        Ok(claims)
    }

    /// The devices that the in-tree allocator would give a claim on a node: the first that nobody has, and of whose counters
    /// enough is left. It does not look for others where these will not do together.
    pub(super) fn first_free(&self, claim: &Claim, node: &str) -> Option<Vec<Device>> {
        let all = Devices::read(self.view.all(Kind::Slice).map(|(_, slice)| &***slice));
        let seen = self.view.all(Kind::Claim).filter_map(|(_, claim)| claim.claim().devices.as_ref());
        let mut taken: BTreeSet<&Device> =
            seen.chain(self.given.values().map(|(devices, _)| devices)).flatten().collect();
        let mut left = all.counters.clone();
        let draw = |left: &mut BTreeMap<Counter, i64>, device: &Published| {
            device.draws.iter().for_each(|(counter, amount)| *left.entry(counter.clone()).or_default() -= amount);
        };
        taken.iter().filter_map(|device| all.devices.get(*device)).for_each(|device| draw(&mut left, device));
        let mut given = vec![];
        for (class, count) in &claim.asks {
            for _ in 0..*count {
                let is_left = |(counter, amount): &(Counter, i64)| left.get(counter).is_some_and(|left| left >= amount);
                let (device, published) = all.devices.iter().find(|(device, it)| {
                    it.node == node && it.kind == *class && !taken.contains(*device) && it.draws.iter().all(is_left)
                })?;
                draw(&mut left, published);
                taken.insert(device);
                given.push(device.clone());
            }
        }
        Some(given)
    }
}

/// Half of all pods, others on each node.
fn coin(uid: &str, node: &str) -> bool {
    // The hasher of this name is the same in every process.
    let mut hasher = std::hash::DefaultHasher::new();
    (uid, node).hash(&mut hasher);
    hasher.finish().is_multiple_of(2)
}
