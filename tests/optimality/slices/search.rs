//! The optimum by trying every placement of every arrival, for tiny instances. What is allowed is asked of the checker.

use testudo_core::model::mig::MigGeometry;

use super::instance::{Instance, Seat};

/// The most memory slices that can be placed.
pub fn most(instance: &Instance, geometry: &MigGeometry) -> i64 {
    try_from(instance, geometry, &mut vec![None; instance.arrivals.len()], 0).expect("placing nothing is allowed")
}

/// The most that can be placed with the first arrivals where they are; none when they must not be there.
fn try_from(instance: &Instance, geometry: &MigGeometry, seats: &mut [Option<Seat>], at: usize) -> Option<i64> {
    let placed = instance.check(seats, geometry).ok()?;
    let Some(id) = instance.arrivals.get(at) else { return Some(placed) };
    let mut most = try_from(instance, geometry, seats, at + 1)?;
    // GPUs are alike: of those that are empty, the first will do.
    let used = seats.iter().flatten().map(|seat| seat.gpu + 1).max().unwrap_or(0);
    for gpu in 0..instance.gpus.min(used + 1) {
        for start in &geometry.profile(*id).starts {
            seats[at] = Some(Seat { gpu, start: *start });
            most = try_from(instance, geometry, seats, at + 1).map_or(most, |found| most.max(found));
        }
    }
    seats[at] = None;
    Some(most)
}
