//! kube-scheduler's own strategies of `NodeResourcesFit`, over CPU, memory and accelerators with equal weights
//! (`pkg/scheduler/framework/plugins/noderesources`): the share of each that is free, or used, once the pod is there.

use super::super::occupancy::Place;
use super::Scorer;

/// `LeastAllocated`, the default: it spreads.
pub struct LeastAllocated;

/// `MostAllocated`: it packs.
pub struct MostAllocated;

impl Scorer for LeastAllocated {
    fn score(&self, place: &Place<'_>) -> i64 {
        average(place, |used, capacity| (capacity - used) * 100 / capacity)
    }
}

impl Scorer for MostAllocated {
    fn score(&self, place: &Place<'_>) -> i64 {
        average(place, |used, capacity| used * 100 / capacity)
    }
}

/// A resource that the pod does not ask for counts only where it is CPU or memory, as with kube-scheduler.
fn average(place: &Place<'_>, score: impl Fn(i64, i64) -> i64) -> i64 {
    let (kind, machine, free) = (place.kind, place.machine, place.free);
    let gpu = place.gpu();
    let gpus = (gpu.total(), free.gpu_total(), machine.gpus as i64 * super::super::openb::WHOLE_GPU);
    let slices = kind
        .gpu_as
        .filter(|_| gpu.count == 0)
        .map(|number| (kind.gpu.count as i64, free.counts[number], machine.counts[number]));
    let plain = [(kind.cpu, free.cpu, machine.cpu), (kind.memory, free.memory, machine.memory)];
    let asked = [Some(gpus).filter(|_| gpu.count > 0), slices];
    let all = plain.into_iter().chain(asked.into_iter().flatten()).filter(|(_, _, capacity)| *capacity > 0);
    let scores: Vec<i64> = all.map(|(asks, free, capacity)| score(capacity - free + asks, capacity)).collect();
    scores.iter().sum::<i64>() / (scores.len() as i64).max(1)
}
