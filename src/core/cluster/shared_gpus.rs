//! How much of each shareable GPU of a node is free.

use crate::model::fabric::{DeviceSet, Fabric};
use crate::model::gpu_share::{MAX_SHARED_GPUS, ShareRequest, WHOLE};

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

    /// The GPUs that a request is best given. A part goes where it leaves least, of equals to the first; whole GPUs are
    /// the set that the fabric connects best, where there is one.
    pub fn choose(&self, request: ShareRequest, fabric: Option<&Fabric>) -> Option<DeviceSet> {
        let enough = |(_, free): &(usize, &i32)| **free >= request.of_each().into();
        let candidates = self.free.iter().enumerate().filter(enough);
        match request {
            ShareRequest::Part(_) => {
                let (index, _) = candidates.min_by_key(|(index, free)| (**free, *index))?;
                Some(DeviceSet::EMPTY.with(index))
            }
            ShareRequest::Whole(count) => {
                let free = candidates.fold(DeviceSet::EMPTY, |set, (index, _)| set.with(index));
                let known = fabric.filter(|fabric| fabric.len() == self.free.len());
                let best = known.and_then(|fabric| fabric.best_subset(free, count.into()));
                // Where the fabric wants contiguous sets and none is free, any will have to do.
                best.map(|(set, _)| set).or_else(|| free.subsets(count.into()).next())
            }
        }
    }

    /// The GPUs with most free, whether a request fits there or not.
    pub(super) fn emptiest(&self, request: ShareRequest) -> DeviceSet {
        let mut gpus: Vec<(i32, usize)> = self.free.iter().enumerate().map(|(index, free)| (-free, index)).collect();
        gpus.sort_unstable();
        gpus.into_iter().take(request.gpus()).fold(DeviceSet::EMPTY, |set, (_, index)| set.with(index))
    }

    pub(super) fn take(&mut self, request: ShareRequest, gpus: DeviceSet) {
        self.shift(gpus, -i32::from(request.of_each()));
    }

    pub(super) fn give_back(&mut self, request: ShareRequest, gpus: DeviceSet) {
        self.shift(gpus, request.of_each().into());
    }

    fn shift(&mut self, gpus: DeviceSet, by: i32) {
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
    use crate::model::fabric::{Bandwidth, NvLinkPair, Slots};

    fn gpus(indices: &[usize]) -> DeviceSet {
        indices.iter().fold(DeviceSet::EMPTY, |set, index| set.with(*index))
    }

    #[test]
    fn a_part_goes_where_it_leaves_least() {
        let mut shared = SharedGpus::idle(3);
        let part = ShareRequest::Part;
        shared.take(part(600), gpus(&[1]));
        shared.take(part(500), gpus(&[2]));
        assert_eq!(shared.free(), [1000, 400, 500]);
        let choice = |request| shared.choose(request, None);
        assert_eq!(choice(part(300)), Some(gpus(&[1])));
        assert_eq!(choice(part(450)), Some(gpus(&[2])));
        assert_eq!(choice(part(501)), Some(gpus(&[0])));
        assert_eq!(choice(ShareRequest::Whole(1)), Some(gpus(&[0])));
        assert_eq!(choice(ShareRequest::Whole(2)), None);
        assert!(shared.fits(ShareRequest::Whole(1)) && !shared.fits(ShareRequest::Whole(2)));
        shared.give_back(part(600), gpus(&[1]));
        assert_eq!(shared.choose(ShareRequest::Whole(2), None), Some(gpus(&[0, 1])));
    }

    #[test]
    fn whole_gpus_are_the_best_connected_ones() {
        // Bridges connect 0 with 2 and 1 with 3.
        let pair = |a, b| NvLinkPair { a, b, links: 12 };
        let bridged = Fabric::nvlink(Slots::new(4).unwrap(), &[pair(0, 2), pair(1, 3)], Bandwidth(50)).unwrap();
        let mut shared = SharedGpus::idle(4);
        assert_eq!(shared.choose(ShareRequest::Whole(2), Some(&bridged)), Some(gpus(&[0, 2])));
        shared.take(ShareRequest::Part(100), gpus(&[2]));
        assert_eq!(shared.choose(ShareRequest::Whole(2), Some(&bridged)), Some(gpus(&[1, 3])));
        assert_eq!(shared.choose(ShareRequest::Whole(2), None), Some(gpus(&[0, 1])), "no fabric known");
    }

    #[test]
    fn gpus_that_the_node_does_not_have_are_passed_over() {
        let mut shared = SharedGpus::idle(1);
        shared.take(ShareRequest::Part(700), gpus(&[0]));
        shared.take(ShareRequest::Part(700), gpus(&[0, 9]));
        assert_eq!(shared.free(), [-400]);
        assert!(!shared.fits(ShareRequest::Part(1)));
    }
}
