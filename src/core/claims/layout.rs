//! What a node can draw on, whatever is in use and whatever is asked for: its pools, their devices, and the counters that
//! these take, by small numbers. It changes only with the slices and with the node's labels, so it is kept.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::error::AllocationError;
use super::inventory::{CounterNo, DeviceNo, Inventory, Listing, Reach};
use super::nodes::Node;
use super::pools::{Pool, PoolState, pools};

/// What a node can draw on.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// No two that were ever made have the same number.
    pub number: u64,
    pub pools: Vec<Pool>,
    pub berths: Vec<Berth>,
    pub counters: Vec<CounterNo>,
    /// Of each device in turn: the counters that it takes, by their place among `counters`, and how much in billionths.
    draws: Vec<(usize, i128)>,
}

/// A device of a node.
#[derive(Debug, Clone)]
pub(super) struct Berth {
    pub listing: Listing,
    pub no: DeviceNo,
    /// Which of the node's pools it is in.
    pub pool: usize,
    draws: (usize, usize),
}

impl Layout {
    fn new(inventory: &Inventory, node: &Node, number: u64) -> Result<Layout, AllocationError> {
        let pools = pools(inventory, node)?;
        let mut layout = Layout { number, pools, berths: vec![], counters: vec![], draws: vec![] };
        let mut places: IndexMap<CounterNo, (), FxBuildHasher> = IndexMap::default();
        for (at, pool) in layout.pools.iter().enumerate() {
            let PoolState::Usable(listings) = &pool.state else { continue };
            layout.berths.reserve(listings.len());
            for &listing in listings {
                let first = layout.draws.len();
                let draws = inventory.draws(listing).iter();
                layout.draws.extend(draws.map(|draw| (places.insert_full(draw.counter, ()).0, draw.nanos)));
                let (no, draws) = (inventory.described(listing), (first, layout.draws.len()));
                layout.berths.push(Berth { listing, no, pool: at, draws });
            }
        }
        layout.counters.extend(places.into_keys());
        Ok(layout)
    }

    /// The counters that a device takes, by their place, and how much in billionths.
    pub fn draws(&self, berth: &Berth) -> &[(usize, i128)] {
        &self.draws[berth.draws.0..berth.draws.1]
    }
}

/// The layouts of nodes that were looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Layouts {
    known: IndexMap<Box<str>, Result<Layout, AllocationError>, FxBuildHasher>,
    made: u64,
}

impl Layouts {
    /// What a node can draw on.
    ///
    /// # Errors
    /// When a slice selects nodes in a way that is not understood.
    pub fn of(&mut self, inventory: &Inventory, node: &Node) -> Result<&Layout, AllocationError> {
        let at = match self.known.get_index_of(&node.name) {
            Some(at) => at,
            None => {
                self.made += 1;
                self.known.insert_full(node.name.clone(), Layout::new(inventory, node, self.made)).0
            }
        };
        self.known[at].as_ref().map_err(Clone::clone)
    }

    /// A pool is not what it was.
    pub fn forget(&mut self, reach: Reach) {
        match reach {
            Reach::Nowhere => {}
            Reach::Node(node) => _ = self.known.swap_remove(node),
            Reach::Everywhere => self.known.clear(),
        }
    }
}
