//! BestFit (`best_fit_score.go`): the least left over, CPU and GPU alike.

use super::super::occupancy::Place;
use super::{LARGEST, Scorer};

/// See the module.
pub struct BestFit;

impl Scorer for BestFit {
    fn score(&self, place: &Place<'_>) -> i64 {
        let cpu = (place.free.cpu - place.kind.cpu) as f64 / LARGEST.0;
        let gpu = (place.free.gpu_total() - place.gpu().total()) as f64 / LARGEST.1;
        ((1.0 - (0.5 * cpu + 0.5 * gpu)) * 100.0) as i64
    }
}
