//! Minimum fragmentation increment (Zambianco, Fasol, Doriguzzi-Corin, arXiv 2511.18906).

use testudo_core::model::mig::{LayoutId, LayoutTable, ProfileId, Variant};

use super::Policy;
use crate::sim::mig::fleet::{Choice, Fleet};
use crate::sim::rng::Rng;

/// Places where the fragmentation score of the GPU grows least. The score of a GPU adds, for each profile that has no
/// more slices than are free, its size for each of its placements that overlaps what is taken. It knows no mix. As in
/// the paper, variants with media or graphics engines do not count: they would weigh their size twice.
pub(super) struct Mfi {
    score: Vec<i32>,
}

impl Mfi {
    pub(super) fn new(table: &LayoutTable) -> Mfi {
        Mfi { score: table.ids().map(|id| score(table, id)).collect() }
    }
}

fn score(table: &LayoutTable, id: LayoutId) -> i32 {
    let taken = table.occupancy(id);
    let counted = table.geometry().profiles().filter(|(_, profile)| {
        matches!(profile.kind.variant, Variant::Plain | Variant::DoubleMemory)
            && u32::from(profile.size) <= table.free(id)
    });
    let placements = counted.flat_map(|(profile, _)| table.geometry().placements_of(profile));
    placements.filter(|placement| placement.slices().overlaps(taken)).map(|placement| i32::from(placement.size())).sum()
}

impl Policy for Mfi {
    fn place(&mut self, fleet: &Fleet, profile: ProfileId, _: &mut Rng) -> Option<Choice> {
        fleet.cheapest(profile, |from, step| self.score[step.to.index()] - self.score[from.index()])
    }
}
