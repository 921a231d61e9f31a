//! Where on a fleet of MIG GPUs an instance should go: where it costs least of what the fleet can still take.
//!
//! Filling gaps is not enough when instances come and go: two GPUs with the same free slices are not worth the same if one
//! is soon empty again and the other is not. So each layout gets a value: what a GPU in that layout will earn, when
//! arrivals of the expected mix are offered to it at a price, compared with an empty one. The cost of a placement is the
//! value that the GPU loses. It is a look-up; the values are computed when the mix changes.
//!
//! No single way to value layouts is best for every mix: a look ahead errs where some shapes hardly ever come, and filling
//! the fullest GPU is then as good as anything. So a few rules are rehearsed on the mix, and the best one is taken.
//!
//! [`SliceShapes`] is made once per product, [`SliceMix`] follows from what runs, [`SliceRule`] and [`SliceValues`] from
//! both, and [`SliceBook`] remembers them. All are functions of their arguments: the same cluster gives the same values
//! after a restart.

mod book;
mod mean_field;
mod mix;
mod rehearsal;
mod shapes;
mod steps;
mod stream;
mod symmetry;
mod unusable;
mod values;

pub use book::SliceBook;
pub use mix::SliceMix;
pub use shapes::SliceShapes;
pub use values::{SliceRule, SliceValues};
