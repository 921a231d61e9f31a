//! The GPUs of the experiment, each with its layout.

use std::sync::Arc;

use testudo_core::model::mig::{LayoutId, LayoutTable, Placement, ProfileId, Step};

/// A number of GPUs of one product.
#[derive(Clone, Debug)]
pub struct Fleet {
    table: Arc<LayoutTable>,
    gpus: Vec<LayoutId>,
    running: Vec<u32>,
    free: u32,
}

/// A place for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which GPU.
    pub gpu: usize,
    /// Where on it, and its layout then.
    pub step: Step,
}

impl Fleet {
    /// Empty GPUs.
    pub fn new(table: Arc<LayoutTable>, gpus: usize) -> Fleet {
        let free = u32::from(table.geometry().memory_slices()) * gpus as u32;
        let running = vec![0; table.geometry().profiles().len()];
        Fleet { table, gpus: vec![LayoutId::EMPTY; gpus], running, free }
    }

    /// The layouts that are possible.
    pub fn table(&self) -> &LayoutTable {
        &self.table
    }

    /// The layout of each GPU.
    pub fn gpus(&self) -> &[LayoutId] {
        &self.gpus
    }

    /// Instances of each profile that run, by [`ProfileId::index`].
    pub fn running(&self) -> &[u32] {
        &self.running
    }

    /// Memory slices that no instance has.
    pub fn free(&self) -> u32 {
        self.free
    }

    /// Where an instance of a profile can go, by GPU, then start; with the layout that the GPU has now.
    pub fn choices(&self, profile: ProfileId) -> impl Iterator<Item = (LayoutId, Choice)> {
        self.gpus.iter().enumerate().flat_map(move |(gpu, &from)| {
            self.table.arrivals_of(from, profile).iter().map(move |&step| (from, Choice { gpu, step }))
        })
    }

    /// The place with the lowest cost; among equals the first GPU, then the lowest start.
    pub fn cheapest<K: Ord>(&self, profile: ProfileId, cost: impl Fn(LayoutId, Step) -> K) -> Option<Choice> {
        self.choices(profile).min_by_key(|&(from, choice)| cost(from, choice.step)).map(|(_, choice)| choice)
    }

    /// Puts an instance there.
    pub(super) fn place(&mut self, choice: Choice) {
        let placement = choice.step.placement;
        debug_assert_eq!(self.table.with(self.gpus[choice.gpu], placement), Some(choice.step.to));
        self.gpus[choice.gpu] = choice.step.to;
        self.running[placement.profile().index()] += 1;
        self.free -= u32::from(placement.size());
    }

    /// Takes an instance away, which is there.
    pub(super) fn release(&mut self, gpu: usize, placement: Placement) {
        self.gpus[gpu] = self.table.without(self.gpus[gpu], placement).expect("it was placed there");
        self.running[placement.profile().index()] -= 1;
        self.free += u32::from(placement.size());
    }
}
