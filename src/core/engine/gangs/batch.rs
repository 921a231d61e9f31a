//! Members that were given places in one step, and are bound in one step.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::roster::Seat;
use crate::claims::ClaimKey;
use crate::cluster::Cluster;
use crate::engine::claims::{ClaimKeeper, key_of};
use crate::model::gang::Role;
use crate::model::node::NodeName;
use crate::model::pod::{Pod, PodUid};

/// A place that is kept for a member.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Where.
    pub node: NodeName,
    /// The role of the member.
    pub role: Role,
    /// The part of the role.
    pub part: Option<u32>,
    /// Its number in the role, or in the part.
    pub index: Option<u32>,
    /// The member; none while it is yet to be made.
    pub pod: Option<Arc<Pod>>,
    /// The state of the node for which the place was last found to do, see [`NodeState::stamp`](crate::cluster::NodeState).
    pub checked: Option<u64>,
    /// kube-scheduler has brought it to bind: its own filters have nothing against the node.
    pub has_arrived: bool,
    /// It was to be bound with the others, and is not, as far as is known.
    pub is_left_behind: bool,
    /// The place was shown on the pod ahead, while devices are given.
    pub is_nominated: bool,
    /// When the scheduler was last pointed to the place, in the engine's milliseconds.
    pub steered_ms: Option<u64>,
    /// How often it was.
    pub steered: u32,
    /// The scheduler may have refused it.
    pub suspicion: Option<Suspicion>,
    /// Devices that are kept for claims that are yet to be made, with the member or in place of those that are gone: under
    /// which key, by what the pod calls the claim.
    pub set_aside: BTreeMap<Box<str>, ClaimKey>,
    /// What the pod's condition said when it was first steered: what is said later is about the place.
    pub message_before: Option<Arc<str>>,
}

/// What the scheduler said of a pod after it had been pointed to its place. An attempt may have begun before that, with an
/// older view of the cluster: so it is pointed there once more, and only then the place counts as refused.
#[derive(Debug, Clone)]
pub(super) struct Suspicion {
    /// The message.
    pub message: Arc<str>,
    /// The scheduler was pointed to the place again since.
    pub is_checked: bool,
}

impl Suspicion {
    /// The first time.
    pub fn new(message: Arc<str>) -> Self {
        Self { message, is_checked: false }
    }
}

/// Members that were given places in one step.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// Names the plan on the pods.
    pub id: Arc<str>,
    /// When the places were found, in the engine's milliseconds.
    pub made_ms: u64,
    /// When places of members that exist are given up, in the engine's milliseconds.
    pub until_ms: u64,
    /// When places of members that do not exist yet are given up.
    pub phantoms_until_ms: u64,
    /// The places, by the unique id of the pod, or by [`phantom_uid`].
    pub places: BTreeMap<PodUid, Place>,
    /// Who has to go first, and until when they may take.
    pub clearing: Option<Clearing>,
    /// Claims that are given devices for it.
    pub claims: Vec<ClaimKey>,
    /// Claims that are being given devices for others, and that members of it use, too.
    pub shared_claims: Vec<ClaimKey>,
    /// Since when members are bound as they come, in the engine's milliseconds, and none is taken back: all that exist were at
    /// bind together, or the gang had started before. None while they wait for each other.
    pub going_since_ms: Option<u64>,
}

/// Pods that make way for a batch.
#[derive(Debug, Clone)]
pub(super) struct Clearing {
    /// Those that are still there, and when their eviction was last asked for.
    pub victims: BTreeMap<PodUid, Option<u64>>,
    /// When the batch is given up, in the engine's milliseconds.
    pub until_ms: u64,
}

/// How much later than its grace period says a pod may have ended, in milliseconds.
const OVERTIME_MS: u64 = 60_000;

impl Clearing {
    /// Is it in vain to wait longer? Those that are ending have their grace period, but no longer than until `latest_ms`: pods
    /// may take long to end, and others that were evicted instead would go for nothing.
    pub fn is_over(&self, cluster: &Cluster, latest_ms: u64, now_ms: u64) -> bool {
        let ends_ms = |uid: &PodUid| u64::try_from(cluster.pod(uid)?.ends_s?).ok()?.checked_mul(1000);
        let is_ending = |uid: &PodUid| ends_ms(uid).is_some_and(|ends_ms| now_ms < ends_ms.saturating_add(OVERTIME_MS));
        let is_late = now_ms >= self.until_ms;
        is_late && (now_ms >= latest_ms || !self.victims.keys().all(is_ending))
    }
}

impl Place {
    /// What its member calls this claim, if it uses it.
    pub fn alias_of(&self, key: &ClaimKey) -> Option<&str> {
        let pod = self.pod.as_ref()?;
        let claim = pod.claims.iter().find(|claim| key_of(pod, claim).as_ref() == Some(key))?;
        Some(&claim.alias)
    }

    /// Does its member use this claim, or what is set aside under this key?
    pub fn rests_on(&self, key: &ClaimKey) -> bool {
        self.alias_of(key).is_some() || self.set_aside.values().any(|aside| aside == key)
    }
}

/// Under which id the place of a member that does not exist yet is kept. No pod has it: ids of pods have no colon.
pub(super) fn phantom_uid(batch: &str, seat: usize) -> PodUid {
    PodUid::from(format!("phantom:{batch}:{seat}").as_str())
}

impl Batch {
    /// The pods that are still to make way.
    pub fn victims(&self) -> impl Iterator<Item = &PodUid> {
        self.clearing.iter().flat_map(|clearing| clearing.victims.keys())
    }

    /// All claims that must have devices before anybody of it is pointed anywhere.
    pub fn awaited_claims(&self) -> impl Iterator<Item = &ClaimKey> + Clone {
        let members = self.places.values().filter(|place| place.pod.is_some());
        self.claims.iter().chain(&self.shared_claims).chain(members.flat_map(|place| place.set_aside.values()))
    }

    /// Claims on which it rests that have no devices any more, and are given none.
    pub fn lost_claims(&self, claims: &ClaimKeeper) -> Vec<ClaimKey> {
        self.awaited_claims().filter(|key| !claims.has_devices(key)).cloned().collect()
    }

    /// Its members, while claims are being given devices; with the node of each, if the devices can be used on no other.
    pub fn unsettled(&self, claims: &ClaimKeeper) -> impl Iterator<Item = (PodUid, Option<NodeName>)> {
        let is_local = claims.are_local(self.awaited_claims());
        self.places.iter().map(move |(uid, place)| (uid.clone(), is_local.then(|| place.node.clone())))
    }

    /// Under which keys devices are kept for claims that are yet to be made.
    pub fn set_aside(&self) -> impl Iterator<Item = &ClaimKey> {
        self.places.values().flat_map(|place| place.set_aside.values())
    }

    /// Are members bound as they come?
    pub fn is_going(&self) -> bool {
        self.going_since_ms.is_some()
    }

    /// Are all members that exist at bind?
    pub fn is_complete(&self) -> bool {
        self.places.values().all(|place| place.pod.is_none() || place.has_arrived)
    }

    /// The place that is kept for a member like this one, which has just been made: of its role and number, or else of its
    /// role, or else any; not one of those that are `taken`.
    pub fn place_for(&self, seat: &Seat, taken: &BTreeSet<PodUid>) -> Option<PodUid> {
        let vacant = self.places.iter().filter(|(uid, place)| place.pod.is_none() && !taken.contains(uid));
        let likeness = |place: &Place| {
            let same_number = seat.index.is_some() && (place.part, place.index) == (seat.part, seat.index);
            (same_number, place.role == seat.role)
        };
        let best = vacant.max_by_key(|(uid, place)| (likeness(place), Reverse((*uid).clone())));
        best.map(|(uid, _)| uid.clone())
    }
}
