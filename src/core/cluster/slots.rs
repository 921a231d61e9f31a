//! The states of the nodes, in pages that the cluster and its snapshots share: taking a snapshot copies a pointer for each
//! page, not for each node, and who looks for changes skips pages without any.

use std::ops::Index;
use std::sync::Arc;

use super::NodeState;

/// Where in the snapshot's arrays a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

impl Slot {
    /// The slot of an index.
    pub fn at(index: usize) -> Self {
        Self(u32::try_from(index).expect("a cluster has fewer than four billion nodes"))
    }

    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The nodes, by slot; a slot can be free.
#[derive(Debug, Clone, Default)]
pub struct Slots {
    pages: Vec<Arc<Page>>,
    len: usize,
}

/// Slots of a page. A change copies one page: pointers to nodes, and their stamps.
const PAGE: usize = 64;

#[derive(Debug, Clone, Default)]
struct Page {
    states: Vec<Option<Arc<NodeState>>>,
    /// The generation in which each slot last changed.
    stamps: Vec<u64>,
    /// The newest of them.
    newest: u64,
}

impl Slots {
    /// How many slots there are, free ones too.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All slots, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Option<Arc<NodeState>>> {
        self.pages.iter().flat_map(|page| &page.states)
    }

    /// The nodes that have changed after a generation, with the generation in which they last did.
    pub fn changed_after(&self, generation: u64) -> impl Iterator<Item = (Slot, u64, &Arc<NodeState>)> {
        self.touched_after(generation).filter_map(|(slot, stamp, state)| Some((slot, stamp, state?)))
    }

    /// The same with slots that have become free.
    pub fn touched_after(&self, generation: u64) -> impl Iterator<Item = (Slot, u64, Option<&Arc<NodeState>>)> {
        let pages = self.pages.iter().enumerate().filter(move |(_, page)| page.newest > generation);
        pages.flat_map(move |(number, page)| {
            let slots = page.stamps.iter().zip(&page.states).enumerate();
            let touched = slots.filter(move |(_, (stamp, _))| **stamp > generation);
            touched.map(move |(at, (stamp, state))| (Slot::at(number * PAGE + at), *stamp, state.as_ref()))
        })
    }

    /// Adds a free slot at the end.
    pub(super) fn push(&mut self) -> Slot {
        if self.len.is_multiple_of(PAGE) {
            self.pages.push(Arc::default());
        }
        let page = Arc::make_mut(self.pages.last_mut().expect("there is a page"));
        page.states.push(None);
        page.stamps.push(0);
        self.len += 1;
        Slot::at(self.len - 1)
    }

    /// What is in a slot, to be changed in this generation.
    pub(super) fn change(&mut self, slot: Slot, generation: u64) -> &mut Option<Arc<NodeState>> {
        let page = Arc::make_mut(&mut self.pages[slot.index() / PAGE]);
        let at = slot.index() % PAGE;
        page.stamps[at] = generation;
        page.newest = page.newest.max(generation);
        &mut page.states[at]
    }

    /// Puts another state of the same node into a slot, to see what would be if.
    pub fn suppose(&mut self, slot: Slot, state: Arc<NodeState>) {
        let page = Arc::make_mut(&mut self.pages[slot.index() / PAGE]);
        page.states[slot.index() % PAGE] = Some(state);
    }
}

impl Index<usize> for Slots {
    type Output = Option<Arc<NodeState>>;
    fn index(&self, index: usize) -> &Self::Output {
        &self.pages[index / PAGE].states[index % PAGE]
    }
}

impl Index<Slot> for Slots {
    type Output = Option<Arc<NodeState>>;
    fn index(&self, slot: Slot) -> &Self::Output {
        &self[slot.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node;

    #[test]
    fn a_copy_stays_as_it_was_and_shares_what_has_not_changed() {
        let mut slots = Slots::default();
        for at in 0..3 * PAGE {
            let slot = slots.push();
            *slots.change(slot, at as u64 + 1) = Some(Arc::new(NodeState::idle(node(&format!("n{at}")).build())));
        }
        let before = slots.clone();
        *slots.change(Slot::at(PAGE + 3), 1_000) = None;
        assert!(before[PAGE + 3].is_some() && slots[PAGE + 3].is_none());
        let shared = before.pages.iter().zip(&slots.pages).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!((shared, slots.len(), slots.iter().flatten().count()), (2, 3 * PAGE, 3 * PAGE - 1));
    }

    #[test]
    fn what_has_changed_is_found() {
        let mut slots = Slots::default();
        for at in 0..2 * PAGE {
            let slot = slots.push();
            *slots.change(slot, 1) = Some(Arc::new(NodeState::idle(node(&format!("n{at}")).build())));
        }
        slots.push();
        for (at, generation) in [(5, 7), (PAGE, 9)] {
            slots.change(Slot::at(at), generation);
        }
        let after = |generation| slots.changed_after(generation).map(|(s, g, _)| (s.index(), g)).collect::<Vec<_>>();
        assert_eq!(after(1), [(5, 7), (PAGE, 9)]);
        assert_eq!(after(7), [(PAGE, 9)]);
        assert_eq!(after(9), []);
        assert_eq!(after(0).len(), 2 * PAGE, "a free slot is no node");
        *slots.change(Slot::at(5), 11) = None;
        assert_eq!(slots.changed_after(9).count(), 0);
        let touched: Vec<_> = slots.touched_after(9).map(|(s, g, state)| (s.index(), g, state.is_some())).collect();
        assert_eq!(touched, [(5, 11, false)], "one that has become free has changed");
    }
}
