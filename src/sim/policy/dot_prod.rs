//! DotProd (`dot_product_score.go`, dimensions merged, scaled by the largest machine; after Grandl et al., "Multi-resource
//! packing for cluster schedulers", SIGCOMM'14, turned round): the smaller the product of free and asked, the better.

use super::super::occupancy::Place;
use super::{LARGEST, Scorer};

/// See the module.
pub struct DotProd;

impl Scorer for DotProd {
    fn score(&self, place: &Place<'_>) -> i64 {
        let cpu = (place.free.cpu as f64 / LARGEST.0) * (place.kind.cpu as f64 / LARGEST.0);
        let gpu = (place.free.gpu_total() as f64 / LARGEST.1) * (place.gpu().total() as f64 / LARGEST.1);
        (100.0 * (1.0 - (cpu + gpu) / 2.0)) as i64
    }
}
