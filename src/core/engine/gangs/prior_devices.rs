//! Devices that members had before their plan, as from an earlier leader: no order of ours is about them.

use super::Kept;
use super::roster::{Roster, Seat};
use crate::claims::ClaimKey;
use crate::engine::claims::ClaimKeeper;
use crate::model::pod::PodUid;

impl Kept {
    /// A claim that has lost the devices on which a place rests.
    pub(super) fn robbed(&self, claims: &ClaimKeeper) -> Option<&ClaimKey> {
        let batches = || self.batches.iter().filter(|batch| !batch.is_going());
        let is_kept = |seat: &Seat| seat.uid().is_some_and(|uid| batches().any(|batch| batch.places.contains_key(uid)));
        let seats =
            self.roster.iter().flat_map(Roster::all).filter(|seat| !seat.needs.open.is_empty() && is_kept(seat));
        let ours = seats.flat_map(|seat| &seat.needs.open).filter(|open| open.is_ours).map(|open| &open.claim.key);
        { ours }.find(|key| !claims.has_devices(key))
    }

    /// Members that have such devices and no place. Until it is known whether the gang can be placed around them, nothing
    /// can be said to them.
    pub(super) fn found_with_devices(&self) -> impl Iterator<Item = &PodUid> {
        let seats = self.roster.iter().flat_map(Roster::all).filter(|seat| seat.node.is_none());
        { seats }.filter(|seat| !seat.needs.within.is_empty() && !self.has_place(seat)).filter_map(Seat::uid)
    }
}
