//! GpuClustering (`gpu_clustering_score.go`; after Xiao et al., "Gandiva", OSDI'18): requests of one sort (shares, one
//! GPU, two GPUs, ...) go together, among equal nodes to the fullest.

use super::super::occupancy::{Place, class};
use super::{LARGEST, Scorer};

/// See the module.
pub struct GpuClustering;

impl Scorer for GpuClustering {
    fn score(&self, place: &Place<'_>) -> i64 {
        let gpu = place.gpu();
        if gpu.count == 0 {
            return 0;
        }
        let tenants = &place.free.tenants;
        let quarter = match (tenants.contains_key(&class(gpu)), tenants.len()) {
            (true, 1) => 3,
            (true, _) => 2,
            (false, 0) => 1,
            (false, _) => 0,
        };
        let largest = LARGEST.1 as i64;
        25 * (largest - place.free.gpu_total()) / largest + 25 * quarter
    }
}
