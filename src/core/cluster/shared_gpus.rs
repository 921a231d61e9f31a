//! How much of each shareable GPU of a node is free.

use crate::model::gpu_share::{GpuIndices, MAX_SHARED_GPUS, ShareRequest, WHOLE};

/// The free thousandths of each GPU. Below zero where what pods say they hold contradicts what the node has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SharedGpus {
    free: Vec<i32>,
}

impl SharedGpus {
    /// So many GPUs that nobody uses.
    pub(super) fn idle(gpus: usize) -> Self {
        Self { free: vec![WHOLE.into(); gpus.min(MAX_SHARED_GPUS)] }
    }

    /// The free thousandths, by index of the GPU.
    pub fn free(&self) -> &[i32] {
        &self.free
    }

    /// Does a request fit?
    pub fn fits(&self, request: ShareRequest) -> bool {
        let enough = |free: &&i32| **free >= request.of_each().into();
        self.free.iter().filter(enough).count() >= request.gpus()
    }

    /// The GPUs that a request is best given: those that it leaves least of, of equals the first. Whole GPUs are as good
    /// as each other.
    pub fn choose(&self, request: ShareRequest) -> Option<GpuIndices> {
        let mut candidates: Vec<(i32, usize)> = self
            .free
            .iter()
            .enumerate()
            .filter(|(_, free)| **free >= request.of_each().into())
            .map(|(index, free)| (*free, index))
            .collect();
        candidates.sort_unstable();
        (candidates.len() >= request.gpus())
            .then(|| candidates[..request.gpus()].iter().map(|(_, index)| *index).collect())
    }

    /// The GPUs with most free, whether a request fits there or not.
    pub(super) fn emptiest(&self, request: ShareRequest) -> GpuIndices {
        let mut gpus: Vec<(i32, usize)> = self.free.iter().enumerate().map(|(index, free)| (-free, index)).collect();
        gpus.sort_unstable();
        gpus.into_iter().take(request.gpus()).map(|(_, index)| index).collect()
    }

    pub(super) fn take(&mut self, request: ShareRequest, gpus: &GpuIndices) {
        self.shift(gpus, -i32::from(request.of_each()));
    }

    pub(super) fn give_back(&mut self, request: ShareRequest, gpus: &GpuIndices) {
        self.shift(gpus, request.of_each().into());
    }

    fn shift(&mut self, gpus: &GpuIndices, by: i32) {
        for index in gpus.iter() {
            if let Some(free) = self.free.get_mut(index) {
                *free += by;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_goes_where_it_leaves_least() {
        let mut gpus = SharedGpus::idle(3);
        let part = ShareRequest::Part;
        gpus.take(part(600), &[1].into_iter().collect());
        gpus.take(part(500), &[2].into_iter().collect());
        assert_eq!(gpus.free(), [1000, 400, 500]);
        let choice = |request| gpus.choose(request).map(|chosen| chosen.to_string());
        assert_eq!(choice(part(300)).as_deref(), Some("1"));
        assert_eq!(choice(part(450)).as_deref(), Some("2"));
        assert_eq!(choice(part(501)).as_deref(), Some("0"));
        assert_eq!(choice(ShareRequest::Whole(1)).as_deref(), Some("0"));
        assert_eq!(choice(ShareRequest::Whole(2)), None);
        assert!(gpus.fits(ShareRequest::Whole(1)) && !gpus.fits(ShareRequest::Whole(2)));
        gpus.give_back(part(600), &[1].into_iter().collect());
        assert_eq!(gpus.choose(ShareRequest::Whole(2)).unwrap().to_string(), "0-1");
    }

    #[test]
    fn gpus_that_the_node_does_not_have_are_passed_over() {
        let mut gpus = SharedGpus::idle(1);
        gpus.take(ShareRequest::Part(700), &[0].into_iter().collect());
        gpus.take(ShareRequest::Part(700), &[0, 9].into_iter().collect());
        assert_eq!(gpus.free(), [-400]);
        assert!(!gpus.fits(ShareRequest::Part(1)));
    }
}
