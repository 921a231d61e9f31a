//! GpuPacking (`gpu_packing_score.go`; after Weng et al., "MLaaS in the wild", NSDI'22): first GPUs that are shared
//! already, then idle GPUs of nodes in use, then idle nodes.

use super::super::occupancy::Place;
use super::super::openb::WHOLE_GPU;
use super::Scorer;

/// See the module.
pub struct GpuPacking;

impl Scorer for GpuPacking {
    fn score(&self, place: &Place<'_>) -> i64 {
        if place.gpu().count == 0 {
            return 0;
        }
        let free = &place.free.gpus;
        let idle = free.iter().filter(|free| **free == WHOLE_GPU).count();
        if idle == free.len() {
            return (100 / 3 - idle as i64).max(idle as i64);
        }
        let chosen = place.tightest_gpus();
        let idle_used = chosen.iter().filter(|at| free[**at] == WHOLE_GPU).count() as i64;
        if idle_used > 0 {
            return (100 / 2 - idle_used).max(100 / 3);
        }
        let left: i64 = chosen.iter().map(|at| free[*at] * 100 / WHOLE_GPU).sum();
        (100 - left / 10).max(100 / 2)
    }
}
