//! Layouts that are alike: whatever comes and goes, they stay so.

use std::collections::BTreeMap;

use crate::model::mig::{LayoutId, LayoutTable};

/// What a layout is known by in one round: its class, those that arrivals lead to by profile, and those that departures
/// lead to.
type Signature = (usize, Vec<(usize, usize)>, Vec<usize>);

/// The class of each layout and one layout of each class. Two layouts are of one class when as much of them is taken,
/// the same profiles fit, with the same classes then, and the same classes are left when an instance goes. The 7-slice GPUs have 144 classes of 723
/// layouts of shapes: their first pairs of slices can be exchanged, and a full GPU is the same in any order.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    /// The class of each layout; that of the empty one is 0.
    pub of: Vec<usize>,
    /// The first layout of each class.
    pub first: Vec<LayoutId>,
}

impl Classes {
    /// The classes of a table, refined until nothing tells two of a class apart.
    pub fn new(table: &LayoutTable) -> Classes {
        let mut of: Vec<usize> = table.ids().map(|id| table.free(id) as usize).collect();
        let mut first = vec![LayoutId::EMPTY];
        loop {
            let mut known: BTreeMap<Signature, usize> = BTreeMap::new();
            let mut finer = Vec::with_capacity(of.len());
            let mut seen = Vec::new();
            for id in table.ids() {
                let class = known.entry(signature(table, &of, id)).or_insert(seen.len());
                if *class == seen.len() {
                    seen.push(id);
                }
                finer.push(*class);
            }
            // Classes only split: as many as before are the same as before.
            let done = seen.len() == first.len();
            (of, first) = (finer, seen);
            if done {
                return Classes { of, first };
            }
        }
    }
}

fn signature(table: &LayoutTable, of: &[usize], id: LayoutId) -> Signature {
    let arrivals = table.arrivals(id).iter();
    let mut arrivals: Vec<_> = arrivals.map(|step| (step.placement.profile().index(), of[step.to.index()])).collect();
    let mut departures: Vec<_> = table.departures(id).iter().map(|step| of[step.to.index()]).collect();
    arrivals.sort_unstable();
    departures.sort_unstable();
    (of[id.index()], arrivals, departures)
}
