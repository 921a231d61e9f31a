//! Rules that place instances as they come: ours, and two to compare it with.

use testudo_core::model::mig::{LayoutId, LayoutTable, ProfileId, Step};
use testudo_core::placement::slices::{SliceBook, SliceShapes};

use super::instance::{Instance, Seat};

/// What one product needs, made once.
pub struct Product {
    pub table: LayoutTable,
    book: SliceBook,
}

impl Product {
    /// A product of the catalogue.
    pub fn new(table: LayoutTable) -> Product {
        let book = SliceBook::new(SliceShapes::new(&table).expect("few enough layouts"));
        Product { table, book }
    }

    /// Our rule: where the GPU loses least value, of equals on the fullest; the mix is learned from what runs.
    pub fn testudo(&mut self, instance: &Instance) -> Vec<Option<Seat>> {
        let mut running = vec![0; self.table.geometry().profiles().len()];
        let mut fleet = Fleet::new(instance);
        let place = |id: &_| {
            let values = self.book.values(&running);
            let free = |from| self.table.free(from);
            let seat = fleet.place(&self.table, *id, |from, step| (values.cost(from, step.to), free(from)));
            running[id.index()] += u32::from(seat.is_some());
            seat
        };
        instance.arrivals.iter().map(place).collect()
    }

    /// The first GPU that fits, lowest start.
    pub fn first_fit(&self, instance: &Instance) -> Vec<Option<Seat>> {
        let mut fleet = Fleet::new(instance);
        instance.arrivals.iter().map(|id| fleet.place(&self.table, *id, |_, _| 0)).collect()
    }

    /// The fullest GPU that fits, lowest start.
    pub fn best_fit(&self, instance: &Instance) -> Vec<Option<Seat>> {
        let mut fleet = Fleet::new(instance);
        let free = |from, _| self.table.free(from);
        instance.arrivals.iter().map(|id| fleet.place(&self.table, *id, free)).collect()
    }
}

/// The layout of each GPU.
struct Fleet(Vec<LayoutId>);

impl Fleet {
    fn new(instance: &Instance) -> Fleet {
        Fleet(vec![LayoutId::EMPTY; instance.gpus])
    }

    /// Places at the least cost; of equals on the first GPU, at the lowest start.
    fn place<K: Ord>(
        &mut self,
        table: &LayoutTable,
        id: ProfileId,
        cost: impl Fn(LayoutId, Step) -> K,
    ) -> Option<Seat> {
        let steps = |from| table.arrivals_of(from, id).iter().copied();
        let places = self.0.iter().enumerate().flat_map(|(gpu, &from)| steps(from).map(move |step| (gpu, from, step)));
        let (gpu, _, step) = places.min_by_key(|&(_, from, step)| cost(from, step))?;
        self.0[gpu] = step.to;
        Some(Seat { gpu, start: step.placement.start() })
    }
}
